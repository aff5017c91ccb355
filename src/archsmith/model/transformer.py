"""The architecture tree as a torch module, with Hugging Face's Llama weight names inside.

Letters: B batch, T tokens, D hidden_size, V vocab_size, N = B·T rows.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from archsmith import registry
from archsmith.architecture.tree import Architecture, Layer
from archsmith.errors import CheckpointError
from archsmith.model.cache import Cache
from archsmith.model.initialization import initialize
from archsmith.model.kernels.base import Kernels
from archsmith.model.kernels.fast import FAST
from archsmith.model.kernels.head import row_nats
from archsmith.model.kernels.plain import PLAIN
from archsmith.model.mixers.base import Memory
from archsmith.model.norm import build_norm
from archsmith.model.routing import Routing


class DecoderLayer(nn.Module):
    """Mixer and feed-forward, each added to the residual; `parallel` ones share a norm (Phi)."""

    def __init__(self, spec: Layer, architecture: Architecture) -> None:
        super().__init__()
        hidden_size = architecture.hidden_size
        mixer = registry.find("mixer_modules", spec.mixer.type)
        feed_forward = registry.find("feed_forward_modules", spec.feed_forward.type)
        self.spec = spec
        self.input_layernorm = build_norm(spec.norm, hidden_size)
        self.add_module(
            mixer.weight_name,
            mixer(spec.mixer, hidden_size, spec.norm, architecture.max_position_embeddings),
        )
        if spec.residual == "sequential":
            self.post_attention_layernorm = build_norm(spec.norm, hidden_size)
        self.add_module(feed_forward.weight_name, feed_forward(spec.feed_forward, hidden_size))
        self._names = (mixer.weight_name, feed_forward.weight_name)
        self._share = architecture.residual_multiplier

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        *,
        kernels: Kernels,
        start: int,
        memory: Memory | None,
        routing: Routing | None,
    ) -> Float[Tensor, "B T D"]:
        """One layer's step of the residual stream."""
        mixer, feed_forward = (getattr(self, name) for name in self._names)
        extra = {"routing": routing} if feed_forward.routes else {}
        normed = self.input_layernorm(x, kernels)
        mixed = mixer(normed, kernels=kernels, start=start, memory=memory)
        if self.spec.residual == "parallel":
            return self._add(self._add(x, mixed), feed_forward(normed, kernels=kernels, **extra))
        x = self._add(x, mixed)
        normed = self.post_attention_layernorm(x, kernels)
        return self._add(x, feed_forward(normed, kernels=kernels, **extra))

    @property
    def switch_length(self) -> int | None:
        """The mixer's: beyond so many tokens its memory has to be made anew."""
        switch: int | None = getattr(self, self._names[0]).switch_length
        return switch

    def _add(self, x: Tensor, written: Tensor) -> Tensor:
        # adding is multiplying and adding anyway: a factor of one costs nothing
        return torch.add(x, written, alpha=self._share)


class _Decoder(nn.Module):
    """Embedding, layers and final norm: what transformers calls `model`."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        shape = (architecture.vocab_size, architecture.hidden_size)
        # given weights: drawing them on the meta device would import torch's compiler, seconds
        self.embed_tokens = nn.Embedding(*shape, _weight=torch.empty(shape))
        layers = [DecoderLayer(layer, architecture) for layer in architecture.layers]
        self.layers = nn.ModuleList(layers)
        switches = (layer.switch_length for layer in layers)
        self.switch_lengths = {switch for switch in switches if switch is not None}
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
        return F.linear(*self._head_inputs(self._hidden(tokens, PLAIN, cache)))

    def loss(
        self,
        tokens: Int[Tensor, "B T"],
        targets: Int[Tensor, "B T"],
        kernels: Kernels = FAST,
        routing: Routing | None = None,
    ) -> Float[Tensor, ""]:
        """Mean cross-entropy in nats: the training path.

        Layers with experts draw noise from a `routing` and write their decisions to it; its own
        losses are not in the result.
        """
        hidden = self._hidden(tokens, kernels, None, routing).flatten(0, 1)
        return kernels.head_loss(*self._head_inputs(hidden), targets.flatten())

    @torch.no_grad()
    def token_nats(
        self, tokens: Int[Tensor, "B T"], targets: Int[Tensor, "B U"]
    ) -> Float[Tensor, "B U"]:
        """Nats of the targets of the last U positions, float32: the scoring path."""
        hidden = self._hidden(tokens, FAST, None)[:, -targets.shape[1] :].flatten(0, 1)
        return row_nats(*self._head_inputs(hidden), targets.flatten()).view(targets.shape)

    def _hidden(
        self,
        tokens: Int[Tensor, "B T"],
        kernels: Kernels,
        cache: Cache | None,
        routing: Routing | None = None,
    ) -> Float[Tensor, "B T D"]:
        if cache is None:
            memories: Sequence[Memory | None] = [None] * len(self.model.layers)
            return self._through_layers(
                tokens, kernels, start=0, memories=memories, routing=routing
            )
        decoder = self.model
        text = cache.extend(
            tokens, num_layers=len(decoder.layers), switch_lengths=decoder.switch_lengths
        )
        start = cache.num_tokens - text.shape[1]
        hidden = self._through_layers(text, kernels, start=start, memories=cache.layers)
        return hidden[:, text.shape[1] - tokens.shape[1] :]

    def _through_layers(
        self,
        tokens: Int[Tensor, "B T"],
        kernels: Kernels,
        *,
        start: int,
        memories: Sequence[Memory | None],
        routing: Routing | None = None,
    ) -> Float[Tensor, "B T D"]:
        x = self.model.embed_tokens(tokens)
        if self.architecture.embedding_multiplier != 1.0:
            x = x * self.architecture.embedding_multiplier
        for layer, memory in zip(self.model.layers, memories, strict=True):
            x = layer(x, kernels=kernels, start=start, memory=memory, routing=routing)
        return self.model.norm(x, kernels)

    def _head_inputs(
        self, hidden: Float[Tensor, "*S D"]
    ) -> tuple[Float[Tensor, "*S D"], Float[Tensor, "V D"], Float[Tensor, " V"] | None]:
        """Operands of the head's product, which is the logits: what `logits_scaling` divides."""
        weight, bias = self.lm_head.weight, self.lm_head.bias
        scaling = self.architecture.logits_scaling
        if scaling == 1.0:
            return hidden, weight, bias
        # D numbers of a row are divided, not V
        return hidden / scaling, weight, None if bias is None else bias / scaling


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
        _allocate(model, torch.device(device))
        model.tie()
        if seed is not None:
            initialize(model, num_hidden_layers=architecture.num_hidden_layers, seed=seed)
    return model


def _allocate(model: nn.Module, device: torch.device) -> None:
    """Give every tensor of a model on the meta device memory of its own, its values unset.

    `Module.to_empty` would do, but imports torch's symbolic shapes: most of a second.
    """
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            empty = torch.empty(parameter.shape, dtype=parameter.dtype, device=device)
            setattr(module, name, nn.Parameter(empty, requires_grad=parameter.requires_grad))
        for name, buffer in module.named_buffers(recurse=False):
            empty = torch.empty(buffer.shape, dtype=buffer.dtype, device=device)
            setattr(module, name, empty)


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
