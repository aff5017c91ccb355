"""The surrogate on recorded tables of language models that others trained."""

import math

import numpy as np
import pytest
from helpers_surrogate import recorded
from scipy.stats import kendalltau, spearmanr

from archsmith.surrogate.extrapolation import leave_one_size_out
from archsmith.surrogate.law import fit_law, predict_law
from archsmith.surrogate.readings import Reading
from archsmith.surrogate.surrogate import fit_surrogate

_NATS = 3.0  # nats a token for one bit a byte: four and a half bytes a token
_TOKENS = {50, 100, 200}  # billions
_TABLE_ROWS = 50_304  # of the embedding and of the head, which the table counts with the rest


@pytest.fixture(scope="module")
def gemstones():
    """Readings of the 22 models' hot trunks, by billions of tokens."""
    found = {tokens: {} for tokens in _TOKENS}
    for row in recorded("gemstones_hot.jsonl.gz"):
        tokens = round(row["tokens"] / 1e9)
        if tokens not in _TOKENS:
            continue
        size = row["params_active_precise"] - 2 * _TABLE_ROWS * row["width"]
        features = {
            "log_num_non_embedding_params": math.log(size),
            "log_width_depth_ratio": math.log(row["width"] / row["depth"]),
        }
        reading = Reading(features, row["final_loss"])
        found[tokens][row["run_name"]] = (reading, row["width"] ** 2 * row["depth"])
    return {tokens: list(rows.values()) for tokens, rows in found.items()}


def test_the_law_fits_gemstones_as_published(gemstones):
    readings = [reading for reading, _ in gemstones[100]]
    errors = [
        abs(
            predict_law(fit_law(readings[:i] + readings[i + 1 :], unit=_NATS), [left]).mean[0]
            - left.value
        )
        for i, left in enumerate(readings)
    ]
    assert len(readings) == 22
    assert np.mean(errors) < 0.008
    assert 35 < fit_law(readings, unit=_NATS).coefficient("aspect") < 65


@pytest.mark.slow
def test_nine_models_rank_the_other_thirteen(gemstones):
    rng, taus, proxies, inside, errors = np.random.default_rng(0), [], [], [], []
    for number in range(500):
        rows = gemstones[sorted(_TOKENS)[1 + number % 2]]
        order = rng.permutation(len(rows))
        fit = fit_law([rows[i][0] for i in order[:9]], unit=_NATS)
        left = [rows[i] for i in order[9:]]
        forecast = predict_law(fit, [reading for reading, _ in left])
        values = np.array([reading.value for reading, _ in left])
        taus.append(kendalltau(forecast.mean, values).statistic)
        proxies.append(kendalltau([-proxy for _, proxy in left], values).statistic)
        inside += ((forecast.low <= values) & (values <= forecast.high)).tolist()
        errors += np.abs(forecast.mean - values).tolist()
    print(np.mean(taus), np.mean(proxies), np.mean(inside), np.mean(errors))  # noqa: T201
    assert np.mean(taus) > np.mean(proxies) + 0.02
    assert 0.87 < np.mean(inside) < 0.94
    assert np.mean(errors) < 0.01


@pytest.mark.slow
def test_sizes_left_out_of_gemstones(gemstones):
    report = leave_one_size_out([reading for reading, _ in gemstones[100]], unit=_NATS)
    assert len(report.error_by_group) >= 5
    assert report.mean_error < 0.02


@pytest.mark.slow
@pytest.mark.parametrize("name", ["wikitext103", "lm1b"])
@pytest.mark.parametrize(("count", "least"), [(20, 0.7), (80, 0.92)])
def test_networks_of_one_size_are_ranked(name, count, least):
    rows = recorded(f"lts_gpt2_{name}.jsonl.gz")
    sizes = np.log([row["params"]["nonembedding"] for row in rows])
    readings = [Reading(_features(row), math.log(row["valid_ppl"])) for row in rows]
    found = []
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(rows))
        surrogate = fit_surrogate([readings[i] for i in order[:count]], unit=_NATS, calibrate=False)
        left = order[count:]
        means = surrogate.predict([readings[i] for i in left]).mean
        values = np.array([readings[i].value for i in left])
        for size in sizes[left]:
            near = np.flatnonzero(np.abs(sizes[left] - size) < math.log(1.1))
            if len(near) >= 8:
                found.append(spearmanr(values[near], means[near]).statistic)
    assert np.mean(found) > least


def _features(row):
    config, params = row["config"], row["params"]
    width, inner = config["d_model"], np.array(config["d_inner"], float)
    embedding = config["d_embed"] if config["d_embed"] > 0 else width
    return {
        "log_num_non_embedding_params": math.log(params["nonembedding"]),
        "log_num_params": math.log(params["total"]),
        "log_width_depth_ratio": math.log(width / config["n_layer"]),
        "log_hidden_size": math.log(width),
        "log_num_hidden_layers": math.log(config["n_layer"]),
        "log_intermediate_ratio": math.log(inner.mean() / width),
        "embedding_share": 1 - params["nonembedding"] / params["total"],
        "log_embedding_size": math.log(embedding),
        "embedding_division": float(config["div_val"]),
        "mean_heads": float(np.mean(config["n_head"])),
        "intermediate_spread": inner.std() / inner.mean(),
        "log_first_intermediate_ratio": math.log(inner[0] / width),
        "log_last_intermediate_ratio": math.log(inner[-1] / width),
    }
