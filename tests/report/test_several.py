"""Several studies become one certificate, from values and from databases by the command."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from example_study import MAXIMIZER, WINNER, example_study

from archsmith.cli.main import group
from archsmith.errors import ConfigError
from archsmith.report.certificate_page import render_certificate
from archsmith.report.comparison import Outcome
from archsmith.report.several import certify_studies, corpus_labels
from archsmith.report.study_report import AnytimeCurve, AnytimePoint, Opening, StudyReport
from archsmith.store.store import connect
from archsmith.trial import ArmResult, Limit

BASELINE = "largest that fits"


def studies(
    gains: list[float], *, strategy: str = "law_guided", **changes: object
) -> list[StudyReport]:
    base = example_study()
    found = []
    for seed, gain in enumerate(gains):
        arms = tuple(
            replace(arm, metrics={**arm.metrics, "bits_per_byte": score})
            for arm in base.arms
            if (
                score := {"search": 1.85 + 0.01 * seed - gain, "baseline": 1.85 + 0.01 * seed}.get(
                    arm.kind
                )
            )
        )
        curves = tuple(
            AnytimeCurve(name, (AnytimePoint(700.0, 9e12, 1.9),))
            for name in ("search winner", BASELINE)
        )
        found.append(
            replace(
                base,
                name=f"{strategy}-{seed}",
                seed=seed,
                arms=arms,
                anytime=curves,
                settings={"strategy": {"type": strategy}},
                **changes,
            )
        )
    return found


def test_studies_are_paired_by_seed() -> None:
    found = certify_studies(studies([0.02, 0.03, 0.025, 0.01, 0.015]))
    assert found.primary == ("law_guided", BASELINE)
    assert found.outcome is Outcome.BEAT
    assert found.comparisons[0].seeds == (0, 1, 2, 3, 4)
    assert found.comparisons[0].cpu_ratio == 1.0
    assert {one.arm for one in found.arms} == {
        "law_guided", BASELINE, "fitted Llama shape", "fitted Phi-3 shape",
    }  # fmt: skip
    page = render_certificate(found)
    assert page.count("<table>") == 4
    assert "law_guided against largest that fits (primary)" in page


def test_what_the_choices_contributed_comes_from_all_trials_together() -> None:
    found = certify_studies(studies([0.02, 0.03, 0.025, 0.01, 0.015]))
    told = found.contributions
    assert (told.num_trials, told.num_studies) == (5 * 45, 5)
    assert told.sentence.startswith("Of the variance between 225 trials at rung 0 of 5 studies")
    assert "size" in told.sentence
    head = (
        "| choices | share of the variance | that no other group explains "
        "| winner's choices, bits per byte |"
    )
    page, text = render_certificate(found), found.markdown()
    for view in (text, page, found.text()):
        assert told.sentence in view
    assert head in text
    assert "| operators | not varied |" in text
    assert "What the choices contributed" in page
    assert "that no other group explains" in page
    told_to_machines = json.loads(json.dumps(found.as_json(), allow_nan=False))["contributions"]
    assert told_to_machines["num_trials"] == 225
    assert [one["group"] for one in told_to_machines["groups"]] == [
        "size", "vocabulary", "topology", "operators", "quantization",
    ]  # fmt: skip


def test_too_few_trials_are_said_to_tell_nothing() -> None:
    bare = [replace(study, trials=study.trials[:6]) for study in studies([0.02, 0.03])]
    found = certify_studies(bare)
    told = "What each group of choices contributed cannot be told:"
    for view in (found.markdown(), render_certificate(found), found.text()):
        assert told in view
        assert "are needed." in view


def test_curves_and_costs_come_from_the_studies() -> None:
    found = certify_studies(studies([0.02, 0.03, 0.025, 0.01, 0.015]))
    assert {one.arm: one.num_seeds for one in found.anytime} == {"law_guided": 5, BASELINE: 5}
    assert found.anytime[0].cpu_seconds[-1] == 700.0
    assert found.anytime[0].bits_per_byte[-1] == pytest.approx(1.9)
    assert math.isnan(found.anytime[0].bits_per_byte[-2])
    # what was spent on a search without its curve is not known: its final training is not all
    bare = [replace(study, anytime=()) for study in studies([0.02] * 5)]
    told = f"law_guided against {BASELINE}: cost not known (CPU seconds and FLOPs)."
    assert told in certify_studies(bare).remarks
    costs = {one.arm: one.cpu_seconds for one in certify_studies(bare).arms}
    assert math.isnan(costs["law_guided"])
    assert costs[BASELINE] == 2300.0


def test_the_primary_strategy_of_several_must_be_told() -> None:
    both = [*studies([0.02] * 5), *studies([0.01] * 2, strategy="random")]
    with pytest.raises(ConfigError, match="say with --arm whose claim"):
        certify_studies(both)
    found = certify_studies(both, arm="law_guided")
    assert [one.second for one in found.comparisons] == [
        BASELINE, "fitted Llama shape", "fitted Phi-3 shape", "random",
    ]  # fmt: skip
    # the baselines of seeds 0 and 1 were trained in both
    assert any("counts by its mean" in remark for remark in found.remarks)


def test_runs_that_cannot_be_paired_are_refused() -> None:
    with pytest.raises(ConfigError, match="2 studies have strategy law_guided and seed 0"):
        certify_studies([*studies([0.1]), *studies([0.2])])
    with pytest.raises(ConfigError, match="their margin differ"):
        certify_studies([*studies([0.1]), *studies([0.2, 0.1], margin=0.1)])
    with pytest.raises(ConfigError, match="none of 1 studies has a finished model"):
        certify_studies([StudyReport(name="new")])
    with pytest.raises(ConfigError, match="no study has a baseline"):
        certify_studies(studies([0.1], primary_baseline=None))


def test_what_was_left_out_or_fixed_late_is_said() -> None:
    late = studies([0.1], fixed=20.0, trained=10.0, openings=(Opening(5.0, "search", "s"),))
    slow = studies([0.1, 0.1])[1]
    arms = [replace(a, metrics={**a.metrics, "file_bytes": 1e9}) if a.name == "search winner" else a
            for a in slow.arms]  # fmt: skip
    found = certify_studies([*late, replace(slow, arms=tuple(arms)), StudyReport(name="new")])
    text = found.text()
    assert "law_guided-0: the primary comparison was fixed after training began." in text
    assert "law_guided-1: the search winner misses file_bytes <= 12.0 MiB and was left out." in text
    assert "new is not finished and was left out." in text
    assert "The sealed test split of s was opened once" in text
    assert "lacks seed 1, left out" in text


def test_corpora_are_told_apart_by_their_files() -> None:
    one, other = studies([0.1, 0.1])
    assert corpus_labels([one, other]) == ["", ""]
    moved = [
        replace(
            study, corpus={"documents": number},
            settings={"settings": {"corpus": {"files": [name]}}},
        )
        for number, (study, name) in enumerate(((one, "notes"), (other, "code")))
    ]  # fmt: skip
    assert corpus_labels(moved) == ["notes", "code"]
    same = [replace(study, settings={}, name="s") for study in moved]
    assert corpus_labels(same) == ["corpus 1", "corpus 2"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five databases in folders of their own, each with a finished study."""
    for seed in range(5):
        place = tmp_path / "runs" / f"seed-{seed}"
        place.mkdir(parents=True)
        store = connect(place / "studies.db", create=True)
        limit = Limit.parse("file_bytes <= 10GiB").model_dump(mode="json")
        spec = {"limits": [limit], "strategy": {"type": "law_guided"}}
        store.create_study(f"s{seed}", spec=spec, seed=seed)
        note = {"primary_baseline": "parameter maximizer", "margin": 0.005, "time": 1.0}
        store.put_note(f"s{seed}", "verdict", note)
        arms = [
            ArmResult(
                name=name, kind=kind, metrics={"bits_per_byte": score},
                architecture=tree.model_dump(mode="json"),
                curve=((100, 30.0, 2.0), (1000, 300.0, score)),
                details={"train_flops": 1e12, "train_bytes": 1000},
            ).model_dump(mode="json")
            for name, kind, tree, score in (
                ("search winner", "search", WINNER, 1.80 + 0.001 * seed),
                ("parameter maximizer", "baseline", MAXIMIZER, 1.82 + 0.002 * seed),
            )
        ]  # fmt: skip
        store.put_note(f"s{seed}", "arms", arms)
    return tmp_path / "runs"


