"""Zero-cost proxies: numbers of a network that was never trained, from one batch.

The more, the better the network should become; whether that holds is measured, not assumed
(`benchmarks/zero_cost_rank.py` prints the rank correlation). On many tables most lose to the
parameter count (Javaheripi et al. 2022; Krishnakumar et al. 2022, arXiv 2210.03230).

The papers compare networks that read the same input. Here vocabularies differ, and the same bytes
are fewer tokens of a larger one; all but the counts change with the number of tokens alone. So all
networks of a comparison read the same number of tokens (of different amounts of text), and two
proxies are made free of that number besides: head confidence is divided by that of even attention,
1/t at position t, and synaptic flow, which sums over positions that are all alike, is of one.
What the vocabulary is by itself - rows of the table, outputs that are summed - stays in.

    proxy_num_params                all parameters
    proxy_num_non_embedding_params  without embedding table and head (Kaplan et al. 2020, arXiv
                                    2001.08361)
    proxy_decoder_params            of the decoder layers, all of them: with experts those too that
                                    a token does not use (LiteTransformerSearch, Javaheripi et al.
                                    2022, 2203.02094, counts dense networks)
    proxy_head_confidence           mean largest attention weight (Voita et al. 2019, 1905.09418;
                                    as a proxy: Serianni & Kalita 2023, 2306.00288), in units of
                                    even attention's
    proxy_synaptic_saliency         sum of |weight * gradient of the loss| (SNIP, Lee et al. 2019,
                                    1810.02340; between networks: Abdelfattah et al. 2021,
                                    2101.08134)
    proxy_synflow                   logarithm of the synaptic flow (Tanaka et al. 2020, 2006.05467):
                                    absolute weights, ones for text, no norms; of one token
    proxy_jacobian_covariance       how little the outputs' Jacobians of different sequences go
                                    together (Mellor et al. 2021, 2006.04647, first version)
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from archsmith.architecture.feed_forwards.mlp import Mlp
from archsmith.architecture.tree import Architecture, Layer
from archsmith.data.loader import BatchOrder
from archsmith.errors import ConfigError
from archsmith.evaluators._encoded_text import token_files
from archsmith.evaluators.base import Evaluator, Request, Result
from archsmith.model.kernels import block_pattern, plain
from archsmith.model.kernels.base import Kernels
from archsmith.model.kernels.block_pattern import BlockPattern
from archsmith.model.kernels.plain import PLAIN
from archsmith.model.norm import LayerNorm, RmsNorm
from archsmith.model.routing import Choice
from archsmith.model.transformer import Transformer, build

PROXIES = (
    "proxy_num_params",
    "proxy_num_non_embedding_params",
    "proxy_decoder_params",
    "proxy_head_confidence",
    "proxy_synaptic_saliency",
    "proxy_synflow",
    "proxy_jacobian_covariance",
)
_MINUS = "minus_"
_FLOOR = 1e-5  # Mellor et al.'s k: keeps the logarithm of a zero eigenvalue finite


class ZeroCost(Evaluator):
    """All proxies of a candidate, as metrics `proxy_<name>`; nothing is trained.

    Objectives are minimized: a search for the largest has `minus_proxy_<name>` for one.

    Attributes:
        corpus, tokenizer, token_files: as in `trunk_training`.
        num_sequences: of the batch.
        context_tokens: of a sequence, for all networks alike; at most the shortest context among
            them.
    """

    type: Literal["zero_cost"] = "zero_cost"
    corpus: Path
    tokenizer: Path
    token_files: Path
    num_sequences: PositiveInt = 16
    context_tokens: int = Field(default=128, ge=2)

    def metrics(self) -> tuple[str, ...]:
        """What every complete result holds."""
        return (*PROXIES, *(_MINUS + name for name in PROXIES))

    def evaluate(self, request: Request) -> Result:
        """Build the network as training would and look at it. Raises ConfigError, CorpusError."""
        torch.set_num_threads(request.num_threads)
        architecture = request.architecture
        if self.context_tokens > architecture.max_position_embeddings:
            raise ConfigError(
                f"zero_cost.context_tokens: all networks of a comparison read the same number of "
                f"tokens, got {self.context_tokens}, and one has a context of "
                f"{architecture.max_position_embeddings}; give that or less"
            )
        train, _ = token_files(
            self.corpus, self.tokenizer, self.token_files, architecture.vocab_size,
            num_threads=request.num_threads,
        )  # fmt: skip
        batch = BatchOrder(
            train,
            context_tokens=self.context_tokens,
            batch_size=self.num_sequences,
            seed=request.seed,
        ).batch(0)
        found = proxies(architecture, torch.from_numpy(batch), seed=request.seed)
        minus = {_MINUS + name: -value for name, value in found.items()}
        return Result(metrics={**found, **minus}, details={"batch": list(batch.shape)})


def proxies(
    architecture: Architecture, batch: Int[Tensor, "B U"], *, seed: int = 0
) -> dict[str, float]:
    """Every proxy of an untrained network on a batch of U - 1 tokens and what follows them."""
    model = build(architecture, seed=seed)
    tokens, targets = batch[:, :-1], batch[:, 1:]
    layers = architecture.layers
    found = {
        "proxy_num_params": architecture.num_params,
        "proxy_num_non_embedding_params": architecture.num_non_embedding_params,
        "proxy_decoder_params": sum(layer.num_params(architecture.hidden_size) for layer in layers),
        "proxy_head_confidence": head_confidence(model, tokens, targets),
        "proxy_synaptic_saliency": synaptic_saliency(model, tokens, targets),
        "proxy_synflow": synflow(architecture, seed=seed),
        "proxy_jacobian_covariance": jacobian_covariance(model, tokens),
    }
    return {name: float(found[name]) for name in PROXIES}


def head_confidence(
    model: Transformer, tokens: Int[Tensor, "B T"], targets: Int[Tensor, "B T"]
) -> float:
    """The largest attention weight, averaged over positions after the first, heads and layers.

    In units of what it would be if every position looked alike at all it may see: even attention
    has 1, whatever the number of tokens or the window. Uneven attention stands out the more, the
    more tokens it chooses from: compare at one number of tokens. 0 without attention.
    """
    seen: list[float] = []

    def record(q: Tensor, k: Tensor, mask: Tensor, scale: float) -> None:
        keys = k.repeat_interleave(q.shape[1] // k.shape[1], dim=1)
        scores = (q @ keys.transpose(-1, -2) * scale).masked_fill(~mask, -math.inf)
        largest = scores.softmax(dim=-1).amax(dim=-1)[..., 1:].mean()
        even = mask.sum(dim=-1).reciprocal()[..., 1:].mean()
        seen.append((largest / even).item())

    def attend(q: Tensor, k: Tensor, v: Tensor, window: int | None, scale: float) -> Tensor:
        record(q, k, plain.visible(q.shape[2], k.shape[2], window, q.device), scale)
        return plain.attend(q, k, v, window, scale)

    def attend_blocks(
        q: Tensor, k: Tensor, v: Tensor, pattern: BlockPattern, scale: float
    ) -> Tensor:
        num_queries, num_keys = q.shape[2], k.shape[2]
        mask = plain.visible(num_queries, num_keys, None, q.device)
        if num_keys > pattern.local_tokens:
            mask = block_pattern.visible(
                pattern, num_heads=q.shape[1], num_queries=num_queries, num_keys=num_keys,
                device=q.device,
            )  # fmt: skip
        record(q, k, mask, scale)
        return plain.attend_blocks(q, k, v, pattern, scale)

    recording: Kernels = PLAIN._replace(attend=attend, attend_blocks=attend_blocks)
    with torch.no_grad():
        model.loss(tokens, targets, kernels=recording)
    return sum(seen) / len(seen) if seen else 0.0


def synaptic_saliency(
    model: Transformer, tokens: Int[Tensor, "B T"], targets: Int[Tensor, "B T"]
) -> float:
    """Sum of |weight * gradient| over all parameters, for the batch's mean loss.

    Over more tokens less of the gradient is chance: compare at one number of tokens.
    """
    model.zero_grad(set_to_none=True)
    model.loss(tokens, targets, kernels=PLAIN).backward()
    return _saliency(model)


def synflow(architecture: Architecture, *, seed: int) -> float:
    """Natural logarithm of the sum of |weight * gradient| of what ones become at an output.

    Weights are absolute and double. The flow must be of degree one in each weight, or it grows as a
    tower of powers with depth: norms pass their input on, a gated block takes the geometric mean of
    gate and up, relu squared stands as silu; over equal tokens attention passes its values on. All
    positions are then alike, so there is one.
    """
    model = build(_of_degree_one(architecture), seed=seed).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.abs_()
    tokens = torch.zeros(1, 1, dtype=torch.int64)
    with _embedded_as(model, torch.ones(())), _without_norms(model):
        model.loss(tokens, tokens, kernels=_FLOW).backward()
    return math.log(max(_saliency(model), math.ulp(0.0)))


def jacobian_covariance(model: Transformer, tokens: Int[Tensor, "B T"]) -> float:
    """Mellor et al.'s score of the correlations between sequences' Jacobians; at most -B.

    A sequence's Jacobian is the gradient of the sum of its logits by its embedded text. Over more
    tokens correlations differ less by chance: compare at one number of tokens.
    """
    model.zero_grad(set_to_none=True)
    with _embedded_as(model, None) as embedded:
        model(tokens).sum().backward()
    (inputs,) = embedded
    jacobians: Float[Tensor, "B N"] = inputs.grad.flatten(1).double()
    correlations = torch.corrcoef(jacobians).nan_to_num().reshape(len(tokens), len(tokens))
    eigenvalues = torch.linalg.eigvalsh(correlations).clamp(min=0) + _FLOOR
    return -float((eigenvalues.log() + 1 / eigenvalues).sum())


def _saliency(model: Transformer) -> float:
    pairs = [(one.detach(), one.grad) for one in model.parameters()]
    shares = (w.mul(g).abs().sum(dtype=torch.float64).item() for w, g in pairs if g is not None)
    return sum(shares)


@contextmanager
def _embedded_as(model: Transformer, value: Tensor | None) -> Iterator[list[Any]]:
    """Text embedded as one value, or as it is but as a leaf that keeps its gradient."""
    leaves: list[Any] = []

    def replace(module: Any, arguments: Any, output: Tensor) -> Tensor:
        leaf = output.detach().clone() if value is None else value.to(output).expand_as(output)
        leaves.append(leaf.requires_grad_())
        return leaves[-1]

    handle = model.model.embed_tokens.register_forward_hook(replace)
    try:
        yield leaves
    finally:
        handle.remove()


@contextmanager
def _without_norms(model: Transformer) -> Iterator[None]:
    norms = [part for part in model.modules() if isinstance(part, RmsNorm | LayerNorm)]
    handles = [
        norm.register_forward_hook(lambda module, arguments, output: arguments[0]) for norm in norms
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _of_degree_one(architecture: Architecture) -> Architecture:
    def changed(layer: Layer) -> Layer:
        block = layer.feed_forward
        if isinstance(block, Mlp) and block.activation == "relu2":
            return layer.model_copy(
                update={"feed_forward": block.model_copy(update={"activation": "silu"})}
            )
        return layer

    return architecture.model_copy(update={"layers": tuple(map(changed, architecture.layers))})


def _mean_of_gated(x: Tensor, gate: nn.Linear, up: nn.Linear, *_: Any) -> Tensor:
    return (F.linear(x, gate.weight) * F.linear(x, up.weight)).sqrt()


def _values(q: Tensor, k: Tensor, v: Tensor, *_: Any) -> Tensor:
    return v.repeat_interleave(q.shape[1] // v.shape[1], dim=1)


def _mean_of_experts(x: Tensor, choice: Choice, gate: Tensor, up: Tensor, down: Tensor) -> Tensor:
    out = torch.zeros_like(x)
    for expert in choice.experts.unique().tolist():
        tokens, ranks = torch.where(choice.experts == expert)
        hidden = ((x[tokens] @ gate[expert].T) * (x[tokens] @ up[expert].T)).sqrt()
        weight = choice.weights[tokens, ranks, None]
        out = out.index_add(0, tokens, (hidden @ down[expert].T) * weight)
    return out


_FLOW = PLAIN._replace(
    gated=_mean_of_gated,
    gegelu=_mean_of_gated,
    attend=_values,
    attend_blocks=_values,
    experts=_mean_of_experts,
    head_loss=lambda hidden, weight, bias, targets: F.linear(hidden, weight).sum(),
)

PART = ZeroCost
