"""A stranger's function, called on cases as if it followed the contract.

`in_process` takes a function of this process, `rlverify.isolation.isolated` one named by
module or file, which then runs in a worker process. Both find out how the function wants to
be called in the same way: its names say what each parameter means (`rlverify.naming`) or a
declaration does (`rlverify.declaration`); trial calls on one small case say what names
cannot, in this order and stopping at the first call that returns arrays of the right shape:

    array library    as told, as annotated, as used in the code, as loaded
    layout           as the contract has it, one column at a time, axes exchanged
    flags            as booleans, as floats

What a function is given is always fresh: a candidate may write to its arguments and return
them, and is told so.
"""

import contextlib
import io
import itertools
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from rlverify.contract import Argument, Case, Contract
from rlverify.declaration import CallError, parse
from rlverify.description import Signature, describe
from rlverify.invocation import PRINTED, Call, Outcome, dtypes, invoke
from rlverify.naming import Plan, infer, plan
from rlverify.reading import Reading, read_outputs

__all__ = ["CallError", "Candidate", "Failure", "Result", "in_process"]


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


class Candidate(Protocol):
    """A function under test, with everything known about how it is called.

    Attributes:
        name: the function's.
        mapping: how it is called; printed with every verdict.
        outputs: which of the contract's outputs it returns.
        arrays: `numpy`, `torch` or `jax`.
        conventions: readings without which it could not be called.
        notes: remarks worth printing.
        dtypes: dtypes worth judging, default first.
    """

    name: str
    mapping: str
    outputs: tuple[str, ...]
    arrays: str
    conventions: tuple[str, ...]
    notes: tuple[str, ...]
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

    def close(self) -> None:
        """End what runs on the candidate's behalf."""
        ...


class Engine(Protocol):
    """Where a function lives: this process, or a worker."""

    signature: Signature

    def dtypes(self, library: str) -> tuple[str, ...]:
        """Return the float dtypes a library computes in there; none if not installed."""
        ...

    def run(self, calls: Sequence[Call], library: str, dtype: str) -> list[Outcome]:
        """Make calls, in order."""
        ...

    def close(self) -> None:
        """End what runs there."""
        ...


@dataclass(frozen=True)
class _Way:
    """What trial calls find out: library, layout, whether flags come as floats."""

    library: str
    layout: str
    float_flags: bool


# what a layout is called, by the axes of the contract's arrays: as is, one by one, exchanged
_LAYOUTS = {
    "T B": ("time-major", "columns", "batch-major"),
    "B L": ("batch-major", "rows", "time-major"),
}


