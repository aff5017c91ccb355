"""The table of what each group of choices contributed, as text for every view."""

from collections.abc import Mapping

from archsmith.report.contributions import Contribution, Contributions
from archsmith.report.figures import NONE, show_difference, show_span

TITLES = (
    "choices",
    "share of the variance",
    "that no other group explains",
    "winner's choices, bits per byte",
)
CAPTION = (
    "Shares of the variance between trials, by groups of choices, and what the winner's own "
    "choices are worth against the average trial; 95 % intervals."
)


def group_cells(found: Contributions) -> list[Mapping[str, str]]:
    """A row a group; none where nothing could be computed."""
    return [] if found.reason else [_cells(one) for one in found.groups]


def group_rows(found: Contributions) -> list[list[str]]:
    """Titles, then a row a group; nothing where nothing could be computed."""
    rows = [
        [
            cells["group"],
            f"{cells['share']} {cells['span']}".strip(),
            cells["alone"],
            f"{cells['gain']} {cells['gain_span']}".strip(),
        ]
        for cells in group_cells(found)
    ]
    return [list(TITLES), *rows] if rows else []


def _cells(one: Contribution) -> Mapping[str, str]:
    if not one.varied:
        return {
            "group": one.group, "share": "not varied", "span": "", "alone": NONE, "gain": NONE,
            "gain_span": "",
        }  # fmt: skip
    gain_span = ""
    if one.gain_low is not None and one.gain_high is not None:
        gain_span = show_span(one.gain_low, one.gain_high, signed=True)
    return {
        "group": one.group,
        "share": f"{one.share:.0%}" if one.told else "cannot be told",
        "span": f"[{one.share_low:.0%}, {one.share_high:.0%}]",
        "alone": f"{max(one.alone, 0):.0%}",
        "gain": NONE if one.gain is None else show_difference(one.gain),
        "gain_span": gain_span,
    }
