"""Small processes to plan in, and their exact solutions, found another way than planning takes."""

import functools
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
from hypothesis import strategies as st

from rlverify.contract import Case, Outputs
from rlverify.contracts._recordings import exact
from rlverify.errors import Arguments
from rlverify.refusals import distributions, process
from rlverify.rounding import PRECISIONS

Array = np.ndarray

SIZES = ((1, 2), (2, 2), (2, 2), (2, 3), (3, 2), (3, 2), (3, 2), (4, 2))
MOVES = ("dense", "dense", "dense", "sure", "sure", "line")
ENDS = ("none", "none", "some", "some", "some")
PAYS = ("free", "free", "free", "equal", "late")
GAMMAS = (0.5, 0.75, 0.875, 0.875, 0.0)
TOLERANCES = (2.0**-8, 2.0**-6, 2.0**-5, 2.0**-4)
POLICIES = ("mixed", "mixed", "mixed", "sure", "even")
CHANGES = ("other", "other", "other", "near", "same", "narrow")
EIGHTHS = 8  # probabilities are multiples of 1/8, exact in every dtype


@st.composite
def processes(draw: st.DrawFn, names: tuple[str, ...], *, gammas: Any = GAMMAS) -> Case:
    """Draw a process and whatever else is asked for, by name."""
    states, actions = draw(st.sampled_from(SIZES))
    moves, ends = draw(st.sampled_from(MOVES)), draw(st.sampled_from(ENDS))
    pays, gamma = draw(st.sampled_from(PAYS)), draw(st.sampled_from(gammas))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    transition = _moves(rng, states, actions, moves)
    terminal = rng.random(transition.shape) < (0.4 if ends == "some" else 0)
    if moves == "line":
        terminal[-1] = True
        if "max_iterations" in names and "policy_iteration" not in names:
            gamma = draw(st.sampled_from((gamma, 1.0)))
    reward = rng.integers(-16, 17, transition.shape) / 4
    if pays == "equal":  # values that tie
        reward = np.sign(reward)
    if pays == "late":  # one step pays, and has to be found
        reward = np.zeros_like(reward)
        reward[-1, -1] = 4
    ending = bool((terminal & (transition > 0)).any())
    old = _policy(rng, states, actions, draw(st.sampled_from(POLICIES)))
    drawn: dict[str, Any] = {
        "transition": transition,
        "reward": reward,
        "terminal": terminal,
        "values": rng.integers(-40, 41, states) / 8,
        "start": rng.multinomial(EIGHTHS, np.full(states, 1 / states)) / EIGHTHS,
        "policy": old,
        "old_policy": old,
        "gamma": gamma,
        "tolerance": draw(st.sampled_from(TOLERANCES)),
    }
    if "old_policy" in names:
        drawn["policy"] = _changed(rng, old, draw(st.sampled_from(CHANGES)))
    drawn["max_iterations"] = 64
    if "tolerance" in names:
        drawn["max_iterations"] = enough(drawn)
        if draw(st.sampled_from((False,) * 9 + (True,))):
            drawn["max_iterations"] = draw(st.integers(1, 3))
    arguments = {name: drawn[name] for name in names if name in drawn}
    return Case(arguments, "episodic" if ending else "endless")


def _moves(rng: np.random.Generator, states: int, actions: int, moves: str) -> Array:
    transition = np.zeros((states, actions, states))
    for s, a in np.ndindex(states, actions):
        if moves == "line":  # only onward, so that values need no discount
            onward = range(min(s + 1, states - 1), states)
            transition[s, a, rng.choice(onward)] = 1
        elif moves == "sure":
            transition[s, a, rng.integers(states)] = 1
        else:
            transition[s, a] = rng.multinomial(EIGHTHS, np.full(states, 1 / states)) / EIGHTHS
    return transition


def _policy(rng: np.random.Generator, states: int, actions: int, kind: str) -> Array:
    policy = np.zeros((states, actions))
    for s in range(states):
        if kind == "sure":
            policy[s, rng.integers(actions)] = 1
        else:
            rest = rng.multinomial(EIGHTHS - actions, np.full(actions, 1 / actions))
            policy[s] = (1 + rest) / EIGHTHS
    if kind == "even" and actions == 2:
        policy[:] = 0.5
    return policy


def _changed(rng: np.random.Generator, old: Array, change: str) -> Array:
    states, actions = old.shape
    if change == "same":
        return old.copy()
    if change == "narrow":  # never does what the old one may
        return _policy(rng, states, actions, "sure")
    if change == "near":
        near = old.copy()
        near[0] = _policy(rng, 1, actions, "mixed")[0]
        return near
    return _policy(rng, states, actions, "mixed")


def size(arguments: Any) -> float:
    """Return a bound on every value: the greatest reward, as often as it can be earned."""
    gamma, greatest = float(arguments["gamma"]), float(np.abs(arguments["reward"]).max())
    return greatest * (len(arguments["reward"]) if gamma == 1 else 1 / (1 - gamma))


