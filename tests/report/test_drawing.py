"""Drawings of architectures: true widths, every block, words for those who cannot see."""

import xml.etree.ElementTree as ET

from example_study import LLAMA_SHAPE, PHI_SHAPE, WINNER, llama

from archsmith.report.drawing import describe, draw, widest

WINNER_JSON = WINNER.model_dump(mode="json")


def rects(svg: str, kind: str) -> list[ET.Element]:
    fill = f"var(--{kind})"
    return [r for r in ET.fromstring(svg).iter("rect") if fill in (r.get("fill"), r.get("stroke"))]


def test_every_layer_and_head_is_drawn() -> None:
    svg = draw(WINNER_JSON)
    assert len(rects(svg, "attention")) == 10 * 8
    assert len(rects(svg, "feed-forward")) == 10
    assert len(rects(svg, "embedding")) == 2


def test_heads_that_share_keys_share_a_tone() -> None:
    tones = [r.get("fill-opacity") for r in rects(draw(WINNER_JSON), "attention")[:8]]
    assert tones == [None] * 4 + ["0.62"] * 4


def test_one_scale_serves_several_drawings() -> None:
    shapes = [a.model_dump(mode="json") for a in (WINNER, LLAMA_SHAPE)]
    scale = widest(shapes)
    first, second = (
        float(rects(draw(s, widest_features=scale), "feed-forward")[0].get("width") or 0)
        for s in shapes
    )
    assert abs(first / second - 768 / 864) < 0.005


def test_long_runs_are_drawn_by_their_ends() -> None:
    deep = llama(depth=40, width=64, heads=2, groups=1, ffn=128, vocab=300).model_dump(mode="json")
    svg = draw(deep)
    assert len(rects(svg, "feed-forward")) == 16
    assert "24 more" in svg
    assert "layers 1 to 40" in svg


def test_parallel_blocks_stand_side_by_side() -> None:
    svg = draw(PHI_SHAPE.model_dump(mode="json"))
    rows = {r.get("y") for r in rects(svg, "attention")}
    assert rows == {r.get("y") for r in rects(svg, "feed-forward")}


def test_experts_in_use_are_filled() -> None:
    layer = {
        "mixer": {"type": "attention", "num_attention_heads": 2, "head_dim": 32, "rope": None},
        "feed_forward": {
            "type": "moe",
            "intermediate_size": 64,
            "num_local_experts": 4,
            "num_experts_per_tok": 2,
        },
    }
    svg = draw({**WINNER_JSON, "layers": [layer]})
    cells = rects(svg, "feed-forward")
    assert [cell.get("fill") == "var(--page)" for cell in cells] == [False, False, True, True]
    assert "4 experts, 2 used" in svg
    assert "no position" in svg


def test_unknown_blocks_are_named() -> None:
    layer = {"mixer": {"type": "<new>"}, "feed_forward": {"type": "also_new"}}
    svg = draw({**WINNER_JSON, "layers": [layer]})
    assert "&lt;new&gt;" in svg
    assert "also new" in svg


def test_the_words_tell_the_same() -> None:
    words = describe(WINNER_JSON)
    for part in ("10 layers", "256 wide", "vocabulary 4096", "tied", "8 heads", "2 kv", "768"):
        assert part in words
