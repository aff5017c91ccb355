"""`archsmith presets`: the table on stdout, one model by name, an error for an unknown one."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from archsmith.cli.main import group
from archsmith.errors import ConfigError


def test_the_table_has_every_model_and_its_holders():
    out = CliRunner().invoke(group, ["presets"]).stdout
    table, held = out.split("\n\n")
    assert len(table.splitlines()) == 19
    assert "phi_3_5_moe" in table
    assert "phi_2: PhiForCausalLM (transformers), phi2 (llama.cpp)" in held


def test_json_of_one_model():
    out = CliRunner().invoke(group, ["presets", "phi_3_mini", "--json"]).stdout
    (row,) = json.loads(out)["presets"]
    assert row["num_params"] == 3_821_079_552
    assert row["weights_4_bit_bytes"] == 1_910_539_776


def test_an_unknown_model_is_one_sentence():
    result = CliRunner().invoke(group, ["presets", "phi3"])
    assert isinstance(result.exception, ConfigError)
    assert "unknown preset 'phi3'; did you mean" in str(result.exception)


@pytest.mark.parametrize("name", ["presets.md"])
def test_the_page_shows_the_published_size_beside_the_exact_one(name):
    page = (Path(__file__).parents[2] / "docs" / "reference" / name).read_text()
    assert "about 1.8 GB at 4 bits" in page
    assert "1,910,539,776 bytes, 1.78 GiB" in page
