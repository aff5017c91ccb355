"""Write the reference pages that follow from the code: `python docs/generate.py`.

Every page here is a function of the package alone, so that a test can hold the committed pages
against it (`tests/test_docs.py`, `python docs/generate.py --check`).
"""

import re
import sys
import types
from collections.abc import Iterator, Mapping
from enum import Enum
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import click
from pydantic import BaseModel

from archsmith import errors, registry
from archsmith.architecture.feed_forwards.gated_mlp import GatedMlp
from archsmith.architecture.feed_forwards.mixture_of_experts import MixtureOfExperts
from archsmith.architecture.feed_forwards.mlp import Mlp
from archsmith.architecture.mixers.attention import Attention
from archsmith.architecture.norm import Norm
from archsmith.architecture.rope import LongRope, Rope
from archsmith.architecture.tree import Architecture, Layer, Quantization
from archsmith.cli.main import group
from archsmith.data.corpus import CorpusConfig
from archsmith.data.hub import HubDataset
from archsmith.data.protocol import ScoringProtocol
from archsmith.export.carrier_table import CARRIERS
from archsmith.export.carriers import TARGETS, Carrier, find_carrier, kinds_of_layers
from archsmith.space.branch import Branch
from archsmith.space.presets import SpaceConfig
from archsmith.train.recipe import Recipe
from archsmith.trial import METRICS
from archsmith.workflow.preset_table import HEADINGS, cells, gib, holders, preset_rows
from archsmith.workflow.search_config import (
    DeviceConfig,
    PlanConfig,
    SearchConfig,
    TokenizerConfig,
)
from archsmith.workflow.supernet_config import SupernetConfig

FOLDER = Path(__file__).parent / "reference"
MARK = "<!-- Written by docs/generate.py; change the code, then run it again. -->\n"

SECTIONS: dict[str, type[BaseModel]] = {
    "corpus": CorpusConfig,
    "corpus.dataset": HubDataset,
    "tokenizer": TokenizerConfig,
    "space": SpaceConfig,
    "supernet": SupernetConfig,
    "plan": PlanConfig,
    "device": DeviceConfig,
    "training": Recipe,
    "protocol": ScoringProtocol,
}

