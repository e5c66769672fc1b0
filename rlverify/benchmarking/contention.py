"""Contention: a candidate in a timing process of its own, and a judge behind its every call."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, cast

import numpy as np

from rlverify.benchmarking.production import fresh_case
from rlverify.calling import CallError, Candidate
from rlverify.calling.assessment import Assessor
from rlverify.calling.invocation import Leaf, Outcome
from rlverify.calling.isolation import IMPORT_LIMIT
from rlverify.calling.planning import Plan
from rlverify.calling.supervision import Ended, Worker
from rlverify.comparison import rounded
from rlverify.contract import Case, Contract, Outputs
from rlverify.rounding import PRECISIONS
from rlverify.twinning import Canonical

TURN_SECONDS = 0.004  # calls of a turn together, beside the first, which warms up
MOST_CALLS = 8
LARGE = 2**15  # elements; making more inputs than these takes longer than a call on them
EARLIER = 3  # so many earlier answers are looked through for one that is not right

Truth = Callable[[Case], Outputs | None]


class Foul(Exception):
    """A contender did what may not be timed; the message says what."""


class _Planned(Protocol):
    """What a candidate with a plan knows beside what all candidates know."""

    plan: Plan
    assessor: Assessor


def twin_truth(contract: Contract) -> Truth:
    """Return a function that answers a case: the suite's fast version, in float64.

    At sizes that are timed the reference would take minutes. Where there is no fast version it
    has nothing to say.
    """
    twin = None if contract.fast is None else Canonical(contract.fast, contract, "torch")

    def answer(case: Case) -> Outputs | None:
        return None if twin is None else twin.run([case], "float64")[0].outputs

    return answer


def half_right(got: Outputs, wanted: Outputs, dtype: str) -> bool:
    """Whether outputs share half of a dtype's digits with what is wanted.

    The contract judges to the last digit, on small cases. What is timed has only to be shown
    to be the same function there: to half of the digits of its greatest number.
    """
    precision = PRECISIONS[dtype]
    allowed = math.sqrt(max(precision.unit, precision.storage))
    for name, array in got.items():
        exact = wanted[name]
        finite = np.isfinite(exact)
        if not np.array_equal(finite, np.isfinite(array)):
            return False
        scale = float(np.abs(exact[finite]).max(initial=0.0))
        if not bool((np.abs(array - exact)[finite] <= allowed * scale).all()):
            return False
    return True


class Contender:
    """A candidate that is timed.

    Attributes:
        label: what it is called in messages.
        candidate: as it is called.
    """

    def __init__(
        self, label: str, target: str, candidate: Candidate, contract: Contract, threads: int
    ) -> None:
        self.label = label
        self.candidate = candidate
        self.planned = cast(_Planned, candidate)
        self.contract = contract
        self.truth = twin_truth(contract)
        self.answers: list[Outputs] = []
        self.clock = "processor" if threads == 1 else "wall"
        count = str(threads)
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
        environment = dict.fromkeys(names, count)
        if threads == 1:
            environment["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
        self.worker = Worker("rlverify.benchmarking.execution", environment)
        answer = self._asked({"do": "load", "target": target, "threads": threads}, IMPORT_LIMIT)
        if "error" in answer:
            self.close()
            raise CallError(str(answer["error"]))

    def close(self) -> None:
        """End the process."""
        self.worker.end()

    def _asked(self, order: dict[str, Any], limit: float) -> Any:
        try:
            self.worker.tell(order)
            return self.worker.hear(limit)
        except Ended as ended:
            how, detail, _ = self.worker.epitaph(late=ended.late)
            line = detail.strip().splitlines()[-1:] or [""]
            raise Foul(f"{self.label}: its process ended by {how}. {line[0]}".strip()) from None
        except ValueError as error:
            raise Foul(f"{self.label}: sent something of its own ({error}).") from None

    def times(self, cases: Sequence[Case], dtype: str, limit: float) -> list[float]:
        """Return the seconds that each case takes; every answer is judged.

        Raises:
            Foul: an answer is wrong, or was not worked out for what it was asked.
        """
        plan, assessor = self.planned.plan, self.planned.assessor
        given = [self.candidate.project(rounded(case, dtype)) for case in cases]
        order = {
            "do": "time",
            "library": assessor.arrangement.library,
            "dtype": dtype,
            "positional": plan.positional,
            "clock": self.clock,
            "cases": [assessor.arrangement.parts(plan.arguments(c.arguments)) for c in given],
        }
        found = []
        for case, told in zip(given, self._asked(order, limit * len(cases)), strict=True):
            outcomes = [_outcome(each) for each in told["outcomes"]]
            result = assessor.result(case, outcomes, dtype)
            if result.outputs is None:
                raise Foul(result.failure.sentence if result.failure else "returned no arrays")
            self._judge(case, result.outputs, dtype)
            if told["remark"]:
                raise Foul(f"{self.label}: {told['remark']}.")
            found.append(float(told["seconds"]))
        return found

    def _judge(self, case: Case, got: Outputs, dtype: str) -> None:
        exact = self.truth(case)
        if exact is None:
            return
        if not half_right(got, exact, dtype):
            if any(half_right(got, before, dtype) for before in self.answers if _like(got, before)):
                raise Foul(
                    f"{self.label}: answered a call with what an earlier call was right to "
                    "answer; work out every result from the arguments of its own call."
                )
            shape = case[self.contract.first.name].shape
            raise Foul(f"{self.label}: right on small inputs, and wrong on some of shape {shape}.")
        self.answers = [*self.answers[1 - EARLIER :], exact]


def _like(got: Outputs, before: Outputs) -> bool:
    return all(got[name].shape == before[name].shape for name in got)


def _outcome(told: dict[str, Any]) -> Outcome:
    """Rebuild an outcome from what a process sent."""
    try:
        leaves = tuple(Leaf(**leaf) for leaf in told["leaves"])
        return Outcome(**{**told, "leaves": leaves})
    except (TypeError, KeyError) as error:
        raise Foul(f"sent something of its own ({error}).") from None


class Clock:
    """The clock of a race: a turn of one contender is a few calls, each on inputs of its own.

    The first call of a turn warms up; the time of a turn is the median of the others.
    """

    def __init__(
        self,
        contenders: Sequence[Contender],
        contract: Contract,
        shape: tuple[int, ...],
        dtype: str,
        seed: int,
        limit: float,
    ) -> None:
        self.contenders = contenders
        self.dtype = dtype
        self.limit = limit
        self.cases = _endless(contract, shape, seed)
        first = [min(each.times(self._some(3), dtype, limit)[1:]) for each in contenders]
        slowest = max(*first, 1e-9)
        size = next(self.cases).size
        wanted = int(TURN_SECONDS / slowest) if size < LARGE else 1
        self.calls = 1 + min(max(wanted, 1), MOST_CALLS)

    def _some(self, count: int) -> list[Case]:
        return [next(self.cases) for _ in range(count)]

    def __call__(self, runner: int) -> float:
        """Return the seconds of a turn."""
        times = self.contenders[runner].times(self._some(self.calls), self.dtype, self.limit)
        return float(np.median(times[1:]))


def _endless(contract: Contract, shape: tuple[int, ...], seed: int) -> Iterator[Case]:
    """Yield cases of a size, no two alike."""
    number = 0
    while True:
        yield fresh_case(contract, shape, 1_000_003 * seed + number)
        number += 1
