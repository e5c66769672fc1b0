"""The contract: what a function must satisfy, as a frozen record that never runs anything.

One contract stands for one function of the suite. Tests, command line, diagnosis, report
and benchmarks all read the same record, so what is promised in one place is judged in all.
Nothing in this module knows an estimator.
"""

import contextlib
import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from hypothesis.strategies import SearchStrategy

from rlverify.errors import bound_axes, layer_parameters

Outputs = dict[str, np.ndarray]


@dataclass(frozen=True)
class Argument:
    """One argument of a function.

    Attributes:
        name: its canonical name.
        kind: `float` (array), `integer` (int64 array), `flag` (boolean array), `mask` or `legal`
            (boolean array or None), `discount` (number in [0, 1] or array), `number`, `count`
            (integer), `switch` (bool), `choice` (word), `sizes` (tuple), `function`.
        axes: `"T B"`, `"B L"`, `"... A"`; empty for a scalar.
    """

    name: str
    kind: str
    axes: str = ""

    @property
    def is_array(self) -> bool:
        """Whether the argument is an array (a mask may be None)."""
        return self.kind in ("float", "integer", "flag", "mask", "legal")


@dataclass(frozen=True)
class Case:
    """One set of inputs: NumPy arrays (float64, bool) and plain numbers, by argument name.

    Attributes:
        arguments: the inputs; treat as read-only.
        kind: the class the inputs belong to, such as `free` or `chained`.
        label: where the case comes from, for reports.
        blurred: arguments that the candidate's call cannot hand over exactly, because it takes
            a rounded function of them (σ for log σ); an absolute error of their own size counts.
    """

    arguments: Mapping[str, Any]
    kind: str = "free"
    label: str = "drawn"
    blurred: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "arguments", MappingProxyType(dict(self.arguments)))

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]

    def __reduce__(self) -> tuple[Any, ...]:  # a mapping proxy cannot be sent to a process
        return Case, (dict(self.arguments), self.kind, self.label, self.blurred)

    def but(self, **changes: Any) -> "Case":
        """Return the same case with some arguments (or its `kind`) exchanged."""
        kind = changes.pop("kind", self.kind)
        return Case({**self.arguments, **changes}, kind, self.label, self.blurred)

    @property
    def size(self) -> int:
        """Return how many numbers and flags the case holds."""
        return sum(np.size(value) for value in self.arguments.values())

    def key(self) -> tuple[Any, ...]:
        """Return a hashable fingerprint of the inputs, exact to the bit."""
        known: tuple[Any, ...] | None = getattr(self, "_key", None)
        if known is not None:  # asked for again by every law
            return known
        parts: list[Any] = []
        for name, value in self.arguments.items():
            if isinstance(value, np.ndarray):
                parts.append((name, value.shape, value.tobytes()))
            else:
                parts.append((name, value))
        object.__setattr__(self, "_key", (*parts, self.blurred))
        return (*parts, self.blurred)


class Subject(Protocol):
    """What a law may do with the function under test."""

    def __call__(self, case: Case) -> Outputs:
        """Run the function on a case."""
        ...

    def bound(self, case: Case) -> Outputs:
        """Return how far each output may lie from the truth on this case."""
        ...


@dataclass(frozen=True)
class Claim:
    """One statement of a law: `got` equals `wanted` to within `allowed`, elementwise."""

    got: np.ndarray
    wanted: np.ndarray
    allowed: np.ndarray


@dataclass(frozen=True)
class Law:
    """A property that needs no reference.

    Attributes:
        name: short, in hyphens.
        sentence: what holds.
        check: yields claims about the subject on a case.
        holds_on: the kinds of case it holds on; empty for all.
        claim: id of the claim of the source documents it makes executable, if any.
    """

    name: str
    sentence: str
    check: Callable[[Subject, Case], Iterable[Claim]]
    holds_on: tuple[str, ...] = ()
    claim: str = ""


@dataclass(frozen=True)
class Example:
    """Inputs worked by hand, with the answers as exact fractions (nested lists)."""

    name: str
    case: Case
    answers: Mapping[str, Any]

    def answer(self, output: str) -> np.ndarray:
        """Return the exact answer as an array of `Fraction`."""
        exact = np.array(self.answers[output], dtype=object)
        return np.asarray(np.vectorize(Fraction, otypes=[object])(exact))


