"""The `[space]` section, the spaces by name, and the published models they contain."""

import pytest

from archsmith import presets as models
from archsmith.config import validate
from archsmith.errors import ConfigError
from archsmith.space import presets
from archsmith.space.dimensions import Vocabulary
from archsmith.space.presets import SpaceConfig

_PHI = presets.phi()
_PHI_MODELS = sorted(name for name in models.PRESETS if name.startswith("phi"))


@pytest.mark.parametrize("name", _PHI_MODELS)
def test_the_phi_space_contains_every_phi(name):
    assert len(_PHI_MODELS) == 12
    model = models.PRESETS[name]()
    assert _PHI.contains(model)
    assert _PHI.build(_PHI.locate(model)) == model
    assert len(_PHI.neighbours(model)) > 5


def test_what_no_file_holds_is_left_out_of_the_phi_space_for_it():
    exportable, reasons = _PHI.exportable_to(("huggingface", "gguf"))
    families = {branch.family.name for branch in exportable.branches}
    assert {"phi", "phi3"} <= families
    assert not families & {"phi_moe", "phi_3_small"}
    assert any("block_sparse_attention" in reason for reason in reasons)
    for name in ("phi_1", "phi_2", "phi_3_mini", "phi_3_medium", "phi_4"):
        assert exportable.contains(models.PRESETS[name]())
    for name in ("phi_3_small", "phi_3_5_moe"):
        assert not exportable.contains(models.PRESETS[name]())


def test_long_rope_is_offered_for_contexts_that_need_it():
    for context, wanted in ((512, False), (8192, True)):
        space = presets.phi(vocabularies=((999, context),), families=("phi3",))
        offered = space.branches[0].choices("long_rope")
        assert offered[0] is None
        assert (len(offered) > 1) == wanted


def test_the_section_is_read_as_people_write_it():
    data = {
        "preset": "llama",
        "max_params": "2M",
        "hidden_sizes": [64, 96],
        "depths": [4, 2],
        "vocabularies": [[512, 256]],
        "quantizations": ["q8_0", "Q4_0"],
    }
    space = validate(SpaceConfig, data, source="search.toml").build()
    assert {point.vocab_size for point in space.points()} == {512}
    assert {point.num_hidden_layers for point in space.points()} == {2, 4}
    assert {point.quantization for point in space.points()} == {"Q8_0", "Q4_0"}
    assert all(point.num_params <= 2e6 for point in space.points())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"familes": ["llama"]}, "familes: unknown key; did you mean 'families'"),
        ({"families": ["lama"]}, "families: unknown famil.* 'lama'; did you mean 'llama'"),
        ({"hidden_sizes": [100]}, "hidden_sizes: widths are multiples of 32, got 100"),
        ({"depths": []}, "depths: needs at least one choice"),
        ({"max_params": "10 dozen"}, "max_params: .*cannot read '10 dozen'"),
        ({"preset": "moon"}, "preset: .*'portable', 'llama', 'moe', 'mixed' or 'phi'"),
        ({"num_experts": [8]}, "num_experts is of no use in the families llama, .*mixtral"),
        ({"window_shares": [0.5], "families": ["phi"]}, "no use .* phi; add one of granite_swa"),
        ({"window_shares": [1.5], "families": ["granite_swa"]}, "window_shares.0: .*less than or"),
        ({"full_attention_every": [1]}, "full_attention_every.0: .*greater than or equal to 2"),
    ],
)
def test_a_wrong_section_is_told_what_would_work(data, message):
    with pytest.raises(ConfigError, match=message):
        validate(SpaceConfig, data, source="search.toml")


def test_vocabularies_of_the_users_tokenizer_stand_where_none_are_named():
    given = [Vocabulary(300, 64), Vocabulary(700, 48)]
    assert _vocabularies(SpaceConfig(preset="llama", depths=(2,)).build(given)) == set(given)
    named = SpaceConfig(preset="llama", depths=(2,), vocabularies=(Vocabulary(999, 32),))
    assert _vocabularies(named.build(given)) == {Vocabulary(999, 32)}


def _vocabularies(space):
    branch = space.branches[0]
    return set(branch.dimensions[branch.slots["vocabulary"]].choices)


def test_the_sizes_of_the_named_spaces_are_those_documented():
    assert presets.tiny().size() == 9120
    assert round(presets.portable().log10_size(), 1) == 7.2
