"""Writes a folder that stock transformers loads: `AutoModelForCausalLM`, no remote code.

`config.json`, `model.safetensors`, `generation_config.json`, the tokenizer, and a model card. The
document token stands in front of every text, in the tokenizer as in training and in the GGUF file.
Imports neither torch nor transformers.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from archsmith.architecture.tree import Architecture
from archsmith.errors import ExportError
from archsmith.export.carriers import carrier_of, huggingface_form, unsupported
from archsmith.export.files import replaced
from archsmith.export.formats.gguf import check_vocabulary, check_weights
from archsmith.export.plans import huggingface_plan
from archsmith.units import format_count

if TYPE_CHECKING:
    from archsmith.data.tokenizer import Tokenizer

Dtype = Literal["float32", "float16", "bfloat16"]
STORED: dict[Dtype, tuple[str, int]] = {
    "float32": ("F32", 4),
    "float16": ("F16", 2),
    "bfloat16": ("BF16", 2),
}


class HuggingFace:
    """The exporter `huggingface`."""

    name = "huggingface"

    def unsupported(self, architecture: Architecture) -> list[str]:
        """Why no stock transformers class holds `architecture` exactly."""
        return unsupported(architecture, ("huggingface",))

    def write(
        self,
        path: Path,
        *,
        weights: Mapping[str, np.ndarray],
        architecture: Architecture,
        tokenizer: "Tokenizer",
        metadata: Mapping[str, Any],
        overwrite: bool = False,
        dtype: Dtype = "float32",
    ) -> None:
        """Write the folder. `metadata` fills the model card: `name`, `description`, `license`,
        and any number or text worth a row of its table. Raises ExportError."""
        path = Path(path)
        check_weights(architecture, weights)
        check_vocabulary(architecture, tokenizer)
        with replaced(path, overwrite=overwrite) as folder:
            folder.mkdir()
            _write_json(folder / "config.json", _config(architecture, tokenizer, dtype))
            _write_json(folder / "generation_config.json", _generation(tokenizer))
            _write_weights(folder / "model.safetensors", architecture, weights, dtype)
            tokenizer.save(folder / "tokenizer.json")
            add_document_token(folder / "tokenizer.json", tokenizer.document_token)
            _write_json(
                folder / "tokenizer_config.json",
                {
                    "tokenizer_class": "PreTrainedTokenizerFast",
                    "model_max_length": architecture.max_position_embeddings,
                    "clean_up_tokenization_spaces": False,
                    "model_input_names": ["input_ids", "attention_mask"],
                    **_special_tokens(tokenizer),
                },
            )
            _write_json(folder / "special_tokens_map.json", _special_tokens(tokenizer))
            card = model_card(architecture, tokenizer, metadata)
            (folder / "README.md").write_text(card, encoding="utf-8")


def _config(architecture: Architecture, tokenizer: "Tokenizer", dtype: Dtype) -> dict[str, Any]:
    form = huggingface_form(architecture)
    return {
        "architectures": [form.transformers_class],
        "model_type": form.model_type,
        "dtype": dtype,
        **form.config(architecture),
        "bos_token_id": tokenizer.document_token_id,
        "eos_token_id": tokenizer.document_token_id,
    }


def _generation(tokenizer: "Tokenizer") -> dict[str, Any]:
    token = tokenizer.document_token_id
    return {"bos_token_id": token, "eos_token_id": token, "pad_token_id": token}


def _special_tokens(tokenizer: "Tokenizer") -> dict[str, str]:
    return {f"{kind}_token": tokenizer.document_token for kind in ("bos", "eos", "pad")}


def _write_weights(
    path: Path, architecture: Architecture, weights: Mapping[str, np.ndarray], dtype: Dtype
) -> None:
    """The safetensors format is a length, a JSON header and the tensors' bytes; one at a time
    is in memory."""
    code, item_bytes = STORED[dtype]
    plans = huggingface_plan(architecture)
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for plan in plans:
        start, end = end, end + item_bytes * math.prod(plan.shape)
        header[plan.name] = {
            "dtype": code,
            "shape": list(plan.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for plan in plans:
            file.write(tensor_bytes(plan.assemble(weights), dtype))


def tensor_bytes(data: np.ndarray, dtype: Dtype) -> bytes:
    """float32 values as the file stores them. Raises ExportError if they do not fit."""
    if dtype == "float32":
        return data.tobytes()
    if dtype == "float16":
        with np.errstate(over="ignore"):  # said below
            half = data.astype(np.float16)
        if not np.isfinite(half).all():
            raise ExportError("a weight is too large for float16; write float32 or bfloat16")
        return half.tobytes()
    bits = data.view(np.uint32)
    # round to nearest, ties to even: numpy has no bfloat16
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16).tobytes()


def add_document_token(path: Path, document_token: str) -> None:
    """Let a saved `tokenizer.json` put the document token in front of every text."""
    content = json.loads(path.read_text(encoding="utf-8"))
    added = [token for token in content["added_tokens"] if token["content"] == document_token]
    if not added:
        raise ExportError(f"{path.name} does not declare the document token {document_token!r}")
    special = {"SpecialToken": {"id": document_token, "type_id": 0}}
    first = {"Sequence": {"id": "A", "type_id": 0}}
    second = {"Sequence": {"id": "B", "type_id": 1}}
    template = {
        "type": "TemplateProcessing",
        "single": [special, first],
        "pair": [special, first, second],
        "special_tokens": {
            document_token: {
                "id": document_token,
                "ids": [added[0]["id"]],
                "tokens": [document_token],
            }
        },
    }
    byte_level = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": False,
        "use_regex": False,
    }
    content["post_processor"] = {"type": "Sequence", "processors": [byte_level, template]}
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def model_card(
    architecture: Architecture, tokenizer: "Tokenizer", metadata: Mapping[str, Any]
) -> str:
    """A README with front matter, the architecture, and the caller's numbers as a table."""
    rest = dict(metadata)
    name = str(rest.pop("name", "archsmith model"))
    description = str(rest.pop("description", "A small language model found by archsmith."))
    license_name = rest.pop("license", None)
    rows = {
        "architecture": architecture.summary(),
        "class": huggingface_form(architecture).transformers_class,
        "parameters": f"{format_count(architecture.num_params)} ({architecture.num_params})",
        "context": f"{architecture.max_position_embeddings} tokens",
        **_filled_up(architecture),
        "tokenizer": f"byte-level BPE, {architecture.vocab_size} tokens, {tokenizer.pre_tokenizer}",
        **{str(key): str(value) for key, value in rest.items()},
    }
    front = ["---", "library_name: transformers", "pipeline_tag: text-generation"]
    front += [f"license: {license_name}"] if license_name else []
    table = ["| | |", "| --- | --- |"]
    table += [f"| {_cell(key)} | {_cell(value)} |" for key, value in rows.items()]
    usage = [
        "```python",
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        "",
        'tokenizer = AutoTokenizer.from_pretrained(".")',
        'model = AutoModelForCausalLM.from_pretrained(".")',
        'print(tokenizer.decode(model.generate(**tokenizer("Once", return_tensors="pt"))[0]))',
        "```",
    ]
    blocks = [[*front, "---"], [f"# {name}"], [description], table, usage]
    limits = carrier_of(architecture, ("huggingface",)).limits(architecture)
    blocks += [[f"Limitation: {limit}."] for limit in limits]
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def _filled_up(architecture: Architecture) -> dict[str, str]:
    """A row about a folder whose narrower layers are filled up to the widest."""
    plans = huggingface_plan(architecture)
    if not any(plan.stretches for plan in plans):
        return {}
    stored = sum(math.prod(plan.shape) for plan in plans)
    return {"stored here": f"{format_count(stored)}: zeros and copies make all layers equally wide"}


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


PART = HuggingFace()
