"""Which stock transformers class and which GGUF architecture hold a point exactly: its carrier.

A carrier computes in both runtimes what the canonical weights compute; its exact forms (tensors,
`config.json`, GGUF keys) are data here and code nowhere else. A row of the table holds one form for
each target, or the reason why a target has none. A point without a carrier is refused with reasons
before anything is trained. The traps the refusals name were found by comparing logits.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from archsmith.architecture.tree import Architecture, Layer
from archsmith.errors import ConfigError, ExportError, did_you_mean
from archsmith.export.tensors import TensorPlan

# int is written as uint32, float as float32, a tuple as an array
Value = bool | int | float | str | tuple[bool, ...] | tuple[int, ...]
# an architecture and the kinds of its layers -> why they do not fit; empty if they do
Refusals = Callable[[Architecture, Sequence[Layer]], list[str]]
TARGETS = ("huggingface", "gguf")


def _none(*_: object) -> list[Any]:
    return []


class HuggingFaceForm(NamedTuple):
    """How a stock transformers class holds a point.

    Attributes:
        transformers_class, model_type: the class and its `model_type`.
        config: the architecture's own entries of `config.json`.
        layer: tensors of one layer, names without the layer's prefix.
        final_norm: the name of the last norm.
        refusals: what this class alone cannot hold.
        longest_text: tokens up to which the class computes the point; all of them if None.
    """

    transformers_class: str
    model_type: str
    config: Callable[[Architecture], dict[str, Any]]
    layer: Callable[[Layer, Architecture], list[TensorPlan]]
    final_norm: str = "model.norm"
    refusals: Refusals = _none
    longest_text: Callable[[Architecture], int] | None = None


class GgufForm(NamedTuple):
    """How an architecture of llama.cpp holds a point.

    Attributes:
        architecture: `general.architecture` in the file.
        keys: keys without the architecture's prefix.
        layer: tensors of one layer of a network of this width, names without the layer's prefix.
        constants: tensors outside the layers that hold no weights.
        refusals: what this architecture alone cannot hold.
    """

    architecture: str
    keys: Callable[[Architecture], dict[str, Value]]
    layer: Callable[[Layer, int], list[TensorPlan]]
    constants: Callable[[Architecture], list[TensorPlan]] = _none
    refusals: Refusals = _none


class Carrier(NamedTuple):
    """One row of the table.

    Attributes:
        name: how messages call it.
        refusals: why an architecture fits neither form.
        huggingface, gguf: the forms; None where a target has none.
        feed_forwards: the types of feed-forward it takes, to pass over the row quickly.
        absent: why the form that is None does not exist.
        limits: what holds for some uses only, to be told to whoever uses the files.
    """

    name: str
    refusals: Refusals
    huggingface: HuggingFaceForm | None
    gguf: GgufForm | None
    feed_forwards: frozenset[str] = frozenset({"gated_mlp"})
    absent: str = ""
    limits: Callable[[Architecture], list[str]] = _none

    def reasons(self, architecture: Architecture, kinds: Sequence[Layer], target: str) -> list[str]:
        """Why the row does not hold `architecture` in a target's form; empty if it does."""
        found = self.refusals(architecture, kinds)
        # a form's own rules assume what the common ones ask for
        if found and self._form(target) is not None:
            return found
        return found + self._own_reasons(architecture, kinds, target)

    def fits(
        self, architecture: Architecture, kinds: Sequence[Layer], targets: Iterable[str]
    ) -> list[str]:
        """Those of the targets in whose form the row holds `architecture`."""
        if any(kind.feed_forward.type not in self.feed_forwards for kind in kinds):
            return []
        if self.refusals(architecture, kinds):
            return []
        return [t for t in targets if not self._own_reasons(architecture, kinds, t)]

    def _form(self, target: str) -> HuggingFaceForm | GgufForm | None:
        return self.huggingface if target == "huggingface" else self.gguf

    def _own_reasons(
        self, architecture: Architecture, kinds: Sequence[Layer], target: str
    ) -> list[str]:
        form = self._form(target)
        return [self.absent] if form is None else form.refusals(architecture, kinds)


def find_carrier(architecture: Architecture, targets: Iterable[str] = TARGETS) -> Carrier | None:
    """The first carrier that holds `architecture` in every target, or None.

    Where no single row does, the first row of each target together do: every form is exact by
    itself. Forms that were not asked for may be missing.
    """
    return fitting_carrier(architecture, kinds_of_layers(architecture)[0], targets)


