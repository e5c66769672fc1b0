"""What the contracts of all functions on recordings `[T, B]` share: laws and refusals."""

import functools
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from rlverify.contract import Argument, BadInput, Case, Claim, Law, Outputs, Subject
from rlverify.contracts._refusals import bad
from rlverify.inputs import cut_of

ARGUMENTS = {
    "rewards": Argument("rewards", "float", "T B"),
    "values": Argument("values", "float", "T B"),
    "next_values": Argument("next_values", "float", "T B"),
    "terminated": Argument("terminated", "flag", "T B"),
    "truncated": Argument("truncated", "flag", "T B"),
    "gamma": Argument("gamma", "discount", "T B"),
    "lam": Argument("lam", "number"),
    "n": Argument("n", "count"),
}

SIZES = ((128, 8), (2048, 8), (128, 4096))


def arguments(names: tuple[str, ...]) -> tuple[Argument, ...]:
    """Return the argument records of the given names."""
    return tuple(ARGUMENTS[name] for name in names)


def window(case: Case, rows: slice, columns: slice = slice(None)) -> Case:
    """Return the part of a recording within the given rows and columns."""
    changes: dict[str, Any] = {}
    for name, value in case.arguments.items():
        if isinstance(value, np.ndarray):
            changes[name] = value[rows, columns]
    return case.but(**changes)


def discounts(case: Case) -> np.ndarray:
    """Return γₜ as an array, whatever form `gamma` has."""
    return np.broadcast_to(np.asarray(case["gamma"], dtype=float), case["rewards"].shape)


def truncated_of(case: Case) -> np.ndarray:
    """Return the truncated flags; none for functions that take no such flag."""
    return np.asarray(case.arguments.get("truncated", np.zeros_like(case["terminated"])))


def same(
    subject: Subject, case: Case, wanted: Outputs, other: Case | None = None, scale: float = 1.0
) -> Iterator[Claim]:
    """Claim that the subject's outputs on `case` are `wanted`, within its own bounds.

    Where `wanted` came out of the subject too, `other` is the case it was run on and
    `scale` what it was multiplied by: its error counts as well.
    """
    got, allowed = subject(case), subject.bound(case)
    for name in got:
        slack = allowed[name]
        if other is not None:
            slack = slack + scale * subject.bound(other)[name]
        yield Claim(got[name], wanted[name], slack)


def check_split(subject: Subject, case: Case) -> Iterable[Claim]:
    """Cut the first column that has an end inside at its ends, and compare the parts."""
    inside = cut_of(case["terminated"], truncated_of(case))[:-1]
    columns = np.flatnonzero(inside.any(axis=0))
    if columns.size == 0:
        return
    column = slice(int(columns[0]), int(columns[0]) + 1)
    whole, starts = window(case, slice(None), column), [0]
    starts += [int(t) + 1 for t in np.flatnonzero(inside[:, columns[0]])]
    stops = [*starts[1:], case["rewards"].shape[0]]
    parts = [window(whole, slice(a, b)) for a, b in zip(starts, stops, strict=True)]
    got, allowed = subject(whole), subject.bound(whole)
    pieces = [subject(part) for part in parts]
    bounds = [subject.bound(part) for part in parts]
    for name in got:
        wanted = np.concatenate([piece[name] for piece in pieces])
        slack = np.concatenate([bound[name] for bound in bounds])
        yield Claim(got[name], wanted, allowed[name] + slack)


def check_columns(subject: Subject, case: Case) -> Iterable[Claim]:
    """Compare every column of the whole with that column alone."""
    got, allowed = subject(case), subject.bound(case)
    for b in range(case["rewards"].shape[1]):
        column = window(case, slice(None), slice(b, b + 1))
        alone, bound = subject(column), subject.bound(column)
        for name in got:
            yield Claim(
                got[name][:, b : b + 1], alone[name], allowed[name][:, b : b + 1] + bound[name]
            )


