"""What came of one case: the numbers, and anything wrong that is not about numbers."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from rlverify.calling.arrangement import Arrangement
from rlverify.calling.invocation import PRINTED, Outcome
from rlverify.calling.reading import Reading
from rlverify.contract import Case, Contract


@dataclass(frozen=True)
class Failure:
    """What a candidate did wrong, other than computing wrong numbers.

    Attributes:
        kind: `raised`, `hung`, `died`, `memory`, `shape`, `dtype`, `type`, `overwrote`, `aliased`.
        sentence: what happened, what was wanted, and the remedy where there is one.
        detail: traceback or the like.
    """

    kind: str
    sentence: str
    detail: str = ""


@dataclass(frozen=True)
class Result:
    """What a candidate made of one case.

    Attributes:
        outputs: its numbers in float64, laid out as the contract has it; None without any.
        failure: what it did wrong, or None.
        dtype: the dtype that it really returned.
        printed: what it wrote to standard output and error.
        ran: False where it was not called because it had hung or died too often before.
    """

    outputs: dict[str, np.ndarray] | None
    failure: Failure | None
    dtype: str = ""
    printed: str = ""
    ran: bool = True


@dataclass(frozen=True)
class Gradient:
    """The gradient of a candidate's results, by its own autograd.

    Attributes:
        arrays: by canonical argument, in float64; None where the results carry no gradient.
        failure: why there is none, where that is a failure.
    """

    arrays: dict[str, np.ndarray] | None
    failure: Failure | None = None

    def turned(self, names: Collection[str]) -> "Gradient":
        """Return it with the sign of some arguments exchanged."""
        if self.arrays is None or not names:
            return self
        arrays = {name: -g if name in names else g for name, g in self.arrays.items()}
        return Gradient(arrays, self.failure)


@dataclass(frozen=True)
class Assessor:
    """Reads outcomes of one candidate.

    Attributes:
        name: the candidate's.
        contract: its contract.
        reading: where its outputs stand.
        arrangement: how it was given its arrays.
        works: whether a trial call returned arrays of the right shape.
    """

    name: str
    contract: Contract
    reading: Reading
    arrangement: Arrangement
    works: bool = False

    def result(self, case: Case, outcomes: Sequence[Outcome], dtype: str) -> Result:
        """Return what the calls that one case took came to."""
        printed = "".join(item.printed for item in outcomes)[:PRINTED]
        for outcome in outcomes:
            failure = self._stopped(outcome) or self._unreadable(case, outcome)
            if failure is not None:
                return Result(None, failure, "", printed, outcome.ran)
        parts: dict[str, list[np.ndarray]] = {name: [] for name in self.reading.outputs}
        found: set[str] = set()
        for outcome in outcomes:
            for name, leaf in self.reading.leaves(outcome):
                if leaf is not None and leaf.array is not None:
                    parts[name].append(leaf.array)
                    if name not in self.contract.counted:
                        found.add(leaf.dtype)
        returned = "/".join(sorted(found))
        misuses = (self._misuse(outcome) for outcome in outcomes)
        failure = next((item for item in misuses if item), None) or self._dtype(returned, dtype)
        outputs = {name: self.arrangement.gathered(arrays) for name, arrays in parts.items()}
        return Result(outputs, failure, returned, printed)

    def gradient(self, outcome: Outcome, names: dict[str, str]) -> Gradient:
        """Return what a call for the gradient came to; `names` are canonical, by parameter."""
        failure = self._stopped(outcome)
        if failure is not None or not outcome.leaves:
            return Gradient(None, failure)
        arrays = {names[leaf.label]: leaf.array for leaf in outcome.leaves}
        return Gradient({name: array for name, array in arrays.items() if array is not None})

    def _stopped(self, outcome: Outcome) -> Failure | None:
        """Return why a call did not come to its end, if it did not."""
        if not outcome.failure:
            return None
        words = {"raised": "raised ", "memory": "ran out of memory: "}.get(outcome.failure, "")
        sentence = f"{self.name}: {words}{outcome.message}"
        return Failure(
            outcome.failure, sentence if sentence[-1] in ".!?" else f"{sentence}.", outcome.detail
        )

    def _unreadable(self, case: Case, outcome: Outcome) -> Failure | None:
        """Return what is wrong with the type or shape of a result, if anything is."""
        like, shapes = self.contract.first.name, self.contract.shapes(case)
        for name, leaf in self.reading.leaves(outcome):
            shape = self.arrangement.shape(shapes[name])
            if leaf is None:
                remedy = (
                    "; is its return statement missing?" if outcome.returned == "NoneType" else "."
                )
                return Failure(
                    "type",
                    f"{self.name}: returned {outcome.returned}, wanted {self.reading.wanted} of "
                    f"shape {shape}{remedy}",
                )
            if leaf.array is None:
                return Failure(
                    "type",
                    f"{self.name}: {name} came as {leaf.kind}, wanted an array of numbers of shape "
                    f"{shape}.",
                )
            if leaf.array.shape != shape:
                alone = "" if self.arrangement.axis is None else ", called with one trajectory"
                told = f", the shape of {like}{alone}" if not self.contract.axes else ""
                return Failure(
                    "shape",
                    f"{self.name}: {name} came with shape {leaf.array.shape}, wanted "
                    f"{shape}{told}.",
                )
        return None

    def _misuse(self, outcome: Outcome) -> Failure | None:
        """Return what a call did to its arguments, if anything."""
        for argument in outcome.overwrote:
            return Failure(
                "overwrote",
                f"{self.name}: its argument {argument} came back changed, wanted it as it was; "
                "work on a copy.",
            )
        labels = {leaf.label: name for name, leaf in self.reading.leaves(outcome) if leaf}
        for label, argument in outcome.aliased:
            if label in labels:
                return Failure(
                    "aliased",
                    f"{self.name}: {labels[label]} shares memory with the argument {argument}, so "
                    "that writing to one changes the other; return a copy.",
                )
        return None

    def _dtype(self, returned: str, dtype: str) -> Failure | None:
        if self.contract.returns != "float":  # int32 holds an index as well as int64
            return None
        if returned == dtype:
            return None
        return Failure(
            "dtype",
            f"{self.name}: returned {returned} for {dtype} inputs; check it with dtype {returned}, "
            "or allocate results in the inputs' dtype.",
        )