def test_the_command_takes_a_folder_of_searches(folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "certificate.html"
    done = CliRunner().invoke(group, ["report", str(folder), "--html", str(page)])
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("**Beat: law_guided needs 0.0220 bits per byte less")
    assert "Recommended: law_guided's model." in done.stdout
    assert page.read_text().startswith("<!DOCTYPE html>")
    again = CliRunner().invoke(group, ["report", str(folder), "--html", str(page)])
    assert isinstance(again.exception, ConfigError)


def test_the_command_takes_databases_and_prints_json(folder: Path) -> None:
    files = [str(path) for path in sorted(folder.glob("*/studies.db"))[:2]]
    done = CliRunner().invoke(group, ["report", *files, "--json"])
    found = json.loads(done.stdout)
    assert found["outcome"] == "undecided"
    assert found["recommended"] == {"": "parameter maximizer"}
    one = CliRunner().invoke(group, ["report", files[0], "--json"])
    assert json.loads(one.stdout)["verdict"]["outcome"] == "undecided"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "else"], "nowhere does not exist"),
        (["."], "holds no search.toml and no database"),
        (["search.toml", "--arm", "x"], "--arm is for a certificate"),
        (["a", "b", "--study-name", "s"], "name one study"),
    ],
)
def test_wrong_use_is_answered(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(group, ["report", *arguments])
    assert isinstance(done.exception, ConfigError)
    assert message in str(done.exception)
