"""The documentation is held against the code: generated pages, commands, links, examples, names."""

import re
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest

from archsmith import registry
from archsmith.cli.main import group
from archsmith.store.records import JobKind, JobState
from archsmith.store.schema import metadata
from archsmith.testing.blocks import filled
from archsmith.trial import TrialState

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md"), *ROOT.glob("experiments/*/*.md")])
COMMANDS = set(group.list_commands(None))  # type: ignore[arg-type]


def page_id(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def load_generator() -> ModuleType:
    spec = spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_pages_are_current() -> None:
    for path, text in load_generator().pages().items():
        assert path.read_text() == text, f"{path.name} is stale: run python docs/generate.py"


def test_the_check_finds_a_stale_page(tmp_path: Path) -> None:
    script = tmp_path / "generate.py"
    script.write_text((DOCS / "generate.py").read_text())
    (tmp_path / "reference").mkdir()
    done = subprocess.run(
        [sys.executable, str(script), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "stale: search-toml.md" in done.stdout
    assert not list((tmp_path / "reference").iterdir())


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_command_named_exists(page: Path) -> None:
    text = page.read_text()
    spoken = re.findall(r"`archsmith ([a-z]\S*?)[`\s]", text)
    typed = [
        words[1]
        for block in blocks(page, "(?:sh|bash|console)")
        for line in block.splitlines()
        if len(words := line.removeprefix("$ ").split()) > 1 and words[0] == "archsmith"
    ]
    unknown = {name for name in (*spoken, *typed) if not name.startswith("-")} - COMMANDS
    assert not unknown


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_option_of_a_typed_command_exists(page: Path) -> None:
    for block in blocks(page, "(?:sh|bash|console)"):
        for line in block.replace("\\\n", " ").splitlines():
            words = line.removeprefix("$ ").split()
            if len(words) < 2 or words[0] != "archsmith" or words[1].startswith("-"):
                continue
            command = group.get_command(None, words[1])  # type: ignore[arg-type]
            assert command is not None, line
            if isinstance(command, click.Group) and words[2:3] and not words[2].startswith("-"):
                command = command.get_command(None, words[2])  # type: ignore[arg-type]
                assert command is not None, line
            known = {name for one in command.params for name in one.opts}
            given = {word.split("=")[0] for word in words[2:] if word.startswith("--")}
            assert given <= known | {"--help"}, line


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), target
        if anchor and found.suffix == ".md":
            assert anchor in anchors(found), target


def anchors(page: Path) -> set[str]:
    """Headings as GitHub names them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_python_blocks_compile(page: Path) -> None:
    for number, block in enumerate(blocks(page, "python")):
        compile(block, f"{page.name}:{number}", "exec")


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_no_page_names_a_place_on_some_machine(page: Path) -> None:
    text = re.sub(r"https?://\S+", "", page.read_text())
    assert not re.findall(r"(?<![\w.])/(?:home|root|work|tmp|Users|mnt|opt)/\S*", text)


def test_the_strategy_shown_is_the_one_tested() -> None:
    shown = blocks(DOCS / "how-to" / "add-a-strategy.md", "python")[0]
    program = (ROOT / "examples" / "own_strategy.py").read_text()
    assert program.startswith(shown)
    assert program[len(shown) :].lstrip().startswith('if __name__ == "__main__":')


def test_the_block_shown_keeps_the_contract_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    names: dict[str, Any] = {"__name__": "shown"}
    for block in blocks(DOCS / "how-to" / "add-a-block.md", "python"):
        exec(block, names)
    monkeypatch.setattr(registry, "find", lambda kind, name: names["PART"])
    contract, spec = names["TestBilinear"](), names["Bilinear"](intermediate_size=7)
    contract.test_the_formula_counts_the_parameters(spec)
    module = filled(contract.build(spec), seed=0)
    contract.test_the_fast_path_is_the_plain_one_with_its_gradients(module)
    contract.test_positions_do_not_meet(module)


def test_the_store_page_names_every_table_column_and_state() -> None:
    page = (DOCS / "reference" / "store.md").read_text()
    for table in metadata.sorted_tables:
        _, _, section = page.partition(f"**{table.name}**")
        assert section, table.name
        told = set(re.findall(r"`(\w+)`", section.split("\n**")[0].split("\n## ")[0]))
        assert {column.name for column in table.columns} <= told, table.name
    for states in (TrialState, JobState, JobKind):
        assert all(f"| `{state.value}` |" in page for state in states)


def test_the_error_tree_drawn_says_what_the_classes_say() -> None:
    generator = load_generator()
    tree = generator.errors.__doc__
    for kind in generator._exceptions():
        drawn = re.search(rf"{kind.__name__}(?: \(\w+\))? +(\d+) ", tree)
        assert drawn is not None, kind.__name__
        assert int(drawn[1]) == kind.exit_code


def test_the_docs_list_every_page() -> None:
    listed = (DOCS / "README.md").read_text()
    for page in sorted(DOCS.rglob("*.md")):
        assert page.name == "README.md" or page.relative_to(DOCS).as_posix() in listed
