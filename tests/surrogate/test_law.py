"""The scaling law: planted letters found again, the prior without data, terms that drop out."""

import math

import numpy as np
import pytest
from helpers_surrogate import draw_features, draw_readings, planted

from archsmith.errors import ConfigError
from archsmith.prior import Run, bits_per_byte, shipped
from archsmith.surrogate.law import fit_law, predict_law
from archsmith.surrogate.readings import Reading, has_law

_SHAPE = {"hidden_size": 96, "num_hidden_layers": 6, "vocab_size": 512}


def test_without_readings_the_law_is_the_shipped_prior():
    run = Run(**_SHAPE, num_non_embedding_params=700_000, train_bytes=1e6, corpus_bits_per_byte=1.9)
    features = {
        "log_num_non_embedding_params": math.log(700_000),
        "log_width_depth_ratio": math.log(96 / 6),
        "log_hidden_size": math.log(96),
        "log_vocab_size": math.log(512),
    }
    point = Reading(features, 0.0, 1e6, corpus_bits_per_byte=1.9)
    # one reading of what the prior says leaves the law where it was
    expected = bits_per_byte(run, shipped().coefficients)
    fit = fit_law([point._replace(value=expected)])
    assert predict_law(fit, [point]).mean[0] == pytest.approx(expected, abs=1e-4)
    assert fit.values == pytest.approx(fit.prior_values, abs=1e-2)
    assert len(fit_law([]).letters) == 6


def test_a_planted_law_is_found_again():
    readings = draw_readings(60, noise=0.002, train_bytes=4e6)
    fit = fit_law(readings)
    assert fit.coefficient("aspect") == pytest.approx(30.0, rel=0.1)
    assert fit.coefficient("aspect_factor") == pytest.approx(0.02, rel=0.15)
    assert fit.coefficient("size_exponent") == pytest.approx(0.35, rel=0.1)
    assert fit.noise == pytest.approx(0.002, rel=0.4)
    fresh = draw_readings(50, seed=1, noise=0.0, train_bytes=4e6)
    forecast = predict_law(fit, fresh)
    assert np.abs(forecast.mean - [reading.value for reading in fresh]).max() < 0.006


def test_text_read_again_counts_less():
    features = draw_readings(1)[0].features
    amounts = [1e6, 2e6, 4e6, 8e6, 16e6]
    fit = fit_law([Reading(features, planted(features, d), d) for d in amounts])
    once, again, ever = predict_law(
        fit,
        [
            Reading(features, 0.0, 64e6),
            Reading(features, 0.0, 64e6, unique_bytes=1e6),
            Reading(features, 0.0, 6400e6, unique_bytes=1e6),
        ],
    ).mean
    assert once < again
    assert 0 < again - ever < 0.02


def test_a_mixture_lies_between_its_active_and_all_parameters():
    share = math.log(0.25)
    dense = [
        r._replace(features={**r.features, "log_active_share": 0.0}) for r in draw_readings(20)
    ]
    fit = fit_law(dense)
    features = dense[0].features
    size = features["log_num_non_embedding_params"]
    mixture, small = (
        predict_law(fit, [Reading({**features, **change}, 0.0)]).mean[0]
        for change in (
            {"log_active_share": share},
            {"log_num_non_embedding_params": size + share},
        )
    )
    assert predict_law(fit, dense[:1]).mean[0] < mixture < small


def test_intervals_hold_as_often_as_they_say():
    inside = []
    for seed in range(15):
        readings = draw_readings(24, seed=seed, noise=0.01)
        forecast = predict_law(fit_law(readings[:12]), readings[12:])
        values = np.array([reading.value for reading in readings[12:]])
        inside.append(np.mean((forecast.low <= values) & (values <= forecast.high)))
    assert 0.8 < np.mean(inside) < 0.98


def test_what_is_missing_is_said():
    with pytest.raises(ConfigError, match="log_width_depth_ratio"):
        fit_law([Reading({"log_num_non_embedding_params": 12.0}, 1.0)])
    features = draw_readings(1)[0].features
    with pytest.raises(ConfigError, match="finite values"):
        fit_law([Reading(features, math.nan)])
    fit = fit_law([Reading(features, 1.5, 1e6)])
    with pytest.raises(ConfigError, match="how many"):
        predict_law(fit, [Reading(features, 0.0)])


