"""How far two trainings of one architecture lie apart: measured by a study, or what is usual.

Either is an estimate, never a known number: it comes with its degrees of freedom.
"""

from typing import NamedTuple

from archsmith.data.noise import USUAL_DEGREES, USUAL_NOISE, pooled_noise
from archsmith.report.study_report import StudyReport


class TrainingNoise(NamedTuple):
    """One training's standard deviation over seeds, in bits per byte.

    Attributes:
        degrees_of_freedom: of the estimate.
    """

    deviation: float = USUAL_NOISE
    degrees_of_freedom: int = USUAL_DEGREES


USUAL = TrainingNoise()


def training_noise(report: StudyReport) -> TrainingNoise:
    """From the finalists that were trained again, together with what is usual; else that alone."""
    return TrainingNoise(*pooled_noise(one.seed_scores for one in report.finalists))
