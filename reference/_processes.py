"""What planning in a finite Markov decision process is made of, in scalars."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from rlverify.reference._functions import loosened


class PolicyEvaluation(NamedTuple):
    """What sweeps found out about a policy.

    Attributes:
        values: V(s).
        iterations: how many sweeps were made.
        residual: the greatest change of a value in the last of them.
    """

    values: Float[np.ndarray, "S"]
    iterations: int
    residual: Any


class Plan(NamedTuple):
    """What planning found.

    Attributes:
        values: V(s).
        policy: probabilities of a policy that is greedy for them.
        iterations: how many sweeps, or how many policies, there were.
        residual: the greatest change of a value in the last sweep, or in one more sweep.
    """

    values: Float[np.ndarray, "S"]
    policy: Float[np.ndarray, "S A"]
    iterations: int
    residual: Any


def backup(
    transition: np.ndarray, reward: np.ndarray, terminal: np.ndarray, values: Any, gamma: Any,
    s: int, a: int,
) -> Any:  # fmt: skip
    """Return Q(s,a) = Σₛ′ P(s′|s,a) (r(s,a,s′) + γ·[not terminal]·V(s′))."""
    total = 0
    for after in range(len(values)):
        worth = 0 if terminal[s, a, after] else values[after]
        total = total + transition[s, a, after] * (reward[s, a, after] + gamma * worth)
    return total


def chain(transition: np.ndarray, terminal: np.ndarray, policy: np.ndarray) -> np.ndarray:
    """Return P_π(s,s′) = Σₐ π(a|s) P(s′|s,a)·[not terminal], the part that goes on."""
    states, actions = policy.shape
    going = np.empty((states, states), dtype=policy.dtype)
    for s, after in np.ndindex(states, states):
        going[s, after] = sum(
            0 if terminal[s, a, after] else policy[s, a] * transition[s, a, after]
            for a in range(actions)
        )
    return going


def discounted_solution(going: np.ndarray, gamma: Any, right: np.ndarray) -> np.ndarray:
    """Solve (I − γ P) x = b by elimination, for γ < 1.

    No pivots are sought: I − γP is diagonally dominant by rows, its transpose by columns, and
    elimination keeps that (Higham 2002, §9.5).
    """
    size = len(right)
    rows = [[int(i == j) - gamma * going[i, j] for j in range(size)] for i in range(size)]
    x = list(right)
    for k in range(size):
        for i in range(k + 1, size):
            if rows[i][k] == 0:
                continue
            factor = rows[i][k] / rows[k][k]
            for j in range(k + 1, size):
                rows[i][j] = rows[i][j] - factor * rows[k][j]
            x[i] = x[i] - factor * x[k]
    for k in reversed(range(size)):
        later = sum(rows[k][j] * x[j] for j in range(k + 1, size))
        x[k] = (x[k] - later) / rows[k][k]
    # elimination in any order may miss each by 3n(2n−1)·2 roundings of all, grown by 1/(1−γ):
    # its backward error is γ₃ₙ |L||U|, of norm (2n−1)‖A‖ at most (Higham 2002, theorem 9.4, §9.5)
    rounds = 6 * size * (2 * size - 1) * float(sum(abs(item) for item in x)) / (1 - float(gamma))
    solution = np.empty(size, dtype=right.dtype)
    for k in range(size):
        solution[k] = loosened(x[k], 0 * x[k], rounds)
    return solution


def solved_values(
    transition: np.ndarray, reward: np.ndarray, terminal: np.ndarray, policy: np.ndarray, gamma: Any
) -> np.ndarray:
    """Return V of a policy, from (I − γ P_π) V = r_π."""
    states, actions = policy.shape
    nothing = [0] * states
    earned = np.empty(states, dtype=policy.dtype)
    for s in range(states):
        earned[s] = sum(
            policy[s, a] * backup(transition, reward, terminal, nothing, gamma, s, a)
            for a in range(actions)
        )
    return discounted_solution(chain(transition, terminal, policy), gamma, earned)


def deterministic(choice: Int[np.ndarray, "S"], like: np.ndarray) -> np.ndarray:
    """Return the probabilities of a policy that takes one action in each state."""
    policy = np.zeros_like(like)
    for s, a in enumerate(choice):
        policy[s, a] = 1
    return policy
