"""A stranger's function, called on cases as if it followed the contract.

`in_process` takes a function of this process, `rlverify.calling.isolation.isolated` one named by
module or file, which then runs in a worker process. Both find out how the function wants to
be called in the same way: its names say what each parameter means (`rlverify.calling.naming`), or a
declaration does (`rlverify.calling.declaration`); trial calls say what names cannot
(`rlverify.calling.probing`). What the call cannot express of a case is projected away
(`rlverify.calling.expression`), and everything that was found out stands in `mapping` and `notes`.

What a function is given is always fresh: a candidate that writes to its arguments or returns
them does no harm, and is told so.
"""

import contextlib
import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from rlverify.calling.arrangement import layouts
from rlverify.calling.assessment import Failure, Gradient, Result
from rlverify.calling.completion import BUILT_IN, completions
from rlverify.calling.declaration import CallError, parse
from rlverify.calling.description import describe
from rlverify.calling.invocation import PRINTED, Call, Outcome, dtypes, invoke
from rlverify.calling.naming import infer
from rlverify.calling.planning import Plan, plan
from rlverify.calling.probing import Engine, Trial, case_outcomes
from rlverify.calling.remembering import as_function
from rlverify.contract import Case, Contract

__all__ = ["CallError", "Candidate", "Failure", "Gradient", "Result", "in_process"]


class Candidate(Protocol):
    """A function under test, with everything known about how it is called.

    Attributes:
        name: the function's.
        mapping: how it is called; printed with every verdict.
        outputs: which of the contract's outputs it returns.
        arrays: `numpy`, `torch` or `jax`.
        conventions: readings without which it could not be called.
        notes: remarks worth printing.
        call: how it is called, as a declaration that says all that was found by trial; empty
            where nothing was.
        dtypes: dtypes worth judging, default first.
    """

    name: str
    mapping: str
    outputs: tuple[str, ...]
    arrays: str
    conventions: tuple[str, ...]
    notes: tuple[str, ...]
    call: str
    dtypes: tuple[str, ...]

    def project(self, case: Case) -> Case:
        """Return the nearest case that the function can be given."""
        ...

    def admits(self, case: Case) -> bool:
        """Return whether the function can be given the case as it is."""
        ...

    def run(self, cases: Sequence[Case], dtype: str) -> list[Result]:
        """Call the function on admitted cases."""
        ...

    def gradients(
        self, cases: Sequence[Case], dtype: str, weights: Callable[[Case], dict[str, np.ndarray]]
    ) -> list[Gradient] | None:
        """Return the gradient of Σ weights · results in each array; None if it has no autograd."""
        ...

    def close(self) -> None:
        """End what runs on the candidate's behalf."""
        ...


class _Planned:
    """A candidate: how it is called, found out by trial where names do not say."""

    def __init__(
        self, engine: Engine, contract: Contract, plan: Plan, arrays: str | None, layout: str | None
    ) -> None:
        self.engine = engine
        self.contract = contract
        self.name = plan.name
        self.call = ""
        trial = Trial(engine, contract, plan)
        self.assessor = trial.found(arrays, layout)
        plan = self.plan = trial.widened(self.assessor)
        arrangement, reading = self.assessor.arrangement, self.assessor.reading
        self.outputs = reading.outputs
        self.arrays = arrangement.library
        self.conventions: tuple[str, ...] = ()
        if arrangement.exchanged:
            self.conventions = (f"layout={arrangement.layout}",)
        # half precision is judged where it is asked for
        judged = ("float64", "float32")
        self.dtypes = tuple(name for name in engine.dtypes(self.arrays) if name in judged)
        defaults = f"; {', '.join(plan.defaults)} at default" if plan.defaults else ""
        laid_out = arrangement.text(layouts(contract)[0])
        self.mapping = f"{plan.mapping()} -> {reading.text}; {laid_out}{defaults}"
        self.notes = plan.expression.notes()
        if "float64" not in self.dtypes:
            self.notes += ("JAX runs in float32 unless jax_enable_x64 is set",)

    def project(self, case: Case) -> Case:
        """Return the nearest case that the function can be given."""
        return self.plan.expression.project(case)

    def admits(self, case: Case) -> bool:
        """Return whether the function can be given the case as it is."""
        sent = all(map(self.engine.takes, case.arguments.values()))
        return sent and self.project(case) is case

    def run(self, cases: Sequence[Case], dtype: str) -> list[Result]:
        """Call the function on admitted cases.

        Raises:
            ValueError: a case is not admitted, or the function's arrays have no such dtype.
        """
        known = self.engine.dtypes(self.arrays)
        if dtype not in known:
            raise ValueError(
                f"{self.name}: dtype came as {dtype}, wanted one that {self.arrays} computes in: "
                f"{', '.join(known)}."
            )
        for i, case in enumerate(cases):
            if not self.admits(case):
                raise ValueError(
                    f"{self.name}: case {i} came with more than the call expresses, wanted "
                    "project(case)."
                )
        outcomes = case_outcomes(self.engine, self.plan, cases, self.assessor.arrangement, dtype)
        return [
            self.assessor.result(case, group, dtype)
            for case, group in zip(cases, outcomes, strict=True)
        ]

    def gradients(
        self, cases: Sequence[Case], dtype: str, weights: Callable[[Case], dict[str, np.ndarray]]
    ) -> list[Gradient] | None:
        """Return the gradient of Σ weights · results in each array that is handed over as it is.

        None where the candidate's arrays have no autograd, or another layout than the contract.
        """
        arrangement, plan = self.assessor.arrangement, self.plan
        plain = arrangement.axis is None and not arrangement.exchanged
        floats = [item.name for item in self.contract.arguments if item.kind == "float"]
        # what is handed over negated has the gradient negated
        told = [(b.parameter or b.source, b.source) for b in plan.bindings]
        names = {n: s.removeprefix("-") for n, s in told if s.removeprefix("-") in floats}
        negated = {s.removeprefix("-") for _, s in told if s.startswith("-")}
        if self.arrays == "numpy" or not plain or not names or not self.assessor.works:
            return None
        calls = []
        for group, case in enumerate(cases):
            (arguments,) = arrangement.parts(plan.arguments(case.arguments))
            weighted = weights(case)
            leaves = tuple((label, weighted[name]) for name, label in self.assessor.reading.places)
            calls.append(Call(tuple(arguments), plan.positional, group, (tuple(names), leaves)))
        outcomes = self.engine.run(calls, self.arrays, dtype)
        found = [self.assessor.gradient(outcome, names) for outcome in outcomes]
        return [each.turned(negated) for each in found]

    def close(self) -> None:
        """End what runs on the candidate's behalf."""
        self.engine.close()


