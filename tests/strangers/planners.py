"""Planning in known processes as courses teach it, with arrays; some of it wrong."""

import numpy as np


def _backup(P, R, terminal, V, gamma):
    """Return Q(s, a)."""
    return np.einsum("ijk,ijk->ij", P, R + gamma * np.where(terminal, 0, V))


def value_iteration(P, R, terminal, gamma, theta, max_iter):
    """Stop where the theorem says that the error is within the tolerance."""
    V = np.zeros(len(P))
    for _ in range(max_iter):
        before, V = V, _backup(P, R, terminal, V, gamma).max(1)
        if 2 * gamma * np.abs(V - before).max() <= theta * (1 - gamma):
            break
    return V


def value_iteration_by_change(P, R, terminal, gamma, theta, max_iter):
    """Stop where the last change is below the tolerance, as the book."""
    V = np.zeros(len(P))
    for _ in range(max_iter):
        before, V = V, _backup(P, R, terminal, V, gamma).max(1)
        if np.abs(V - before).max() < theta:
            break
    return V


def evaluation_in_place(P, R, terminal, pi, gamma, theta, max_iter):
    """Overwrite the values as they are found, as the book's code."""
    V = np.zeros(len(P))
    for _ in range(max_iter):
        delta = 0
        for s in range(len(P)):
            v, V[s] = V[s], pi[s] @ _backup(P[s : s + 1], R[s : s + 1], terminal[s : s + 1], V,
                                            gamma)[0]  # fmt: skip
            delta = max(delta, abs(v - V[s]))
        if gamma * delta <= theta * (1 - gamma):
            break
    return V


def evaluation_without_ends(P, R, terminal, pi, gamma, theta, max_iter):
    """Go on after an end."""
    V = np.zeros(len(P))
    for _ in range(max_iter):
        before, V = V, (pi * _backup(P, R, terminal & False, V, gamma)).sum(1)
        if gamma * np.abs(V - before).max() <= theta * (1 - gamma):
            break
    return V


def policy_iteration(P, R, terminal, gamma, max_iter):
    """Solve, act greedily, and stop where the policy stays."""
    states = np.arange(len(P))
    choice = np.zeros(len(P), dtype=int)
    for _ in range(max_iter):
        chain = np.where(terminal, 0, P)[states, choice]
        V = np.linalg.solve(np.eye(len(P)) - gamma * chain, (P * R).sum(-1)[states, choice])
        greedy = _backup(P, R, terminal, V, gamma).argmax(1)
        if (greedy == choice).all():
            break
        choice = greedy
    return V


def discounted_occupancy(P, terminal, initial_distribution, pi, gamma):
    """Return a distribution: multiplied by 1 − γ."""
    chain = np.einsum("ij,ijk->ik", pi, np.where(terminal, 0, P))
    return (1 - gamma) * np.linalg.solve(np.eye(len(P)) - gamma * chain.T, initial_distribution)


def occupancy_backwards(P, terminal, initial_distribution, pi, gamma):
    """Forget to transpose."""
    chain = np.einsum("ij,ijk->ik", pi, np.where(terminal, 0, P))
    return np.linalg.solve(np.eye(len(P)) - gamma * chain, initial_distribution)


def greedy_one_hot(q_values):
    """Take the first of the best actions, as argmax does."""
    return np.eye(q_values.shape[1], dtype=q_values.dtype)[q_values.argmax(1)]
