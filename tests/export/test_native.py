import ctypes
from importlib.metadata import PackageNotFoundError

import pytest

from archsmith.errors import ExportError, MissingExtraError
from archsmith.export import native


def test_another_version_of_the_wheel_is_refused():
    with pytest.raises(ExportError, match=r"xllamacpp 2020\.1\.1 is installed.*pip install"):
        native._find(lambda name: "2020.1.1")


def test_a_missing_wheel_names_the_extra():
    def absent(name):
        raise PackageNotFoundError(name)

    with pytest.raises(MissingExtraError, match=r"archsmith\[export\]"):
        native._find(absent)


class _Shifted:
    """The library with one default moved, as a changed struct would show it."""

    def __init__(self, function, field, value):
        self._changed = (function, field, value)

    def __getattr__(self, name):
        found = getattr(native.library(), name)
        function, field, value = self._changed
        if name != function:
            return found

        def defaults():
            params = found()
            setattr(params, field, value)
            return params

        return defaults


@pytest.mark.parametrize(
    ("function", "field", "value"),
    [
        ("llama_model_default_params", "use_extra_bufts", False),
        ("llama_context_default_params", "n_ubatch", 1),
        ("llama_context_default_params", "type_v", 0),
    ],
)
def test_a_struct_laid_out_otherwise_is_refused(function, field, value):
    with pytest.raises(ExportError, match=f"{field} of {function} is"):
        native._check_layout(_Shifted(function, field, value))


def test_structs_are_no_shorter_than_the_checked_fields():
    # flags end at byte 77 and 142; arguments passed by value may be longer, never shorter
    assert native.ModelParams.use_extra_bufts.offset == 74
    assert native.ContextParams.kv_unified.offset == 141
    assert ctypes.sizeof(native.ContextParams) >= 176