FLOATS = ("rewards", "values", "next_values")


def check_scale(subject: Subject, case: Case) -> Iterable[Claim]:
    """Double every reward and value: the result doubles."""
    doubled = case.but(**{k: 2 * case[k] for k in FLOATS if k in case.arguments})
    single = subject(case)
    yield from same(subject, doubled, {k: 2 * v for k, v in single.items()}, case, 2.0)


def check_terminated_wins(subject: Subject, case: Case) -> Iterable[Claim]:
    """Set `truncated` wherever `terminated` is set: nothing changes."""
    if not case["terminated"].any():
        return
    both = case.but(truncated=case["truncated"] | case["terminated"])
    one = case.but(truncated=case["truncated"] & ~case["terminated"])
    yield from same(subject, both, subject(one), one)


def check_unread(subject: Subject, case: Case) -> Iterable[Claim]:
    """Put 2¹⁵ where the next value follows a termination: nothing changes."""
    if not case["terminated"].any():
        return
    spoiled = case.but(next_values=np.where(case["terminated"], 2.0**15, case["next_values"]))
    yield from same(subject, spoiled, subject(case), case)


def check_per_step_gamma(subject: Subject, case: Case) -> Iterable[Claim]:
    """Give γ once for all, and once for every step: nothing changes."""
    if isinstance(case["gamma"], np.ndarray):
        return
    per_step = case.but(gamma=discounts(case).copy())
    yield from same(subject, per_step, subject(case), case)


def check_ends(subject: Subject, case: Case) -> Iterable[Claim]:
    """At a cut nothing follows: the result is the one-step target (minus V, if asked)."""
    cut = cut_of(case["terminated"], truncated_of(case))
    with np.errstate(all="ignore"):
        wanted = case["rewards"] + discounts(case) * np.where(
            case["terminated"], 0, case["next_values"]
        )
    got, allowed = subject(case), subject.bound(case)
    for name in got:
        target = wanted - case["values"] if name in ("advantages", "errors") else wanted
        yield Claim(got[name][cut], target[cut], allowed[name][cut])


def check_returns(subject: Subject, case: Case) -> Iterable[Claim]:
    """Returns minus values are the advantages."""
    got, allowed = subject(case), subject.bound(case)
    if len(got) < 2:
        return
    difference = got["returns"] - case["values"]
    yield Claim(difference, got["advantages"], allowed["returns"] + allowed["advantages"])


def zeroed(case: Case) -> Case:
    """Return the case with all rewards and values 0."""
    return case.but(**{k: np.zeros_like(case[k]) for k in FLOATS if k in case.arguments})


def exact(array: np.ndarray) -> np.ndarray:
    """Return finite floats as `Fraction` objects, so that a law rounds nothing itself."""
    return np.asarray(np.vectorize(Fraction, otypes=[object])(array))