# What the models' docstrings do not say key by key.
TEXTS: dict[type[BaseModel], dict[str, str]] = {
    SearchConfig: {
        "study_name": "name of the study in its storage; letters, digits, `_`, `.` and `-`",
        "storage": "database URL: `sqlite:///FILE` or `postgresql://user@host/database` (extra "
        "`postgres`); a relative file starts from the folder of the search file",
        "output_dir": "folder for corpus, tokenizers, token files, checkpoints and models, relative"
        " to the folder of the search file",
        "seed": "of proposals, weights, data order and prompts",
        "objectives": "metrics to minimize (table below); the first one sorts the best trials",
        "limits": "hard limits, as `METRIC <= VALUE` or `METRIC >= VALUE` with units (below)",
        "baselines": "hand-drawn shapes, each tuned and trained for as many core-seconds as the "
        "whole search took, for the report's verdict; their time comes out of `timeout`; `[]` for "
        "none",
        "timeout": 'time for the whole job, export included; text such as "8h" is read',
        "n_trials": "trials the study shall hold in the end, rejected ones included",
        "n_jobs": "candidates trained side by side, each in a process of its own",
    },
    TokenizerConfig: {
        "vocab_sizes": "vocabularies the search chooses among, each at least 288",
        "trained_size": "entries to train, where that is more than the largest of `vocab_sizes`",
        "pre_tokenizer": "how text is cut into words; all three are known to llama.cpp",
        "file": "an existing byte-level BPE `tokenizer.json`; its vocabulary is the only one",
        "sample_bytes": "text that the vocabulary is trained on, a fixed sample of a larger corpus",
    },
    DeviceConfig: {
        "target": "profile that `archsmith device probe --output FILE` wrote on that machine, "
        "relative to the folder of the search file; this machine needs its own profile as well",
    },
    PlanConfig: {
        "train_bytes": "text the winner is trained on; without it, what the time allows. Needed "
        'without `timeout`. Text such as "200MB" is read',
        "context_bytes": "text that one context covers, whatever the vocabulary",
        "rungs": "shares of the plan at which candidates are compared, rising. Rungs that end "
        "before twice the warm-up or before 200 updates are dropped. With `[supernet]`, the least "
        "and the most that finalists are trained to from scratch",
        "reduction_factor": "one of so many candidates goes on from a rung; rounded to a whole "
        "number, at least 2",
        "search_share": "share of the time, after preparation and export, that the search gets",
        "finalists": "candidates scored on the selection split before one is trained to the end; "
        "trial 0 joins them",
        "fresh_seeds": "other seeds with which the finalists that cannot be told apart, at least "
        "two, are trained again from the beginning; the mean decides. Where the search has ten "
        "minutes or more and room for it, always without `timeout`; 0 for none",
        "rate_factors": "what both learning rates are multiplied by where finalists are trained "
        "again, rising, from 0.0625 to 16, without 1; the final training takes over what gains "
        "more than seeds differ by. Empty for none",
        "calibrate": "try half and double the learning rates first; only in jobs of 30 minutes or "
        "more",
    },
    SpaceConfig: {
        "families": "instead of the preset's",
        "head_dims": "sizes of an attention head",
        "heads_per_kv_head": "query heads that share one key-value head",
        "intermediate_ratios": "feed-forward width over width; rounded to a multiple of 32",
        "tie_word_embeddings": "whether embedding table and output head are one",
        "rope_thetas": "bases of the rotary embedding",
        "partial_rotary_factors": "rotated shares of a head; full rotary alone exists in `llama` "
        "and `qwen3`",
        "quantizations": "file quantizations offered; upper or lower case",
        "vocabularies": "pairs [vocab_size, context_tokens]. **Refused in a search**, where "
        "`tokenizer.vocab_sizes` and `plan.context_bytes` decide; for spaces made in Python",
    },
    Recipe: {
        "betas": "AdamW's decay rates of the two moments",
        "adam_eps": "added to AdamW's denominator",
        "momentum": "Muon's",
    },
    HubDataset: {
        "name": "a name on the Hub, or a folder written by `save_to_disk`",
        "train_split": "name of the training split in the data set",
        "validation_split": "name of its validation split; cut from the training text if missing",
        "test_split": "name of its test split; cut from the training text if missing",
    },
}

UNITS = {
    "timeout": "seconds",
    "vocab_sizes": "entries",
    "trained_size": "entries",
    "max_params": "parameters",
    "hidden_sizes": "features",
    "head_dims": "features",
    "depths": "layers",
    "batch_tokens": "tokens",
    "warmup_steps": "updates",
    "stuck_after_steps": "updates",
    "near_duplicates_max_documents": "documents",
}


def pages() -> dict[Path, str]:
    """Every generated page: file to text."""
    made = {
        "search-toml.md": search_page,
        "cli.md": cli_page,
        "errors.md": errors_page,
        "formats.md": formats_page,
        "presets.md": presets_page,
    }
    return {FOLDER / name: MARK + make() for name, make in made.items()}


# search.toml


def search_page() -> str:
    """Every key of the search file."""
    parts = [
        "# The search file\n",
        "`archsmith init` writes a commented `search.toml`; `archsmith check --json` prints the "
        "file with every default filled in. Unknown keys are refused, with the nearest known one. "
        "Relative paths start from the folder of the file. Keys without a default are required.\n",
        "One of `timeout` and `n_trials` is required; without `timeout`, `plan.train_bytes` is "
        "required too.\n",
        "## Top level\n",
        _keys(SearchConfig),
    ]
    for name, model in SECTIONS.items():
        parts += [f"## [{name}]\n", f"{_first_paragraph(model)}\n", _keys(model)]
        if name == "corpus.dataset":
            parts.append('A name alone may stand in `[corpus]`: `dataset = "NAME"`.\n')
        if name == "space":
            parts += ["## [strategy]\n", _strategies()]
    parts += ["## Metrics\n", _metrics()]
    return "\n".join(parts)