def enough(arguments: Any) -> int:
    """Return a number of sweeps that is enough for the tolerance."""
    gamma, states = float(arguments["gamma"]), len(arguments["reward"])
    if gamma in (0, 1):
        return states + 2
    wanted = float(arguments["tolerance"]) * (1 - gamma) / (2 * gamma)
    return 2 + max(0, math.ceil(math.log(wanted / (2 * size(arguments) + 1), gamma)))


def capped(case: Case) -> bool:
    """Whether a case may end before the tolerance is met."""
    return bool(case["max_iterations"] < enough(case))


# --- exact solutions -----------------------------------------------------------------------------


class Model:
    """A process in fractions."""

    def __init__(self, case: Case) -> None:
        chances = exact(case["transition"])
        self.gamma = Fraction(case["gamma"])
        self.goes = chances.copy()
        self.goes[case["terminal"]] = Fraction(0)
        if "reward" in case.arguments:
            self.pays = (chances * exact(case["reward"])).sum(axis=2)

    def q(self, values: Array) -> Array:
        """Return what each action is worth, [S, A]."""
        return np.asarray(self.pays + self.gamma * (self.goes @ values))

    def resolvent(self, policy: Array, right: Array) -> Array:
        """Solve (I − γ P_π) x = b."""
        chain = (policy[:, :, None] * self.goes).sum(axis=1)
        return solved(np.eye(len(right), dtype=int) - self.gamma * chain, right)

    def values(self, policy: Array) -> Array:
        """Return V of a policy."""
        return self.resolvent(policy, (policy * self.pays).sum(axis=1))

    def visits(self, policy: Array, start: Array) -> Array:
        """Return how often each state is visited, discounted."""
        chain = (policy[:, :, None] * self.goes).sum(axis=1)
        return solved(np.eye(len(start), dtype=int) - self.gamma * chain.T, start)


def solved(matrix: Array, right: Array) -> Array:
    """Return matrix⁻¹ right, by Gauss–Jordan elimination in fractions."""
    rows = [[*row, number] for row, number in zip(matrix, right, strict=True)]
    for k in range(len(rows)):
        pivot = next((i for i in range(k, len(rows)) if rows[i][k] != 0), None)
        if pivot is None:
            raise ValueError("solved: matrix came singular, wanted one that can be solved.")
        rows[k], rows[pivot] = rows[pivot], rows[k]
        rows[k] = [Fraction(x) / rows[k][k] for x in rows[k]]
        for i in range(len(rows)):
            if i != k and rows[i][k] != 0:
                rows[i] = [x - rows[i][k] * y for x, y in zip(rows[i], rows[k], strict=True)]
    return np.array([row[-1] for row in rows], dtype=object)


def sure(choice: Any, actions: int) -> Array:
    """Return the probabilities, in fractions, of a policy that takes one action in each state."""
    return np.array([[Fraction(int(a == b)) for b in range(actions)] for a in choice], dtype=object)


def remembered(function: Callable[[Case], Any]) -> Callable[[Case], Any]:
    """Remember the answers of a function of a case."""
    known: dict[Any, Any] = {}

    @functools.wraps(function)
    def look_up(case: Case) -> Any:
        key = case.key()
        if key not in known:
            if len(known) > 4096:
                known.clear()
            known[key] = function(case)
        return known[key]

    return look_up


@remembered
def worth(case: Case) -> Array:
    """Return V of the case's policy, in fractions."""
    return Model(case).values(exact(case["policy"]))


@remembered
def best(case: Case) -> Array:
    """Return V of the best policy, in fractions; that V = maxₐ Q proves it the best."""
    model, actions = Model(case), case["reward"].shape[1]
    choice = [0] * len(case["reward"])
    while True:
        values = model.values(sure(choice, actions))
        table = model.q(values)
        better = [s for s in range(len(choice)) if max(table[s]) > table[s, choice[s]]]
        if not better:
            assert all(max(row) == value for row, value in zip(table, values, strict=True))
            return values
        for s in better:
            choice[s] = max(range(actions), key=lambda a: table[s, a])


def as_floats(values: Array) -> Array:
    """Return fractions as floats."""
    return np.asarray(values.astype(float))


# --- what is right of a function that stops within a tolerance -----------------------------------


