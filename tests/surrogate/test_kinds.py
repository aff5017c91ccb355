"""The kinds of surrogate: what fails gives way, and few readings get the mean alone."""

import math

import pytest
from helpers_surrogate import draw_readings

from archsmith.errors import EvaluationError
from archsmith.surrogate import kinds
from archsmith.surrogate.kinds import choose_kind
from archsmith.surrogate.process import Kind, fit_process


def wave(features):
    return 0.08 * math.sin(4 * features["wave"])


def test_what_predicts_readings_left_out_best_is_chosen():
    chosen = choose_kind(draw_readings(45, extra=wave), iterations=15)
    assert set(chosen.log_densities) == set(Kind)
    assert chosen.fitted.kind is max(chosen.log_densities, key=chosen.log_densities.__getitem__)
    assert chosen.fitted.kind is not Kind.MEAN
    assert chosen.notes == ()


def test_a_kind_that_does_not_fit_gives_way_and_is_named(monkeypatch):
    def failing(schema, table, values, kind, *, iterations):
        if kind is not Kind.MEAN:
            raise EvaluationError("the process does not fit: planted")
        return fit_process(schema, table, values, kind, iterations=iterations)

    monkeypatch.setattr(kinds, "fit_process", failing)
    chosen = choose_kind(draw_readings(12, extra=wave))
    assert chosen.fitted.kind is Kind.MEAN
    assert [note.split(":")[0] for note in chosen.notes] == [
        "'mean + process' was left out",
        "'process only' was left out",
    ]


def test_two_readings_get_the_law_alone():
    assert set(choose_kind(draw_readings(2)).log_densities) == {Kind.MEAN}


def test_where_nothing_fits_each_kind_says_why(monkeypatch):
    def failing(*_, **__):
        raise EvaluationError("planted")

    monkeypatch.setattr(kinds, "fit_process", failing)
    with pytest.raises(EvaluationError, match=r"'mean only' was left out: planted; 'mean \+"):
        choose_kind(draw_readings(6))