def _keys(model: type[BaseModel]) -> str:
    told = {**_inherited_attributes(model), **TEXTS.get(model, {})}
    rows = ["| key | type | unit | default | meaning |", "| --- | --- | --- | --- | --- |"]
    for name, field in model.model_fields.items():
        if name == "type" or _is_section(name, field.annotation):
            continue
        if name not in told:
            raise SystemExit(f"{model.__name__}.{name} is described nowhere; add it to TEXTS")
        default = "required" if field.is_required() else _toml(field.default)
        kind = _type(field.annotation) + _bounds(field.metadata)
        rows.append(f"| `{name}` | {kind} | {_unit(name)} | {default} | {_cell(told[name])} |")
    return "\n".join(rows) + "\n"


def _strategies() -> str:
    parts = [
        "`type` names the strategy; the other keys are its own. Left out, the section is "
        f"{_toml_table(SearchConfig.model_fields['strategy'].default)}.\n"
    ]
    for name in registry.names("strategies"):
        model = registry.find("strategies", name)
        if not model.__module__.startswith("archsmith."):
            continue  # what happens to be installed beside us is not our reference
        keys = [key for key in model.model_fields if key != "type"]
        parts.append(f"### {name}\n\n{_first_paragraph(model)}\n")
        if keys:
            rows = ["| key | type | default |", "| --- | --- | --- |"]
            for key in keys:
                field = model.model_fields[key]
                kind = _type(field.annotation) + _bounds(field.metadata)
                rows.append(f"| `{key}` | {kind} | {_toml(field.default)} |")
            parts.append("\n".join(rows) + "\n")
    return "\n".join(parts)


def _metrics() -> str:
    exact = {model.metric: model.exact for model in _cost_models()}
    rows = ["| metric | meaning | known |", "| --- | --- | --- |"]
    for name, meaning in METRICS.items():
        known = "by training" if name not in exact else "exactly" if exact[name] else "estimated"
        if name == "decode_ms_per_token":
            known = "by measuring random weights in llama.cpp"
        rows.append(f"| `{name}` | {meaning} | {known} |")
    rows.append("| `task:FILE.jsonl` | error rate on a task file | on the exported file |")
    return (
        "\n".join(rows)
        + "\n\nBytes are written as `16MiB` or `16MB`, counts as `20M`, milliseconds as `5` or "
        "`5ms`, seconds as `8h`. What is known exactly or estimated decides before anything is "
        "trained; what is measured decides before training too. All metrics are minimized where "
        "they are objectives.\n"
    )


def _cost_models() -> Iterator[Any]:
    for name in registry.names("cost"):
        yield registry.find("cost", name)


def _is_section(name: str, annotation: Any) -> bool:
    """Whether a key has a heading of its own."""
    return name == "strategy" or any(
        kind in SECTIONS.values() for kind in (annotation, *get_args(annotation))
    )


def _type(annotation: Any) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(inner[0]) + _bounds(inner[1:])
    if origin is Literal:
        return " or ".join(f"`{_literal(value)}`" for value in inner)
    if origin in (Union, types.UnionType):
        return ", or ".join(_type(kind) for kind in inner if kind is not type(None))
    if origin is tuple:
        if Ellipsis in inner:
            return f"list of {_type(inner[0])}"
        return "[" + ", ".join(_type(kind) for kind in inner) + "]"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return " or ".join(f"`{_literal(member.value)}`" for member in annotation)
    names = {int: "integer", float: "number", str: "text", bool: "true or false", Path: "path"}
    return names.get(annotation, {"Vocabulary": "[integer, integer]", "Limit": "limit"}.get(
        getattr(annotation, "__name__", ""), str(annotation)
    ))  # fmt: skip


