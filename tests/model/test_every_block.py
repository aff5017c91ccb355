"""In every registered block, with every one of its settings: the fast path is the plain one.

Settings are read from the specs, so a new block or a new setting is covered without being named
here: a bool both ways, every word of a Literal, an optional one there and missing. A part that
needs a setting this file cannot guess fails and says which.
"""

import types
from typing import Any, Literal, Union, get_args, get_origin

import pytest
import torch
from pydantic import ValidationError
from pydantic_core import PydanticUndefined

from archsmith import registry
from archsmith.architecture.norm import Norm
from archsmith.architecture.tree import Architecture, Layer
from archsmith.config import Spec
from archsmith.model.kernels.fast import FAST
from archsmith.model.kernels.plain import PLAIN
from archsmith.model.transformer import build

# sizes that fit together; any other whole number that a part needs is 3
SIZES = {
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 6, "intermediate_size": 20,
    "num_experts": 5, "num_experts_per_tok": 2, "moe_intermediate_size": 7,
    "num_hidden_layers": 2,
}  # fmt: skip
# settings that are small enough to matter in texts of 23 tokens
SMALL = {"block_size": 2, "num_local_blocks": 2, "vertical_stride": 3}
# (setting, value) -> what it needs beside it
COMPANIONS: dict[tuple[str, Any], dict[str, Any]] = {
    ("shared_expert_gate", True): {"shared_expert_intermediate_size": 9},
    ("qk_norm_over", "all_heads"): {"qk_norm": True},
    ("activation_limit", 0.7): {"activation": "gegelu"},
}
LONG_ROPE = {
    "long_rope": {
        "original_max_position_embeddings": 9,
        "short_factor": (1.0, 1.3, 2.0),
        "long_factor": (1.5, 4.0, 9.0),
    }
}
# specs inside specs: values to try for a field of this type's name
INNER = {"Rope": ({}, {"partial_rotary_factor": 0.5}, LONG_ROPE)}
DENSE = {"type": "gated_mlp", "intermediate_size": 20}
MIXER = {"type": "attention", "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 6}


def spec_class(kind: str, name: str) -> type[Spec]:
    found: type[Spec] = registry.find(kind, name)
    return found


def smallest(spec: type[Spec]) -> dict[str, Any]:
    """The required settings, and those of the optional ones that only matter if small."""
    needed = {}
    for name, field in spec.model_fields.items():
        if name == "type":
            continue
        if field.default is PydanticUndefined and field.default_factory is None:
            needed[name] = SIZES.get(name, 3)
        elif name in SMALL:
            needed[name] = SMALL[name]
    return needed


def choices(annotation: Any) -> list[Any]:
    """Values to try for a field; none for plain sizes and numbers."""
    origin = get_origin(annotation)
    if origin is Literal:
        return list(get_args(annotation))
    if annotation is bool:
        return [False, True]
    if origin in (Union, types.UnionType):
        found: list[Any] = [None]
        for inner in get_args(annotation):
            found += optional_values(inner)
        return found
    if isinstance(annotation, type) and annotation.__name__ in INNER:
        return list(INNER[annotation.__name__])
    return []


def optional_values(annotation: Any) -> list[Any]:
    """Values of a setting that may be missing."""
    if get_origin(annotation) is not None and get_origin(annotation) is not Literal:
        annotation = get_args(annotation)[0]  # Annotated
    if isinstance(annotation, type) and annotation is not bool:
        if issubclass(annotation, int):
            return [5]
        if issubclass(annotation, float):
            return [0.7]
    return choices(annotation)


def variants(kind: str, name: str) -> list[dict[str, Any]]:
    """The smallest spec, and one for each value of each setting."""
    spec = spec_class(kind, name)
    base = smallest(spec)
    found = [base]
    for field, info in spec.model_fields.items():
        if field == "type":
            continue
        for value in choices(info.annotation):
            changed = {**base, **companions(field, value), field: value}
            if changed not in found:
                found.append(changed)
    return [{"type": name, **one} for one in found]


def companions(field: str, value: Any) -> dict[str, Any]:
    return next(
        (more for (name, one), more in COMPANIONS.items() if name == field and one == value), {}
    )


def cases() -> list[Any]:
    found = []
    for kind, slot in (("mixers", "mixer"), ("feed_forwards", "feed_forward")):
        for name in registry.names(kind):
            for number, one in enumerate(variants(kind, name)):
                found.append(pytest.param({slot: one}, id=f"{name}-{number}"))
    experts = {"type": "mixture_of_experts"}
    experts |= smallest(spec_class("feed_forwards", "mixture_of_experts"))
    for residual in choices(Layer.model_fields["residual"].annotation):
        for norm in choices(Norm.model_fields["type"].annotation):
            layer = {"residual": residual, "norm": {"type": norm}}
            found.append(pytest.param(layer, id=f"{residual}-{norm}"))
            mixed = {**layer, "feed_forward": experts}
            found.append(pytest.param(mixed, id=f"{residual}-{norm}-experts"))
    return found


def architecture(layer: dict[str, Any]) -> Architecture:
    whole = {"mixer": MIXER, "feed_forward": DENSE, **layer}
    try:
        return Architecture.model_validate(
            {
                "hidden_size": 12,
                "vocab_size": 31,
                "max_position_embeddings": 32,
                "layers": [whole, whole],
            }
        )
    except ValidationError as error:
        raise AssertionError(
            f"{layer} is no valid layer: name what it needs in COMPANIONS, SIZES or INNER ({error})"
        ) from error


@pytest.mark.parametrize("layer", cases())
def test_loss_and_every_gradient_are_the_plain_ones(layer: dict[str, Any]) -> None:
    made = architecture(layer)
    model = build(made, seed=3)
    noise = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=noise) * 0.2)
    tokens = torch.randint(made.vocab_size, (2, 24), generator=noise)
    losses, gradients = [], []
    for kernels in (PLAIN, FAST):
        model.zero_grad()
        loss = model.loss(tokens[:, :-1], tokens[:, 1:], kernels)
        loss.backward()
        losses.append(loss.detach())
        gradients.append(
            {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
        )
    torch.testing.assert_close(losses[1], losses[0], rtol=1e-5, atol=1e-6)
    plain, fast = gradients
    assert plain.keys() == fast.keys()
    assert plain.keys() == {name for name, p in model.named_parameters() if p.requires_grad}
    scale = max(float(gradient.abs().max()) for gradient in plain.values())
    for name, expected in plain.items():
        torch.testing.assert_close(fast[name], expected, rtol=1e-4, atol=1e-5 * scale, msg=name)


def test_every_registered_block_and_each_of_its_settings_has_a_case() -> None:
    tried = [case.values[0] for case in cases()]
    for kind, slot in (("mixers", "mixer"), ("feed_forwards", "feed_forward")):
        for name in registry.names(kind):
            own = [one[slot] for one in tried if slot in one and one[slot]["type"] == name]
            assert own, f"{name} has no case"
            for field, info in spec_class(kind, name).model_fields.items():
                if field == "type":
                    continue
                seen = {str(one.get(field, "left out")) for one in own}
                for value in choices(info.annotation):
                    assert str(value) in seen, f"{name}.{field} = {value!r} is not tried"
