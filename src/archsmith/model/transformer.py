"""The architecture tree as a torch module, with Hugging Face's Llama weight names inside.

Letters: B batch, T tokens, D hidden_size, V vocab_size, N = B·T rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from archsmith import registry
from archsmith.architecture.tree import Architecture, Layer
from archsmith.errors import CheckpointError
from archsmith.model.initialization import initialize
from archsmith.model.kernels.base import Kernels
from archsmith.model.kernels.fast import FAST
from archsmith.model.kernels.head import row_nats
from archsmith.model.kernels.plain import PLAIN
from archsmith.model.mixers.base import Memory
from archsmith.model.norm import build_norm


@dataclass
class Cache:
    """What generation remembers: the number of tokens seen and each layer's memory of them."""

    num_tokens: int = 0
    layers: list[Memory] = field(default_factory=list)


class DecoderLayer(nn.Module):
    """Mixer and feed-forward, each added to the residual; `parallel` ones share a norm (Phi)."""

    def __init__(self, spec: Layer, hidden_size: int) -> None:
        super().__init__()
        mixer = registry.find("mixer_modules", spec.mixer.type)
        feed_forward = registry.find("feed_forward_modules", spec.feed_forward.type)
        self.spec = spec
        self.input_layernorm = build_norm(spec.norm, hidden_size)
        self.add_module(mixer.weight_name, mixer(spec.mixer, hidden_size, spec.norm))
        if spec.residual == "sequential":
            self.post_attention_layernorm = build_norm(spec.norm, hidden_size)
        self.add_module(feed_forward.weight_name, feed_forward(spec.feed_forward, hidden_size))
        self._names = (mixer.weight_name, feed_forward.weight_name)

    def forward(
        self, x: Float[Tensor, "B T D"], *, kernels: Kernels, start: int, memory: Memory | None
    ) -> Float[Tensor, "B T D"]:
        """One layer's step of the residual stream."""
        mixer, feed_forward = (getattr(self, name) for name in self._names)
        normed = self.input_layernorm(x, kernels)
        mixed = mixer(normed, kernels=kernels, start=start, memory=memory)
        if self.spec.residual == "parallel":
            return x + mixed + feed_forward(normed, kernels=kernels)
        x = x + mixed
        return x + feed_forward(self.post_attention_layernorm(x, kernels), kernels=kernels)


class _Decoder(nn.Module):
    """Embedding, layers and final norm: what transformers calls `model`."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        shape = (architecture.vocab_size, architecture.hidden_size)
        # given weights: drawing them on the meta device would import torch's compiler, seconds
        self.embed_tokens = nn.Embedding(*shape, _weight=torch.empty(shape))
        self.layers = nn.ModuleList(
            DecoderLayer(layer, architecture.hidden_size) for layer in architecture.layers
        )
        self.norm = build_norm(architecture.final_norm, architecture.hidden_size)


class Transformer(nn.Module):
    """A decoder-only language model. Build one with `build`."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.model = _Decoder(architecture)
        self.lm_head = nn.Linear(
            architecture.hidden_size, architecture.vocab_size, bias=architecture.lm_head_bias
        )
        self.tie()

    def tie(self) -> None:
        """Make head and embedding one tensor where the architecture says so."""
        if self.architecture.tie_word_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight

    def forward(
        self, tokens: Int[Tensor, "B T"], cache: Cache | None = None
    ) -> Float[Tensor, "B T V"]:
        """Logits of the next token at every position; a cache continues what it has seen."""
        hidden = self._hidden(tokens, PLAIN, cache)
        return F.linear(hidden, self.lm_head.weight, self.lm_head.bias)

    def loss(
        self, tokens: Int[Tensor, "B T"], targets: Int[Tensor, "B T"], kernels: Kernels = FAST
    ) -> Float[Tensor, ""]:
        """Mean cross-entropy in nats: the training path."""
        hidden = self._hidden(tokens, kernels, None).flatten(0, 1)
        head = self.lm_head
        return kernels.head_loss(hidden, head.weight, head.bias, targets.flatten())

    @torch.no_grad()
    def token_nats(
        self, tokens: Int[Tensor, "B T"], targets: Int[Tensor, "B U"]
    ) -> Float[Tensor, "B U"]:
        """Nats of the targets of the last U positions, float32: the scoring path."""
        hidden = self._hidden(tokens, FAST, None)[:, -targets.shape[1] :].flatten(0, 1)
        nats = row_nats(hidden, self.lm_head.weight, self.lm_head.bias, targets.flatten())
        return nats.view(targets.shape)

    def _hidden(
        self, tokens: Int[Tensor, "B T"], kernels: Kernels, cache: Cache | None
    ) -> Float[Tensor, "B T D"]:
        start = 0 if cache is None else cache.num_tokens
        if cache is not None and not cache.layers:
            cache.layers = [{} for _ in self.model.layers]
        x = self.model.embed_tokens(tokens)
        for index, layer in enumerate(self.model.layers):
            memory = None if cache is None else cache.layers[index]
            x = layer(x, kernels=kernels, start=start, memory=memory)
        if cache is not None:
            cache.num_tokens += tokens.shape[1]
        return self.model.norm(x, kernels)


def build(
    architecture: Architecture,
    *,
    seed: int | None = 0,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Transformer:
    """The network of an architecture; `seed=None` leaves the weights unset (or on `meta`)."""
    with torch.device("meta"):
        model = Transformer(architecture).to(dtype)
    model.tie()
    if torch.device(device).type != "meta":
        model.to_empty(device=device).tie()  # moving off the meta device gives each its own
        if seed is not None:
            initialize(model, num_hidden_layers=architecture.num_hidden_layers, seed=seed)
    return model


def to_numpy(model: Transformer) -> dict[str, np.ndarray]:
    """Every weight under its canonical name, float32 and contiguous; a tied head is left out."""
    return {
        name: np.ascontiguousarray(parameter.detach().float().cpu().numpy())
        for name, parameter in model.named_parameters()
    }


def load_numpy(model: Transformer, weights: Mapping[str, np.ndarray]) -> None:
    """Fill a model from `to_numpy`'s form, in place. Raises CheckpointError where it cannot fit."""
    parameters = dict(model.named_parameters())
    if set(parameters) != set(weights):
        missing, surplus = set(parameters) - set(weights), set(weights) - set(parameters)
        raise CheckpointError(
            "the weights belong to another architecture: "
            f"missing {_few(missing)}; not in this one: {_few(surplus)}"
        )
    for name, parameter in parameters.items():
        if weights[name].shape != tuple(parameter.shape):
            raise CheckpointError(
                f"{name}: this architecture has shape {tuple(parameter.shape)}, "
                f"the weights given have {weights[name].shape}"
            )
        with torch.no_grad():
            parameter.copy_(torch.from_numpy(np.ascontiguousarray(weights[name])))


def _few(names: set[str]) -> str:
    shown = sorted(names)[:3]
    return ", ".join(shown) + (", …" if len(names) > 3 else "") if shown else "nothing"