def _bounds(metadata: Any) -> str:
    signs = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
    found = [
        f"{sign} {getattr(entry, name):g}"
        for entry in metadata
        for name, sign in signs.items()
        if getattr(entry, name, None) is not None
    ]
    return f" ({', '.join(found)})" if found else ""


def _unit(name: str) -> str:
    if name in UNITS:
        return UNITS[name]
    return "bytes" if name.endswith("_bytes") else ""


def _literal(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def _toml(value: Any) -> str:
    if value is None:
        return "not set"
    return f"`{_toml_value(value)}`"


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_toml_value(one) for one in value) + "]"
    if isinstance(value, float):
        return f"{value:g}"
    return _literal(value)


def _toml_table(value: BaseModel) -> str:
    pairs = (f"{key} = {_toml_value(one)}" for key, one in value.model_dump().items())
    return f"`{{ {', '.join(pairs)} }}`"


def _first_paragraph(model: type[BaseModel]) -> str:
    text = (model.__doc__ or "").split("Attributes:")[0]
    paragraphs = [" ".join(part.split()) for part in text.split("\n\n")]
    joined = "\n\n".join(part for part in paragraphs if part)
    told = re.sub(r"^\[\w+\]: ", "", joined)
    return told[0].upper() + told[1:]


def _inherited_attributes(model: type[BaseModel]) -> dict[str, str]:
    """What its own docstring says, and of keys it only inherits, those of its bases."""
    found: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if issubclass(base, BaseModel):
            found |= _attributes(base)
    return found


def _attributes(model: type[BaseModel]) -> dict[str, str]:
    """What the `Attributes:` section of a docstring says, by name."""
    _, _, section = (model.__doc__ or "").partition("Attributes:")
    found: dict[str, str] = {}
    current: list[str] = []
    for line in section.splitlines():
        start = re.fullmatch(r" {8}(\w+(?:, \w+)*): (.*)", line)
        if start is not None:
            current = start[1].split(", ")
            found |= dict.fromkeys(current, start[2])
        elif line.strip():
            for name in current:
                found[name] += " " + line.strip()
    return found


def _cell(text: str) -> str:
    return text.rstrip(".").replace("|", "\\|")


# the command line


def cli_page() -> str:
    """The help of every command."""
    parts = [
        "# The command line\n",
        "Data goes to stdout, progress and warnings to stderr. `--json` prints one JSON object. "
        "Exit codes are those of [errors.md](errors.md).\n",
    ]
    parent = group.make_context("archsmith", [], resilient_parsing=True, terminal_width=100)
    parts.append(_help(group, parent))
    for name in group.list_commands(parent):
        found = group.get_command(parent, name)
        assert found is not None
        context = found.make_context(name, [], parent=parent, resilient_parsing=True)
        parts += [f"## archsmith {name}\n", _help(found, context)]
    return "\n".join(parts)


def _help(command: click.Command, context: click.Context) -> str:
    lines = command.get_help(context).splitlines()
    return "```text\n" + "\n".join(line.rstrip() for line in lines) + "\n```\n"


# errors


def errors_page() -> str:
    """The exception tree and what each exit code means."""
    tree = (errors.__doc__ or "").split("\n\n")[1]
    rows = ["| exit code | exception | meaning |", "| --- | --- | --- |", "| 0 |  | done |"]
    for kind in sorted(_exceptions(), key=lambda kind: kind.exit_code):
        meaning = (kind.__doc__ or "").splitlines()[0].rstrip(".")
        rows.append(f"| {kind.exit_code} | `{kind.__name__}` | {meaning} |")
    return "\n".join(
        [
            "# Errors and exit codes\n",
            "A command that fails prints one sentence on stderr: what was wrong, what was given, "
            "what would work. `archsmith --debug COMMAND` shows the traceback.\n",
            f"```text\n{tree}\n```\n",
            *rows,
            "",
            "Wrong usage of the command line, such as an unknown option, ends with exit code 2 "
            "too. Where 130 is returned, the same command continues.\n",
        ]
    )