def fitting_carrier(
    architecture: Architecture, kinds: Sequence[Layer], targets: Iterable[str] = TARGETS
) -> Carrier | None:
    """`find_carrier` where the kinds of layers are known already."""
    wanted = _known(targets)
    rows: dict[str, list[Carrier]] = {target: [] for target in wanted}
    for row in _table().values():
        fits = row.fits(architecture, kinds, wanted)
        if len(fits) == len(wanted):
            return row
        for target in fits:
            rows[target].append(row)
    if not all(rows.values()):
        return None
    return _joined({target: found[0] for target, found in rows.items()})


def _joined(rows: Mapping[str, Carrier]) -> Carrier:
    """One carrier of the forms of several rows, one row per target."""

    def limits(architecture: Architecture) -> list[str]:
        said = [limit for row in rows.values() for limit in row.limits(architecture)]
        return list(dict.fromkeys(said))

    return Carrier(
        name=" and ".join(dict.fromkeys(row.name for row in rows.values())),
        refusals=_none,
        huggingface=rows["huggingface"].huggingface if "huggingface" in rows else None,
        gguf=rows["gguf"].gguf if "gguf" in rows else None,
        limits=limits,
    )


def kinds_of_layers(architecture: Architecture) -> tuple[list[Layer], list[int]]:
    """The different layers of an architecture, and for each layer which of them it is."""
    kinds: list[Layer] = []
    indices: list[int] = []
    last, index = None, -1
    for layer in architecture.layers:
        if layer is not last:
            index = next((i for i, kind in enumerate(kinds) if kind == layer), len(kinds))
            if index == len(kinds):
                kinds.append(layer)
            last = layer
        indices.append(index)
    return kinds, indices


def carrier_of(architecture: Architecture, targets: Iterable[str] = TARGETS) -> Carrier:
    """The carrier of `architecture`. Raises ExportError with the reasons if there is none."""
    wanted = _known(targets)
    found = find_carrier(architecture, wanted)
    if found is None:
        reasons = "; ".join(unsupported(architecture, wanted))
        raise ExportError(f"no stock model class holds {architecture.summary()} exactly: {reasons}")
    return found


def huggingface_form(architecture: Architecture) -> HuggingFaceForm:
    """The transformers form of `architecture`. Raises ExportError if there is none."""
    form = carrier_of(architecture, ("huggingface",)).huggingface
    assert form is not None, "a carrier of a target has its form"
    return form


def gguf_form(architecture: Architecture, kinds: Sequence[Layer] | None = None) -> GgufForm:
    """The GGUF form of `architecture`. Raises ExportError if there is none.

    Args:
        kinds: the kinds of its layers, where they are known already.
    """
    known = kinds_of_layers(architecture)[0] if kinds is None else kinds
    carrier = fitting_carrier(architecture, known, ("gguf",)) or carrier_of(architecture, ("gguf",))
    assert carrier.gguf is not None, "a carrier of a target has its form"
    return carrier.gguf


def unsupported(architecture: Architecture, targets: Iterable[str] = TARGETS) -> list[str]:
    """Why some of the targets cannot hold `architecture`, in terms of the nearest carriers.

    Empty if all can. A reason that does not stand against every target asked for names its target.
    """
    wanted = _known(targets)
    kinds = kinds_of_layers(architecture)[0]
    if fitting_carrier(architecture, kinds, wanted) is not None:
        return []
    against: dict[str, list[str]] = {}
    for target in wanted:
        for reason in _nearest_reasons(architecture, kinds, target):
            against.setdefault(reason, []).append(target)
    return [
        reason if len(found) == len(wanted) else f"{' and '.join(found)}: {reason}"
        for reason, found in against.items()
    ]


def _nearest_reasons(architecture: Architecture, kinds: Sequence[Layer], target: str) -> list[str]:
    experts = any(kind.feed_forward.type == "mixture_of_experts" for kind in kinds)
    refusals = [
        (row.name, row.reasons(architecture, kinds, target))
        for row in _table().values()
        # a dense network is not near to one of experts
        if ("mixture_of_experts" in row.feed_forwards) == experts or len(row.feed_forwards) > 1
    ]
    fewest = min(len(reasons) for _, reasons in refusals)
    said: dict[str, str] = {}
    for name, reasons in refusals:
        if len(reasons) == fewest:
            for reason in reasons:
                common = all(reason in others for _, others in refusals)
                said.setdefault(reason, reason if common else f"{name}: {reason}")
    return list(said.values())


def _known(targets: Iterable[str]) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(targets))
    for target in found:
        if target not in TARGETS:
            raise ConfigError(f"unknown export target '{target}'; {did_you_mean(target, TARGETS)}")
    return found


def _table() -> Mapping[str, Carrier]:
    from archsmith.export.carrier_table import CARRIERS  # the table imports this file's types

    return CARRIERS
