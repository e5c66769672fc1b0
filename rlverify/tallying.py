"""Tallying: what checks found, one record a thing found and one a check."""

from dataclasses import dataclass

from rlverify.calling import Failure
from rlverify.comparison import Distance
from rlverify.contract import Case


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, on one case.

    Attributes:
        check: the check that found it.
        case: the inputs.
        output: the output concerned.
        distance: how far off, where numbers were compared.
        failure: what else happened, where none were.
    """

    check: str
    case: Case
    output: str = ""
    distance: Distance | None = None
    failure: Failure | None = None


@dataclass
class Tally:
    """How often a check was applied and how often it failed.

    Attributes:
        check: its name.
        applied: on how many cases it said anything.
        failed: on how many it found something.
        worst: the worst error in units of what is allowed.
        finding: the first thing found.
        sentence: what the check holds the candidate to.
    """

    check: str
    applied: int = 0
    failed: int = 0
    worst: float = 0.0
    finding: Finding | None = None
    sentence: str = ""

    def add(self, finding: Finding | None, worst: float = 0.0) -> None:
        """Count one case."""
        self.applied += 1
        self.worst = max(self.worst, worst)
        if finding is not None:
            self.failed += 1
            self.finding = self.finding or finding
