"""Text generation with a key-value cache: greedy, or sampled by temperature and top-k."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from archsmith.model.cache import Cache
from archsmith.model.transformer import Transformer


@torch.no_grad()
def generate(
    model: Transformer,
    tokens: Int[Tensor, "B T"],
    *,
    max_new_tokens: int,
    temperature: float = 0.0,
    top_k: int | None = None,
    seed: int = 0,
) -> Int[Tensor, "B U"]:
    """The continuation of each row (without the prompt).

    Args:
        model: any built model.
        tokens: prompts of equal length, at least one token.
        max_new_tokens: U. Together with the prompt it may exceed the architecture's context;
            quality suffers, as no longer position was trained.
        temperature: 0 takes the likeliest token; higher is more varied.
        top_k: sample among the k likeliest only.
        seed: of the sampling.
    """
    generator = torch.Generator(device=tokens.device).manual_seed(seed)
    cache = Cache()
    fresh, produced = tokens, []
    for _ in range(max_new_tokens):
        logits = model(fresh, cache)[:, -1].float()
        fresh = _choose(logits, temperature, top_k, generator)
        produced.append(fresh)
    return torch.cat(produced, dim=1) if produced else tokens[:, :0]


def _choose(
    logits: Float[Tensor, "B V"],
    temperature: float,
    top_k: int | None,
    generator: torch.Generator,
) -> Int[Tensor, "B 1"]:
    if temperature == 0.0:
        return logits.argmax(dim=-1, keepdim=True)
    if top_k is not None and top_k < logits.shape[-1]:
        least = logits.topk(top_k).values[:, -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    probabilities = torch.softmax(logits / temperature, dim=-1)
    return torch.multinomial(probabilities, 1, generator=generator)
