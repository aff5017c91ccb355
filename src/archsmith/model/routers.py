"""Routers: which experts a token goes through, and with which weights.

Arithmetic and tie-breaking are those of transformers (Mixtral, OLMoE, Qwen3-MoE; MiMo-V2-Flash;
Phimoe), so that a model routes in the stock class as it did in training.

Letters: X experts, K experts per token, N tokens.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from archsmith.architecture.feed_forwards.mixture_of_experts import MixtureOfExperts
from archsmith.model.routing import Choice, Routing


class Router(nn.Module):
    """Logits of a linear layer without bias, and the choice the spec asks for."""

    def __init__(self, spec: MixtureOfExperts, hidden_size: int) -> None:
        super().__init__()
        self.spec = spec
        self.weight = nn.Parameter(torch.empty(spec.num_experts, hidden_size))
        if spec.router == "sigmoid":
            # moved by `archsmith.train.balancing`, not by gradients
            bias = torch.empty(spec.num_experts)
            self.e_score_correction_bias = nn.Parameter(bias, requires_grad=False)

    def forward(self, rows: Float[Tensor, "N D"], routing: Routing | None) -> Choice:
        """Choose for every token; a `routing` (while training) gives noise and is written to."""
        spec = self.spec
        if spec.router == "sigmoid":
            logits = F.linear(rows.float(), self.weight.float())
            choice = sigmoid_top_k(
                logits,
                self.e_score_correction_bias,
                spec.num_experts_per_tok,
                normalize=spec.norm_topk_prob,
            )
            if routing is not None:  # the bias balances this router
                routing.add(choice, spec.num_experts, logits=None, probabilities=None)
            return Choice(choice.experts, choice.weights.to(rows.dtype))
        # experts first in memory: a softmax over few neighbours takes ten times as long
        logits = (self.weight @ rows.T).T
        probabilities = None
        if routing is not None or spec.router == "softmax":
            probabilities = F.softmax(logits.T, dim=0, dtype=torch.float32).T
        if spec.router == "sparsemixer":
            generator = None if routing is None else routing.generator
            choice = sparsemixer(logits, spec.router_jitter_noise, generator)
        else:
            assert probabilities is not None
            choice = softmax_top_k(
                probabilities, spec.num_experts_per_tok, normalize=spec.norm_topk_prob
            )
        if routing is not None:
            routing.add(choice, spec.num_experts, logits=logits, probabilities=probabilities)
        return Choice(choice.experts, choice.weights.to(rows.dtype))


def softmax_top_k(probabilities: Float[Tensor, "N X"], top_k: int, *, normalize: bool) -> Choice:
    """The likeliest experts, weighted by their probabilities, divided by their sum if asked."""
    weights, experts = probabilities.topk(top_k, dim=-1)
    return Choice(experts, weights / weights.sum(-1, keepdim=True) if normalize else weights)


def sigmoid_top_k(
    logits: Float[Tensor, "N X"], bias: Float[Tensor, " X"], top_k: int, *, normalize: bool
) -> Choice:
    """The experts of the largest sigmoid(logits) + bias, weighted by sigmoid(logits).

    DeepSeek-V3 (arXiv 2412.19437) without groups of experts.
    """
    scores = logits.sigmoid()
    experts = (scores.detach() + bias).topk(top_k, dim=-1, sorted=False).indices
    weights = scores.gather(-1, experts)
    return Choice(
        experts, weights / (weights.sum(-1, keepdim=True) + 1e-20) if normalize else weights
    )


def sparsemixer(
    logits: Float[Tensor, "N X"], jitter_noise: float, generator: torch.Generator | None
) -> Choice:
    """Two experts, one after the other, of those whose logits are near the largest.

    GRIN (Liu et al. 2024, arXiv 2409.12136), in the form of Phi-3.5-MoE. Without a generator the
    largest is taken. With one the expert is sampled, and an expert that was sampled without being
    the likeliest has its weight cut to a third in three of four cases: together with the gradient
    of the uncut weight that estimates the gradient of the choice itself (Heun's third-order rule).
    """
    logits_XN = logits.T
    first, first_weight = _sparsemixer_step(logits_XN, logits_XN, jitter_noise, generator)
    left = logits_XN.scatter(0, first, -torch.inf)
    second, second_weight = _sparsemixer_step(left, logits_XN, jitter_noise, generator)
    return Choice(torch.cat((first, second)).T, torch.cat((first_weight, second_weight)).T)


def _sparsemixer_step(
    left: Float[Tensor, "X N"],
    logits: Float[Tensor, "X N"],
    jitter_noise: float,
    generator: torch.Generator | None,
) -> tuple[Int[Tensor, "1 N"], Float[Tensor, "1 N"]]:
    """One expert of each token among those `left`, with its weight."""
    with torch.no_grad():
        largest, likeliest = left.max(dim=0, keepdim=True)
        distance = (largest - logits) / logits.abs().clamp_(min=largest)
        far = distance > 2 * jitter_noise
    near = left.masked_fill(far, -torch.inf)
    probabilities = near.softmax(0)
    if generator is None:
        return likeliest, probabilities.gather(0, likeliest)
    # the largest of logits plus Gumbel noise is a sample of their softmax
    noise = torch.empty_like(near).exponential_(generator=generator).log_()
    chosen = (near.detach() - noise).argmax(dim=0, keepdim=True)
    weight = probabilities.gather(0, chosen)
    draw = torch.rand(chosen.shape, generator=generator, device=logits.device)
    kept = (chosen == probabilities.argmax(dim=0, keepdim=True)) | (draw > 0.75)
    factor = torch.where(kept, 1.0, 1.0 / 3.0).to(weight.dtype)
    return chosen, weight + (weight * (factor - 1.0)).detach()
