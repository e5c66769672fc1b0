"""Commanding: `rlverify bias`, once its words are understood."""

from typing import Any

from rlverify.biasing import FAMILIES, Report, bias
from rlverify.biasing.reporting import finding_record, report_lines, situation_record
from rlverify.preparation import usage
from rlverify.presentation import Desk

OFF_POLICY = "off-policy"
# options that only one kind of family has
OF_GRADIENTS = ("batch", "bootstrap", "layout")
OF_RETURNS = ("rho_bar", "c_bar")


def run(desk: Desk, target: str | None, *, family: str, **options: Any) -> bool:
    """Find out what an estimator gives on average; return whether none of the user's is biased."""
    given = {name: item for name, item in options.items() if item is not None and item is not False}
    if options.get("exact") is False:
        given["exact"] = False
    with usage():
        if family not in (*FAMILIES, OFF_POLICY):
            wanted = ", ".join((*FAMILIES, OFF_POLICY))
            raise ValueError(f"family came as {family!r}, wanted one of {wanted}.")
        foreign = OF_GRADIENTS if family == OFF_POLICY else OF_RETURNS
        for name in foreign:
            if name in given:
                option = name.replace("_", "-")
                raise ValueError(f"--{option} came with family {family}, which has no use for it.")
    shown = {"target": target, "family": family, **options}
    if family == OFF_POLICY:
        return _compare(desk, target, shown, given)
    with usage():
        try:
            report = bias(target, family=family, **given)
        except TypeError as refusal:  # an array of another type in one of the user's files
            raise ValueError(str(refusal)) from refusal
    results = [finding_record(found, report.situation) for found in report.findings]
    desk.write(
        shown,
        results,
        ok=report.ok,
        situation=situation_record(report.situation),
        target=_target(report),
    )
    desk.say(report_lines(report, desk.width))
    return report.ok


def _compare(desk: Desk, target: str | None, shown: dict[str, Any], given: dict[str, Any]) -> bool:
    """Measure off-policy returns."""
    from rlverify.biasing.contrasting import comparison_lines, comparison_record, measured_record
    from rlverify.biasing.correction import off_policy_bias

    with usage():
        try:
            report = off_policy_bias(target, **given)
        except TypeError as refusal:
            raise ValueError(str(refusal)) from refusal
    found: Any = None if report.own is None else measured_record(report.own)
    desk.write(
        shown,
        [measured_record(item) for item in report.rows],
        ok=report.ok,
        situation=comparison_record(report),
        target={"failure": report.failure} if report.failure else found,
    )
    desk.say(comparison_lines(report, desk.width))
    return report.ok


def _target(report: Report) -> Any:
    if report.failure:
        return {"failure": report.failure}
    if report.finding is None:
        return None
    return finding_record(report.finding, report.situation)
