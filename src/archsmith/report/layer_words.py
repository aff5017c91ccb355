"""An architecture's layers in words: runs of equal layers, patterns that repeat, experts.

Read from the JSON of a tree, so that a report needs no spec of a third party's blocks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

_TIMES = "\u00d7"
_LONGEST_TURN = 8  # of a pattern of layers that is told once

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Run:
    """Equal neighbouring layers."""

    layer: Json
    first: int
    count: int


def describe(architecture: Json) -> str:
    """The whole stack in words, for those who cannot see its drawing."""
    hidden = architecture["hidden_size"]
    shown = turn(architecture["layers"])
    told = ", then ".join(" ".join(lines_of(run, int(hidden))) for run in runs(shown))
    if len(shown) < len(architecture["layers"]):
        told += ", and so on in turn"
    tied = "tied" if architecture.get("tie_word_embeddings") else "untied"
    return (
        f"Stack of {len(architecture['layers'])} layers, {hidden} wide, vocabulary "
        f"{architecture['vocab_size']} ({tied} head): {told}"
    )


def runs(layers: Sequence[Json]) -> list[Run]:
    """Equal neighbours together, from the first layer on."""
    found: list[Run] = []
    first = 1
    for layer, equal in groupby(layers):
        count = len(list(equal))
        found.append(Run(layer, first, count))
        first += count
    return found


def turn(layers: Sequence[Json]) -> Sequence[Json]:
    """The layers of one turn where a short pattern repeats at least three times, else all."""
    if len(runs(layers)) > 1:
        for length in range(2, min(_LONGEST_TURN, len(layers) // 3) + 1):
            if all(layer == layers[index % length] for index, layer in enumerate(layers)):
                return layers[:length]
    return layers


def lines_of(run: Run, hidden: int) -> list[str]:
    """Lines of words about a run of layers."""
    mixer, feed_forward = run.layer["mixer"], run.layer["feed_forward"]
    last = run.first + run.count - 1
    span = f"layer {run.first}" if run.count == 1 else f"layers {run.first} to {last}"
    lines = [f"{span}, {hidden} wide"]
    heads = mixer.get("num_attention_heads")
    if heads is None:
        lines.append(str(mixer.get("type", "mixer")))
    else:
        shared = mixer.get("num_key_value_heads", heads)
        lines.append(f"{heads} heads {_TIMES} {mixer['head_dim']}, {shared} kv")
    extras = [
        text
        for text, present in (
            ("block-sparse", mixer.get("type") == "block_sparse_attention"),
            (f"window {mixer.get('sliding_window')}", mixer.get("sliding_window")),
            ("no position", heads is not None and mixer.get("rope") is None),
            ("LongRoPE", (mixer.get("rope") or {}).get("long_rope")),
            ("normed heads", mixer.get("qk_norm")),
            ("parallel", run.layer.get("residual") == "parallel"),
        )
        if present
    ]
    if extras:
        lines.append(", ".join(extras))
    experts = feed_forward.get("num_experts")
    if experts:
        used, each = feed_forward["num_experts_per_tok"], expert_width(feed_forward)
        shared = feed_forward.get("shared_expert_intermediate_size")
        lines.append(f"{experts} experts {_TIMES} {each}, {used} used")
        if shared:
            lines.append(f"shared expert {shared}")
        return lines
    kind = str(feed_forward.get("type", "feed-forward")).replace("_", " ")
    size = feed_forward.get("intermediate_size")
    lines.append(f"{kind} {size}" if size else kind)
    return lines


def expert_width(feed_forward: Json) -> int:
    """Width of one expert."""
    return int(feed_forward.get("moe_intermediate_size", 64))
