"""Cases of categorical policies: logits, actions, legal actions, and the values of actions.

What separates right from wrong here is the size of the logits (a thousand overflows every
exponential), equal ones, a single action, which actions are illegal and what stands in their
place, and whether leading axes of equal length are told apart.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from rlverify.contract import Case, Claim, Outputs, Subject
from rlverify.inputs import GARBAGE
from rlverify.rounding import PRECISIONS, Tracked

# leading shapes; an axis of 1 before two of 2 shows batch axes that are mixed up
LEADING = ((1,), (2,), (3,), (4,), (2, 2), (1, 2, 2), (1, 2, 2), (2, 1, 2))
SPREADS = ("plain", "plain", "plain", "equal", "ties", "far", "far", "far")
FAR = (-1e4, 0.0, 1e4)


def drawn_logits(kind: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Return logits of a kind; plain ones are multiples of 1/8, no two of a policy equal."""
    if kind == "ties":
        return rng.integers(0, 2, shape) / 2
    # a permutation of eight steps a policy: exact in every dtype, and distinct
    steps = rng.permuted(np.broadcast_to(np.arange(8), (*shape[:-1], 8)), axis=-1)
    plain = (steps[..., : shape[-1]] * 5 - 17) / 8
    if kind == "equal":
        return np.broadcast_to(plain[..., :1], shape).copy()
    # differences between far ones are beyond what any exponential holds
    return plain + rng.choice(FAR, shape) if kind == "far" else plain


def drawn_legal(draw: st.DrawFn, shape: tuple[int, ...], rng: np.random.Generator) -> Any:
    """Return which actions are legal, at least one a policy; None in some cases."""
    kind = draw(st.sampled_from(("none", "none", "some", "some", "not the first", "one")))
    if kind == "none":
        return None
    legal = rng.random(shape) < (0.0 if kind == "one" else 0.6)
    if kind == "not the first":
        legal[..., 0] = False
    chosen = rng.integers(shape[-1] > 1, shape[-1], shape[:-1])
    np.put_along_axis(legal, np.asarray(chosen)[..., None], True, axis=-1)
    return legal


@st.composite
def policies(
    draw: st.DrawFn,
    names: tuple[str, ...],
    most: int = 4,
    leading: tuple[tuple[int, ...], ...] = LEADING,
) -> Case:
    """Draw the arguments in `names`: logits, logits_p, logits_q, actions, uniforms, legal.

    Args:
        draw: given by Hypothesis.
        names: of the arguments.
        most: the greatest number of actions.
        leading: shapes in front of the actions.
    """
    count = draw(st.sampled_from((1, 2, 2, 3, 3, most, most)))
    batch = draw(st.sampled_from(leading))
    shape = (*batch, count)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    legal = drawn_legal(draw, shape, rng) if "legal" in names else None
    allowed = np.ones(shape, dtype=bool) if legal is None else legal
    arguments: dict[str, Any] = {"legal": legal}
    for name in ("logits", "logits_p", "logits_q"):
        if name not in names:
            continue
        logits = drawn_logits(draw(st.sampled_from(SPREADS)), shape, rng)
        garbage = draw(st.sampled_from((None, *GARBAGE)))
        # None: a number like the others, which a forgotten mask lets in unnoticed
        arguments[name] = logits if garbage is None else np.where(allowed, logits, garbage)
    if "logits_q" in names and draw(st.integers(0, 3)) == 0:  # p and q close together
        step = rng.integers(-1, 2, shape) / 2**4
        arguments["logits_q"] = np.where(allowed, arguments["logits_p"] + step, 0.0)
    if "actions" in names:
        actions = rng.integers(0, count, batch)
        if draw(st.integers(0, 2)):  # else illegal ones may be among them
            actions = np.argmax(allowed * (1 + rng.permutation(count)), axis=-1)
        arguments["actions"] = np.asarray(actions, dtype=np.int64)
    if "uniforms" in names:
        uniforms = rng.integers(0, 16, batch) / 16
        edge = draw(st.sampled_from((None, None, 0.0, 0.0, 15 / 16)))
        if edge is not None:
            uniforms = np.where(rng.random(batch) < 0.6, edge, uniforms)
        arguments["uniforms"] = np.asarray(uniforms, dtype=np.float64)
    return Case({name: arguments[name] for name in names})


VALUES = ("plain", "plain", "ties", "ties", "near", "near", "equal", "far")


