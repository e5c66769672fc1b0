"""Finite MDPs in rational arithmetic, and bounds on what rounding may add to a solution.

The truth is computed in `fractions.Fraction`, by plain recursion, elimination and
enumeration. Derivatives come from dual numbers in the weights w of a policy π = w/Σw, for
∂/∂θ = w·∂/∂w where θ = log w: no score function, no policy gradient theorem.

Rounding bounds are derived where they stand, with u = 2⁻⁵³ and γ_n = nu/(1 − nu)
(Higham 2002, lemma 3.1; it holds for sums of products in any order). They are a priori:
nothing of the answer under test enters.
"""

from dataclasses import dataclass
from fractions import Fraction
from itertools import product

import numpy as np

U = Fraction(1, 2**53)


def rounding(n):
    """γ_n: the relative error that n roundings can add up to."""
    return n * U / (1 - n * U)


# rational arithmetic, and derivatives in it


@dataclass(frozen=True)
class Dual:
    """a + b·ε with ε² = 0: carries the derivative b along with the value a."""

    a: Fraction
    b: Fraction = Fraction(0)

    def __add__(self, other):
        other = dual(other)
        return Dual(self.a + other.a, self.b + other.b)

    def __mul__(self, other):
        other = dual(other)
        return Dual(self.a * other.a, self.a * other.b + self.b * other.a)

    def __sub__(self, other):
        return self + dual(other) * Fraction(-1)

    def __truediv__(self, other):
        other = dual(other)
        value = self.a / other.a
        return Dual(value, (self.b - value * other.b) / other.a)

    __radd__ = __add__
    __rmul__ = __mul__

    def __rsub__(self, other):
        return dual(other) - self


def dual(x):
    return x if isinstance(x, Dual) else Dual(Fraction(x))


def real(x):
    return x.a if isinstance(x, Dual) else x


def fractions(array):
    return [fractions(x) for x in array] if np.ndim(array) else Fraction(float(array))


def solve(matrix, right):
    """Gauss–Jordan elimination in exact arithmetic; None where the matrix is singular."""
    size = len(right)
    rows = [[*matrix[i], right[i]] for i in range(size)]
    for k in range(size):
        pivot = next((i for i in range(k, size) if real(rows[i][k]) != 0), None)
        if pivot is None:
            return None
        rows[k], rows[pivot] = rows[pivot], rows[k]
        rows[k] = [x / rows[k][k] for x in rows[k]]
        for i in range(size):
            if i != k:
                factor = rows[i][k]
                rows[i] = [x - factor * y for x, y in zip(rows[i], rows[k], strict=True)]
    return [row[-1] for row in rows]


class Truth:
    """The definitions, written out in scalars that may be fractions or duals."""

    def __init__(self, mdp, policy, gamma):
        self.mdp, self.policy, self.gamma = mdp, policy, Fraction(gamma)
        self.p, self.r = fractions(mdp.transition), fractions(mdp.reward)
        self.start = fractions(mdp.start)
        self.s, self.a = range(mdp.states), range(mdp.actions)

    def goes_on(self, s, a, after):
        return 0 if self.mdp.terminal[s, a, after] else self.p[s][a][after]

    def q(self, s, a, values):
        return sum(
            self.p[s][a][i] * self.r[s][a][i] + self.gamma * self.goes_on(s, a, i) * values[i]
            for i in self.s
        )

    def v(self, s, values):
        return sum(self.policy[s][a] * self.q(s, a, values) for a in self.a)

    def matrix(self):
        return [
            [
                int(s == i)
                - self.gamma * sum(self.policy[s][a] * self.goes_on(s, a, i) for a in self.a)
                for i in self.s
            ]
            for s in self.s
        ]

    def values(self):
        return solve(self.matrix(), [self.v(s, [Fraction(0)] * self.mdp.states) for s in self.s])

    def visits(self):
        return solve([list(column) for column in zip(*self.matrix(), strict=True)], self.start)

    def horizon_values(self, horizon, bootstrap):
        rows = [bootstrap]
        for _ in range(horizon):
            rows.insert(0, [self.v(s, rows[0]) for s in self.s])
        return rows

    def gradient(self, weights, values_of):
        """∂⟨start, values⟩/∂θ with π = w/Σw and θ = log w, one logit after the other."""
        result = []
        for s, a in product(self.s, self.a):
            seeded = [[Dual(w) for w in row] for row in weights]
            seeded[s][a] = Dual(weights[s][a], Fraction(1))
            policy = [[w / sum(row) for w in row] for row in seeded]
            values = values_of(Truth(self.mdp, policy, self.gamma))
            slope = sum(p * dual(v).b for p, v in zip(self.start, values, strict=True))
            result.append(weights[s][a] * slope)
        return result


