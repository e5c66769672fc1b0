"""Inputs and laws of A2C: its loss, and its update read off RMSprop's state."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from rlverify.contract import Case, Claim, Law, Subject
from rlverify.contracts._loss_cases import MASKS, drawn_mask
from rlverify.contracts._masks import mask_of
from rlverify.contracts._measured import UNIT, exactly, measured, vanishes
from rlverify.contracts._ppo_cases import SHAPES, at, impulses, masked_arrays, shared_laws
from rlverify.contracts._recordings import same
from rlverify.contracts._update_laws import a2c_slope, check_still, direction_of
from rlverify.inputs import distinct

ARRAYS = ("log_probs", "advantages", "values", "returns", "entropies")
COEFFICIENTS = ("value_coefficient", "entropy_coefficient")


@st.composite
def loss_cases(draw: st.DrawFn) -> Case:
    """Draw what the loss takes, with garbage under the mask."""
    shape = draw(st.sampled_from(SHAPES))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    mask = drawn_mask(draw(st.sampled_from(MASKS)), shape, rng)
    arrays = dict(zip(ARRAYS, distinct(rng, *[shape] * len(ARRAYS)), strict=True))
    knobs = {
        "value_coefficient": draw(st.sampled_from((0.5, 1.0, 0.25))),
        "entropy_coefficient": draw(st.sampled_from((0.01, 0.0, 0.5))),
    }
    return Case({**masked_arrays(draw, arrays, mask), "mask": mask, **knobs})


def check_terms(subject: Subject, case: Case) -> Iterable[Claim]:
    """One thing alone costs: −A log π/N, c_V ½ error²/N, −c_H H/N."""
    count = int(mask_of(case, "log_probs").sum())
    nothing = case.but(**{name: np.zeros(case["log_probs"].shape) for name in ARRAYS})
    for place in impulses(case, "log_probs"):

        def put(name: str, number: float, place: tuple[int, ...] = place) -> dict[str, np.ndarray]:
            return {name: at(place, case["log_probs"], number)}

        for changes, cost in (
            (put("log_probs", -3.0) | put("advantages", 2.0), 6.0),
            (put("values", 5.0) | put("returns", 1.0), 8 * case["value_coefficient"]),
            (put("entropies", 2.0), -2 * case["entropy_coefficient"]),
        ):
            # the bound counts a product and a division in float64 for the reference itself
            yield from same(subject, nothing.but(**changes), {"loss": np.array(cost / count)})


LOSS_LAWS = (
    Law("terms", "alone, each term costs what its coefficient says, over N", check_terms),
    *shared_laws("log_probs"),
)


# --- the update ----------------------------------------------------------------------------------


def slopes(subject: Subject, case: Case) -> list[Any]:
    """Return learning_rate · g of every parameter, from the step and the divisor it had."""
    got, allowed = subject(case), subject.bound(case)
    after, squares = (measured(got[x], allowed[x]) for x in ("parameters", "squares"))
    eps, found = exactly(case["eps"]), []
    for here, before, square in zip(after, case["parameters"], squares, strict=True):
        divisor = np.sqrt(square + eps) if case["eps_inside"] else np.sqrt(square) + eps
        found.append((exactly(before) - here) * divisor)
    return found


def check_gradient(subject: Subject, case: Case) -> Iterable[Claim]:
    """The gradient is the derivative of the loss."""
    free = case.but(max_norm=None)
    direction = direction_of(case["parameters"])
    found = slopes(subject, free)
    got = sum(x * exactly(y) for x, y in zip(found, direction, strict=True))
    yield vanishes(got - exactly(case["learning_rate"]) * a2c_slope(free))


def check_squares(subject: Subject, case: Case) -> Iterable[Claim]:
    """The squares keep their share of what they were, and add that of the gradient."""
    squares = measured(subject(case)["squares"], subject.bound(case)["squares"])
    rate, kept = exactly(case["learning_rate"]), exactly(case["decay"])
    for slope, square, before in zip(slopes(subject, case), squares, case["squares"], strict=True):
        added = (square - kept * exactly(before)) * rate * rate
        yield vanishes(added - (1 - kept) * slope * slope)


def check_norm(subject: Subject, case: Case) -> Iterable[Claim]:
    """Of all parameters together, gradients are made no longer than max_norm, by one factor."""
    plain = case.but(max_norm=None, decay=0.0, squares=np.zeros_like(case["squares"]))
    short = plain.but(max_norm=0.25)
    long, clipped = (measured(subject(x)["squares"], subject.bound(x)["squares"])
                     for x in (plain, short))  # fmt: skip
    total, limit = sum(long), exactly(0.25) * exactly(0.25)
    if float(total) - total.free_bound() > float(limit) * (1 + UNIT):
        for x, y in zip(clipped, long, strict=True):
            yield vanishes(x * total - y * limit)


def check_twice(subject: Subject, case: Case) -> Iterable[Claim]:
    """Every sample twice is the same batch."""
    names = ("inputs", "actions", "advantages", "returns")
    twice = case.but(**{name: np.concatenate([case[name], case[name]]) for name in names})
    yield from same(subject, twice, subject(case), case)


UPDATE_LAWS = (
    Law("gradient", "the gradient is the derivative of the loss", check_gradient),
    Law("squares", "the squares are a running mean of those of the gradient", check_squares),
    Law("still", "with a learning rate of 0 no parameter changes", check_still),
    Law("norm", "all gradients together are made no longer than max_norm", check_norm),
    Law("twice", "every sample twice is the same batch", check_twice),
)