@st.composite
def action_values(draw: st.DrawFn, knob: str, numbers: tuple[float, ...]) -> Case:
    """Draw `q_values` [..., A] with ties and near ties, and one of `numbers` under `knob`."""
    count = draw(st.sampled_from((1, 2, 2, 3, 3, 4)))
    shape = (*draw(st.sampled_from(LEADING)), count)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(VALUES))
    if kind == "near":  # the greatest two differ by what a careless comparison takes for nothing
        values = drawn_logits("plain", shape, rng) / 8
        values[..., : min(count, 2)] = 1 + rng.permutation(2)[: min(count, 2)] * 2.0**-22
    else:
        values = drawn_logits(kind, shape, rng)
    return Case({"q_values": values, knob: draw(st.sampled_from(numbers))})


def sized(names: tuple[str, ...]) -> Callable[[tuple[int, ...]], Case]:
    """Return what makes a case of a benchmark's shape [N, A]: a sixth of the actions illegal."""

    def case(shape: tuple[int, ...]) -> Case:
        rng = np.random.default_rng(0)
        legal = rng.random(shape) < 5 / 6
        actions = rng.integers(0, shape[-1], shape[:-1])
        np.put_along_axis(legal, actions[..., None], True, axis=-1)
        arguments = {
            "logits": rng.normal(size=shape),
            "logits_p": rng.normal(size=shape),
            "logits_q": rng.normal(size=shape),
            "actions": actions,
            "uniforms": rng.random(shape[:-1]),
            "legal": legal,
            "q_values": rng.normal(size=shape),
            "epsilon": 0.1,
            "temperature": 0.5,
        }
        return Case({name: arguments[name] for name in names}, label="timing")

    return case


# --- what laws compute with ----------------------------------------------------------------------

OURS = PRECISIONS["float64"].unit


def tracked(values: np.ndarray, allowed: np.ndarray | float = 0.0) -> np.ndarray:
    """Return numbers that carry an error, so that what a law computes carries one too."""
    numbers = np.empty(np.shape(values), dtype=object)
    errors = np.broadcast_to(np.asarray(allowed) / OURS, numbers.shape)
    for i in np.ndindex(numbers.shape):
        value, error = float(values[i]), float(errors[i])
        numbers[i] = Tracked(value, OURS, abs(value), 1, error, 0, error, error**2)
    return numbers


def mapped(function: Callable[[Any], Any], numbers: np.ndarray) -> np.ndarray:
    """Return what a function makes of each tracked number."""
    found = np.empty(np.shape(numbers), dtype=object)
    for i in np.ndindex(found.shape):
        found[i] = function(numbers[i])
    return found


def results(subject: Subject, case: Case, output: str) -> np.ndarray:
    """Return what the subject answers, each number with the error that it may carry."""
    return tracked(subject(case)[output], subject.bound(case)[output])


def claim(got: np.ndarray, wanted: np.ndarray) -> Claim:
    """Claim that two arrays of tracked numbers are equal, within what both may carry."""

    def read(array: np.ndarray, field: Callable[[Any], float]) -> np.ndarray:
        return mapped(field, np.asarray(array, dtype=object)).astype(float)

    def error(item: Any) -> float:
        return item.free_bound() if isinstance(item, Tracked) else 0.0

    allowed = read(got, error) + read(wanted, error)
    return Claim(read(got, float), read(wanted, float), allowed)


def legal_of(case: Case, logits: str = "logits") -> np.ndarray:
    """Return which actions are legal, all of them where the case says None."""
    legal = case.arguments.get("legal")
    return np.ones(case[logits].shape, dtype=bool) if legal is None else legal


def unspecified_where_illegal(case: Case, given: Outputs) -> Outputs:
    """Return log-probabilities with those of illegal actions as the contract has them."""
    taken = np.take_along_axis(legal_of(case), case["actions"][..., None], axis=-1)[..., 0]
    return {name: np.where(taken, values, -np.inf) for name, values in given.items()}


def _reshaped(case: Case, change: Callable[[str, np.ndarray], np.ndarray]) -> Case:
    arrays = {k: v for k, v in case.arguments.items() if isinstance(v, np.ndarray)}
    return case.but(**{name: change(name, array) for name, array in arrays.items()})


def flattened(case: Case) -> Case:
    """Return the case with its leading axes made one."""
    leading = leading_of(case)

    def flat(name: str, array: np.ndarray) -> np.ndarray:
        return array.reshape(-1, *array.shape[len(leading) :])

    return _reshaped(case, flat)


def unflattened(case: Case, given: Outputs) -> Outputs:
    """Return the results of a flattened case with the leading axes of the whole one."""
    leading = leading_of(case)
    return {name: values.reshape(*leading, *values.shape[1:]) for name, values in given.items()}


def leading_of(case: Case) -> tuple[int, ...]:
    """Return the lengths of the leading axes, those in front of the actions."""
    names = ("logits", "logits_p", "q_values")
    first = next(case[name] for name in names if name in case.arguments)
    return tuple(first.shape[:-1])
