"""The kinds of surrogate: what fails gives way, and few readings get the mean alone."""

import math

import pytest
from helpers_surrogate import draw_readings

from archsmith.errors import EvaluationError
from archsmith.surrogate import kinds
from archsmith.surrogate.kinds import weigh_kinds
from archsmith.surrogate.process import Kind, fit_process


def wave(features):
    return 0.08 * math.sin(4 * features["wave"])


def test_what_predicts_readings_left_out_best_weighs_most():
    weighed = weigh_kinds(draw_readings(45, extra=wave), iterations=15)
    assert set(weighed.log_densities) == set(Kind)
    weights = {part.fitted.kind: part.weight for part in weighed.stack.parts}
    assert max(weights, key=weights.__getitem__) is not Kind.MEAN
    assert weights.get(Kind.MEAN, 0.0) < 0.1
    assert weighed.notes == ()


def test_a_kind_that_does_not_fit_gives_way_and_is_named(monkeypatch):
    def failing(schema, table, values, kind, *, iterations):
        if kind is not Kind.MEAN:
            raise EvaluationError("the process does not fit: planted")
        return fit_process(schema, table, values, kind, iterations=iterations)

    monkeypatch.setattr(kinds, "fit_process", failing)
    weighed = weigh_kinds(draw_readings(12, extra=wave))
    assert [part.fitted.kind for part in weighed.stack.parts] == [Kind.MEAN]
    assert [note.split(":")[0] for note in weighed.notes] == [
        "'mean + process' was left out",
        "'process only' was left out",
    ]


def test_two_readings_get_the_law_alone():
    assert set(weigh_kinds(draw_readings(2)).log_densities) == {Kind.MEAN}


def test_where_nothing_fits_each_kind_says_why(monkeypatch):
    def failing(*_, **__):
        raise EvaluationError("planted")

    monkeypatch.setattr(kinds, "fit_process", failing)
    with pytest.raises(EvaluationError, match=r"'mean only' was left out: planted; 'mean \+"):
        weigh_kinds(draw_readings(6))


def test_a_process_alone_says_how_many_readings_it_needs():
    with pytest.raises(EvaluationError, match="a process needs at least 3 readings, got 1"):
        weigh_kinds(draw_readings(1), kinds=[Kind.PROCESS])