def check(got, truth, bound):
    """Every element of `got` is within `bound` of the truth."""
    got = list(np.ravel(got))
    truth = list(np.ravel(np.array(truth, dtype=object)))
    assert len(got) == len(truth)
    assert all(np.isfinite(got))
    errors = [abs(Fraction(float(x)) - y) for x, y in zip(got, truth, strict=True)]
    assert max(errors) <= bound, (float(max(errors)), float(bound))


class Bounds:
    """Rounding bounds of the linear solves, a priori: nothing of the answer enters.

    A = I − γP has ‖A⁻¹‖∞ = κ = max A⁻¹1 (A is an M-matrix, so A⁻¹ ≥ 0), ‖A‖∞ ≤ 2, and
    |V|, |Q| ≤ κR with R = max |r|; the visitation has ‖d‖₁ ≤ κ.
    """

    def __init__(self, truth):
        n, m = truth.mdp.states, truth.mdp.actions
        reward = max(abs(x) for s in truth.r for a in s for x in a)
        self.kappa = kappa = max(solve(truth.matrix(), [Fraction(1)] * n))
        # forming A: m products and m − 1 sums, the factor γ, the subtraction
        forming = rounding(m + 2) * 2
        # elimination: |E| ≤ γ_3n |L||U| (Higham 2002, theorem 9.4), |l| ≤ 1 by pivoting,
        # |u| ≤ 2ⁿ⁻¹ max|a| (ibid., §9.3) with max|a| ≤ 1
        solving = rounding(3 * n) * n * n * 2 ** (n - 1)
        wrong = forming + solving  # the computed answer is that of A + F, ‖F‖∞ ≤ wrong
        self.usable = kappa * wrong < Fraction(1, 2)
        if self.usable:
            size = kappa * reward
            grown = kappa / (1 - kappa * wrong)  # ‖(A + F)⁻¹‖∞
            # x̂ − x = A⁻¹(Δr − F x̂); r_π takes n products and sums, then m more
            self.values = grown * (rounding(n + m) * reward + wrong * size)
            # Q = r̄ + γ C V: rounded n + 3 times at most, |r̄| + γ‖CV‖ ≤ R + κR
            self.q = self.values * (1 + rounding(n + 3)) + rounding(n + 3) * (reward + size)
            self.advantages = self.q + self.values + U * 2 * (size + self.q + self.values)
            self.visits = grown * wrong * kappa
            self.objective = self.values + rounding(n) * (size + self.values)
            most = 2 * size + self.advantages
            self.gradient = (
                self.visits * most
                + kappa * self.advantages
                + rounding(2) * (kappa + self.visits) * most
            )


class HorizonBounds:
    """Rounding bounds of the recursions, a priori.

    W = Σ_{t<H} γᵗR + bootstrap bounds every |V_t|, |Q_t|. A step back takes
    k = S + A + 3 roundings and hands the error on: e_t ≤ γ_k (R + W) + (1 + γ_k) e_{t+1}, so
    e_0 ≤ H (1 + γ_k)ᴴ γ_k (R + W), and (1 + γ_k)ᴴ < 2 for any H that fits here.
    """

    def __init__(self, truth, horizon, bootstrap):
        n, m = truth.mdp.states, truth.mdp.actions
        reward = max(abs(x) for s in truth.r for a in s for x in a)
        size = sum(truth.gamma**t for t in range(horizon)) * reward + bootstrap
        self.values = 2 * horizon * rounding(n + m + 3) * (reward + size)
        self.advantages = 2 * self.values + U * (2 * size + 2 * self.values)
        # visits are sums of products of non-negative numbers, so the error is relative;
        # m for P, n for the product, one for γ, in each step; Σ_s d_t(s) ≤ 1
        self.visits = rounding(horizon * (n + m + 1))
        self.objective = self.values + rounding(n) * (size + self.values)
        most = 2 * size + self.advantages
        self.gradient = horizon * (
            self.visits * most + self.advantages + rounding(horizon + 1) * (1 + self.visits) * most
        )


def trajectories(truth, horizon):
    """Every way the first steps can go: probability, [(state, action, reward)], last state."""

    def extend(probability, steps, state):
        if state is None or len(steps) == horizon:
            yield probability, steps, state
            return
        for a, after in product(truth.a, truth.s):
            p = probability * truth.policy[state][a] * truth.p[state][a][after]
            if p > 0:
                ends = truth.mdp.terminal[state, a, after]
                step = (state, a, truth.r[state][a][after])
                yield from extend(p, [*steps, step], None if ends else after)

    for s in truth.s:
        if truth.start[s] > 0:
            yield from extend(truth.start[s], [], s)