@dataclass(frozen=True)
class KnownBug:
    """A real mistake, as a one-line edit of the reference's own source.

    Attributes:
        id: the entry of the corpus, such as `A1`; with a suffix where an entry has variants.
        right: a piece of the source, found exactly once.
        wrong: what stands there instead.
        helper: the function whose source is edited, where it is not the reference itself.
        also: further (right, wrong) pairs, where one line is not enough.
    """

    id: str
    right: str
    wrong: str
    helper: str = ""
    also: tuple[tuple[str, str], ...] = ()

    @property
    def edits(self) -> tuple[tuple[str, str], ...]:
        """Return all (right, wrong) pairs."""
        return ((self.right, self.wrong), *self.also)


@dataclass(frozen=True)
class Equivalent:
    """A form that looks wrong and is right; it must pass.

    Attributes:
        id: short name.
        sentence: what it is and why it is right, with its source.
        function: takes the canonical arguments as NumPy arrays.
        holds_on: the kinds of case on which it equals the reference; empty for all.
    """

    id: str
    sentence: str
    function: Callable[..., Any]
    holds_on: tuple[str, ...] = ()


@dataclass(frozen=True)
class Convention:
    """A reading under which a function that differs from the reference is legitimate.

    It is either another formula, given as edits of the reference, or another way of handing
    over the same numbers, given as a change of what goes in and of what comes out.

    Attributes:
        axis: what libraries differ on, such as `layout`.
        value: this reading, such as `batch-major`.
        sentence: what it means.
        edits: (right, wrong) pieces of the reference's source.
        helper: the function whose source is edited, where it is not the reference itself.
        inputs: what the candidate is given instead of the case.
        outputs: turns the candidate's arrays on a case back into the contract's.
        nearest: the nearest case that the reading can express; None where it can express all.
    """

    axis: str
    value: str
    sentence: str
    edits: tuple[tuple[str, str], ...] = ()
    helper: str = ""
    inputs: Callable[[Case], Case] | None = None
    outputs: Callable[[Case, Outputs], Outputs] | None = None
    nearest: Callable[[Case], Case] | None = None

    @property
    def name(self) -> str:
        """Return `axis=value`, the form in which it is declared."""
        return f"{self.axis}={self.value}"


@dataclass(frozen=True)
class BadInput:
    """A spoiled input and the refusal it must meet, the same in both twins.

    Attributes:
        name: what is wrong.
        spoil: changes to a good case's arguments, computed from it.
        error: the exception type.
        message: the complete message.
    """

    name: str
    spoil: Callable[[Case], Mapping[str, Any]]
    error: type[Exception]
    message: str


