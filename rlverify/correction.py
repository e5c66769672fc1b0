"""Off-policy returns as operators on a finite process: fixed point, contraction, variance, traces.

An off-policy return is its own start plus a sum of errors, each of which is carried back by a
product of coefficients. In the mean it is an affine operator on tables, R x = M x + b:

    R Q = Q + (I − γ P_cμ)⁻¹ (r̄ + γ P_π Q − Q)        P_cμ(s,a; s′,a′) = P(s′|s,a) μ(a′|s′) c(s′,a′)
    M = γ (I − γ P_cμ)⁻¹ (P_π − P_cμ)

so what can be asked of it is linear algebra: x* = R x* where the table goes, ‖M‖∞ how fast,
powers of P_cμ what is left of a trace, and P_c²μ, for the squares of the coefficients, how the
estimates scatter. A recording of H steps sums the first H powers in place of the inverse.

The one identity to remember: Q^π makes every error r̄ + γ P_π Q − Q vanish, so it is a fixed
point whatever c is; c in [0, π/μ] makes M non-negative, and its rows sum to at most γ.

Numbers are float64, or `Fraction` objects where the policies are made of them; then every answer
is exact, also whether a series converges.
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from rlverify.errors import Arguments
from rlverify.rationalization import lifted_entries, require_policy
from rlverify.tabular_envs.exact import continuing_probabilities
from rlverify.tabular_envs.finite_mdp import FiniteMDP
from rlverify.valuation import lasting_values

__all__ = ["Correction", "Moments", "OffPolicy", "Operator"]


@dataclass(frozen=True, eq=False)
class Correction:
    """An off-policy return, by the weights of its errors.

        target = base + Σₜ γᵗ (Π_{i<t} d(sᵢ,aᵢ) u(sᵢ₊₁,aᵢ₊₁)) w(sₜ,aₜ) δₜ

    Attributes:
        name: for the command line.
        formula: its coefficients.
        sentence: what it is.
        trust: u, by how much the next action is trusted; c of the Q-form, [S, A].
        carried: d, likewise of the action that is being corrected; c of V-trace, [S, A].
        weight: w, of each error; min(ρ̄, ρ) of V-trace, [S, A].
        errors: whether δ is r + γ V(s′) − "Q"(s,a) or r + γ V(s′) − "V"(s); V(s) = Σ π Q.
        table: which table is learnt, "Q" [S·A] or "V" [S].
    """

    name: str
    formula: str
    sentence: str
    trust: Float[np.ndarray, "S A"]
    carried: Float[np.ndarray, "S A"]
    weight: Float[np.ndarray, "S A"]
    errors: str = "Q"
    table: str = "Q"


@dataclass(frozen=True, eq=False)
class Operator:
    """An affine map of tables, R x = M x + b.

    Attributes:
        matrix: M, [N, N].
        constant: b, [N].
    """

    matrix: Float[np.ndarray, "N N"]
    constant: Float[np.ndarray, "N"]

    def __call__(self, table: Float[np.ndarray, "..."]) -> Float[np.ndarray, "N"]:
        """R x, flattened."""
        return np.asarray(self.matrix @ table.ravel() + self.constant)

    @property
    def factor(self) -> Any:
        """‖M‖∞: two tables come closer by it at least, in the maximum norm, and no less."""
        return abs(self.matrix).sum(axis=1).max()

    @property
    def radius(self) -> float:
        """Spectral radius of M; iterated, R converges where it is below 1."""
        return spectral_radius(self.matrix)

    @property
    def fixed_point(self) -> Float[np.ndarray, "N"] | None:
        """The x with R x = x; None where there is not exactly one."""
        inverse = _inverse(_identity(self.constant.size, self.matrix) - self.matrix)
        return None if inverse is None else np.asarray(inverse @ self.constant)


class Moments(NamedTuple):
    """What an estimate is on average, and how it scatters.

    Attributes:
        mean: [N].
        variance: [N]; None where the series of the squares diverges.
    """

    mean: np.ndarray
    variance: np.ndarray | None


@dataclass(frozen=True, eq=False)
class OffPolicy:
    """A process, the policy that is asked about, the policy that acts, and a discount.

    Attributes:
        mdp: the process.
        policy: π, [S, A], float64 or `Fraction` objects.
        behaviour: μ, likewise.
        gamma: discount γ in [0, 1]; no float where the policies are fractions.
    """

    mdp: FiniteMDP
    policy: Float[np.ndarray, "S A"]
    behaviour: Float[np.ndarray, "S A"]
    gamma: Any

    def __post_init__(self) -> None:
        """Refuse what makes no sense together."""
        require_policy("OffPolicy", self.mdp, policy=self.policy, behaviour=self.behaviour)
        Arguments("OffPolicy", np.ndarray, exact=True).unit(gamma=self.gamma)

    @property
    def exact(self) -> bool:
        """Whether the numbers are fractions."""
        return self.policy.dtype == object

    def number(self, value: Any) -> Any:
        """Return a number in this arithmetic."""
        return Fraction(value) if self.exact else float(value)

    @cached_property
    def chances(self) -> Float[np.ndarray, "S A S"]:
        """P(s′|s,a), also where the episode ends there."""
        return np.asarray(lifted_entries(self.mdp.transition, self.exact))

    @cached_property
    def goes_on(self) -> Float[np.ndarray, "S A S"]:
        """P(s′|s,a)·[not terminal]."""
        return np.asarray(lifted_entries(continuing_probabilities(self.mdp), self.exact))

    @cached_property
    def rewards(self) -> Float[np.ndarray, "S A S"]:
        """r(s,a,s′)."""
        return np.asarray(lifted_entries(self.mdp.reward, self.exact))

    @cached_property
    def ratios(self) -> Float[np.ndarray, "S A"]:
        """ρ = π/μ; 0 where μ never acts so, for then nobody sees it."""
        acts = self.behaviour > 0
        divisor = np.where(acts, self.behaviour, self.number(1))
        return np.where(acts, self.policy / divisor, self.number(0))

    @cached_property
    def values(self) -> Float[np.ndarray, "S"]:
        """V of the policy."""
        return lasting_values(self.mdp, self.policy, gamma=self.gamma)

    @cached_property
    def action_values(self) -> Float[np.ndarray, "S A"]:
        """Q of the policy."""
        rewards = (self.chances * self.rewards).sum(axis=2)
        return np.asarray(rewards + self.gamma * (self.goes_on @ self.values))

    def truth(self, correction: Correction) -> Float[np.ndarray, "N"]:
        """What the table should hold, Q^π or V^π."""
        return self.action_values.ravel() if correction.table == "Q" else self.values

    def clipped(self, rho_bar: Any) -> Float[np.ndarray, "S A"]:
        """The policy whose values V-trace learns, proportional to min(ρ̄ μ, π).

        Source: Espeholt et al. 2018, arXiv:1802.01561, eq. 3.

        Raises:
            ValueError: in some state the policies have no action in common.
        """
        weights = self.behaviour * np.minimum(self.ratios, rho_bar)
        sums = weights.sum(axis=1, keepdims=True)
        if (sums == 0).any():
            raise ValueError("clipped: the policies have no action in common in some state.")
        return np.asarray(weights / sums)

    # --- operators ------------------------------------------------------------------------------

    def transitions(self, correction: Correction, power: int = 1) -> Float[np.ndarray, "SA SA"]:
        """P_cμ: d(s,a)ᵏ P(s′|s,a) μ(a′|s′) u(s′,a′)ᵏ from pair to pair, [S·A, S·A]."""
        size = self.policy.size
        met = self.behaviour * correction.trust**power
        carried = correction.carried[:, :, None] ** power * self.goes_on
        return np.asarray((carried[..., None] * met).reshape(size, size))

    def _maps(self, correction: Correction) -> tuple[Any, Any, Any]:
        """Return B with base = B x, A with V(s) = A x, and F from pairs to the table."""
        states, actions = self.policy.shape
        expand = _identity(states, self.policy).repeat(actions, axis=0)
        if correction.table == "V":
            return expand, _identity(states, self.policy), expand.T * self.behaviour.ravel()
        average = expand.T * self.policy.ravel()
        whole = _identity(states * actions, self.policy)
        return whole if correction.errors == "Q" else expand @ average, average, whole

    def operator(self, correction: Correction, steps: int | None = None) -> Operator | None:
        """What a return does to a table in the mean.

            R x = base + F Σ_{t<H} (γ P_cμ)ᵗ w (r̄ + γ C A x − B x)

        Source: Munos et al. 2016, arXiv:1606.02647, eq. 4; Espeholt et al. 2018,
            arXiv:1802.01561, eq. 1 and appendix A.

        Args:
            correction: the return.
            steps: number of steps H of a recording that a time limit cuts; None for one that
                never ends.

        Returns:
            The operator; None where the series does not converge.
        """
        size = self.policy.size
        base, average, gather = self._maps(correction)
        resolvent = series(self.gamma * self.transitions(correction), steps)
        if resolvent is None:
            return None
        carried = gather @ (resolvent * correction.weight.ravel())
        follows = self.goes_on.reshape(size, -1) @ average
        rewards = (self.chances * self.rewards).sum(axis=2).ravel()
        start = base if correction.table == "Q" else average
        return Operator(start + carried @ (self.gamma * follows - base), carried @ rewards)

    # --- moments --------------------------------------------------------------------------------

    def errors(
        self, correction: Correction, table: Float[np.ndarray, "..."]
    ) -> Float[np.ndarray, "S A S"]:
        """Weighted errors w (r + γ V(s′) − base) of a table, for every transition."""
        base, average, _ = self._maps(correction)
        ends = self.mdp.terminal
        follows = np.where(ends, self.number(0), (average @ table.ravel())[None, None, :])
        said = (base @ table.ravel()).reshape(*self.policy.shape, 1)
        errors = self.rewards + self.gamma * follows - said
        return np.asarray(correction.weight[:, :, None] * errors)

    def moments(
        self, correction: Correction, table: Float[np.ndarray, "..."], steps: int | None = None
    ) -> Moments | None:
        """Mean and variance of one estimate for each entry of a table.

            Δ = w δ + γ d [goes on] u′ Δ′        E Δ and E Δ² by recursion, or in the limit
            E Δ² = E w²δ² + 2 γ d E[w δ u′ E Δ′] + γ² d² E[u′² E Δ′²]

        The state or the pair of an estimate is given, what follows is drawn from μ.

        Source: none; the law of total variance along a Markov chain.

        Args:
            correction: the return.
            table: the critic that errors are computed with, [S, A] or [S].
            steps: number of steps of the recording; None for one that never ends.

        Returns:
            The moments; None where not even the mean exists.
        """
        base, average, gather = self._maps(correction)
        start = (base if correction.table == "Q" else average) @ table.ravel()
        errors = self.errors(correction, table)
        onwards = self.gamma * self.transitions(correction)
        squared = self.gamma**2 * self.transitions(correction, 2)
        own = (self.chances * errors).sum(axis=2).ravel()
        own_squared = (self.chances * errors * errors).sum(axis=2).ravel()
        met = self.behaviour * correction.trust

        def second(first: Any) -> Any:
            """Return what E Δ² gets besides γ² P_c²μ E Δ²."""
            follows = (met * first.reshape(met.shape)).sum(axis=1)
            crossed = (self.goes_on * errors) @ follows
            return own_squared + 2 * self.gamma * (correction.carried * crossed).ravel()

        if steps is None:
            resolvent = series(onwards, None)
            if resolvent is None:
                return None
            first = resolvent @ own
            doubled = series(squared, None)
            if doubled is None:
                surprising = (self.chances * errors != 0).any()
                variance = None if surprising else 0 * start
                return Moments(start + gather @ first, variance)
            square = doubled @ second(first)
        else:
            first, square = 0 * own, 0 * own
            for _ in range(steps):
                first, square = own + onwards @ first, second(first) + squared @ square
        mean = gather @ first
        return Moments(start + mean, gather @ square - mean * mean)

    def traces(self, correction: Correction, steps: int) -> list[tuple[Any, Any]]:
        """Mean and variance of the product of coefficients that step t is weighted with.

            Πₜ = Π_{i<t} d(sᵢ,aᵢ) u(sᵢ₊₁,aᵢ₊₁)        0 once the episode has ended; no γ

        Source: none; powers of P_cμ and P_c²μ from the start.

        Returns:
            A pair for each t from 0 to steps − 1.
        """
        start = lifted_entries(self.mdp.start, self.exact)[:, None] * self.behaviour
        once, twice = (self.transitions(correction, power) for power in (1, 2))
        found, first, second = [], start.ravel(), start.ravel()
        for _ in range(steps):
            mean = first.sum()
            found.append((mean, second.sum() - mean * mean))
            first, second = first @ once, second @ twice
        return found


# --- linear algebra that may be exact ------------------------------------------------------------


def _identity(size: int, like: Any) -> Any:
    return lifted_entries(np.eye(size), like.dtype == object)


def spectral_radius(matrix: Float[np.ndarray, "N N"]) -> float:
    """The greatest modulus of an eigenvalue; computed in float64."""
    return float(np.abs(np.linalg.eigvals(matrix.astype(np.float64))).max())


def series(matrix: Float[np.ndarray, "N N"], steps: int | None) -> Float[np.ndarray, "N N"] | None:
    """Σ_{t<H} Bᵗ of a non-negative matrix, or all of it: (I − B)⁻¹ where it converges.

    Source: Berman & Plemmons 1994, theorem 6.2.3 (N38): the series of B ≥ 0 converges exactly
        where I − B has an inverse without a negative entry.
    Ours: among floats the spectral radius decides.

    Returns:
        The sum; None where it diverges.
    """
    identity = _identity(len(matrix), matrix)
    if steps is not None:
        total = 0 * matrix
        for _ in range(steps):
            total = identity + matrix @ total
        return np.asarray(total)
    if matrix.dtype != object:
        return _inverse(identity - matrix) if spectral_radius(matrix) < 1 else None
    inverse = _inverse(identity - matrix)
    return None if inverse is None or (inverse < 0).any() else inverse


def _inverse(matrix: Any) -> Any:
    """Return the inverse, by Gauss–Jordan elimination where it is exact; None if there is none."""
    size = len(matrix)
    if matrix.dtype != object:
        try:
            return np.linalg.inv(matrix)
        except np.linalg.LinAlgError:
            return None
    rows = np.column_stack([matrix, _identity(size, matrix)])
    for k in range(size):
        pivot = next((i for i in range(k, size) if rows[i, k] != 0), None)
        if pivot is None:
            return None
        rows[[k, pivot]] = rows[[pivot, k]]
        rows[k] = rows[k] / rows[k, k]
        for i in range(size):
            if i != k and rows[i, k] != 0:
                rows[i] = rows[i] - rows[i, k] * rows[k]
    return rows[:, size:]
