"""Numbers with units."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archsmith.errors import ConfigError
from archsmith.units import (
    format_bytes,
    format_count,
    format_seconds,
    parse_bytes,
    parse_count,
    parse_seconds,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("16MiB", 16 * 2**20), ("16MB", 16_000_000), ("1.5 KiB", 1536), ("12", 12), (7, 7)],
)
def test_bytes_are_read_in_binary_and_decimal_units(text, expected):
    assert parse_bytes(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("20M", 20_000_000), ("2b", 2_000_000_000), ("1_000", 1000), (3.0, 3)]
)
def test_counts_are_read(text, expected):
    assert parse_count(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("8h", 28800.0), ("10min", 600.0), ("250ms", 0.25), ("1h30min", 5400.0), (5, 5.0)],
)
def test_durations_are_read(text, expected):
    assert parse_seconds(text) == expected


@pytest.mark.parametrize("parse", [parse_bytes, parse_count, parse_seconds])
@pytest.mark.parametrize("text", ["", "MiB", "12 parsecs", "1..2", True])
def test_nonsense_is_refused_with_an_example(parse, text):
    with pytest.raises(ConfigError, match=r"such as \"|expected a number such as"):
        parse(text)


@given(st.integers(min_value=0, max_value=2**60))
def test_every_amount_can_be_shown(amount):
    assert format_bytes(amount)
    assert format_count(amount)
    assert format_seconds(float(amount))


def test_shown_forms():
    assert format_bytes(16 * 2**20) == "16.0 MiB"
    assert format_count(1_234_567) == "1.23M"
    assert format_seconds(5025) == "1h23m"
    assert format_seconds(75) == "1m15s"
    assert format_seconds(3.21) == "3.2s"
