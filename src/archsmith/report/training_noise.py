"""How far two trainings of one architecture lie apart: measured by a study, or what is usual."""

import math
from typing import NamedTuple

from archsmith.data.noise import USUAL_DEGREES, USUAL_NOISE
from archsmith.report.study_report import StudyReport


class TrainingNoise(NamedTuple):
    """One training's standard deviation over seeds, in bits per byte.

    Attributes:
        degrees_of_freedom: of the estimate; None where nothing was measured and it is assumed.
    """

    deviation: float = USUAL_NOISE
    degrees_of_freedom: int | None = None


USUAL = TrainingNoise()


def training_noise(report: StudyReport) -> TrainingNoise:
    """From the finalists that were trained again, as the study noted it; else what is usual."""
    noted = report.repeats.get("seed_noise")
    fresh = sum(max(len(one.seed_scores) - 1, 0) for one in report.finalists)
    if not isinstance(noted, float) or not 0 < noted < math.inf or fresh == 0:
        return USUAL
    # what was measured counts together with what is usual
    return TrainingNoise(noted, fresh + USUAL_DEGREES)
