"""The table of published models: exact figures, and what holds them."""

import pytest

from archsmith.errors import ConfigError
from archsmith.presets import PRESETS
from archsmith.workflow.preset_table import (
    HEADINGS,
    aligned,
    cells,
    gib,
    holders,
    preset_rows,
)

ROWS = {row.name: row for row in preset_rows()}


def test_every_preset_has_a_row_of_exact_figures():
    assert list(ROWS) == list(PRESETS)
    for name, row in ROWS.items():
        architecture = PRESETS[name]()
        assert row.num_params == architecture.num_params
        assert row.cache_bytes == row.cache_bytes_per_token * row.max_position_embeddings


@pytest.mark.parametrize(
    ("name", "gib_at_4_bits", "kib_per_token"),
    [
        ("phi_1", 0.66, 192),
        ("phi_2", 1.29, 320),
        ("phi_3_mini", 1.78, 384),
        ("phi_3_medium", 6.50, 200),
        ("phi_3_5_moe", 19.5, 128),
        ("phi_4", 6.83, 200),
        ("phi_4_mini", 1.79, 128),
    ],
)
def test_bytes_are_those_known_of_the_phi_models(name, gib_at_4_bits, kib_per_token):
    row = ROWS[name]
    assert row.weights_4_bit_bytes / 2**30 == pytest.approx(gib_at_4_bits, abs=0.006)
    assert row.cache_bytes_per_token == kib_per_token * 1024


def test_a_q4_0_file_of_phi_3_mini_is_larger_than_its_published_size():
    row = ROWS["phi_3_mini"]
    assert row.weights_4_bit_bytes == 1_910_539_776
    # every weight at 4.5 bits, and the head's 32064 x 3072 at 6.5625
    expected = (row.num_params * 4.5 + 32064 * 3072 * 2.0625) / 8
    assert row.q4_0_file_bytes == pytest.approx(expected, rel=1e-3)
    assert gib(row.q4_0_file_bytes) == "2.03 GiB"
    assert row.cache_bytes == 1.5 * 2**30


def test_what_holds_a_model_or_why_nothing_does():
    assert holders(ROWS["phi_2"]) == ["PhiForCausalLM (transformers), phi2 (llama.cpp)"]
    small = holders(ROWS["phi_3_small"])
    assert small[0] == "for training alone"
    assert "block_sparse_attention" in " ".join(small)
    moe = holders(ROWS["phi_3_5_moe"])
    assert moe[0] == "PhimoeForCausalLM (transformers)"
    assert moe[1].startswith("not in llama.cpp: ")
    assert ROWS["phi_3_5_moe"].q4_0_file_bytes is None
    assert ROWS["mixtral_8x7b"].gguf == "llama"


def test_cells_stand_under_headings():
    lines = aligned([HEADINGS, *(cells(row) for row in ROWS.values())])
    assert len({line.index("4.0 bit") for line in lines[:1]}) == 1
    moe = next(line for line in lines if line.startswith("phi_3_5_moe"))
    for part in ("32x4096", "32/8 x 128", "2/16 x 6400", "41,873,153,344", "6.64B", "128 KiB"):
        assert part in moe
    assert moe.endswith("none")
    assert len({len(line) for line in lines}) == 1


def test_an_unknown_name_is_told_the_nearest():
    assert [row.name for row in preset_rows(["phi_4", "phi_1"])] == ["phi_4", "phi_1"]
    with pytest.raises(ConfigError, match="unknown preset 'phi_5'; did you mean 'phi_"):
        preset_rows(["phi_5"])
