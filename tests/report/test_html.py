"""The page: whole, alone, escaped, and there in every state of a study."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from example_study import example_study

from archsmith.report.html import SECTIONS, render_html, write_html
from archsmith.report.study_report import StudyReport, TrialRow

VOID = {"meta", "br", "path", "use", "rect", "line", "link", "img", "input", "hr"}
HOSTILE = '<script>alert("x")</script><img src=x onerror=y> & \u202e {{ 7*7 }} $\\frac$ [red]'


class Checker(HTMLParser):
    """Elements must close in order; remembers ids, anchors, and attributes that fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.ids: list[str] = []
        self.fetched: list[str] = []
        self.tags: list[str] = []
        self.svg_labels: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.append(tag)
        if values.get("id"):
            self.ids.append(str(values["id"]))
        if tag == "svg":
            self.svg_labels.append(values.get("aria-label") or "")
        for name in ("src", "href", "data", "action"):
            target = values.get(name)
            if target and not target.startswith("#"):
                self.fetched.append(target)
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.stack.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        assert self.stack, f"</{tag}> closes nothing"
        assert self.stack.pop() == tag, f"</{tag}> closes something else, line {self.getpos()}"


def check(page: str) -> Checker:
    checker = Checker()
    checker.feed(page)
    checker.close()
    assert checker.stack == []
    return checker


@pytest.fixture(scope="module")
def page() -> str:
    return render_html(example_study())


def only_failures() -> StudyReport:
    trials = tuple(
        TrialRow(number=n, state="failed", reason="loss became not a number") for n in range(3)
    )
    return StudyReport(name="failures", trials=trials)


def test_the_page_is_well_formed_and_has_every_section(page: str) -> None:
    checker = check(page)
    assert [anchor for anchor, _ in SECTIONS] == [
        name for name in checker.ids if name in dict(SECTIONS)
    ]
    assert len(checker.ids) == len(set(checker.ids))


def test_the_page_stands_alone(page: str) -> None:
    assert check(page).fetched == []
    assert "http:" not in page
    assert "https:" not in page
    assert "//" not in re.sub(r"</?[a-z]+>", "", page).replace("// ", "")
    assert not re.search(r"@import|url\((?!#)", page)


def test_every_picture_has_words(page: str) -> None:
    labels = check(page).svg_labels
    assert len(labels) == 13
    assert all(len(label) > 30 for label in labels)


def test_pictures_take_the_colours_of_the_page(page: str) -> None:
    assert "var(--series-1)" in page
    assert "#0301" not in page
    assert "#01010" not in page


@pytest.mark.parametrize(
    "study",
    [
        StudyReport(name="empty"),
        only_failures(),
        replace(example_study(), arms=()),
        replace(example_study(), arms=example_study().arms[:1]),
        replace(example_study(), trials=(), ledger=(), corpus={}, environment={}, limits=()),
    ],
    ids=["empty", "failures", "no arms", "no baseline", "only arms"],
)
def test_every_state_of_a_study_makes_a_page(study: StudyReport) -> None:
    text = render_html(study)
    checker = check(text)
    assert all(anchor in checker.ids for anchor, _ in SECTIONS)


def test_hostile_text_is_shown_not_run() -> None:
    study = example_study()
    arms = tuple(
        replace(arm, name=arm.name + HOSTILE, details={HOSTILE: HOSTILE}) for arm in study.arms
    )
    trials = (replace(study.trials[0], reason=HOSTILE, summary=HOSTILE, strategy=HOSTILE),)
    hostile = replace(
        study,
        name=HOSTILE,
        command=HOSTILE,
        arms=arms,
        trials=(*trials, *study.trials[1:]),
        corpus={HOSTILE: HOSTILE},
        settings={HOSTILE: HOSTILE},
        primary_baseline=arms[1].name,
    )
    text = render_html(hostile)
    tags = check(text).tags
    assert tags.count("script") == 1
    assert "img" not in tags
    assert "<img" not in text
    assert "&lt;script&gt;" in text


def test_the_verdict_stands_at_the_top(page: str) -> None:
    head = page.split("<main>")[0]
    assert "Beat: the search winner" in head
    assert "One search and one training stand behind each arm." in head


def test_samples_keep_their_characters(page: str) -> None:
    assert "&lt;script&gt;alert(&#39;copied&#39;)&lt;/script&gt;" in page


def test_reasons_and_spending_are_told(page: str) -> None:
    assert "loss became not a number at step 412" in page
    assert "file_bytes &lt;= 12.0 MiB" in page
    assert "e15 FLOPs" in page
    assert "archsmith search search.toml --seed 0" in page


def test_writing_makes_the_folder(tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.html"
    write_html(StudyReport(name="empty"), path)
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
