"""The terminal views at eighty columns, and what their modules may import."""

import io
import subprocess
import sys
from dataclasses import replace

import pytest
from example_study import example_study
from rich.console import Console, RenderableType

from archsmith.report.figures import show_difference
from archsmith.report.study_report import StudyReport, TrialRow
from archsmith.report.terminal import report_view, status_view
from archsmith.report.verdict import judge


def printed(view: RenderableType) -> str:
    console = Console(width=80, file=io.StringIO(), color_system=None)
    console.print(view)
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


@pytest.mark.parametrize("view", [status_view, report_view])
@pytest.mark.parametrize(
    "study",
    [
        example_study(),
        StudyReport(name="empty"),
        StudyReport(name="f", trials=(TrialRow(number=0, state="failed", reason="no\nmemory"),)),
        replace(example_study(), arms=()),
    ],
    ids=["full", "empty", "failure", "no arms"],
)
def test_everything_fits_eighty_columns(view: object, study: StudyReport) -> None:
    assert callable(view)
    text = printed(view(study))
    assert max(map(len, text.splitlines())) <= 80
    assert study.name in text


def test_status_tells_what_goes_on() -> None:
    text = printed(status_view(example_study()))
    for part in ("45 complete", "23 rejected", "42%", "2.7312", "17s", "18 trials: file_bytes"):
        assert part in text


def test_the_audit_is_told() -> None:
    text = " ".join(printed(status_view(example_study())).split())
    assert "of 3 trials that ran on, 1 should have been kept (trial 9)" in text


def test_figures_are_never_cut() -> None:
    text = printed(report_view(example_study()))
    found = judge(example_study()).primary
    assert found is not None
    ends = [show_difference(end) for end in (found.low, found.high)]
    for part in ("1.8421", *ends, "8.8 MiB", "8.59M", "35m00s", "beaten"):
        assert part in text


def test_the_report_begins_with_the_verdict_and_ends_with_the_spending() -> None:
    text = printed(report_view(example_study()))
    assert text.index("Beat:") < text.index("final comparison") < text.index("what was spent")
    assert "One search and one training stand behind each arm." in " ".join(text.split())


def test_a_broken_limit_of_an_arm_is_told() -> None:
    study = example_study()
    late = replace(study.arms[0], metrics={**study.arms[0].metrics, "decode_ms_per_token": 2.0})
    text = printed(report_view(replace(study, arms=(late, *study.arms[1:]))))
    assert "search winner misses decode_ms_per_token <= 1.5 ms" in text


def test_markup_in_a_study_is_only_text() -> None:
    study = StudyReport(
        name="[red]x[/red]", trials=(TrialRow(number=0, state="failed", reason="[/b]"),)
    )
    assert "[red]x[/red]" in printed(status_view(study))
    assert "[/b]" in printed(report_view(study))


def test_the_views_import_nothing_heavy() -> None:
    code = (
        "import sys, archsmith.report.terminal, archsmith.report.as_json, archsmith.report.html;"
        "print(sorted({'torch','transformers','numpy','pydantic','matplotlib','jinja2','rich'}"
        " & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_reading_a_store_needs_no_torch() -> None:
    code = (
        "import sys, archsmith.report.load;"
        "print(sorted({'torch','transformers','matplotlib','scipy'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
