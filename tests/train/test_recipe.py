import pytest
import torch
from train_helpers import tiny

from archsmith.config import validate
from archsmith.errors import ConfigError
from archsmith.model.transformer import build
from archsmith.train import precision
from archsmith.train.learner import Learner
from archsmith.train.parametrization import tensor_rule
from archsmith.train.precision import choose_dtype
from archsmith.train.recipe import DEFAULTS, Recipe
from archsmith.train.schedule import cooldown_factor, warmup_factor
from archsmith.train.weights import FlatWeights


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_the_learning_rate_follows_the_optimizer_unless_given(optimizer):
    assert Recipe(optimizer=optimizer).learning_rate == DEFAULTS[optimizer]["learning_rate"]
    given = Recipe(optimizer=optimizer, learning_rate=0.5)
    assert given.learning_rate == 0.5
    assert Recipe.model_validate(given.model_dump()) == given


def test_a_mistyped_setting_is_refused_with_a_suggestion():
    with pytest.raises(ConfigError, match="did you mean 'learning_rate'"):
        validate(Recipe, {"learning_rat": 1}, source="search.toml")
    with pytest.raises(ConfigError, match="optimizer: Input should be 'muon' or 'adamw'"):
        validate(Recipe, {"optimizer": "sgd"}, source="search.toml")


def test_warmup_rises_to_one_and_stays():
    factors = [warmup_factor(step, warmup_steps=4) for step in range(6)]
    assert factors == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert warmup_factor(0, warmup_steps=0) == 1.0


@pytest.mark.parametrize("shape", ["linear", "1-sqrt"])
def test_cooldown_falls_all_the_way_and_its_last_update_still_moves(shape):
    factors = [cooldown_factor(done, num_steps=50, shape=shape) for done in range(50)]
    assert factors == sorted(factors, reverse=True)
    assert factors[0] < 1.0
    assert 0.0 < factors[-1] < 0.05


def rules(recipe, **changes):
    architecture = tiny(**changes)
    model = build(architecture, seed=None, device="meta")
    return {
        name: tensor_rule(name, tuple(p.shape), architecture=architecture, recipe=recipe)
        for name, p in model.named_parameters()
    }


def test_muon_moves_hidden_matrices_alone():
    found = rules(Recipe(optimizer="muon"), tie_word_embeddings=False)
    moved = {name for name, rule in found.items() if rule.muon}
    assert all("proj" in name for name in moved)
    assert {name for name in found if "proj" in name} == moved
    assert found["lm_head.weight"].decay == found["model.norm.weight"].decay == 0.0


def test_rates_fall_with_width_where_mup_says_so():
    recipe = Recipe(optimizer="adamw", learning_rate=1.0, embedding_learning_rate=1.0)
    narrow = rules(recipe, tie_word_embeddings=False)
    wide = rules(recipe, hidden_size=128, tie_word_embeddings=False)
    ratio = {name: wide[name].learning_rate / narrow[name].learning_rate for name in wide}
    assert ratio["model.layers.0.self_attn.q_proj.weight"] == 0.25
    assert ratio["lm_head.weight"] == 0.25
    assert ratio["model.embed_tokens.weight"] == ratio["model.norm.weight"] == 1.0
    tied = [rules(recipe, hidden_size=size)["model.embed_tokens.weight"] for size in (32, 128)]
    assert tied[1].learning_rate / tied[0].learning_rate == 0.5


def test_what_a_layer_adds_falls_with_depth():
    recipe = Recipe()
    layer = tiny().layers[0]
    shallow, deep = rules(recipe), rules(recipe, layers=[layer] * 8)
    for name in ("self_attn.o_proj", "mlp.down_proj"):
        name = f"model.layers.0.{name}.weight"
        assert deep[name].learning_rate / shallow[name].learning_rate == 0.25
    name = "model.layers.0.mlp.up_proj.weight"
    assert deep[name].learning_rate == shallow[name].learning_rate


def test_dtype_is_as_asked_and_auto_is_the_faster(monkeypatch):
    cpu = torch.device("cpu")
    assert choose_dtype("float32", cpu) == torch.float32
    assert choose_dtype("bfloat16", cpu) == torch.bfloat16
    assert precision.bfloat16_speed_up() > 0.0
    for gain, expected in ((0.5, torch.float32), (2.2, torch.bfloat16)):
        monkeypatch.setattr(precision, "bfloat16_speed_up", lambda gain=gain: gain)
        assert choose_dtype("auto", cpu) == expected


def test_weights_that_share_an_input_are_neighbours_in_memory():
    model = build(tiny())
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    weights = FlatWeights(model, dtype=torch.bfloat16)
    attention = model.model.layers[0].self_attn
    start = attention.q_proj.weight.storage_offset()
    assert attention.k_proj.weight.storage_offset() == start + attention.q_proj.weight.numel()
    for slot in weights.slots:
        assert torch.equal(slot.master, before[slot.name])
        assert torch.equal(slot.parameter, before[slot.name].bfloat16())
    weights.master.zero_()
    weights.publish()
    assert not attention.q_proj.weight.any()


def test_one_update_of_a_wider_model_moves_its_features_as_much():
    """muP's purpose: the change of logits in early updates does not grow with width."""
    changes = {}
    for width in (32, 128):
        architecture = tiny(hidden_size=width, tie_word_embeddings=False)
        recipe = Recipe(optimizer="adamw", dtype="float32", warmup_steps=0)
        learner = Learner(
            architecture,
            recipe=recipe,
            seed=0,
            device=torch.device("cpu"),
            dtype=torch.float32,
        )
        generator = torch.Generator().manual_seed(0)
        tokens = torch.randint(280, (4, 25), generator=generator)
        before = learner.model()(tokens)
        for number in range(3):
            learner.update(tokens.numpy(), number=number, factor=1.0)
        changes[width] = float((learner.model()(tokens) - before).detach().std())
    assert 0.5 < changes[128] / changes[32] < 2.0
