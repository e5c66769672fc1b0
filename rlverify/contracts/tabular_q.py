"""Contracts of the topic `tabular_q`: updates of a table; the cells of a grid elsewhere."""

from collections.abc import Iterable
from fractions import Fraction

import numpy as np
from hypothesis import strategies as st

from rlverify.contract import (
    Argument,
    BadInput,
    Case,
    Claim,
    Contract,
    Equivalent,
    Example,
    KnownBug,
    Law,
    Subject,
)
from rlverify.contracts._grids import GRID_CONTRACT
from rlverify.contracts._recordings import equals_exactly, exact, same
from rlverify.contracts._refusals import bad, bad_floats
from rlverify.fast import tabular_q as fast
from rlverify.inputs import DISCOUNTS, distinct
from rlverify.reference import tabular_q as reference

Array = np.ndarray

# --- updates of a table --------------------------------------------------------------------------

WALK = ("states", "actions", "rewards", "next_states", "terminated")
# leading axes, states, actions, transitions
SHAPES = (
    ((), 1, 1, 2), ((), 2, 1, 2), ((), 2, 2, 1), ((), 2, 2, 3), ((), 2, 3, 2), ((), 3, 2, 4),
    ((1,), 2, 2, 3), ((2,), 1, 2, 3), ((2,), 2, 2, 3), ((3,), 2, 2, 2), ((2, 1), 2, 2, 2),
)  # fmt: skip
STEP_SIZES = (0.0, 0.1, 0.25, 0.5, 0.5, 0.75, 0.9, 1.0)


@st.composite
def walks(draw: st.DrawFn) -> Case:
    """Draw tables and transitions; few states, so that pairs are visited again."""
    leading, count, moves, steps = draw(st.sampled_from(SHAPES))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    table, rewards = distinct(rng, (*leading, count, moves), (*leading, steps))
    shape = rewards.shape
    states, next_states = rng.integers(0, count, (2, *shape))
    ended = rng.random(shape) < draw(st.sampled_from((0.0, 0.3, 0.3, 0.7)))
    if draw(st.booleans()):  # what was reached is what is left next, unless an episode ended
        going = ~ended[..., :-1]
        states[..., 1:] = np.where(going, next_states[..., :-1], states[..., 1:])
    return Case(
        {"q_values": table, "states": states, "actions": rng.integers(0, moves, shape),
         "rewards": rewards, "next_states": next_states, "terminated": ended,
         "gamma": draw(st.sampled_from(DISCOUNTS)),
         "step_size": draw(st.sampled_from(STEP_SIZES))}
    )  # fmt: skip


def part(case: Case, steps: slice) -> Case:
    """Return the case with some of its transitions."""
    return case.but(**{name: case[name][..., steps] for name in WALK})


def visited(case: Case) -> np.ndarray:
    """Return which entries of the table some transition starts from."""
    seen = np.zeros(case["q_values"].shape, dtype=bool)
    for i in np.ndindex(case["states"].shape):
        seen[*i[:-1], case["states"][i], case["actions"][i]] = True
    return seen


def check_in_order(subject: Subject, case: Case) -> Iterable[Claim]:
    """Half of the transitions, then the rest, give what all at once give."""
    middle = case["states"].shape[-1] // 2
    if middle == 0:
        return
    first = part(case, slice(None, middle))
    between, slack = subject(first)["table"], subject.bound(first)["table"]
    if not np.isfinite(between).all():
        return
    rest = part(case, slice(middle, None)).but(q_values=between)
    # an update brings no two tables further apart, in the maximum norm, for γ and α are below 1
    apart = slack.max(axis=(-2, -1), keepdims=True)
    allowed = subject.bound(case)["table"] + subject.bound(rest)["table"] + apart
    yield Claim(subject(case)["table"], subject(rest)["table"], allowed)


def check_unvisited(subject: Subject, case: Case) -> Iterable[Claim]:
    """What no transition starts from stays as it is, bit for bit."""
    left = ~visited(case)
    if left.any():
        got = subject(case)["table"]
        yield Claim(got[left], case["q_values"][left], np.zeros(int(left.sum())))


def check_still(subject: Subject, case: Case) -> Iterable[Claim]:
    """A step size of 0 leaves the table as it is, bit for bit."""
    got = subject(case.but(step_size=0.0))["table"]
    yield Claim(got, case["q_values"], np.zeros(got.shape))