class _Planned:
    """A candidate: a plan, a way, and an engine to run them on."""

    def __init__(
        self, engine: Engine, contract: Contract, plan: Plan, arrays: str | None, layout: str | None
    ) -> None:
        self.engine = engine
        self.contract = contract
        self.plan = plan
        self.name = plan.name
        axes = {item.axes for item in contract.arguments if item.kind == "float"}
        self.layouts = _LAYOUTS.get(axes.pop() if len(axes) == 1 else "", ("as is",))
        if layout is not None and layout not in self.layouts:
            raise CallError(
                f"{self.name}: layout came as {layout!r}, wanted one of {', '.join(self.layouts)}."
            )
        self.way, self.reading = self._find_way(arrays, layout)
        self.outputs = self.reading.outputs
        self.arrays = self.way.library
        self.conventions = (
            (f"layout={self.way.layout}",) if self.way.layout in self.layouts[2:] else ()
        )
        available = engine.dtypes(self.arrays)
        # half precision is for candidates that ask for it
        self.dtypes = tuple(name for name in available if name in ("float64", "float32"))
        self.mapping = self._mapping()
        self.notes = plan.expression.notes()
        if self.arrays == "jax" and "float64" not in self.dtypes:
            self.notes += ("JAX runs in float32 unless jax_enable_x64 is set",)

    def _mapping(self) -> str:
        way = self.way
        parts = [f"{self.plan.mapping()} -> {self.reading.text}", way.library]
        one_by_one = {"columns": "column by column", "rows": "row by row"}
        if way.layout != self.layouts[0]:
            parts.append(one_by_one.get(way.layout, way.layout))
        if way.float_flags:
            parts.append("flags as floats")
        if self.plan.defaults:
            parts.append(f"{', '.join(self.plan.defaults)} at default")
        return "; ".join(parts)

    # --- finding the way --------------------------------------------------------------

    def _find_way(self, arrays: str | None, layout: str | None) -> tuple[_Way, Reading]:
        libraries = (arrays,) if arrays else self.engine.signature.libraries
        layouts = (layout,) if layout else self.layouts
        case = self.project(_probe(self.contract.arguments))
        flags = (False, True) if self._has_flags(case) else (False,)
        failed: list[tuple[_Way, Reading]] = []
        ran: list[tuple[_Way, Reading]] = []
        for library in libraries:
            known = self.engine.dtypes(library)
            if not known:
                if arrays:
                    raise CallError(f"{self.name}: arrays came as {arrays!r}, which is not here.")
                continue
            for way in itertools.starmap(_Way, itertools.product((library,), layouts, flags)):
                outcomes = self._outcomes([case], way, known[0])[0]
                bad = next((item for item in outcomes if item.failure), None)
                if bad is not None:
                    failed.append((way, Reading.of(self.contract.outputs)))
                    if bad.failure in ("hung", "died"):  # more trials would cost the same again
                        return failed[-1]
                    continue
                reading = read_outputs(
                    self.engine.signature, outcomes[0], self.contract.outputs, self.plan
                )
                if reading is None:
                    ran.append((way, Reading.of(self.contract.outputs)))
                    continue
                result = self._result(case, outcomes, way, reading, known[0])
                if result.failure is None or result.failure.kind not in ("shape", "type"):
                    return way, reading
                ran.append((way, reading))
        # no way works: keep one in which it got as far as returning, so that the verdict says so
        return (ran or failed)[0]

    def _has_flags(self, case: Case) -> bool:
        return any(
            isinstance(value, np.ndarray) and value.dtype == bool
            for _, value in self._arguments(case)
        )

    # --- projecting -------------------------------------------------------------------

    def project(self, case: Case) -> Case:
        """Return the nearest case that the function can be given."""
        return self.plan.expression.project(case)

    def admits(self, case: Case) -> bool:
        """Return whether the function can be given the case as it is."""
        return self.project(case) is case

    # --- running ----------------------------------------------------------------------

    def run(self, cases: Sequence[Case], dtype: str) -> list[Result]:
        """Call the function on admitted cases.

        Raises:
            ValueError: a case is not admitted, or the function's arrays have no such dtype.
        """
        if dtype not in self.engine.dtypes(self.arrays):
            raise ValueError(
                f"{self.name}: dtype came as {dtype}, wanted one that {self.arrays} computes in "
                f"here: {', '.join(self.engine.dtypes(self.arrays))}."
            )
        for i, case in enumerate(cases):
            if not self.admits(case):
                raise ValueError(f"{self.name}: case {i} cannot be expressed; project it first.")
        return [
            self._result(case, outcomes, self.way, self.reading, dtype)
            for case, outcomes in zip(
                cases, self._outcomes(cases, self.way, dtype), strict=True
            )
        ]

    def close(self) -> None:
        """End what runs on the candidate's behalf."""
        self.engine.close()

    def _arguments(self, case: Case) -> list[tuple[str, Any]]:
        return self.plan.arguments(case.arguments)

    def _outcomes(self, cases: Sequence[Case], way: _Way, dtype: str) -> list[list[Outcome]]:
        calls = [
            Call(tuple(arguments), self.plan.positional, group)
            for group, case in enumerate(cases)
            for arguments in self._laid_out(self._arguments(case), way)
        ]
        outcomes = self.engine.run(calls, way.library, dtype)
        grouped: list[list[Outcome]] = [[] for _ in cases]
        for call, outcome in zip(calls, outcomes, strict=True):
            grouped[call.group].append(outcome)
        return grouped

    def _laid_out(
        self, arguments: list[tuple[str, Any]], way: _Way
    ) -> list[list[tuple[str, Any]]]:
        """Return the arguments of each call that one case takes."""
        if way.float_flags:
            arguments = [
                (name, np.asarray(v, dtype=np.float64) if _is_flags(v) else v)
                for name, v in arguments
            ]
        position = self.layouts.index(way.layout)
        if position == 0:
            return [arguments]
        if position == 2:
            return [[(name, v.T if isinstance(v, np.ndarray) else v) for name, v in arguments]]
        axis = 1 if way.layout == "columns" else 0
        count = next(v.shape[axis] for _, v in arguments if np.ndim(v) == 2)

        def part(value: Any, i: int) -> Any:
            if not isinstance(value, np.ndarray):
                return value
            return np.asarray(value[i] if value.ndim == 1 else value.take(i, axis))

        return [[(name, part(v, i)) for name, v in arguments] for i in range(count)]

    def _result(
        self, case: Case, outcomes: list[Outcome], way: _Way, reading: Reading, dtype: str
    ) -> Result:
        printed = "".join(item.printed for item in outcomes)[:PRINTED]
        bad = next((item for item in outcomes if item.failure), None)
        if bad is not None:
            failure = Failure(bad.failure, f"{self.name}: {bad.message}", bad.detail)
            return Result(None, failure, "", printed, bad.ran)
        first = next(item.name for item in self.contract.arguments if item.kind == "float")
        wanted = case[first].shape
        if way.layout in ("columns", "rows"):
            wanted = wanted[:1] if way.layout == "columns" else wanted[1:]
        elif way.layout in self.layouts[2:]:
            wanted = wanted[::-1]
        parts: dict[str, list[np.ndarray]] = {name: [] for name in reading.outputs}
        found: set[str] = set()
        failure = None
        for outcome in outcomes:
            for name, leaf in reading.leaves(outcome):
                if leaf is None or leaf.array is None:
                    came = outcome.returned if leaf is None else f"{name} as {leaf.kind}"
                    sentence = (
                        f"{self.name}: returned {came}, wanted "
                        f"{'an array' if leaf else reading.wanted} of shape {wanted}."
                    )
                    return Result(None, Failure("type", sentence), "", printed)
                found.add(leaf.dtype)
                if leaf.array.shape != wanted:
                    sentence = (
                        f"{self.name}: {name} came with shape {leaf.array.shape}, wanted "
                        f"{wanted}, the shape of {first}"
                        f"{' in one column' if way.layout == 'columns' else ''}."
                    )
                    return Result(None, Failure("shape", sentence), leaf.dtype, printed)
                parts[name].append(leaf.array)
            failure = failure or self._misuse(outcome, reading)
        returned = "/".join(sorted(found))
        if failure is None and returned != dtype:
            failure = Failure(
                "dtype",
                f"{self.name}: returned {returned} for {dtype} inputs; check it with dtype "
                f"{returned}, or allocate results in the inputs' dtype.",
            )
        outputs = {name: self._gathered(arrays, way) for name, arrays in parts.items()}
        return Result(outputs, failure, returned, printed)

    def _misuse(self, outcome: Outcome, reading: Reading) -> Failure | None:
        """Return what a call did to its arguments, if it did anything."""
        if outcome.overwrote:
            return Failure(
                "overwrote",
                f"{self.name}: overwrote its argument {outcome.overwrote[0]}, wanted it left as it "
                "was; work on a copy.",
            )
        labels = {leaf.label: name for name, leaf in reading.leaves(outcome) if leaf}
        for label, argument in outcome.aliased:
            if label in labels:
                return Failure(
                    "aliased",
                    f"{self.name}: {labels[label]} shares memory with the argument {argument}, so "
                    "writing to one changes the other; return a copy.",
                )
        return None

    def _gathered(self, arrays: list[np.ndarray], way: _Way) -> np.ndarray:
        if way.layout in ("columns", "rows"):
            return np.stack(arrays, axis=1 if way.layout == "columns" else 0)
        exchanged = way.layout in self.layouts[2:]
        return np.ascontiguousarray(arrays[0].T if exchanged else arrays[0])