def slack(case: Case, unit: float, allowed: float, values: Array) -> Array:
    """Return how far values may lie from the exact ones.

    A sweep forms sums of at most 2SA terms of at most three products, so that each value is
    rounded by γ_n (R + W) with n = 2SA + 3, R the greatest reward and W the greatest value. Sweeps
    hand errors on, shrunk by γ: all in all they add up to at most 1/(1−γ) of one (S without
    discount, on a line). The rule itself is rounded a few times, relative to the tolerance, to W
    where it subtracts; eight units cover both. Where the number of sweeps ends it, values that
    began at 0 have γᵏ of the greatest left to go.
    """
    gamma, (states, actions) = float(case["gamma"]), case["reward"].shape[:2]
    often = states if gamma == 1 else 1 / (1 - gamma)
    count = (2 * states * actions + 8) * unit
    greatest = float(np.abs(case["reward"]).max()) + size(case)
    if gamma == 1:
        allowed = 0.0
    if capped(case):
        left = gamma ** case["max_iterations"] * float(max(abs(values)))
        allowed = max(allowed, left)
    rounding = often * count / (1 - count) * greatest
    # a half-precision result is rounded once more, in proportion to where in the box it lies
    stored = PRECISIONS["bfloat16"].storage if unit > PRECISIONS["float64"].unit else 0.0
    return np.full(len(values), (allowed * (1 + 8 * unit) + rounding) * (1 + stored))


def require_process(case: Case) -> None:
    """Refuse what no process is, such as one that a state was cut out of."""
    check = Arguments("process", np.ndarray)
    process(check, case["transition"], case["terminal"], case["reward"])
    if "policy" in case.arguments:
        distributions(check, "S A", policy=case["policy"])
    goes = np.where(case["terminal"], 0, case["transition"]).sum(axis=1)
    if case["gamma"] == 1 and np.tril(goes).any():
        raise ValueError("process: gamma came as 1 where steps lead back, wanted one below 1.")


def answered(case: Case, unit: float, function: Callable[..., Any]) -> tuple[Outputs, Outputs]:
    """Return what an edited reference answers, and how close one must be to be taken for it."""
    answer = np.asarray(function(**case.arguments).values, dtype=float)
    finite = np.abs(answer[np.isfinite(answer)]).max(initial=0.0)
    return {"values": answer}, {"values": np.full(answer.shape, math.sqrt(unit) * finite)}


def evaluation_truth(
    case: Case, unit: float, function: Callable[..., Any] | None = None
) -> tuple[Outputs, Outputs]:
    """Return V of the policy, and how far a right answer may lie from it."""
    if function is not None:
        return answered(case, unit, function)
    require_process(case)
    values = worth(case)
    return {"values": as_floats(values)}, {"values": slack(case, unit, case["tolerance"], values)}


def iteration_truth(
    case: Case, unit: float, function: Callable[..., Any] | None = None
) -> tuple[Outputs, Outputs]:
    """Return V of the best policy, and how far a right answer may lie from it."""
    if function is not None:
        return answered(case, unit, function)
    require_process(case)
    values, allowed = best(case), case["tolerance"] / 2
    return {"values": as_floats(values)}, {"values": slack(case, unit, allowed, values)}


# --- timing --------------------------------------------------------------------------------------


def sized(names: tuple[str, ...]) -> Callable[[tuple[int, ...]], Case]:
    """Return what makes a case of a benchmark size (states, actions)."""

    def make(shape: tuple[int, ...]) -> Case:
        states, actions = shape
        rng = np.random.default_rng(0)
        transition = np.zeros((states, actions, states))
        rows = transition.reshape(-1, states)
        for _ in range(EIGHTHS):  # at most eight successors each
            rows[np.arange(len(rows)), rng.integers(states, size=len(rows))] += 1 / EIGHTHS
        policy = np.zeros((2, states, actions))
        for table in policy.reshape(-1, actions):
            table += rng.multinomial(EIGHTHS, np.full(actions, 1 / actions)) / EIGHTHS
        drawn: dict[str, Any] = {
            "transition": transition,
            "reward": rng.integers(-16, 17, transition.shape) / 4,
            "terminal": rng.random(transition.shape) < 0.05,
            "values": rng.integers(-40, 41, states) / 8,
            "start": np.eye(states)[0],
            "policy": policy[0],
            "old_policy": policy[1],
            "action_values": rng.integers(-16, 17, (states, actions)) / 4,
            "gamma": 0.875,
            "tolerance": 2.0**-4,
            "max_iterations": 200,
        }
        return Case({name: drawn[name] for name in names}, "episodic", "timing")

    return make


GOOD = {
    "transition": np.array([[[0.5, 0.5], [0.0, 1.0], [1.0, 0.0]],
                            [[0.0, 1.0], [1.0, 0.0], [0.25, 0.75]]]),
    "reward": np.ones((2, 3, 2)),
    "terminal": np.zeros((2, 3, 2), dtype=bool),
    "start": np.array([1.0, 0.0]),
    "policy": np.array([[0.5, 0.25, 0.25], [0.0, 1.0, 0.0]]),
    "old_policy": np.array([[0.25, 0.25, 0.5], [0.5, 0.5, 0.0]]),
    "values": np.array([1.0, 2.0]),
    "action_values": np.arange(6.0).reshape(2, 3),
    "gamma": 0.5,
    "tolerance": 0.25,
    "max_iterations": 9,
}  # fmt: skip


def good(names: tuple[str, ...]) -> Case:
    """Return a small good case."""
    return Case({name: GOOD[name] for name in names}, label="good")