def _exceptions() -> list[type[errors.ArchsmithError]]:
    found = [errors.ArchsmithError]
    for kind in found:
        found += kind.__subclasses__()
    return [kind for kind in found if kind.__module__ == errors.__name__]


# formats


def formats_page() -> str:
    """Which architectures have a carrier, found by asking the carriers."""
    rows = [
        "| carrier | transformers class | GGUF architecture | " + " | ".join(_QUESTIONS) + " |",
        "| --- " * (3 + len(_QUESTIONS)) + "|",
    ]
    for carrier in CARRIERS.values():
        stock = carrier.huggingface.transformers_class if carrier.huggingface else ""
        file = carrier.gguf.architecture if carrier.gguf else ""
        cells = [carrier.name, f"`{stock}`" if stock else "none", f"`{file}`" if file else "none"]
        rows.append("| " + " | ".join([*cells, *_answers(carrier)]) + " |")
    quantizations = ", ".join(f"`{name}`" for name in get_args(Quantization))
    return "\n".join(
        [
            "# Formats and carriers\n",
            "A model is written as a transformers folder (`--format huggingface`) and as a GGUF "
            "file for llama.cpp (`--format gguf`). An architecture needs a *carrier*: a stock "
            "transformers class and a GGUF architecture that both compute exactly what the model "
            "computes. Without one it is refused, with the reasons, before anything is trained.\n",
            *rows,
            "",
            "Each row begins with the plainest architecture the carrier takes, and each column "
            "varies one thing of it. The first carrier that fits is used. Layers are alike, except "
            "where the last column says what may differ between them. `norm` is the norm of the "
            "layers and of the end alike. llama.cpp reads some files that no carrier allows and "
            "computes something else without a word; that is why they are refused. A carrier with "
            "no GGUF architecture serves transformers alone. The padded carriers write a folder "
            "in which narrower layers are filled up with zeros, and a GGUF file without any.\n",
            "LongRoPE: llama.cpp picks the factors by its context, rounded up to 256 tokens, and "
            "transformers by the length of the text. Both agree for texts up to the switch in a "
            "context up to it, and for texts past it. The export says so.\n",
            f"File quantizations: {quantizations}. Dimensions that are no multiple of 256 keep "
            "K-quants from some tensors; `space.k_quant_fallback` says whether such widths are "
            "offered.\n",
            "Tokenizers are byte-level BPE with the pre-tokenizers "
            f"{_type(TokenizerConfig.model_fields['pre_tokenizer'].annotation)}.\n",
            "## Families of the search space\n",
            "| family | carrier | what it is |",
            "| --- | --- | --- |",
            *_families(),
            "",
            "A space is built for its targets: what a carrier refuses is left out before anything "
            "is proposed. `archsmith presets` says what holds the published models.\n",
        ]
    )


def _families() -> Iterator[str]:
    """A row for every family, by the first of its kinds that something holds."""
    for name in registry.names("families"):
        family = registry.find("families", name)
        if not type(family).__module__.startswith("archsmith."):
            continue  # what happens to be installed beside us is not our reference
        branch = Branch(family, family.dimensions)
        width = branch.widths[-1]
        points = [branch.build(branch.smallest(width, j)) for j in branch.kinds.joints(width)]
        held = {
            label: next((found.name for p in points if (found := find_carrier(p, targets))), "")
            for label, targets in (("", TARGETS), (" (transformers alone)", TARGETS[:1]))
        }
        carrier = next((f"{row}{label}" for label, row in held.items() if row), "none: training")
        doc = sys.modules[type(family).__module__].__doc__ or ""
        yield f"| `{name}` | {carrier} | {_cell(doc.splitlines()[0])} |"


Choices = Mapping[str, Any]


