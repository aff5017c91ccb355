"""The space of architectures: its contract, its exact size, and its moves."""

import math
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archsmith import registry
from archsmith.errors import ConfigError
from archsmith.export.carriers import unsupported
from archsmith.space import presets
from archsmith.space.dimensions import Dimension, Vocabulary, equal_context
from archsmith.testing.space import FamilyContract, SpaceContract

TINY = presets.tiny()


@pytest.mark.parametrize(
    "settings", [{}, {"max_params": 60_000}, {"families": ("phi",)}], ids=["all", "capped", "phi"]
)
class TestTinySpace(SpaceContract):
    @pytest.fixture
    def space(self, settings):
        return presets.tiny(**settings)


class TestPortableSpace(SpaceContract):
    @pytest.fixture
    def space(self):
        return _PORTABLE


_PORTABLE = presets.portable(max_params="30M")


@pytest.mark.parametrize("name", registry.names("families"))
class TestEveryFamily(FamilyContract):
    @pytest.fixture
    def family(self, name):
        return registry.find("families", name)


@pytest.mark.parametrize("settings", [{}, {"max_params": 60_000}, {"families": ("llama", "phi")}])
def test_the_size_is_exactly_what_enumeration_counts(settings):
    space = presets.tiny(depths=(1, 2, 4), hidden_sizes=(32, 64, 256), **settings)
    points = list(space.points())
    assert space.size() == len(points) == len(set(points))
    assert space.log10_size() == pytest.approx(math.log10(len(points)))


def test_every_point_is_found_where_it_was_built():
    for point in presets.tiny(depths=(1, 2), hidden_sizes=(32, 64)).points():
        location = TINY.locate(point)
        assert location is not None
        assert TINY.build(location) == point


def test_samples_spread_evenly_over_a_family():
    space = presets.tiny(families=("llama",), max_params=40_000, quantizations=("Q8_0",))
    rng, draws = random.Random(0), 40 * space.size()
    counts = Counter(space.sample(rng) for _ in range(draws))
    assert len(counts) == space.size()
    assert max(counts.values()) < 40 + 6 * math.sqrt(40)


def test_neighbours_reach_every_point():
    space = presets.tiny(depths=(1, 2), hidden_sizes=(32, 64), head_dims=(16, 32))
    seen, front = set(), [space.sample(random.Random(0))]
    while front:
        point = front.pop()
        if point not in seen:
            seen.add(point)
            front += space.neighbours(point)
    assert len(seen) == space.size()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_mutation_keeps_within_the_parameters_allowed(seed):
    rng = random.Random(seed)
    point = _PORTABLE.sample(rng)
    for _ in range(10):
        point = _PORTABLE.mutate(point, rng)
        assert point.num_params <= 30e6


def test_switching_the_family_keeps_what_both_have():
    rng = random.Random(0)
    switched = []
    for _ in range(400):
        point = TINY.sample(rng)
        mutant = TINY.mutate(point, rng)
        before, after = TINY.values(point), TINY.values(mutant)
        if before["family"] != after["family"]:
            switched.append((before, after))
    assert 10 < len(switched) < 100
    for before, after in switched:
        for name in ("hidden_size", "num_hidden_layers", "vocabulary"):
            assert before[name] == after[name]


def test_k_quants_are_offered_only_where_blocks_of_256_fit():
    rng = random.Random(0)
    for _ in range(300):
        point = _PORTABLE.sample(rng)
        assert "_K" not in point.quantization or point.hidden_size % 256 == 0
    told = presets.tiny(hidden_sizes=(96,), quantizations=("Q4_K_M",), k_quant_fallback=True)
    assert told.sample(rng).quantization == "Q4_K_M"


def test_a_llama_stands_only_once_in_a_space_with_phi3():
    both = presets.tiny(families=("llama", "phi3"))
    factors = {
        TINY.values(p).get("partial_rotary_factor") for p in both.points() if p.layers[0].mixer.rope
    }
    assert factors == {None, 0.5}
    alone = presets.tiny(families=("phi3",))
    assert any(p.layers[0].mixer.rope.partial_rotary_factor == 1.0 for p in alone.points())


def test_of_ratios_that_give_one_width_the_first_stands():
    space = presets.tiny(hidden_sizes=(32,), intermediate_ratios=(1.0, 1.2, 2.0))
    widths = {point.layers[0].feed_forward.intermediate_size for point in space.points()}
    assert widths == {32, 64}
    assert space.size() == len(set(space.points()))


def test_what_is_exportable_is_exported_by_every_target():
    targets = ("huggingface", "gguf")
    exportable, reasons = _PORTABLE.exportable_to(targets)
    assert exportable.size() == _PORTABLE.size()  # the portable space promises this
    assert reasons == ()
    rng = random.Random(4)
    for _ in range(50):
        assert unsupported(exportable.sample(rng), targets) == []


def test_what_a_target_refuses_is_left_out_with_the_reason(monkeypatch):
    def refuse(architecture, targets):
        return ["phi: tied tables are not read"] if architecture.tie_word_embeddings else []

    monkeypatch.setattr("archsmith.space.exportable.unsupported", refuse)
    exportable, reasons = TINY.exportable_to(("gguf",))
    assert reasons == ("phi: tied tables are not read",)
    assert exportable.size() == sum(not point.tie_word_embeddings for point in TINY.points())
    assert not any(point.tie_word_embeddings for point in exportable.points())


def test_a_space_can_be_restricted():
    narrow = TINY.restrict(family=["qwen3"], hidden_size=[64, 96], quantization=["Q8_0"])
    assert {point.hidden_size for point in narrow.points()} == {64, 96}
    assert all(point.layers[0].mixer.qk_norm for point in narrow.points())
    with pytest.raises(ConfigError, match=r"hidden_size: none of .* is offered"):
        TINY.restrict(hidden_size=[100])


def test_the_nearest_member_of_a_foreign_network_is_of_its_family():
    foreign = presets.tiny(hidden_sizes=(192,), depths=(5,), families=("qwen3",))
    near = TINY.nearest(next(iter(foreign.points())))
    assert near is not None
    assert (near.hidden_size, near.num_hidden_layers) == (256, 6)
    assert near.layers[0].mixer.qk_norm


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_params": 10}, "even the smallest network has more than max_params = 10"),
        ({"hidden_sizes": (32,), "head_dims": (64,)}, "no width, head size and quantization"),
    ],
)
def test_an_empty_space_says_why(settings, message):
    with pytest.raises(ConfigError, match=message):
        presets.tiny(**settings)


def test_positions_are_distinct_and_logarithmic():
    assert Dimension("width", (32, 64, 128)).positions == pytest.approx((0.0, 0.5, 1.0))
    assert Dimension("tied", (True, False)).positions == (0.0, 1.0)
    assert Dimension("one", (7,)).positions == (0.0,)
    same_size = (Vocabulary(512, 64), Vocabulary(512, 96), Vocabulary(999, 64))
    assert Dimension("vocabulary", same_size).positions == (0.0, 0.5, 1.0)


def test_contexts_of_all_vocabularies_cover_equal_bytes():
    vocabularies = equal_context({512: 2.0, 4096: 3.5}, context_bytes=2048)
    assert vocabularies == (Vocabulary(512, 1024), Vocabulary(4096, 592))
