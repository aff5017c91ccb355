"""Mixtral-like networks (Jiang et al. 2024, arXiv 2401.04088): Llama with experts."""

from archsmith.space.families._experts import ExpertFamily


class Mixtral(ExpertFamily):
    """As `Llama`, with a softmax router whose chosen weights are divided by their sum."""

    name = "mixtral"


PART = Mixtral()
