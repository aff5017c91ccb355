"""The public names."""

import subprocess
import sys

import pytest

import archsmith


@pytest.mark.parametrize("name", archsmith.__all__)
def test_every_public_name_is_there(name):
    assert getattr(archsmith, name) is not None


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'creat_study'"):
        _ = archsmith.creat_study


def test_importing_the_package_imports_nothing_heavy():
    code = (
        "import archsmith, sys; "
        "print([m for m in ('torch', 'numpy', 'pydantic', 'sqlalchemy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
