"""Contracts of `td_loss` and `soft_update`, of the topic `q_learning`.

They stand here so that each file fits a sitting.
"""

from collections.abc import Iterable
from fractions import Fraction

import numpy as np
from hypothesis import strategies as st

from rlverify.contract import (
    Argument,
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
from rlverify.contracts._loss_cases import MASKS, drawn_mask
from rlverify.contracts._loss_laws import number
from rlverify.contracts._masks import mask_of
from rlverify.contracts._ppo_cases import (
    SHAPES,
    SIZES,
    bad_arrays,
    good_case,
    masked_arrays,
    mean_bugs,
    mean_conventions,
    shared_laws,
    sized_case,
    transposed,
)
from rlverify.contracts._recordings import equals_exactly, exact, same
from rlverify.contracts._refusals import bad, bad_floats, bad_masks
from rlverify.fast import q_learning as fast
from rlverify.inputs import distinct
from rlverify.reference import q_learning as reference

Array = np.ndarray

# --- the loss ------------------------------------------------------------------------------------

PAIR = ("q_taken", "targets")
# no odd multiple of 1/16 is a multiple of 1/8: but for 2, no error lies on an edge
EDGES = (None, None, 1.0625, 0.8, 2.0, 3.1875)


@st.composite
def errors(draw: st.DrawFn) -> Case:
    """Draw values with targets near them or far off, and a mask with garbage under it."""
    shape = draw(st.sampled_from(SHAPES))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    (values,) = distinct(rng, shape)
    misses = rng.integers(1, 41, shape) * rng.choice((-1, 1), shape) / 8
    if draw(st.integers(0, 3)) == 0:
        misses = np.abs(misses)
    mask = drawn_mask(draw(st.sampled_from(MASKS)), shape, rng)
    arrays = {"q_taken": values, "targets": values - misses}
    huber = draw(st.sampled_from(EDGES))
    return Case({**masked_arrays(draw, arrays, mask), "mask": mask, "huber": huber})


def misses_of(case: Case) -> list[Fraction]:
    """Return the exact errors of the real elements."""
    mask = mask_of(case, "q_taken")
    return [
        Fraction(float(q)) - Fraction(float(y))
        for q, y in zip(case["q_taken"][mask], case["targets"][mask], strict=True)
    ]


def average(terms: list[Fraction]) -> np.ndarray:
    """Return the exact mean as an array of shape ()."""
    return number(sum(terms, Fraction(0)) / len(terms))


def check_quadratic(subject: Subject, case: Case) -> Iterable[Claim]:
    """Without δ, or with one that no error reaches, the loss is half the mean square."""
    wanted = average([e * e / 2 for e in misses_of(case)])
    for huber in (None, 2.0**7):
        free = case.but(huber=huber)
        yield equals_exactly(subject(free)["loss"], wanted, subject.bound(free)["loss"])


def check_linear(subject: Subject, case: Case) -> Iterable[Claim]:
    """With a δ that all errors but 0 exceed the loss is δ times the mean of |e| − δ/2."""
    edge = Fraction(1, 16)
    wanted = average([edge * (abs(e) - edge / 2) if e else abs(e) for e in misses_of(case)])
    narrow = case.but(huber=float(edge))
    yield equals_exactly(subject(narrow)["loss"], wanted, subject.bound(narrow)["loss"])


def check_sides(subject: Subject, case: Case) -> Iterable[Claim]:
    """Too high and too low cost the same: values and targets may be exchanged."""
    turned = case.but(q_taken=case["targets"], targets=case["q_taken"])
    yield from same(subject, turned, subject(case), case)


START = "total, count = 0, 0\n"
LOSS_TERM = "total = total + clipped * (error - clipped / 2)"
RESULT = "total / count"
ERROR = "error = q_taken[i] - targets[i]"
WHOLE = ("scalar(total / count,", "scalar(2 * total / count,")


def jumping(beyond: str) -> str:
    """Return ½e² up to δ and something else beyond, that does not meet it: either stands at δ."""
    return (
        "square = error * error / 2\n"
        f"        total = total + (square if huber is None or abs(error) < huber else {beyond} if "
        f"abs(error) > huber else loosened(square, abs(square - ({beyond})), 0))"
    )


def in_pieces(q_taken: Array, targets: Array, mask: Array | None, huber: float | None) -> Array:
    """Put the loss together from two pieces."""
    values, wanted = (x.reshape(-1) if mask is None else x[mask] for x in (q_taken, targets))
    distance = np.abs(wanted - values)
    square = distance * distance * 0.5
    if huber is None:
        return np.asarray(square.mean())
    beyond = huber * (distance - 0.5 * huber)
    return np.asarray(np.where(distance <= huber, square, beyond).mean())


LOSS_CONTRACT = Contract(
    name="td_loss",
    topic="q_learning",
    summary="half the mean squared error of the values of actions taken, or Huber's of it",
    source="Mnih et al. 2015, methods, eq. 2; Huber 1964",
    reference=reference.td_loss,
    fast=fast.td_loss,
    arguments=(
        *(Argument(name, "float", "...") for name in PAIR),
        Argument("mask", "mask", "..."),
        Argument("huber", "number"),
    ),
    outputs=("loss",),
    axes=("",),
    inputs=errors(),
    examples=(
        Example(
            "squared, one element is padding",
            Case({"q_taken": np.array([1.0, 4.0, np.nan]), "targets": np.array([0.0, 1.0, np.inf]),
                  "mask": np.array([True, True, False]), "huber": None},
                 label="worked by hand"),
            {"loss": "5/2"},
        ),
        Example(
            "one error beyond δ",
            Case({"q_taken": np.array([1.0, 4.0]), "targets": np.array([0.0, 0.0]),
                  "mask": None, "huber": 2.0},
                 label="worked by hand"),
            {"loss": "13/4"},
        ),
    ),
    laws=(
        Law("half-the-square", "small errors cost half their square", check_quadratic),
        Law("linear-beyond", "errors beyond δ cost δ(|e| − δ/2)", check_linear),
        Law("both-sides", "too high costs what too low costs", check_sides),
        *shared_laws("q_taken"),
    ),
    gradient_judged=True,
    gradients=("q_taken",),
    handed_over=("targets",),
    known_bugs=(
        KnownBug("Q4a", LOSS_TERM, jumping("abs(error) - huber / 2")),
        KnownBug("Q4b", LOSS_TERM, jumping("huber * abs(error)")),
        KnownBug("Q4c", LOSS_TERM, "total = total + (error * error / 2 if huber is None or "
                 "abs(error) > huber else huber * (abs(error) - huber / 2))"),
        KnownBug("Q4d", LOSS_TERM, "total = total + clipped * (error - clipped / 2)",
                 also=(("limited(error, -huber, huber)", "huber if error > huber else error"),)),
        KnownBug("Q5", LOSS_TERM, "total = total + clipped * clipped / 2"),
        KnownBug("K12", ERROR, ERROR.replace("targets[i]", transposed("targets"))),
        KnownBug(
            "A20", ERROR,
            "places = list(real_places(q_taken, mask))\n"
            "        error = q_taken[i] - sum(targets[j] for j in places) / len(places)",
        ),
        *mean_bugs("td_loss", PAIR, ("huber",), LOSS_TERM, RESULT),
    ),
    conventions=(
        Convention("half", "absent", "without the ½: the mean squared error (CleanRL)",
                   edits=(WHOLE,)),
        Convention(
            "huber", "divided-by-delta", "divided by δ: torch's SmoothL1Loss, with beta for δ",
            edits=((LOSS_TERM, "total = total + clipped * (error - clipped / 2) / "
                    "(1 if huber is None else huber)"),),
        ),
        *mean_conventions("q_taken", START, LOSS_TERM, RESULT),
    ),
    equivalents=(
        Equivalent("in pieces", "½e² up to δ, δ(|e| − δ/2) beyond", in_pieces),
    ),
    bad_inputs=(
        *bad_floats("td_loss", "q_taken", "[...]"),
        *bad_arrays("td_loss", "q_taken", PAIR[1:]),
        *bad_masks("td_loss", "q_taken"),
        bad("td_loss", "huber", "zero", lambda _: 0.0, ValueError,
            "huber came as 0.0, wanted a finite number above 0."),
        bad("td_loss", "huber", "text", lambda _: "1", TypeError,
            "huber came as str, wanted a number."),
    ),
    sizes=SIZES,
    sized=sized_case(PAIR, huber=1.0),
    good=good_case(PAIR, huber=1.0),
)  # fmt: skip

# --- the target network --------------------------------------------------------------------------

NETWORKS = ("target", "online")
SHARES = (0.0, 0.005, 0.1, 0.25, 0.3, 0.75, 0.995, 1.0)


@st.composite
def networks(draw: st.DrawFn) -> Case:
    """Draw the parameters of both networks, of any shape."""
    shape = draw(st.sampled_from(SHAPES))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    target, online = distinct(rng, shape, shape)
    return Case({"target": target, "online": online, "tau": draw(st.sampled_from(SHARES))})


def ends_at(tau: float, name: str) -> Law:
    """Return the law that a share of 0 leaves the target network, and one of 1 copies."""

    def check(subject: Subject, case: Case) -> Iterable[Claim]:
        end = case.but(tau=tau)
        # exactly: the products with 0 and 1 round nothing
        yield Claim(subject(end)["moved"], case[name], np.zeros(case[name].shape))

    word = "leaves the target network" if tau == 0 else "copies the other"
    return Law(f"share-{tau:.0f}", f"τ = {tau:.0f} {word}, bit for bit", check)


def check_still(subject: Subject, case: Case) -> Iterable[Claim]:
    """Where both networks are equal nothing moves."""
    yield from same(subject, case.but(online=case["target"]), {"moved": case["target"]})


def check_mixture(subject: Subject, case: Case) -> Iterable[Claim]:
    """With the networks exchanged, the two results add up to their sum."""
    other = case.but(target=case["online"], online=case["target"])
    wanted = exact(case["target"]) + exact(case["online"]) - exact(subject(other)["moved"])
    allowed = subject.bound(case)["moved"] + subject.bound(other)["moved"]
    yield equals_exactly(subject(case)["moved"], wanted, allowed)


def check_share(subject: Subject, case: Case) -> Iterable[Claim]:
    """From 0 towards 8 it moves by 8τ."""
    zeros = np.zeros(case["target"].shape)
    moving = case.but(target=zeros, online=zeros + 8)
    yield from same(subject, moving, {"moved": zeros + 8 * case["tau"]})


def check_elements(subject: Subject, case: Case) -> Iterable[Claim]:
    """The shape of the parameters does not matter."""
    flat = case.but(**{name: case[name].T.reshape(-1) for name in NETWORKS})
    plain, bound = subject(case)["moved"], subject.bound(case)["moved"]
    slack = subject.bound(flat)["moved"] + bound.T.reshape(-1)
    yield Claim(subject(flat)["moved"], plain.T.reshape(-1), slack)


def towards(target: Array, online: Array, *, tau: float) -> Array:
    """Add τ times the difference."""
    return np.asarray(online - (1 - tau) * (online - target) if tau > 0.5
                      else target + tau * (online - target))  # fmt: skip


MIX = "(1 - tau) * target[i] + tau * online[i]"
SOFT_UPDATE_CONTRACT = Contract(
    name="soft_update",
    topic="q_learning",
    summary="target network moved by a share of the way to the one that learns",
    source="Lillicrap et al. 2016, arXiv:1509.02971, algorithm 1",
    reference=reference.soft_update,
    fast=fast.soft_update,
    arguments=(*(Argument(name, "float", "...") for name in NETWORKS), Argument("tau", "number")),
    outputs=("moved",),
    inputs=networks(),
    examples=(
        Example(
            "a quarter of the way",
            Case({"target": np.array([0.0, 4.0]), "online": np.array([8.0, 4.0]), "tau": 0.25},
                 label="worked by hand"),
            {"moved": ["2", "4"]},
        ),
    ),
    laws=(
        ends_at(0.0, "target"),
        ends_at(1.0, "online"),
        Law("still", "where both networks are equal nothing moves", check_still),
        Law("exchanged", "with the networks exchanged the results add up to their sum",
            check_mixture),
        Law("share", "τ is the share of the way", check_share),
        Law("elementwise", "the shape of the parameters does not matter", check_elements),
    ),
    gradients=(),
    known_bugs=(
        KnownBug("H8", MIX, "tau * target[i] + (1 - tau) * online[i]"),
        KnownBug("H10a", MIX, "target[i]"),
        KnownBug("H10b", MIX, "online[i]"),
        KnownBug("Q6", MIX, "target[i] + tau * online[i]"),
        KnownBug("K12", MIX, "(1 - tau) * target[i] + tau * " + transposed("online")),
    ),
    equivalents=(
        Equivalent("towards", "τ of the difference added, from the nearer end", towards),
    ),
    bad_inputs=(
        *bad_floats("soft_update", "target", "[...]"),
        *bad_arrays("soft_update", "target", NETWORKS[1:]),
        bad("soft_update", "tau", "above 1", lambda _: 1.5, ValueError,
            "tau came as 1.5, wanted a number in [0, 1]."),
        bad("soft_update", "tau", "text", lambda _: "1", TypeError,
            "tau came as str, wanted a number in [0, 1]."),
    ),
    sizes=SIZES,
    sized=lambda shape: Case(
        {"target": np.arange(shape[0]) % 255 / 128, "online": np.arange(shape[0]) % 127 / 64,
         "tau": 0.005},
        label="timing",
    ),
    good=Case({"target": np.arange(6.0).reshape(2, 3), "online": np.ones((2, 3)), "tau": 0.25}),
)  # fmt: skip
