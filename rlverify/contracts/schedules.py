"""Contract of the topic `schedules`: the line from start to end."""

from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any

import numpy as np
from hypothesis import strategies as st

from rlverify.contract import (
    Argument,
    BadInput,
    Case,
    Claim,
    Contract,
    Convention,
    Equivalent,
    Example,
    KnownBug,
    Law,
    Subject,
)
from rlverify.contracts._recordings import equals_exactly, exact
from rlverify.contracts._refusals import bad
from rlverify.fast import schedules as fast
from rlverify.reference import schedules as reference

# --- inputs --------------------------------------------------------------------------------------

LENGTHS = (1.0, 2.0, 3.0, 4.0, 5.0, 8.0, 10.0, 48.0)


@st.composite
def moments(draw: st.DrawFn) -> Case:
    """Draw two ends and a single step on the way, at an end, or past it."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    steps = draw(st.sampled_from(LENGTHS))
    where = draw(
        st.sampled_from(("way", "way", "way", "way", "start", "end", "past", "past", "before"))
    )
    step = {
        "way": float(rng.integers(0, int(steps) + 1)),
        "start": 0.0,
        "end": steps,
        "past": steps + float(rng.integers(1, 8)),
        "before": -1.0,
    }[where]
    start, end = (rng.permutation(33)[:2] - 8) / 8
    regime = draw(st.sampled_from(("any", "any", "to zero", "from zero")))
    if regime != "any" and start and end:
        start, end = (start, 0.0) if regime == "to zero" else (0.0, end)
    arguments = {"step": np.array(step), "start": float(start), "end": float(end), "steps": steps}
    return Case(arguments)


def sized(shape: tuple[int, ...]) -> Case:
    """Return a whole run of a benchmark size."""
    (count,) = shape
    arguments = {"step": np.arange(float(count)), "start": 2.5, "end": 0.5, "steps": 0.75 * count}
    return Case(arguments, label="timing")


# --- laws ----------------------------------------------------------------------------------------


def equal(got: np.ndarray, wanted: Any, allowed: np.ndarray) -> Claim:
    """Claim an exact answer; a single one may have come out of its array."""
    return equals_exactly(got, np.asarray(wanted, dtype=object), allowed)


def held(side: Callable[[Case], tuple[tuple[float, ...], float]]) -> Callable[..., Iterable[Claim]]:
    """Return the law that at some steps the value is known."""

    def check(subject: Subject, case: Case) -> Iterable[Claim]:
        steps, value = side(case)
        for step in steps:
            there = case.but(step=np.full(case["step"].shape, step))
            got, wanted = subject(there)["value"], exact(np.full(case["step"].shape, value))
            yield equal(got, wanted, subject.bound(there)["value"])

    return check


def check_mirrored(subject: Subject, case: Case) -> Iterable[Claim]:
    """As far from one end as from the other, the two values add up to start + end."""
    other = case.but(step=np.asarray(case["steps"] - case["step"]))
    total = Fraction(case["start"]) + Fraction(case["end"])
    got, opposite = subject(case)["value"], subject(other)["value"]
    if np.isfinite(got).all() and np.isfinite(opposite).all():
        allowed = subject.bound(case)["value"] + subject.bound(other)["value"]
        yield equal(got, total - exact(opposite), allowed)


def check_straight(subject: Subject, case: Case) -> Iterable[Claim]:
    """Between 0 and any step on the way, half the way is half the change."""
    if not ((case["step"] >= 0) & (case["step"] <= case["steps"])).all():
        return
    half = case.but(step=np.asarray(case["step"] / 2))
    got, whole = subject(half)["value"], subject(case)["value"]
    if np.isfinite(whole).all():
        wanted = (exact(whole) + Fraction(case["start"])) / 2
        allowed = subject.bound(half)["value"] + subject.bound(case)["value"] / 2
        yield equal(got, wanted, allowed)


LAWS = (
    Law("starts-at-start", "at step 0, and before it, the value is start",
        held(lambda case: ((0.0, -2.0), case["start"]))),
    Law("stays-at-end", "at `steps`, and past it, the value is end",
        held(lambda case: ((case["steps"], case["steps"] + 3), case["end"]))),
    Law("mirrored", "steps that far from either end have values that add up to start + end",
        check_mirrored),
    Law("straight", "half the way from step 0 is half the change", check_straight),
)  # fmt: skip

# --- the contract --------------------------------------------------------------------------------

LINE = "end + (start - end) * (1 - fraction)"
AHEAD = "step / steps  # NaN too"


def one_minus(step: np.ndarray, *, start: float, end: float, steps: float) -> np.ndarray:
    """Mix both ends."""
    fraction = np.clip(step / steps, 0, 1)
    return np.asarray((1 - fraction) * start + fraction * end)


def progress(step: np.ndarray, *, start: float, end: float, steps: float) -> np.ndarray:
    """Count down what remains, and take it from 1 again."""
    remains = np.clip(1 - step / steps, 0, 1)
    return np.asarray(start + (1 - remains) * (end - start))


def bad_inputs() -> tuple[BadInput, ...]:
    """Return the refusals; the good case has steps of shape [2, 3]."""
    name = "linear_schedule"
    return (
        bad(name, "step", "a list", np.ndarray.tolist, TypeError,
            "step came as list, wanted a number."),
        bad(name, "step", "integers", lambda x: x.astype(np.int64), TypeError,
            "step came as dtype int64, wanted a floating-point dtype."),
        bad(name, "step", "a bool", lambda _: True, TypeError,
            "step came as bool, wanted a number."),
        bad(name, "start", "text", lambda _: "1", TypeError,
            "start came as str, wanted a number."),
        bad(name, "end", "nothing", lambda _: None, TypeError,
            "end came as NoneType, wanted a number."),
        bad(name, "steps", "zero", lambda _: 0.0, ValueError,
            "steps came as 0.0, wanted a finite number above 0."),
        bad(name, "steps", "infinite", lambda _: float("inf"), ValueError,
            "steps came as inf, wanted a finite number above 0."),
    )  # fmt: skip


GOOD = Case({"step": np.arange(6.0).reshape(2, 3), "start": 1.0, "end": 0.5, "steps": 4.0})

LINEAR_CONTRACT = Contract(
    name="linear_schedule",
    topic="schedules",
    summary="line from start to end, then end for ever",
    source="Mnih et al. 2015, methods; Schulman et al. 2017, arXiv:1707.06347, table 5",
    reference=reference.linear_schedule,
    fast=fast.linear_schedule,
    arguments=(
        Argument("step", "float", "..."),
        Argument("start", "number"),
        Argument("end", "number"),
        Argument("steps", "number"),
    ),
    outputs=("value",),
    axes=("...",),
    inputs=moments(),
    examples=(
        Example(
            "a third of the way, and past the end",
            Case({"step": np.array([1.0, 4.0]), "start": 1.0, "end": 0.25, "steps": 3.0},
                 label="worked by hand"),
            {"value": ["3/4", "1/4"]},
        ),
    ),
    laws=LAWS,
    gradients=(),
    conventions=(
        Convention(
            "counting", "from-one",
            "steps are counted from 1: the first one has the value start (CleanRL's "
            "1 − (update − 1)/updates)",
            edits=(
                ("if step >= steps", "if step - 1 >= steps"),
                ("elif step <= 0", "elif step - 1 <= 0"),
                (AHEAD, "(step - 1) / steps"),
            ),
            helper="_on_the_line",
        ),
    ),
    known_bugs=(
        KnownBug("E37a", AHEAD, "(step + 1) / steps", helper="_on_the_line",
                 also=(("if step >= steps", "if step + 1 >= steps"),
                       ("elif step <= 0", "elif step + 1 <= 0"))),
        KnownBug("E37b", LINE, "start", helper="_on_the_line"),
        KnownBug("E37c", "fraction = 1", "fraction = step / steps", helper="_on_the_line"),
        KnownBug("E37d", AHEAD, "int(float(step / steps))", helper="_on_the_line"),
        KnownBug("O1", LINE, "max(end + (start - end) * (1 - step / steps), end)",
                 helper="_on_the_line"),
        KnownBug("O2", LINE, "start * (1 - fraction)", helper="_on_the_line"),
    ),
    equivalents=(
        Equivalent("mixed ends", "(1 − f) · start + f · end", one_minus),
        Equivalent("progress remaining", "from what remains, as Stable-Baselines3", progress),
    ),
    bad_inputs=bad_inputs(),
    sizes=((64,), (65536,), (1048576,)),
    sized=sized,
    good=GOOD,
)  # fmt: skip

CONTRACTS = (LINEAR_CONTRACT,)
