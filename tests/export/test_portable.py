"""What both targets are said to hold passes the gate: written, reloaded, compared in both."""

import random
from collections import Counter

import pytest
from export_helpers import make_tokenizer, random_weights, write_gguf
from random_points import random_point

from archsmith.export.carrier_table import CARRIERS
from archsmith.export.carriers import find_carrier
from archsmith.export.formats.huggingface import PART as HUGGINGFACE
from archsmith.export.gate import check_export
from archsmith.export.layout import gguf_num_bytes, tokenizer_num_bytes


def exported(folder, point, *, seed):
    """The gate's report on a point with random weights; its file has the predicted bytes."""
    weights, tokenizer = random_weights(point, seed), make_tokenizer(point.vocab_size)
    options = {"architecture": point, "weights": weights, "tokenizer": tokenizer}
    HUGGINGFACE.write(folder / "hf", metadata={}, overwrite=True, **options)
    path = folder / "file.gguf"
    write_gguf(path, point, weights=weights, tokenizer=tokenizer, overwrite=True)
    assert path.stat().st_size == gguf_num_bytes(point, tokenizer_num_bytes(tokenizer))
    return check_export(huggingface=folder / "hf", gguf=[path], seed=seed, **options)


def check(report, point):
    assert report.runtime_kl_nats < 1e-6 or "Phi" in report.carrier, point
    (file,) = report.files
    assert file.quantization == point.quantization
    assert file.kl_nats < 3.0, point


def test_some_points_drawn_at_random_pass(tmp_path, in_process):
    rng = random.Random(5)
    for seed in range(6):
        point = random_point(rng)
        check(exported(tmp_path, point, seed=seed), point)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(10))
def test_two_hundred_points_drawn_at_random_pass(tmp_path, part):
    rng = random.Random(part)
    for seed in range(20):
        point = random_point(rng)
        check(exported(tmp_path, point, seed=seed), point)


@pytest.mark.slow
def test_those_points_are_of_every_carrier():
    drawn = (random_point(rng) for rng in map(random.Random, range(10)) for _ in range(20))
    carriers = Counter(find_carrier(point).name for point in drawn)
    # nothing small needs StarCoder2, and PhiMoE is for transformers alone
    assert set(carriers) == set(CARRIERS) - {"StarCoder2", "PhiMoE"}
    assert min(carriers.values()) >= 3
