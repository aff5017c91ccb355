"""The words of `archsmith surrogate`."""

from archsmith.workflow.surrogate_findings import LeftOut, SurrogateCheck


def test_intervals_of_what_was_left_out_are_said_to_be_uncalibrated():
    sizes = LeftOut(
        num_readings=3, mean_error=0.1, difference_error=0.05, coverage=0.5, error_by_group={"a": 1}
    )
    found = SurrogateCheck(
        study="notes",
        description="law only",
        num_readings=3,
        num_trials=3,
        num_earlier=0,
        scale=1.2,
        widens_beyond=None,
        sizes=sizes,
        corpora=LeftOut(reason="none"),
        winner=None,
    )
    line = next(line for line in found.lines() if line.startswith("sizes left out"))
    assert line.endswith("intervals of 90 %, not calibrated, held 50 %")