def check_written(subject: Subject, case: Case) -> Iterable[Claim]:
    """A step size of 1 writes the target: the reward and the discounted best that follows."""
    one = part(case, slice(0, 1)).but(step_size=1.0)
    table, gamma = exact(case["q_values"]), Fraction(case["gamma"])
    for i in np.ndindex(case["states"].shape[:-1]):
        best = max(table[*i, one["next_states"][*i, 0]])
        follows = 0 if one["terminated"][*i, 0] else gamma * best
        pair = (*i, one["states"][*i, 0], one["actions"][*i, 0])
        table[pair] = Fraction(one["rewards"][*i, 0]) + follows
    yield equals_exactly(subject(one)["table"], table, subject.bound(one)["table"])


def check_share(subject: Subject, case: Case) -> Iterable[Claim]:
    """In an empty table a single reward, the last, leaves its share α."""
    rewards = np.zeros(case["rewards"].shape)
    rewards[..., -1] = 1
    empty = case.but(q_values=np.zeros(case["q_values"].shape), rewards=rewards)
    wanted = visited(part(case, slice(-1, None))) * case["step_size"]
    yield from same(subject, empty, {"table": wanted})


def check_unread(subject: Subject, case: Case) -> Iterable[Claim]:
    """Which state follows an end does not matter."""
    if not case["terminated"].any():
        return
    count = case["q_values"].shape[-2]
    other = np.where(case["terminated"], count - 1 - case["next_states"], case["next_states"])
    yield from same(subject, case.but(next_states=other), subject(case), case)


def check_alone(subject: Subject, case: Case) -> Iterable[Claim]:
    """Compare every table among the others with that table alone."""
    got, allowed = subject(case)["table"], subject.bound(case)["table"]
    for i in np.ndindex(case["states"].shape[:-1]):
        alone = case.but(**{name: case[name][i] for name in ("q_values", *WALK)})
        slack = allowed[i] + subject.bound(alone)["table"]
        yield Claim(got[i], subject(alone)["table"], slack)


def mixed(
    q_values: Array, states: Array, actions: Array, rewards: Array, next_states: Array,
    terminated: Array, gamma: float, step_size: float,
) -> Array:  # fmt: skip
    """Mix the old value and the target."""
    table = q_values.copy()
    for i in np.ndindex(states.shape):
        rows, pair = table[i[:-1]], (states[i], actions[i])
        target = rewards[i] + (0 if terminated[i] else gamma * rows[next_states[i]].max())
        rows[pair] = (1 - step_size) * rows[pair] + step_size * target
    return table


GREATEST = "_greatest(table[*i[:-1], next_states[i]])"
ERROR = "error = rewards[i] + gamma * greatest - table[*row, actions[i]]"
WRITE = "table[*row, actions[i]] = table[*row, actions[i]] + step_size * error"


def table_case(steps: int, tables: int = 1) -> Case:
    """Return a case of a benchmark size: 500 states of 6 actions, as Taxi has."""
    rng = np.random.default_rng(0)
    shape = (tables, steps)
    return Case(
        {"q_values": rng.integers(-255, 256, (tables, 500, 6)) / 128,
         "states": rng.integers(0, 500, shape), "actions": rng.integers(0, 6, shape),
         "rewards": rng.integers(-255, 256, shape) / 128,
         "next_states": rng.integers(0, 500, shape), "terminated": rng.random(shape) < 0.1,
         "gamma": 0.99, "step_size": 0.1},
        label="timing",
    )  # fmt: skip


def table_refusals() -> tuple[BadInput, ...]:
    """Return the refusals; the good case has two states, three actions and two transitions."""
    name = "tabular_q_update"
    return (
        *bad_floats(name, "q_values", "[..., S, A]"),
        bad(name, "states", "out of range", lambda x: x + 1, ValueError,
            "states came with 2 in it, wanted states in [0, 2)."),
        bad(name, "actions", "out of range", lambda x: x + 2, ValueError,
            "actions came with 3 in it, wanted actions in [0, 3)."),
        bad(name, "next_states", "below 0", lambda x: x - 2, ValueError,
            "next_states came with -1 in it, wanted integers of at least 0."),
        bad(name, "rewards", "one short", lambda x: x[:1], ValueError,
            "states has shape (2,), but rewards has shape (1,); they must agree."),
        bad(name, "terminated", "numbers", lambda x: x * 1.0, TypeError,
            "terminated came as dtype float64, wanted bool."),
        bad(name, "gamma", "above 1", lambda _: 1.5, ValueError,
            "gamma came as 1.5, wanted a number in [0, 1]."),
        bad(name, "step_size", "below 0", lambda _: -0.5, ValueError,
            "step_size came as -0.5, wanted a number in [0, 1]."),
    )  # fmt: skip