def _is_flags(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype == bool


def _probe(arguments: tuple[Argument, ...]) -> Case:
    """Return a small case whose axes differ in length."""
    lengths = {"T": 3, "B": 2, "L": 3, "N": 4, "S": 5, "A": 2}
    values: dict[str, Any] = {}
    for i, item in enumerate(arguments):
        axes = "T B" if item.axes == "..." else item.axes
        shape = tuple(lengths.get(axis, 2) for axis in axes.split())
        size = int(np.prod(shape))
        if item.kind == "float":
            values[item.name] = (np.arange(size) + i + 1.0).reshape(shape) / 4
        elif item.kind == "mask":
            values[item.name] = np.ones(shape, dtype=bool)
        elif item.kind == "flag":
            values[item.name] = np.arange(size).reshape(shape) % (4 + i) == 3
        else:
            values[item.name] = 1 if item.kind == "count" else 0.5
    return Case(values, "chained", "probe")


def planned(
    engine: Engine,
    contract: Contract,
    call: str | None,
    arrays: str | None,
    layout: str | None,
) -> Candidate:
    """Return a candidate on an engine; see `in_process`."""
    declaration = parse(call) if call else infer(engine.signature, contract.arguments)
    made = plan(engine.signature, contract.arguments, declaration)
    return _Planned(engine, contract, made, arrays, layout)


class _Here:
    """The engine of functions in this process. It survives what Python can catch."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.signature = describe(function)

    def dtypes(self, library: str) -> tuple[str, ...]:
        return dtypes(library)

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
) -> Candidate:
    """Return a function of this process as a candidate.

    What Python can catch is survived; a hang, a crash and an exhausted memory are not: for
    these, name the function by module or file, as `rlverify.isolation.isolated` takes it.

    Args:
        function: what is judged.
        contract: what it is judged by.
        call: how it is called, where names do not say (`rlverify.declaration`).
        arrays: `numpy`, `torch` or `jax`, where that should not be found out.
        layout: `time-major`, `columns` or `batch-major`, likewise; for token sequences
            `batch-major`, `rows` or `time-major`.

    Raises:
        CallError: the call is ambiguous or impossible; the message shows what to declare.
    """
    return planned(_Here(function), contract, call, arrays, layout)