# of several readings of a call, the one that fits, if one does
Choice = Callable[[Sequence[Candidate]], Candidate | None]


def planned(
    engine: Engine,
    contract: Contract,
    call: str | None,
    arrays: str | None,
    layout: str | None,
    choose: Choice | None = None,
) -> Candidate:
    """Return a candidate on an engine; see `in_process`."""
    signature, arguments = engine.signature, contract.arguments
    if choose is not None:
        declared = parse(call) if call else infer(signature, arguments, BUILT_IN)
        readings = completions(declared, arguments)
        candidates = []
        for reading in readings:
            made = _Planned(engine, contract, plan(signature, arguments, reading), arrays, layout)
            made.call = reading.text
            candidates.append(made)
        chosen = choose(candidates) if candidates else None
        if chosen is not None:
            return chosen
    declaration = parse(call) if call else infer(signature, arguments)
    one = plan(signature, arguments, declaration)
    return _Planned(engine, contract, one, arrays, layout)


class Here:
    """The engine of functions in this process. It survives what Python can catch."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = as_function(function)
        self.signature = describe(self.function)

    def dtypes(self, library: str) -> tuple[str, ...]:
        return dtypes(library)

    def takes(self, value: Any) -> bool:
        return True

    def run(self, calls: Sequence[Call], library: str, dtype: str) -> list[Outcome]:
        outcomes: list[Outcome] = []
        last: tuple[int, Outcome] | None = None
        for call in calls:
            if last is not None and last[0] == call.group and last[1].failure:
                outcomes.append(replace(last[1], ran=False))
                continue
            text = io.StringIO()
            with (
                contextlib.redirect_stdout(text),
                contextlib.redirect_stderr(text),
                warnings.catch_warnings(),
            ):
                warnings.simplefilter("ignore")
                outcome = invoke(self.function, call, library, dtype)
            last = (call.group, replace(outcome, printed=text.getvalue()[:PRINTED]))
            outcomes.append(last[1])
        return outcomes

    def close(self) -> None:
        pass


def in_process(
    function: Callable[..., Any],
    contract: Contract,
    *,
    call: str | None = None,
    arrays: str | None = None,
    layout: str | None = None,
    choose: Choice | None = None,
) -> Candidate:
    """Return a function of this process as a candidate.

    What Python can catch is survived; a hang, a crash and an exhausted memory are not: for
    these, name the function by module or file, as `rlverify.calling.isolation.isolated` takes it.

    Args:
        function: what is judged.
        contract: what it is judged by.
        call: how it is called, where names do not say (`rlverify.calling.declaration`).
        arrays: `numpy`, `torch` or `jax`, where that should not be found out.
        layout: `time-major`, `columns` or `batch-major`, likewise; for token sequences
            `batch-major`, `rows` or `time-major`.
        choose: told the readings of a call that leaves open what the function has built in; says
            which of them fits, or None. Without it, or where none fits, a declaration is asked for.

    Raises:
        CallError: the call is ambiguous or impossible; the message shows what to declare.
    """
    return planned(Here(function), contract, call, arrays, layout, choose)
