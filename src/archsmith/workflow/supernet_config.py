"""The `[supernet]` section of a search file, and what it asks of strategy and space. No torch."""

import json

from pydantic import Field

from archsmith.space.elastic import MAY_VARY
from archsmith.space.presets import SpaceConfig, key_of
from archsmith.strategies.base import Strategy
from archsmith.strategies.law_guided import LawGuided
from archsmith.train.supernet_plan import Method, SupernetPlan, SupernetSettings

# What a strategy may rank by that asks for no method of its own: no policy is learned for nobody.
_WITHOUT_POLICY: tuple[Method, ...] = ("sandwich", "single_path")


class SupernetConfig(SupernetSettings):
    """[supernet]: candidates are scored with weights inherited from one network that holds them.

    It is trained first; scores rank, and the winner is trained from scratch. The strategies
    `single_path_one_shot`, `enas` and `darts` imply this section.

    Attributes:
        method: which networks an update trains; left out, what the strategy needs, `sandwich`
            where it needs none.
        train_bytes: text the shared weights are trained on. Without it, what `share` of the
            search's time allows; without a `timeout` too, as much as `plan.train_bytes`.
        share: of the search's time, for the training of the shared weights.
    """

    share: float = Field(default=0.4, gt=0.0, le=0.9)

    def plan(self, train_bytes: int) -> SupernetPlan:
        """The training of so many bytes of text; the method must be known."""
        settings = self.model_dump(exclude={"share", "train_bytes"})
        return SupernetPlan(**settings, train_bytes=train_bytes)


def settle(section: SupernetConfig | None, strategy: Strategy) -> SupernetConfig | None:
    """The section with its method, implied where the strategy needs it; None without shared
    weights.

    Raises ValueError where the two do not go together.
    """
    needed = strategy.supernet_methods
    if section is None:
        return SupernetConfig.model_validate({"method": needed[0]}) if needed else None
    if isinstance(strategy, LawGuided):
        raise ValueError(
            "the strategy 'law_guided' predicts what networks reach when trained alone, and "
            'inherited scores do not say that; write [strategy] type = "single_path_one_shot", or '
            "another one that ranks by scores alone"
        )
    if strategy.halving() is not None:
        raise ValueError(
            f"the strategy '{strategy.type}' is a discipline of rungs, and inherited scores have "
            'one rung; write [strategy] type = "single_path_one_shot", or leave [supernet] out'
        )
    allowed = needed or _WITHOUT_POLICY
    method = section.method or allowed[0]
    if method in allowed:
        return section.model_copy(update={"method": method})
    if needed:
        fitting = " or ".join(f'"{name}"' for name in needed)
        raise ValueError(
            f"method '{method}' does not fit the strategy '{strategy.type}', which needs "
            f"{fitting}; write that, or leave the method out"
        )
    raise ValueError(
        f"method '{method}' learns a policy that the strategy '{strategy.type}' does not read; "
        f'write [strategy] type = "{method}", or method = "sandwich"'
    )


def require_one_kind(
    space: SpaceConfig, *, vocab_sizes: tuple[int, ...], has_tokenizer_file: bool
) -> None:
    """Refuse a space whose networks cannot share weights. Raises ValueError: all keys to set."""
    branches = space.build().branches
    wanted: list[str] = []
    if len(branches) > 1:
        wanted.append(f"families = {json.dumps([branches[0].family.name])}")
    for dimension in branches[0].dimensions:
        if dimension.name not in (*MAY_VARY, "vocabulary") and len(dimension.choices) > 1:
            wanted.append(f"{key_of(dimension.name)} = {json.dumps([dimension.choices[0]])}")
    found = [f"[space] {', '.join(wanted)}"] if wanted else []
    if len(vocab_sizes) > 1 and not has_tokenizer_file:
        found.append(
            f"[tokenizer] vocab_sizes = {json.dumps([vocab_sizes[len(vocab_sizes) // 2]])}"
        )
    if found:
        raise ValueError(
            "weights are shared among networks of one family, one vocabulary and one head size, "
            "and this space has more; write, with these or other single choices: "
            + "; ".join(found)
        )