def _experts(**changes: Any) -> MixtureOfExperts:
    return MixtureOfExperts(
        **{"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 64, **changes}
    )


_SHARED = {"shared_expert_intermediate_size": 64, "shared_expert_gate": True}
_FEED_FORWARDS: dict[str, Any] = {
    "SwiGLU": lambda bias: GatedMlp(intermediate_size=64, activation="silu", bias=bias),
    "GEGLU": lambda bias: GatedMlp(intermediate_size=64, activation="gelu_tanh", bias=bias),
    "MLP, GELU": lambda bias: Mlp(intermediate_size=64, activation="gelu_tanh", bias=bias),
    "MLP, SiLU": lambda bias: Mlp(intermediate_size=64, activation="silu", bias=bias),
    "MLP, ReLU²": lambda bias: Mlp(intermediate_size=64, activation="relu2", bias=bias),
    "experts, softmax divided by its sum": lambda bias: _experts(),
    "experts, softmax": lambda bias: _experts(norm_topk_prob=False),
    "experts, softmax, with a gated shared one": lambda bias: _experts(
        norm_topk_prob=False, **_SHARED
    ),
    "experts, sigmoid divided by its sum": lambda bias: _experts(router="sigmoid"),
    "experts, SparseMixer": lambda bias: _experts(router="sparsemixer"),
}
# the last that fits says the most
_HEADS = {
    "width / heads": (2, 32),
    "any, heads divide the width": (2, 16),
    "any": (5, 16),
}
_PLAIN: dict[str, tuple[Any, ...]] = {
    "norm": ("rms", "layer"),
    "residual": ("sequential", "parallel"),
    "feed_forward": tuple(_FEED_FORWARDS),
    "tied": (True, False),
    "biases": (False, True),
    "head_bias": (False, True),
    "qk_norm": ("", "head", "all_heads"),
}
# column -> (choice, what may stand there, how it is called)
_QUESTIONS: dict[str, tuple[str, dict[Any, str]]] = {
    "norm": ("norm", {"rms": "RMSNorm", "layer": "LayerNorm"}),
    "residual": ("residual", {"sequential": "sequential", "parallel": "parallel"}),
    "feed-forward": ("feed_forward", {name: name for name in _FEED_FORWARDS}),
    "biases": ("biases", {False: "none", True: "all"}),
    "head bias": ("head_bias", {False: "no", True: "yes"}),
    "tied": ("tied", {True: "yes", False: "no"}),
    "q and k norm": ("qk_norm", {"": "no", "head": "each head", "all_heads": "all heads"}),
    "rotary": ("rotary", {1.0: "full", 0.5: "partial", 0.0: "none"}),
    "LongRoPE": ("long", {False: "no", True: "yes"}),
    "multipliers": ("multiplier", {1.0: "no", 2.0: "yes"}),
    "head size": ("heads", {name: name for name in _HEADS}),
    "window": ("window", {None: "no", 8: "yes"}),
    "may differ": (
        "differ",
        {
            "": "",
            "window": "window",
            "rotary": "rotary",
            "heads": "heads",
            "width": "feed-forward width",
            "experts": "experts or none",
        },
    ),
}


def _answers(carrier: Carrier) -> list[str]:
    plain = next(
        choices
        for values in product(*_PLAIN.values())
        if _fits(carrier, choices := dict(zip(_PLAIN, values, strict=True)))
    )
    cells = []
    for choice, known in _QUESTIONS.values():
        fitting = [
            name for value, name in known.items() if _fits(carrier, {**plain, choice: value})
        ]
        joint = ", " if choice == "differ" else " or "
        cells.append(fitting[-1] if choice == "heads" else joint.join(filter(None, fitting)))
    return cells


def _fits(carrier: Carrier, choices: Choices) -> bool:
    heads, head_dim = _HEADS[choices.get("heads", "width / heads")]
    rotary, window = choices.get("rotary", 1.0), choices.get("window")
    pairs = max(1, int(head_dim * rotary) // 2)
    factors = {"short_factor": (1.0,) * pairs, "long_factor": (2.0,) * pairs}
    long_rope = LongRope(original_max_position_embeddings=256, **factors)  # type: ignore[arg-type]
    mixer = Attention(
        num_attention_heads=heads,
        num_key_value_heads=heads,
        head_dim=head_dim,
        rope=Rope(
            partial_rotary_factor=rotary, long_rope=long_rope if choices.get("long") else None
        )
        if rotary
        else None,
        qkv_bias=choices["biases"],
        output_bias=choices["biases"],
        qk_norm=bool(choices["qk_norm"]),
        qk_norm_over=choices["qk_norm"] or "head",
        sliding_window=window,
    )
    norm = Norm(type=choices["norm"])
    layer = Layer(
        mixer=mixer,
        feed_forward=_FEED_FORWARDS[choices["feed_forward"]](choices["biases"]),
        norm=norm,
        residual=choices["residual"],
    )
    differ = choices.get("differ", "")
    changes: Mapping[str, Any] = {
        "window": {"sliding_window": 8}, "rotary": {"rope": None},
        "heads": {"num_attention_heads": 4, "num_key_value_heads": 1},
    }.get(differ, {})  # fmt: skip
    other = layer.model_copy(update={"mixer": mixer.model_copy(update=changes)})
    if differ in ("width", "experts"):
        block = GatedMlp(intermediate_size=32, bias=choices["biases"])
        other = layer.model_copy(update={"feed_forward": block})
        if isinstance(layer.feed_forward, MixtureOfExperts) != (differ == "experts"):
            return False
    architecture = Architecture(
        hidden_size=64,
        vocab_size=300,
        max_position_embeddings=1024,
        layers=(layer, other),
        final_norm=norm,
        tie_word_embeddings=choices["tied"],
        lm_head_bias=choices["head_bias"],
        embedding_multiplier=choices.get("multiplier", 1.0),
    )
    kinds = kinds_of_layers(architecture)[0]
    forms = {"huggingface": carrier.huggingface, "gguf": carrier.gguf}
    return not any(
        carrier.reasons(architecture, kinds, target) for target, form in forms.items() if form
    )


# presets


def presets_page() -> str:
    """The published architectures with their counts."""
    rows = preset_rows()
    phi = next(row for row in rows if row.name == "phi_3_mini")
    assert phi.q4_0_file_bytes is not None
    table = [f"| {' | '.join(HEADINGS)} |", "| --- " * len(HEADINGS) + "|"]
    table += [f"| {' | '.join((f'`{row.name}`', *cells(row)[1:]))} |" for row in rows]
    return "\n".join(
        [
            "# Published models\n",
            "`archsmith presets` prints this table, `--json` the exact numbers. Each model is a "
            "function of `archsmith.presets`; every Phi is a point of the space `phi`. Counts of "
            "parameters match the published weights to the last one. Experts are written as used "
            "of all, times the width of one. The cache is that of keys and values in f16, at the "
            "full context; `4.0 bit` counts exactly that much for every parameter and nothing "
            "else; the Q4_0 file is GGUF's, without its vocabulary.\n",
            *table,
            "",
            "Phi-3-mini is published as about 1.8 GB at 4 bits (arXiv 2404.14219). Exactly 4.0 "
            f"bits for each of its {phi.num_params:,} parameters are "
            f"{phi.weights_4_bit_bytes:,} bytes, {gib(phi.weights_4_bit_bytes)}. A real Q4_0 "
            f"file takes {phi.q4_0_file_bytes:,} bytes, {gib(phi.q4_0_file_bytes)}: it holds a "
            "scale for every 32 weights, and the output head at 6 bits. At its full context the "
            f"cache takes {gib(phi.cache_bytes)} more.\n",
            "## What holds them\n",
            *(f"- `{row.name}`: {'. '.join(holders(row))}." for row in rows),
            "",
        ]
    )


def main(arguments: list[str]) -> int:
    """Write the pages; with `--check` only say which are stale."""
    stale = [
        path
        for path, text in pages().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    for path in stale:
        if "--check" not in arguments:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(pages()[path], encoding="utf-8")
        sys.stdout.write(f"{'stale' if '--check' in arguments else 'written'}: {path.name}\n")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
