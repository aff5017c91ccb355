"""What a search refuses before its first job."""

from pathlib import Path

import pytest

from archsmith.errors import ConfigError
from helpers_study import Toy, make_study


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_trials": 0}, "n_trials: at least 1"),
        ({"n_jobs": 0}, "n_jobs: at least 1"),
        ({"n_jobs": 2, "executor": "inline"}, "one job at a time"),
    ],
)
def test_wrong_options_are_refused(tmp_path: Path, options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_study(tmp_path).optimize(Toy(), **options)
