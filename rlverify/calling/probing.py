"""Trial calls: what the names in a signature cannot tell.

A function is called on one small case whose axes differ in length, in this order, until a
call returns arrays of the right shape:

    array library    as told, as annotated, as used in the code, as loaded
    layout           as the contract has it, one column at a time, axes exchanged
    flags            as booleans, as floats
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from rlverify.calling.arrangement import Arrangement, is_flags, is_leading, layouts, probe
from rlverify.calling.assessment import Assessor
from rlverify.calling.declaration import CallError
from rlverify.calling.description import Signature
from rlverify.calling.invocation import LIBRARIES, Call, Outcome
from rlverify.calling.planning import Plan
from rlverify.calling.reading import Reading, read_outputs
from rlverify.contract import Case, Contract


def _equal(one: dict[str, np.ndarray], other: dict[str, np.ndarray] | None) -> bool:
    """Return whether all arrays are equal, to the bit but for NaN."""
    return other is not None and all(
        np.array_equal(one[name], other[name], equal_nan=one[name].dtype.kind == "f")
        for name in one
    )


class Engine(Protocol):
    """Where a function lives: this process, or a worker."""

    signature: Signature

    def dtypes(self, library: str) -> tuple[str, ...]:
        """Return the float dtypes a library computes in there; none if not installed."""
        ...

    def takes(self, value: Any) -> bool:
        """Return whether an argument can be handed over there."""
        ...

    def run(self, calls: Sequence[Call], library: str, dtype: str) -> list[Outcome]:
        """Make calls, in order."""
        ...

    def close(self) -> None:
        """End what runs there."""
        ...


def case_outcomes(
    engine: Engine, plan: Plan, cases: Sequence[Case], arrangement: Arrangement, dtype: str
) -> list[list[Outcome]]:
    """Return the outcomes of all calls, case by case."""
    calls = [
        Call(tuple(arguments), plan.positional, group)
        for group, case in enumerate(cases)
        for arguments in arrangement.parts(plan.arguments(case.arguments))
    ]
    grouped: list[list[Outcome]] = [[] for _ in cases]
    for call, outcome in zip(calls, engine.run(calls, arrangement.library, dtype), strict=True):
        grouped[call.group].append(outcome)
    return grouped


@dataclass(frozen=True)
class Trial:
    """Finds out how a function takes its arrays.

    Attributes:
        engine: where the function lives.
        contract: what it is judged by.
        plan: what its parameters are given.
    """

    engine: Engine
    contract: Contract
    plan: Plan

    def _outcomes(
        self, cases: Sequence[Case], arrangement: Arrangement, dtype: str
    ) -> list[list[Outcome]]:
        return case_outcomes(self.engine, self.plan, cases, arrangement, dtype)

    def found(self, arrays: str | None, layout: str | None) -> Assessor:
        """Return the first arrangement in which a call returns arrays of the right shape.

        Raises:
            CallError: what was told is impossible, or it is unclear which output is which.
        """
        case = self.plan.expression.project(probe(self.contract))
        outputs = self.contract.outputs
        failed: list[Assessor] = []
        returned: list[Assessor] = []
        for arrangement, dtype in self._arrangements(case, arrays, layout):
            outcomes = self._outcomes([case], arrangement, dtype)[0]
            reading = None
            if not any(item.failure for item in outcomes):
                reading = read_outputs(self.engine.signature, outcomes[0], outputs, self.plan)
            assessor = Assessor(
                self.plan.name, self.contract, reading or Reading.of(outputs), arrangement
            )
            result = assessor.result(case, outcomes, dtype)
            if result.outputs is not None:
                assessor = replace(assessor, works=True)
                return self._untangled(case, assessor, dtype) if layout is None else assessor
            stopped = any(item.failure for item in outcomes)
            (failed if stopped else returned).append(assessor)
            if result.failure and result.failure.kind in ("hung", "died"):
                break  # more trials would cost as much again
        # none works: keep one that got as far as returning, so that the verdict can say what
        return (returned or failed)[0]

    def widened(self, assessor: Assessor) -> Plan:
        """Return the plan with what the function turns out to take: γ a step, None for a mask.

        A call with it must return arrays of the right shape. On a case whose axes differ in
        length, code written for one γ does not. And None must not be read as a mask that is
        False everywhere, as `np.where` reads it.
        """
        plan = self.plan
        dtype = self.engine.dtypes(assessor.arrangement.library)[0]
        if not assessor.works:  # a call that hangs or dies would do so again
            return plan
        for name in sorted(plan.unsure):
            expression = replace(
                plan.expression,
                scalars=plan.expression.scalars - {name},
                whole=plan.expression.whole - {name},
            )
            tried, case = replace(plan, expression=expression), probe(self.contract)
            may_be_none = name in ("mask", "legal", "huber")
            value = None if may_be_none else np.full(case[self.contract.first.name].shape, 0.5)
            found = self._answer(tried, case.but(**{name: value}), assessor, dtype)
            if found is None:
                continue
            if isinstance(case[name], np.ndarray) and value is None:
                false, true = (
                    self._answer(
                        tried, case.but(**{name: np.full(case[name].shape, flag)}), assessor, dtype
                    )
                    for flag in (False, True)
                )
                if _equal(found, false) and not _equal(found, true):
                    continue
            plan = tried
        return plan if self._takes_leading(plan, assessor, dtype) else self._singled(plan)

    def _takes_leading(self, plan: Plan, assessor: Assessor, dtype: str) -> bool:
        """Return whether arrays may have leading axes, where the contract's may.

        What has the right shape counts, be it right or wrong: to mix what is independent is a
        mistake, and has to be seen.
        """
        if not is_leading(self.contract):
            return True
        one = probe(self.contract)
        arrays = {k: v for k, v in one.arguments.items() if isinstance(v, np.ndarray)}
        two = one.but(**{name: np.stack([array, array]) for name, array in arrays.items()})
        return self._answer(plan, two, assessor, dtype) is not None

    def _singled(self, plan: Plan) -> Plan:
        """Return the plan for arrays without leading axes."""
        return replace(plan, expression=replace(plan.expression, single=True))

    def _answer(
        self, plan: Plan, case: Case, assessor: Assessor, dtype: str
    ) -> dict[str, np.ndarray] | None:
        """Return what the function returns on a case under a plan; None where it does not."""
        case = plan.expression.project(case)
        outcomes = case_outcomes(self.engine, plan, [case], assessor.arrangement, dtype)[0]
        return assessor.result(case, outcomes, dtype).outputs

    def _untangled(self, case: Case, assessor: Assessor, dtype: str) -> Assessor:
        """Exchange the axes if only that keeps columns apart.

        A batch-first function takes a time-major array without complaint where no argument has
        one entry a column, and only its numbers show that it reads columns as steps.
        """
        known = layouts(self.contract)
        arrangement = assessor.arrangement
        if len(known) < 3 or arrangement.layout != known[0]:
            return assessor
        exchanged = replace(
            assessor, arrangement=replace(arrangement, layout=known[2], exchanged=True)
        )
        if self._mixes(case, assessor, dtype) and not self._mixes(case, exchanged, dtype):
            return exchanged
        return assessor

    def _mixes(self, case: Case, assessor: Assessor, dtype: str) -> bool:
        """Return whether the end of the last column is felt in another one, or nothing runs."""
        flags = [item.name for item in self.contract.arguments if item.kind == "flag"]
        endless = {name: np.zeros_like(case[name]) for name in flags}
        plain = self.plan.expression.project(case.but(**endless))
        first = self.contract.first
        changed = plain[first.name].copy()
        changed[-1, -1] += 8
        cases = [plain, self.plan.expression.project(plain.but(**{first.name: changed}))]
        outcomes = self._outcomes(cases, assessor.arrangement, dtype)
        found = [
            assessor.result(each, group, dtype).outputs
            for each, group in zip(cases, outcomes, strict=True)
        ]
        if found[0] is None or found[1] is None:
            return True
        columns = np.s_[:, :-1] if first.axes == "T B" else np.s_[:-1]
        return any(
            not np.array_equal(found[0][name][columns], found[1][name][columns])
            for name in assessor.reading.outputs
        )

    def _arrangements(
        self, case: Case, arrays: str | None, layout: str | None
    ) -> Iterator[tuple[Arrangement, str]]:
        """Yield the arrangements to try, each with the default dtype of its library."""
        known = layouts(self.contract)
        if layout is not None and layout not in known:
            raise CallError(
                f"{self.plan.name}: layout came as {layout!r}, wanted one of {', '.join(known)}."
            )
        if arrays is not None and (arrays not in LIBRARIES or not self.engine.dtypes(arrays)):
            raise CallError(
                f"{self.plan.name}: arrays came as {arrays!r}, wanted one of "
                f"{', '.join(LIBRARIES)}, and installed."
            )
        flags = any(is_flags(value) for _, value in self.plan.arguments(case.arguments))
        for library, shape, as_floats in itertools.product(
            [arrays] if arrays else self.engine.signature.libraries,
            [layout] if layout else known,
            (False, True) if flags else (False,),
        ):
            if dtypes := self.engine.dtypes(library):
                yield Arrangement(library, shape, shape in known[2:], as_floats), dtypes[0]
