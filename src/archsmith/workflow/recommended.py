"""The model a finished search recommends by its verdict, under a name that is always the same."""

import contextlib
from pathlib import Path

from archsmith.report.load import load_study
from archsmith.report.verdict import judge
from archsmith.store.store import Store
from archsmith.workflow.baselines import WINNER, arm_dir, model_dir
from archsmith.workflow.final_training import winner_dir
from archsmith.workflow.study_notes import StudyNotes
from archsmith.workflow.workspace import Workspace

RECOMMENDED = "recommended"


def recommended_arm(store: Store, study_name: str) -> str | None:
    """Its name: the search's where it beat the primary baseline, else that baseline.

    Where no baseline was trained it is the search's. None where that misses a limit, or where there
    is no finished model. Raises StoreError without such a study.
    """
    report = load_study(store, study_name)
    chosen = judge(report).recommended
    if chosen is not None or any(arm.kind == "baseline" for arm in report.arms):
        return chosen
    own = [arm for arm in report.arms if arm.kind == "search"]
    return own[0].name if own and not report.missed_limits(own[0].metrics) else None


def trained_folder(workspace: Workspace, name: str, notes: StudyNotes) -> Path:
    """Where an arm's weights and training record lie once the search is finished."""
    if name != WINNER:
        return arm_dir(workspace, name)
    return winner_dir(workspace, notes.get("finalists")[0]["trial"])


def link_recommended(workspace: Workspace, name: str | None) -> Path | None:
    """Make `models/recommended` a link to an arm's exported files, or remove it for None.

    Returns where the files are: the link, or their own folder where the file system has no links
    or something else has that name.
    """
    link = model_dir(workspace, RECOMMENDED)
    if link.is_symlink():
        link.unlink()
    if name is None:
        return None
    folder = model_dir(workspace, name)
    with contextlib.suppress(OSError):
        link.symlink_to(folder.name, target_is_directory=True)
        return link
    return folder