# letter, as its fit has it: (planted, the features it reads)
_TERMS = {
    "active_exponent": (0.8, "log_active_share"),
    "group_exponent": (0.09, "log_heads_per_kv_head"),
    "log_ratio_factor": (math.log(0.15), "log_intermediate_ratio"),
    "log_ratio": (math.log(1.8), "log_intermediate_ratio"),
    "log_vocabulary_factor": (math.log(0.05), "log_vocab_size"),
    "log_vocabulary_constant": (math.log(9.0), "log_vocab_size"),
}


def _of_all_terms(count, *, seed=0, noise=0.002):
    """The planted law with an effective size and a term of vocabulary, by the formula again."""
    letters = {letter: value for letter, (value, _) in _TERMS.items()}
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        features = draw_features(
            rng,
            log_hidden_size=rng.uniform(4.5, 7.0),
            log_vocab_size=rng.uniform(6.0, 10.0),
            log_active_share=rng.uniform(-1.5, 0.0),
            log_heads_per_kv_head=math.log(2) * rng.integers(0, 4),
            log_intermediate_ratio=rng.uniform(-0.3, 2.0),
        )
        size = features["log_num_non_embedding_params"]
        size += letters["active_exponent"] * features["log_active_share"]
        size -= letters["group_exponent"] * features["log_heads_per_kv_head"]
        away = features["log_intermediate_ratio"] - letters["log_ratio"]
        size -= math.exp(letters["log_ratio_factor"]) * away**2
        embedding = features["log_vocab_size"] + features["log_hidden_size"] - math.log(1e6)
        excess = embedding - letters["log_vocabulary_constant"]
        excess -= 0.83 * (size - math.log(1e6))
        bits = planted({**features, "log_num_non_embedding_params": size})
        bits += math.exp(letters["log_vocabulary_factor"]) * excess**2
        found.append(Reading(features, bits + noise * rng.standard_normal()))
    return found


@pytest.fixture(scope="module")
def all_terms():
    readings = _of_all_terms(80)
    return readings, fit_law(readings)


@pytest.mark.parametrize("letter", _TERMS)
def test_each_term_is_found_again(all_terms, letter):
    _, fit = all_terms
    value, _ = _TERMS[letter]
    place = fit.letters.index(letter)
    deviation = math.sqrt(fit.covariance[place, place])
    prior, spread = fit.prior_values[place], fit.prior_spreads[place]
    assert fit.values[place] == pytest.approx(value, abs=3 * deviation)
    assert deviation < 0.4 * spread  # the readings tell, not the prior
    assert abs(value - prior) > 3 * deviation


@pytest.mark.parametrize("feature", sorted({feature for _, feature in _TERMS.values()}))
def test_without_its_feature_a_term_is_missed(all_terms, feature):
    readings, fit = all_terms
    fresh = _of_all_terms(40, seed=1, noise=0.0)

    def without(some):
        return [
            r._replace(features={k: v for k, v in r.features.items() if k != feature}) for r in some
        ]

    values = np.array([reading.value for reading in fresh])
    lacking = fit_law(without(readings))
    assert len(lacking.letters) < len(fit.letters)
    error = np.abs(predict_law(fit, fresh).mean - values).mean()
    assert error < 0.003
    assert np.abs(predict_law(lacking, without(fresh)).mean - values).mean() > 3 * error


def test_width_over_depth_follows_from_width_and_depth():
    told, derived = [], []
    rng = np.random.default_rng(3)
    for reading in draw_readings(20):
        depth = rng.uniform(1.0, 3.0)
        width = reading.features["log_width_depth_ratio"] + depth
        features = {
            **reading.features,
            "log_hidden_size": width,
            "log_num_hidden_layers": depth,
        }
        told.append(reading._replace(features=features))
        lacking = {k: v for k, v in features.items() if k != "log_width_depth_ratio"}
        derived.append(reading._replace(features=lacking))
    assert has_law(tuple(derived[0].features))
    own, other = fit_law(told), fit_law(derived)
    assert other.letters == own.letters
    assert other.values == pytest.approx(own.values)
    assert not has_law(("log_num_non_embedding_params", "log_hidden_size"))
