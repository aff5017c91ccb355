"""Drawings of architectures: true widths, every block, words for those who cannot see."""

import xml.etree.ElementTree as ET

from example_study import LLAMA_SHAPE, PHI_SHAPE, WINNER, llama

from archsmith.presets import phi_3_5_moe, phi_3_small
from archsmith.report.drawing import MAX_BAR_PX, draw, widest
from archsmith.report.layer_words import describe

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


def with_experts(**block: int) -> str:
    layer = {
        "mixer": {"type": "attention", "num_attention_heads": 2, "head_dim": 32, "rope": None},
        "feed_forward": {
            "type": "mixture_of_experts",
            "moe_intermediate_size": 64,
            "num_experts": 4,
            "num_experts_per_tok": 2,
            **block,
        },
    }
    return draw({**WINNER_JSON, "layers": [layer]})


def test_experts_in_use_are_filled() -> None:
    svg = with_experts()
    cells = rects(svg, "feed-forward")
    assert [cell.get("fill") == "var(--page)" for cell in cells] == [False, False, True, True]
    assert len({cell.get("width") for cell in cells}) == 1
    assert "4 experts \u00d7 64, 2 used" in svg
    assert "no position" in svg


def test_a_shared_expert_comes_first() -> None:
    svg = with_experts(shared_expert_intermediate_size=128)
    widths = [float(cell.get("width") or 0) for cell in rects(svg, "feed-forward")]
    assert widths[0] > 1.9 * widths[1]
    assert "shared expert 128" in svg


def test_many_idle_experts_stay_on_the_line() -> None:
    svg = with_experts(num_experts=256, moe_intermediate_size=512)
    used, other, idle = rects(svg, "feed-forward")
    assert used.get("width") == other.get("width")
    assert idle.get("fill") == "var(--page)"
    assert float(idle.get("x") or 0) + float(idle.get("width") or 0) <= MAX_BAR_PX + 0.1


def test_windows_long_rope_and_block_sparse_layers_are_named() -> None:
    small = draw(phi_3_small().model_dump(mode="json"))
    assert "block-sparse" in small
    long = draw(phi_3_5_moe().model_dump(mode="json"))
    assert "LongRoPE" in long
    assert "16 experts \u00d7 6400, 2 used" in long


def test_a_pattern_is_drawn_once() -> None:
    svg = draw(phi_3_small().model_dump(mode="json"))
    assert len(rects(svg, "feed-forward")) == 2
    assert "30 more" in svg
    assert "layers 3 to 32: the same in turn" in svg
    assert "and so on in turn" in describe(phi_3_small().model_dump(mode="json"))
    layers = WINNER_JSON["layers"]
    other = {**layers[0], "residual": "parallel"}
    unlike = draw({**WINNER_JSON, "layers": [other, *layers[1:]]})
    assert len(rects(unlike, "feed-forward")) == len(layers)


def test_unknown_blocks_are_named() -> None:
    layer = {"mixer": {"type": "<new>"}, "feed_forward": {"type": "also_new"}}
    svg = draw({**WINNER_JSON, "layers": [layer]})
    assert "&lt;new&gt;" in svg
    assert "also new" in svg


def test_the_words_tell_the_same() -> None:
    words = describe(WINNER_JSON)
    for part in ("10 layers", "256 wide", "vocabulary 4096", "tied", "8 heads", "2 kv", "768"):
        assert part in words