@dataclass(frozen=True)
class Contract:
    """Everything the suite knows about one function.

    Attributes:
        name: the function's name.
        topic: the file name its five faces share.
        summary: one line.
        source: paper and equation.
        reference: the NumPy function.
        fast: the PyTorch function, or None with `fast_absent` saying why.
        arguments: in the order of the signature.
        outputs: names of the results.
        inputs: strategy that draws cases.
        examples: inputs worked by hand.
        laws: properties that need no reference.
        gradients: arguments through which gradients flow; the others are constants.
        conventions: axes on which libraries legitimately differ.
        known_bugs: real mistakes, as edits of the reference.
        equivalents: forms that look wrong and are right.
        bad_inputs: refusals.
        sizes: benchmark sizes, as shapes.
        exact: whether the reference takes `Fraction` objects.
        fast_absent: why there is no fast version, where there is none.
        long_cases: cases too long to draw often, judged in every run.
        axes: of each output; none for those of the first float argument. Letters are those of
            the arguments; `""` is a scalar; beside an argument of kind `sizes`, `O` is the last
            of them and `P` the number of parameters.
        returns: `float`, `integer` or `flag`: the dtype of the results.
        good: a small good case whose axes differ in length; bad inputs spoil it, trial calls of
            a stranger's function make use of it.
        gradient_judged: whether the gradient of a stranger's function is judged too: it is what
            such a function is for.
        handed_over: constants that come out of a rollout, where nothing carries a gradient: a
            stranger's function may leave it to its caller to detach them.
        logged: whether a result without a gradient is right too: it is there to be looked at.
        counted: results that are flags or counts, of whatever dtype, beside floats.
        sized: a case of a benchmark size; the first of `sizes` is judged, the second timed.
        truth: of a result that is judged by a property: from a case, the unit roundoff and None,
            the middle of the smallest box around all right answers, and its half widths; from
            a case and another function, what that one answers, and how far one may be from it
            to be taken for it. None where bounds follow from the reference's arithmetic.
    """

    name: str
    topic: str
    summary: str
    source: str
    reference: Callable[..., Any]
    fast: Callable[..., Any] | None
    arguments: tuple[Argument, ...]
    outputs: tuple[str, ...]
    inputs: SearchStrategy[Case]
    examples: tuple[Example, ...]
    laws: tuple[Law, ...]
    gradients: tuple[str, ...]
    known_bugs: tuple[KnownBug, ...]
    bad_inputs: tuple[BadInput, ...]
    sizes: tuple[tuple[int, ...], ...]
    conventions: tuple[Convention, ...] = ()
    equivalents: tuple[Equivalent, ...] = ()
    exact: bool = True
    fast_absent: str = ""
    long_cases: tuple[Case, ...] = ()
    axes: tuple[str, ...] = ()
    returns: str = "float"
    gradient_judged: bool = False
    handed_over: tuple[str, ...] = ()
    logged: bool = False
    counted: tuple[str, ...] = ()
    good: Case | None = None
    sized: Callable[[tuple[int, ...]], Case] | None = None
    truth: Callable[[Case, float, Callable[..., Any] | None], tuple[Outputs, Outputs]] | None = None

    @property
    def first(self) -> Argument:
        """Return the argument whose shape the results follow: the first array of floats."""
        arrays = (item for item in self.arguments if item.kind in ("float", "integer"))
        return min(arrays, key=lambda item: item.kind != "float")

    def shapes(self, case: Case) -> dict[str, tuple[int, ...]]:
        """Return the shape that each output has on a case."""
        if not self.axes:
            return dict.fromkeys(self.outputs, case[self.first.name].shape)
        known: list[tuple[str, tuple[int, ...]]] = []
        for item in self.arguments:
            value = case[item.name]
            if item.kind == "sizes":
                known.append(("", tuple(value)))
            elif item.axes and isinstance(value, np.ndarray):
                known.append((item.axes, value.shape))
        return dict(zip(self.outputs, _shapes(self.axes, tuple(known)), strict=True))

    def dtype(self, dtype: str) -> str:
        """Return the dtype of the results for inputs of a float dtype."""
        return {"float": dtype, "integer": "int64", "flag": "bool"}[self.returns]

    def argument(self, name: str) -> Argument:
        """Return the argument of that name."""
        return next(item for item in self.arguments if item.name == name)

    def named(self, result: Any) -> Outputs:
        """Return a reference's result as a dictionary of arrays by output name."""
        if len(self.outputs) == 1 and not hasattr(result, "_fields"):
            return {self.outputs[0]: result}
        return {name: getattr(result, name) for name in self.outputs}


@functools.lru_cache(maxsize=4096)
def _shapes(
    wanted: tuple[str, ...], known: tuple[tuple[str, tuple[int, ...]], ...]
) -> tuple[tuple[int, ...], ...]:
    """Return the shapes of outputs with the axes `wanted`.

    Args:
        wanted: axes of each output.
        known: axes and shape of each array, and, without axes, the sizes of layers.
    """
    # an axis may be a number: a matrix of known size stands at each place
    lengths: dict[str, Any] = {str(number): number for number in range(1, 10)}
    for names, shape in known:
        if not names:
            # what an array has bound stays: a policy may have more than its layers'
            lengths = {"O": shape[-1], "P": layer_parameters(shape), **lengths}
        else:
            # an argument that broadcasts may be smaller than its axes say
            with contextlib.suppress(ValueError):
                lengths = {**bound_axes(names, shape), **lengths}
    return tuple(
        tuple(
            length
            for axis in names.split()
            for length in (lengths[axis] if axis == "..." else (lengths[axis],))
        )
        for names in wanted
    )