TABLE_CONTRACT = Contract(
    name="tabular_q_update",
    topic="tabular_q",
    summary="table after updates of Q-learning, one transition after another",
    source="Watkins 1989; Sutton & Barto 2018, eq. 6.8",
    reference=reference.tabular_q_update,
    fast=fast.tabular_q_update,
    arguments=(
        Argument("q_values", "float", "... S A"),
        Argument("states", "integer", "... N"),
        Argument("actions", "integer", "... N"),
        Argument("rewards", "float", "... N"),
        Argument("next_states", "integer", "... N"),
        Argument("terminated", "flag", "... N"),
        Argument("gamma", "number"),
        Argument("step_size", "number"),
    ),
    outputs=("table",),
    inputs=walks(),
    examples=(
        Example(
            "one pair twice, then an end",
            Case(
                {"q_values": np.array([[0.0, 4.0], [2.0, 8.0]]), "states": np.array([0, 0, 1]),
                 "actions": np.array([0, 0, 1]), "rewards": np.array([2.0, 4.0, 6.0]),
                 "next_states": np.array([1, 0, 0]),
                 "terminated": np.array([False, False, True]), "gamma": 0.5, "step_size": 0.5},
                label="worked by hand",
            ),
            {"table": [["9/2", "4"], ["2", "7"]]},
        ),
    ),
    laws=(
        Law("in-order", "half of the transitions, then the rest, give what all give",
            check_in_order),
        Law("unvisited-unchanged", "what no transition starts from stays as it is",
            check_unvisited),
        Law("step-size-zero", "a step size of 0 leaves the table as it is", check_still),
        Law("step-size-one", "a step size of 1 writes the target", check_written),
        Law("share", "in an empty table a single reward leaves its share", check_share),
        Law("terminal-state-unread", "which state follows an end does not matter", check_unread),
        Law("tables-independent", "a table does not depend on the others", check_alone),
    ),
    gradients=(),
    known_bugs=(
        KnownBug("H31", "0 if terminated[i] else", ""),
        KnownBug("Q1", ERROR, "error = gamma * (rewards[i] + greatest) - table[*row, actions[i]]"),
        KnownBug("Q2", GREATEST, "_greatest(table[i[:-1]].reshape(-1))"),
        KnownBug("Q3", GREATEST, "table[*i[:-1], next_states[i], actions[i]]"),
        KnownBug("Q7", ERROR, ERROR.replace("- table[", "- q_values["),
                 also=((WRITE, WRITE.replace("= table[", "= q_values[")),
                       (GREATEST, GREATEST.replace("table[", "q_values[")))),
        KnownBug("Q8", GREATEST, "_greatest(table[*i[:-1], states[i]])"),
        KnownBug("Q9a", ERROR, "error = rewards[i] + gamma * greatest"),
        KnownBug("Q9b", WRITE, WRITE.replace("+ step_size", "+ (1 - step_size)")),
        KnownBug("A10", "rewards[i] + gamma", "rewards[*i[:-1], i[-1] - 1] + gamma"),
        KnownBug("Q11", WRITE, "for b in range(table.shape[-1]):\n"
                 "            table[*row, b] = table[*row, b] + step_size * error"),
        KnownBug("C14", "table = q_values.copy()", "table = q_values.copy()\n"
                 "    rewards = rewards.reshape(rewards.shape[::-1]).T"),
    ),
    equivalents=(
        Equivalent("mixed", "(1 − α) Q + α · target", mixed),
    ),
    bad_inputs=table_refusals(),
    sizes=((8, 1), (64, 64), (64, 1), (64, 4096)),
    sized=lambda shape: table_case(*shape),
    good=Case(
        {"q_values": np.arange(6.0).reshape(2, 3), "states": np.array([0, 1]),
         "actions": np.array([0, 1]), "rewards": np.array([1.0, 2.0]),
         "next_states": np.array([1, 0]), "terminated": np.array([False, True]),
         "gamma": 0.5, "step_size": 0.5},
    ),
)  # fmt: skip

CONTRACTS = (TABLE_CONTRACT, GRID_CONTRACT)
