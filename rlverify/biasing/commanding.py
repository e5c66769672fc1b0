"""Commanding: `rlverify bias`, once its words are understood."""

from typing import Any

from rlverify.biasing import Report, bias
from rlverify.biasing.reporting import finding_record, report_lines, situation_record
from rlverify.preparation import usage
from rlverify.presentation import Desk


def run(desk: Desk, target: str | None, **options: Any) -> bool:
    """Find out what an estimator gives on average; return whether none of the user's is biased."""
    with usage():
        try:
            report = bias(target, **options)
        except TypeError as refusal:  # an array of another type in one of the user's files
            raise ValueError(str(refusal)) from refusal
    asked = {"target": target, **options}
    results = [finding_record(found, report.situation) for found in report.findings]
    desk.write(
        asked,
        results,
        ok=report.ok,
        situation=situation_record(report.situation),
        target=_target(report),
    )
    desk.say(report_lines(report, desk.width))
    return report.ok


def _target(report: Report) -> Any:
    if report.failure:
        return {"failure": report.failure}
    if report.finding is None:
        return None
    return finding_record(report.finding, report.situation)