def gap(got: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return got − wanted, rounded once; `wanted` holds fractions, NaN stays NaN."""
    result = np.empty(got.shape)
    for i in np.ndindex(got.shape):
        finite = np.isfinite(got[i])
        result[i] = float(Fraction(float(got[i])) - wanted[i]) if finite else np.nan
    return result


def equals_exactly(got: np.ndarray, wanted: np.ndarray, allowed: np.ndarray) -> Claim:
    """Claim that `got` lies within `allowed` of the fractions in `wanted`."""
    return Claim(gap(got, wanted), np.zeros(got.shape), allowed)


Weights = Callable[[Case, int, int], np.ndarray]
"""`weights(case, t, b)[s]`: what a unit reward at step t of column b adds to row s ≤ t, were
there no ends; the products of the decays of steps s … t − 1."""


def check_reward_impulse(weights: Weights) -> Callable[[Subject, Case], Iterable[Claim]]:
    """Return the law that a single reward is credited with the right weight to each step."""

    def check(subject: Subject, case: Case) -> Iterable[Claim]:
        steps, batch = case["rewards"].shape
        cut = cut_of(case["terminated"], truncated_of(case))
        for row in {steps - 1, steps // 2}:
            impulse = zeroed(case)
            rewards, wanted = impulse["rewards"].copy(), np.zeros((steps, batch))
            rewards[row] = 1
            for b in range(batch):
                ends = np.flatnonzero(cut[:row, b])
                first = int(ends[-1]) + 1 if ends.size else 0
                wanted[first : row + 1, b] = weights(case, row, b)[first : row + 1]
            impulse = impulse.but(rewards=rewards)
            yield from same(subject, impulse, dict.fromkeys(subject(impulse), wanted))

    return check


def check_bootstrap_impulse(weights: Weights) -> Callable[[Subject, Case], Iterable[Claim]]:
    """Return the law that the value after the last step is credited with the right weight."""

    def check(subject: Subject, case: Case) -> Iterable[Claim]:
        steps, batch = case["rewards"].shape
        cut = cut_of(case["terminated"], truncated_of(case))
        impulse = zeroed(case)
        next_values, wanted = impulse["next_values"].copy(), np.zeros((steps, batch))
        next_values[-1] = 1
        for b in range(batch):
            if case["terminated"][-1, b]:
                continue
            ends = np.flatnonzero(cut[:-1, b])
            first = int(ends[-1]) + 1 if ends.size else 0
            share = weights(case, steps - 1, b) * discounts(case)[-1, b]
            wanted[first:, b] = share[first:]
        impulse = impulse.but(next_values=next_values)
        yield from same(subject, impulse, dict.fromkeys(subject(impulse), wanted))

    return check


def products(decay: np.ndarray, t: int) -> np.ndarray:
    """Return decay[s] · … · decay[t − 1] for every s ≤ t (1 at s = t), 0 beyond."""
    weights = np.zeros(decay.shape[0])
    weight = 1.0
    for s in range(t, -1, -1):
        weights[s] = weight
        weight = weight * decay[s - 1] if s else weight
    return weights


SPLIT = Law("split-at-ends", "episodes in one column do not know of each other", check_split)
COLUMNS = Law("columns-independent", "a column does not depend on its neighbours", check_columns)
SCALE = Law("reward-scale", "twice the rewards and values give twice the result", check_scale)
TERMINATED_WINS = Law(
    "terminated-wins", "where both flags are set, terminated decides", check_terminated_wins
)
UNREAD = Law("terminal-value-unread", "the value after a termination is never read", check_unread)
PER_STEP_GAMMA = Law(
    "gamma-per-step", "a discount given for every step equals the same one given once",
    check_per_step_gamma,
)  # fmt: skip
ENDS = Law("one-step-at-ends", "at a cut the result is the one-step target", check_ends)
RETURNS = Law("returns-identity", "returns − values = advantages", check_returns)


def base_case(names: tuple[str, ...]) -> Case:
    """Return the good case that bad inputs spoil: three steps of two columns."""
    numbers = np.arange(1.0, 7.0).reshape(3, 2)
    off = np.zeros((3, 2), dtype=bool)
    everything = {
        "rewards": numbers,
        "values": numbers + 10,
        "next_values": numbers + 20,
        "terminated": off,
        "truncated": off,
        "gamma": 0.5,
        "lam": 0.5,
        "n": 2,
    }
    return Case({name: everything[name] for name in names}, "free", "good")


def bad_inputs(function: str, names: tuple[str, ...]) -> tuple[BadInput, ...]:
    """Return the refusals of a function on recordings."""
    refused = functools.partial(bad, function)
    entries = [
        refused(
            "rewards", "a list", np.ndarray.tolist, TypeError,
            "rewards came as list, wanted a floating-point array [T, B].",
        ),
        refused(
            "rewards", "no batch axis", lambda x: x[:, 0], ValueError,
            "rewards came with shape (3,), wanted [T, B]; "
            "for a single trajectory pass rewards[:, None].",
        ),
        refused(
            "rewards", "integers", lambda x: x.astype(np.int64), TypeError,
            "rewards came as dtype int64, wanted a floating-point dtype.",
        ),
        refused(
            "rewards", "empty", lambda x: x[:0], ValueError,
            "rewards came with shape (0, 2), wanted at least one element.",
        ),
        refused(
            "terminated", "numbers for flags", lambda x: x.astype(np.float64), TypeError,
            "terminated came as dtype float64, wanted bool.",
        ),
        refused(
            "terminated", "None", lambda x: None, TypeError,
            "terminated came as NoneType, wanted a boolean array [T, B].",
        ),
        refused(
            "next_values", "one step short", lambda x: x[:-1], ValueError,
            "next_values has shape (2, 2), but rewards has shape (3, 2); they must agree.",
        ),
        refused(
            "gamma", "above 1", lambda x: 1.5, ValueError,
            "gamma came as 1.5, wanted a number in [0, 1].",
        ),
        refused(
            "gamma", "NaN", lambda x: float("nan"), ValueError,
            "gamma came as nan, wanted a number in [0, 1].",
        ),
        refused(
            "gamma", "text", str, TypeError,
            "gamma came as str, wanted a number in [0, 1] or an array [T, B].",
        ),
        refused(
            "gamma", "one discount a column", lambda x: np.full((1, 2), 0.5), ValueError,
            "gamma has shape (1, 2), but rewards has shape (3, 2); they must agree.",
        ),
        refused(
            "gamma", "an element above 1", lambda x: np.full((3, 2), 1.5), ValueError,
            "gamma came with an element outside [0, 1].",
        ),
    ]  # fmt: skip
    if "values" in names:
        entries.append(
            refused(
                "values",
                "one row for all steps",
                lambda x: x[:1],
                ValueError,
                "values has shape (1, 2), but rewards has shape (3, 2); they must agree.",
            )
        )
    if "truncated" in names:
        entries.append(
            refused(
                "truncated",
                "transposed",
                lambda x: x.T,
                ValueError,
                "truncated has shape (2, 3), but rewards has shape (3, 2); they must agree.",
            )
        )
    if "lam" in names:
        entries += [
            refused(
                "lam", "below 0", lambda x: -0.1, ValueError,
                "lam came as -0.1, wanted a number in [0, 1].",
            ),
            refused(
                "lam", "True", lambda x: True, TypeError,
                "lam came as bool, wanted a number in [0, 1].",
            ),
        ]  # fmt: skip
    if "n" in names:
        entries += [
            refused("n", "zero", lambda x: 0, ValueError,
                    "n came as 0, wanted an integer of at least 1."),
            refused("n", "a float", lambda x: 2.0, TypeError,
                    "n came as float, wanted an integer."),
        ]  # fmt: skip
    return tuple(entries)


def transposed(case: Case) -> Case:
    """Return the case with every recording batch-major, `[B, T]`."""
    changes = {k: v.T.copy() for k, v in case.arguments.items() if isinstance(v, np.ndarray)}
    return case.but(**changes)


def transposed_back(case: Case, outputs: Outputs) -> Outputs:
    """Return batch-major outputs as time-major ones."""
    return {name: array.T for name, array in outputs.items()}


def start_flags(case: Case) -> Case:
    """Return the case with flags that say whether the state *before* the step began anew."""

    def shifted(flags: np.ndarray) -> np.ndarray:
        return np.concatenate([np.zeros_like(flags[:1]), flags[:-1]])

    return case.but(terminated=shifted(case["terminated"]), truncated=shifted(case["truncated"]))


def open_ended(case: Case) -> Case:
    """Return the case without a flag at the last step, which flags of starts cannot express."""

    def cleared(flags: np.ndarray) -> np.ndarray:
        return np.concatenate([flags[:-1], np.zeros_like(flags[:1])])

    return case.but(terminated=cleared(case["terminated"]), truncated=cleared(case["truncated"]))
