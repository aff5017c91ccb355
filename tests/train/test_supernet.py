"""Shared weights: what an update of each method trains, what its policy learns, and resuming."""

import itertools

import numpy as np
import pytest
import torch
from train_helpers import tiny

from archsmith.architecture.elastic import Elastic, ElasticDimension, Sizes, shrink
from archsmith.data.loader import BatchOrder
from archsmith.errors import CheckpointError, ConfigError, DivergedError
from archsmith.model.transformer import build, load_numpy, to_numpy
from archsmith.train import supernet_methods
from archsmith.train.learner import Learner
from archsmith.train.member_policy import MemberPolicy
from archsmith.train.recipe import Recipe
from archsmith.train.shared_weights import SharedWeights
from archsmith.train.supernet import Supernet, inherit, read_supernet
from archsmith.train.supernet_methods import METHODS, Parts
from archsmith.train.supernet_plan import SupernetPlan

CPU = torch.device("cpu")
RECIPE = Recipe(batch_tokens=48, warmup_steps=2, dtype="float32", embedding_learning_rate=0.004)


def networks(depths=(1, 2), widths=(32, 16), units=(16, 48), heads_per_group=1):
    """Parts of a network of two layers; heads of 16 features."""
    options = list(itertools.product(range(len(depths)), range(len(widths)), range(len(units))))
    sizes = []
    for depth, width, unit in options:
        heads = widths[width] // 16
        sizes.append(
            Sizes(depths[depth], widths[width], units[unit], heads, heads // heads_per_group)
        )
    kinds = {"num_hidden_layers": depths, "hidden_size": widths, "intermediate_ratio": units}
    mixer = {"type": "attention", "head_dim": 16, "num_attention_heads": 2}
    layer = {
        "mixer": {**mixer, "num_key_value_heads": 2 // heads_per_group},
        "feed_forward": {"type": "gated_mlp", "intermediate_size": max(units)},
    }
    return Elastic(
        largest=tiny(layers=[layer] * max(depths)),
        dimensions=tuple(
            ElasticDimension(name, tuple(map(repr, choices))) for name, choices in kinds.items()
        ),
        members=tuple(options),
        sizes=tuple(sizes),
    )


def shared_weights(elastic, recipe=RECIPE, dtype=torch.float32):
    return SharedWeights(elastic.largest, recipe=recipe, seed=0, device=CPU, dtype=dtype)


def batch(seed=0):
    return np.random.default_rng(seed).integers(280, size=(2, 25))


def gradients(shared):
    return {slot.name: slot.gradient.clone() for slot in shared._weights.slots}


@pytest.fixture
def make_method(tokens, held_out):
    def make(name, elastic=None, **plan):
        elastic = elastic or networks()
        orders = [
            BatchOrder(file, context_tokens=24, batch_size=2, seed=0) for file in (tokens, held_out)
        ]
        plan = SupernetPlan(method=name, train_bytes=1000, **plan)
        return METHODS[name](Parts(shared_weights(elastic), elastic, *orders, plan, 0))

    return make


@pytest.fixture
def make_supernet(tokens, held_out):
    def make(method, elastic=None, recipe=RECIPE, train_bytes=1000, **plan):
        plan = SupernetPlan(method=method, train_bytes=train_bytes, **plan)
        return Supernet(
            elastic or networks(),
            plan=plan,
            recipe=recipe,
            seed=0,
            tokens=tokens,
            held_out=held_out,
        )

    return make


def test_gradients_of_parts_add_up_where_they_overlap():
    elastic = networks()
    shared = shared_weights(elastic)
    parts = [elastic.smallest, elastic.largest, elastic.member(1)]
    tokens = shared.tokens(batch())
    shared.clear_gradients()
    for part in parts:
        shared.add_gradients(part, tokens, 1 / 3)
    found = gradients(shared)
    expected = {name: torch.zeros_like(gradient) for name, gradient in found.items()}
    for part in parts:
        alone = shared.copy(part)
        alone.loss(tokens[:, :-1], tokens[:, 1:]).backward()
        for name, parameter in alone.named_parameters():
            expected[name][tuple(slice(0, n) for n in parameter.shape)] += parameter.grad / 3
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_an_update_of_the_largest_alone_is_the_plain_learners(optimizer):
    elastic, recipe = networks(), Recipe(optimizer=optimizer, dtype="float32")
    shared = shared_weights(elastic, recipe)
    learner = Learner(elastic.largest, recipe=recipe, seed=0, device=CPU, dtype=torch.float32)
    for number in range(2):
        (nats,) = shared.update([elastic.largest], batch(number), number=number, factor=0.5)
        assert nats == pytest.approx(
            learner.update(batch(number), number=number, factor=0.5), rel=1e-6
        )
    masters = learner.masters()
    for name, master in shared.masters().items():
        torch.testing.assert_close(master, masters[name], rtol=1e-5, atol=1e-6)


def test_what_a_part_does_not_use_it_does_not_move():
    """AdamW without decay leaves alone what has no gradient."""
    elastic = networks()
    recipe = Recipe(optimizer="adamw", weight_decay=0, dtype="float32")
    shared = shared_weights(elastic, recipe)
    before = {name: master.clone() for name, master in shared.masters().items()}
    part = elastic.smallest
    shared.update([part], batch(), number=0, factor=1.0)
    own = dict(build(part, seed=None).named_parameters())
    for name, master in shared.masters().items():
        moved = (master != before[name]).nonzero()
        if name not in own:
            assert not len(moved), name
            continue
        assert len(moved)
        assert (moved < torch.tensor(own[name].shape)).all(), name


def test_bfloat16_parts_compute_with_the_shared_weights():
    elastic = networks()
    shared = shared_weights(elastic, dtype=torch.bfloat16)
    first = shared.nats(elastic.smallest, batch())
    for number in range(8):
        shared.update([elastic.largest, elastic.smallest], batch(), number=number, factor=1.0)
    assert shared.nats(elastic.smallest, batch()) < first - 0.05
    assert shared.copy(elastic.smallest).lm_head.weight.dtype == torch.float32


def test_a_loss_that_is_not_finite_is_caught_before_it_moves_anything():
    elastic = networks()
    shared = shared_weights(elastic)
    shared.masters()["model.norm.weight"].fill_(float("nan"))
    before = shared.masters()["model.embed_tokens.weight"].clone()
    with pytest.raises(DivergedError, match="step 7"):
        shared.update([elastic.smallest], batch(), number=7, factor=1.0)
    assert torch.equal(shared.masters()["model.embed_tokens.weight"], before)


def recorded(method, monkeypatch):
    """The networks of every update, as the method asks for them."""
    seen = []
    update = method.parts.shared.update

    def record(parts, *args, **kwargs):
        seen.append(list(parts))
        return update(parts, *args, **kwargs)

    monkeypatch.setattr(method.parts.shared, "update", record)
    return seen


def test_a_sandwich_is_the_largest_the_smallest_and_two_at_random(make_method, monkeypatch):
    method = make_method("sandwich")
    elastic = method.parts.elastic
    seen = recorded(method, monkeypatch)
    updates = [method.update(number, 1.0, warm=True) for number in range(6)]
    members = {elastic.member(number) for number in range(len(elastic.members))}
    for parts in seen:
        assert len(parts) == 4
        assert (parts[0], parts[-1]) == (elastic.smallest, elastic.largest)
        assert set(parts[1:-1]) <= members
    assert len({tuple(parts) for parts in seen}) > 3
    per_token = sum(part.flops_per_token(24) for part in seen[0])
    assert updates[0].flops == 3 * 48 * per_token


def test_a_single_path_is_exactly_one_network_and_all_come_up(make_method, monkeypatch):
    method = make_method("single_path")
    elastic = method.parts.elastic
    seen = recorded(method, monkeypatch)
    for number in range(40):
        method.update(number, 0.1, warm=True)
    assert all(len(parts) == 1 for parts in seen)
    members = [elastic.member(number) for number in range(len(elastic.members))]
    counts = [sum(parts[0] == member for parts in seen) for member in members]
    assert sum(counts) == 40
    assert min(counts) >= 1


def test_smallest_is_the_member_with_the_fewest_parameters():
    elastic = networks()
    assert elastic.smallest == shrink(elastic.largest, Sizes(1, 16, 16, 1, 1))


def test_policy_is_uniform_over_the_members_that_exist():
    whole = networks()
    some = Elastic(whole.largest, whole.dimensions, whole.members[1:4], whole.sizes[1:4])
    policy = MemberPolicy(some, learning_rate=0.1, betas=(0.0, 0.9))
    shares = policy.log_probabilities(policy.logits).exp()
    torch.testing.assert_close(shares, torch.full((3,), 1 / 3))
    drawn = {policy.draw(np.random.default_rng(seed)) for seed in range(20)}
    assert drawn == {0, 1, 2}
    assert set(policy.named_logits()) == {
        "num_hidden_layers=1", "num_hidden_layers=2", "hidden_size=32", "hidden_size=16",
        "intermediate_ratio=16", "intermediate_ratio=48",
    }  # fmt: skip


def reinforced(enas, rewarded, steps):
    """Draw and learn; then how likely what is rewarded has become."""
    rng = np.random.default_rng(0)
    for _ in range(steps):
        member = enas.policy.draw(rng)
        enas.reinforce(member, 1.0 if rewarded[member] else 0.5)
    return float(enas.policy.log_probabilities().exp()[rewarded].sum())


def test_what_is_rewarded_more_becomes_likelier(make_method):
    enas = make_method("enas")
    wide = torch.tensor([options[2] == 1 for options in enas.parts.elastic.members])
    assert reinforced(enas, wide, 0) == pytest.approx(0.5, abs=0.01)
    assert reinforced(enas, wide, 100) > 0.85
    logits = enas.logits()
    assert logits["intermediate_ratio=48"] > logits["intermediate_ratio=16"] + 1
    assert abs(logits["hidden_size=32"]) < logits["intermediate_ratio=48"] / 2


def test_enas_learns_that_one_choice_hangs_on_another(make_method):
    """Deep or wide pays, not both: independent logits could hold on to one of the two alone."""
    enas = make_method("enas", entropy_coef=0.01)
    members = enas.parts.elastic.members
    unlike = torch.tensor([depth != width for depth, width, _ in members])
    assert reinforced(enas, unlike, 150) > 0.85
    marginals = enas.policy.marginals()
    assert min(shares.min() for shares in marginals[:2]) > 0.2  # it draws both kinds
    product = sum(
        np.prod([shares[option] for shares, option in zip(marginals, options, strict=True)])
        for options, paid in zip(members, unlike, strict=True)
        if paid
    )
    assert product < 0.7


def test_enas_alternates_and_rewards_held_out_text(make_method, monkeypatch):
    enas = make_method("enas", shared_steps=3, policy_steps=2)
    seen = recorded(enas, monkeypatch)
    rewards, asked = [], []
    monkeypatch.setattr(enas, "reinforce", lambda member, reward: rewards.append(reward))
    held_out = enas.parts.held_out
    plain = held_out.batch
    monkeypatch.setattr(held_out, "batch", lambda step: asked.append(step) or plain(step))
    flops = []
    for number in range(6):
        flops.append(enas.update(number, 1.0, warm=number > 2).flops)
    assert all(len(parts) == 1 for parts in seen)
    assert len(rewards) == len(asked) == 2  # after the sixth alone: the third was not yet warm
    assert all(-7 < reward < -3 for reward in rewards)
    assert flops[5] > min(flops[:5])


def test_a_reward_is_compared_with_the_average_before_it(make_method):
    enas = make_method("enas", entropy_coef=0.0)
    before = enas.policy.log_probabilities()
    enas.reinforce(0, -2.0)  # the first is its own baseline
    assert torch.equal(enas.policy.log_probabilities(), before)
    enas.reinforce(0, -3.0)  # worse than the average: less likely
    assert enas.policy.log_probabilities()[0] < before[0]


def test_entropy_keeps_a_policy_open(make_method):
    entropies = []
    for entropy_coef in (0.0, 1.0):
        enas = make_method("enas", entropy_coef=entropy_coef)
        deep = torch.tensor([options[0] == 1 for options in enas.parts.elastic.members])
        reinforced(enas, deep, 80)
        entropies.append(float(enas.policy.likelihood(0).entropy.detach()))
    assert entropies[0] < entropies[1] - 0.3


def spoil_upper_units(shared, first):
    """Feed-forward units from `first` on add noise to the residual."""
    generator = torch.Generator().manual_seed(0)
    for name, master in shared.masters().items():
        if "down_proj" in name:
            noise = torch.randn(master[:, first:].shape, generator=generator)
            master[:, first:] = 3 * noise
    shared.publish()


def test_alphas_move_to_the_options_with_the_lower_held_out_loss(make_method):
    darts = make_method("darts")
    shared, elastic = darts.parts.shared, darts.parts.elastic
    small, large = (shrink(elastic.largest, Sizes(2, 32, units, 2, 2)) for units in (16, 48))
    for number in range(12):
        shared.update([small], darts.parts.order.batch(number), number=number, factor=1.0)
    spoil_upper_units(shared, 16)
    held_out = darts.parts.held_out.batch(0)
    assert shared.nats(small, held_out) < shared.nats(large, held_out) - 0.1
    before = {name: master.clone() for name, master in shared.masters().items()}
    for number in range(25):
        darts.learn(number)
    logits = darts.logits()
    assert logits["intermediate_ratio=16"] > logits["intermediate_ratio=48"] + 0.3
    for name, master in shared.masters().items():
        assert torch.equal(master, before[name])  # the softmax alone learns from held-out text


def test_masks_are_the_softmax_summed_over_members(make_method):
    darts = make_method("darts")
    masks = darts.masks(darts.policy.logits)
    half = torch.tensor(0.5)
    assert masks.layers.tolist() == pytest.approx([1.0, 0.5])
    torch.testing.assert_close(
        masks.features[[0, 15, 16, 31]], torch.stack([half * 2] * 2 + [half] * 2)
    )
    assert masks.units.sum() == pytest.approx(32)
    certain = torch.tensor([30.0, 0, 0, 30, 30, 0])
    assert darts.masks(certain).heads.tolist() == pytest.approx([1.0, 0.0], abs=1e-6)


def test_a_certain_softmax_trains_exactly_its_network(make_method):
    darts = make_method("darts")
    darts.policy.logits.copy_(torch.tensor([90.0, 0, 0, 90, 90, 0]))
    network = shrink(darts.parts.elastic.largest, Sizes(1, 16, 16, 1, 1))
    expected = darts.parts.shared.nats(network, darts.parts.order.batch(0))
    assert darts.update(0, 1.0, warm=False).nats == pytest.approx(expected, rel=1e-5)


def test_darts_refuses_what_masks_cannot_mix(make_method):
    mixed = networks()
    sizes = [
        size._replace(num_key_value_heads=1) if number % 2 else size
        for number, size in enumerate(mixed.sizes)
    ]
    mixed = Elastic(mixed.largest, mixed.dimensions, mixed.members, tuple(sizes))
    with pytest.raises(ConfigError, match="share a key head"):
        make_method("darts", mixed)


@pytest.mark.parametrize("method", list(METHODS))
def test_an_interrupted_training_ends_in_the_same_bits(make_supernet, tmp_path, method):
    # policies learn from the third update on, before the interruption and after it
    plan = {"train_bytes": 900, "shared_steps": 1, "policy_steps": 2}
    whole = make_supernet(method, **plan)
    assert whole.num_steps >= 5
    assert whole.run()
    begun = make_supernet(method, **plan)
    calls = iter(range(3))
    assert not begun.run(should_stop=lambda: next(calls, None) is None)
    assert begun.step == 3
    begun.save(tmp_path)
    resumed = make_supernet(method, **plan)
    resumed.resume(tmp_path)
    assert resumed.run()
    assert resumed.flops == whole.flops
    assert resumed.method.logits() == whole.method.logits()
    for kind, tensors in whole._tensors().items():
        for name, tensor in resumed._tensors()[kind].items():
            assert torch.equal(tensor, tensors[name]), name


def test_training_lowers_the_loss_of_every_part(make_supernet):
    supernet = make_supernet("sandwich", train_bytes=3000)
    elastic, readings = supernet.elastic, []
    before = [supernet.shared.nats(elastic.member(n), batch()) for n in range(8)]
    assert supernet.run(on_progress=readings.append)
    text = supernet._order.batch(0)
    after = [supernet.shared.nats(elastic.member(n), text) for n in range(8)]
    assert all(late < early - 0.4 for late, early in zip(after, before, strict=True))
    assert readings[-1].step == supernet.num_steps
    assert readings[-1].bits_per_byte < readings[0].bits_per_byte
    assert supernet._factor() < 0.3  # the rate has come down


def test_a_saved_supernet_gives_its_parts(make_supernet, tmp_path):
    supernet = make_supernet("enas")
    supernet.run()
    supernet.save(tmp_path)
    manifest = read_supernet(tmp_path)
    assert manifest.finished
    assert manifest.logits == supernet.method.logits()
    part = supernet.elastic.member(3)
    expected = to_numpy(supernet.shared.copy(part))
    model = build(part, seed=None)
    load_numpy(model, expected)
    for name, weight in to_numpy(inherit(tmp_path, part)).items():
        assert (weight == expected[name]).all()
    supernet.save(tmp_path)  # the files of before are gone
    assert len(list(tmp_path.glob("*.safetensors"))) == 3


def test_another_plan_is_not_gone_on_with(make_supernet, tmp_path):
    make_supernet("sandwich").save(tmp_path)
    with pytest.raises(CheckpointError, match="another plan"):
        make_supernet("single_path").resume(tmp_path)


def test_a_damaged_folder_is_told_and_changes_nothing(make_supernet, tmp_path):
    with pytest.raises(CheckpointError, match="no supernet here"):
        read_supernet(tmp_path)
    supernet = make_supernet("sandwich")
    supernet.save(tmp_path)
    file = next(tmp_path.glob("optimizer-*"))
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    other = make_supernet("sandwich")
    before = {name: master.clone() for name, master in other.shared.masters().items()}
    with pytest.raises(CheckpointError, match="damaged"):
        other.resume(tmp_path)
    assert all(torch.equal(other.shared.masters()[name], before[name]) for name in before)
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(CheckpointError, match="not the manifest of an archsmith supernet"):
        read_supernet(tmp_path)


def test_a_checkpoint_without_the_policys_tensors_changes_nothing(make_supernet, tmp_path):
    begun = make_supernet("enas")
    begun.shared.masters()["model.norm.weight"].fill_(2.0)
    state = begun.method.state()
    begun.method.state = lambda: {"progress": state["progress"], "logits": torch.zeros(6)}
    begun.save(tmp_path)
    other = make_supernet("enas")
    with pytest.raises(CheckpointError, match="no fitting tensor embedding"):
        other.resume(tmp_path)
    assert other.shared.masters()["model.norm.weight"].eq(1.0).all()


def test_every_method_has_its_name_in_the_plan():
    methods = SupernetPlan.model_fields["method"].annotation.__args__
    assert set(methods) == set(METHODS)
    assert all(issubclass(m, supernet_methods.Method) for m in METHODS.values())
