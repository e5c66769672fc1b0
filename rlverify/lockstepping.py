"""Lockstepping: a whole update, judged stage by stage, with the reference as teacher.

An update is a chain of named stages (gradient, clipping, step, …), and what rounding does to the
first of them has grown beyond any useful bound by the last. So both versions go through it in
lockstep. The reference runs on tracked numbers; after each stage its outputs are recorded with
their bounds, rounded to the candidate's dtype, and handed back as exact numbers. Then the fast
version runs; each stage's outputs are compared with the record, and the record is handed back. So
each stage starts from the same numbers on both sides and answers for itself alone.

Both twins take `trace`, a function of a stage's name and its outputs by name, whose result the
update goes on with. A decision (stop, accept) is an output like others: 0 or 1, with an error
of 1 where rounding decides, so that both answers are right. What the update returns is the last
stage. Directions by conjugate gradients are judged by what they are for (`rlverify.direction`).
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rlverify.comparison import Distance, Truth, distance, passing_decoys
from rlverify.contract import Outputs
from rlverify.grading import PASSING, grade_of
from rlverify.instruction import RESULT, Stage, kept, named, narrowed, recorded
from rlverify.twinning import as_numpy, as_torch

REARRANGED = ("shuffled", "shifted", "means")


@dataclass(frozen=True)
class Judgement:
    """What is held of one stage of the fast version.

    Attributes:
        stage: its name.
        grade: EXACT, TIGHT, BOUND or WRONG.
        worst: its worst error in units of the bound.
        where: the element of that error.
        problem: what is wrong; empty where nothing is.
    """

    stage: str
    grade: str
    worst: float
    where: str = ""
    problem: str = ""

    @property
    def ok(self) -> bool:
        """Whether the stage is right."""
        return self.grade in PASSING

    @property
    def sentence(self) -> str:
        """Return the judgement in words."""
        if not self.ok:
            return f"{self.stage} {self.problem}"
        where = f" at {self.where}" if self.worst else ""
        return f"{self.stage} is right: worst error {counted(self.worst)}{where}"


# (stage, the fast version's outputs, arguments and what earlier stages handed on, dtype)
Judge = Callable[[Stage, Outputs, Mapping[str, Any], str], Judgement]


@dataclass(frozen=True)
class Lockstep:
    """A fast update beside its reference.

    Attributes:
        dtype: what the fast version computed in.
        judgements: one a stage, in their order.
        stages: the reference's record.
    """

    dtype: str
    judgements: tuple[Judgement, ...]
    stages: tuple[Stage, ...]

    @property
    def ok(self) -> bool:
        """Whether every stage is right."""
        return all(judgement.ok for judgement in self.judgements)

    @property
    def wrong(self) -> Judgement | None:
        """Return the first stage that is wrong."""
        return next((judgement for judgement in self.judgements if not judgement.ok), None)

    @property
    def worst(self) -> Judgement:
        """Return the first wrong stage, or else the one with the worst error."""
        return self.wrong or max(self.judgements, key=lambda judgement: judgement.worst)


def counted(bounds: float) -> str:
    """Return a number of bounds in words, such as `3·10⁸ bounds`."""
    if not math.isfinite(bounds) or bounds == 0 or 0.01 <= bounds < 10_000:
        return f"{bounds:.2g} bounds" if bounds < 100 else f"{bounds:.0f} bounds"
    digits, _, power = f"{bounds:.0e}".partition("e")
    raised = str(int(power)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{digits}·10{raised} bounds"


# --- the fast version, judged ----------------------------------------------------------------


class _Astray(Exception):
    """The stages differ: there is nothing to compare any more."""


class _Pupil:
    """The trace of the fast version: compares, remembers, and hands the record back."""

    def __init__(
        self,
        stages: Sequence[Stage],
        arguments: Mapping[str, Any],
        dtype: str,
        judges: Mapping[str, Judge],
    ) -> None:
        self.stages = stages
        self.known = dict(arguments)
        self.dtype = dtype
        self.judges = judges
        self.judgements: list[Judgement] = []

    def __call__(self, name: str, outputs: dict[str, Any]) -> dict[str, Any]:
        stage = self._expected(name)
        theirs = {key: as_numpy(value) for key, value in outputs.items()}
        judge = self.judges.get(name.rpartition(": ")[2], judged)
        self.judgements.append(judge(stage, theirs, self.known, self.dtype))
        self.known |= stage.handed
        return {
            key: _like(value, stage.handed[key], self.dtype)
            for key, value in outputs.items()
            if key in stage.handed
        }

    def _expected(self, name: str) -> Stage:
        rest = self.stages[len(self.judgements) :]
        if rest and rest[0].name == name:
            return rest[0]
        if any(stage.name == name for stage in rest):
            self.stray(rest[0].name, f"is missing: {name} comes in its place")
        else:
            wanted = f"{rest[0].name} is due" if rest else "all are done"
            self.stray(name, f"is a stage that the reference has not: {wanted}")
        raise _Astray

    def stray(self, name: str, problem: str) -> None:
        """Remember what nobody can measure."""
        self.judgements.append(Judgement(name, "WRONG", math.inf, "", problem))


def _like(output: Any, array: np.ndarray, dtype: str) -> Any:
    """Return recorded numbers as what the fast version made: a tensor of its dtype, or a number."""
    if hasattr(output, "detach"):
        made = as_torch({"": array}, dtype, str(output.device))[""]
        return made if output.is_floating_point() else made.to(output.dtype)
    return kept(output, array)


def judged(stage: Stage, outputs: Outputs, arguments: Mapping[str, Any], dtype: str) -> Judgement:
    """Judge the outputs of one stage element by element: NaN and inf first, then the bounds."""
    value = stage.truth.value
    if outputs.keys() != value.keys():
        problem = f"gives {', '.join(outputs) or 'nothing'}; wanted {', '.join(value)}"
        return Judgement(stage.name, "WRONG", math.inf, "", problem)
    for key, array in outputs.items():
        if array.shape != value[key].shape:
            problem = f"gives {key} of shape {array.shape}; wanted {value[key].shape}"
            return Judgement(stage.name, "WRONG", math.inf, key, problem)
    found = {key: distance(outputs[key], value[key], stage.truth.allowed[key]) for key in outputs}
    key = max(found, key=lambda key: found[key].ratio)
    worst, where = found[key].ratio, _place(key, found[key])
    if worst > 1:
        problem = f"is wrong: worst error {counted(worst)} at {where}"
        if math.isinf(worst):
            problem = f"is wrong: {where} is {found[key].got:g}, wanted {found[key].wanted:g}"
        return Judgement(stage.name, "WRONG", worst, where, problem)
    return Judgement(stage.name, grade_of(outputs, stage.truth, dtype), worst, where)


def _place(key: str, found: Distance) -> str:
    return f"{key}[{', '.join(map(str, found.index))}]" if found.index else key


def lockstep(
    reference: Callable[..., Any],
    fast: Callable[..., Any],
    arguments: Mapping[str, Any],
    dtype: str = "float64",
    judges: Mapping[str, Judge] | None = None,
) -> Lockstep:
    """Judge a fast update against its reference, stage by stage.

    Args:
        reference: the update on NumPy arrays. One that takes no `trace` has one stage, its result.
        fast: the update on tensors, likewise.
        arguments: by name: float64 arrays, arrays of integers, and what else it takes.
        dtype: what the fast version computes in.
        judges: for stages that are not judged element by element, by the last part of the name.

    Returns:
        A judgement for each stage.
    """
    given = narrowed(arguments, dtype)
    return compared(recorded(reference, given, dtype), fast, given, dtype, judges)


def compared(
    stages: Sequence[Stage],
    fast: Callable[..., Any],
    given: Mapping[str, Any],
    dtype: str,
    judges: Mapping[str, Judge] | None = None,
) -> Lockstep:
    """Judge a fast update against the record of its reference on the same arguments."""
    pupil = _Pupil(stages, given, dtype, judges or {})
    arguments = as_torch(dict(given), dtype)
    try:
        result = fast(**arguments, trace=pupil) if len(stages) > 1 else fast(**arguments)
        pupil(RESULT, named(result))
    except _Astray:
        pass
    except Exception as error:
        due = stages[min(len(pupil.judgements), len(stages) - 1)].name
        pupil.stray(due, f"is never reached: {type(error).__name__}: {error}")
    return Lockstep(dtype, tuple(pupil.judgements), tuple(stages))


def drifted(
    reference: Callable[..., Any],
    fast: Callable[..., Any],
    arguments: Mapping[str, Any],
    dtype: str,
) -> dict[str, float]:
    """Return the greatest difference of each result when nobody teaches; it has no bound."""
    given = narrowed(arguments, dtype)
    with np.errstate(all="ignore"):
        wanted = named(reference(**given))
        got = named(fast(**as_torch(dict(given), dtype)))
        return {
            key: float(np.max(np.abs(as_numpy(got[key]) - as_numpy(value)), initial=0.0))
            for key, value in wanted.items()
        }


def vacuous(steps: Sequence[Lockstep], judges: Collection[str] = ()) -> dict[str, list[str]]:
    """Return the kinds of stage whose bounds, over a whole run, cannot reject nonsense.

    Stages that have judges of their own are left out, and so are single numbers: a decision has
    two answers, and a wrong one is among the right ones where rounding decides. Zeros that nothing
    was rounded for tell nothing from zeros, and equal numbers nothing from their mean.
    """
    kinds: dict[str, list[Truth]] = {}
    for step in steps:
        for stage in step.stages:
            kind = stage.name.rpartition(": ")[2]
            for key, value in stage.truth.value.items():
                told = np.any(value != 0) or np.any(stage.truth.running[key] != 0)
                if value.size > 1 and kind not in judges and told:
                    kinds.setdefault(f"{kind}: {key}", []).append(_only(stage.truth, key))
    found = {}
    for name, truths in kinds.items():
        rearranged = REARRANGED if all(map(_equal, truths)) else ()
        found[name] = [each for each in passing_decoys(truths) if each not in rearranged]
    return {name: decoys for name, decoys in found.items() if decoys}


def _equal(truth: Truth) -> bool:
    """Whether the numbers of an answer cannot be told from each other."""
    return all(bool(np.ptp(v) <= truth.allowed[key].max()) for key, v in truth.value.items())


def _only(truth: Truth, key: str) -> Truth:
    return Truth(*({key: getattr(truth, name)[key]} for name in Truth.__dataclass_fields__))
