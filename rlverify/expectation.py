"""Mean, bias and covariance of an estimator, by summing over every trajectory.

An estimator is a function of trajectories. Under a policy on a finite process with a horizon
there are finitely many of them, so its expectation is a finite sum: nothing is sampled, and a
bias is seen down to rounding. With policies of `fractions.Fraction` not even rounding is left:
a bias is 0 or it is not.

An estimator that couples a batch of N trajectories, as a batch-mean baseline does, is summed
over batches. It must not care for the order in the batch; then C(n+N−1, N) multisets of n
trajectories stand for all nᴺ batches, each with the number of its orders as weight.

The truth comes from another path, `rlverify.valuation.true_gradient`: a derivative carried
through the recursion of the values, without score function, without policy gradient theorem,
without trajectories.

The one identity to remember: E ĝ = Σₙ Pₙ ĝ(τₙ), and bias = E ĝ − ∇J.
"""

import math
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations_with_replacement, product
from typing import Any

import numpy as np
from jaxtyping import Float

from rlverify.enumeration import STEPS, Estimate, enumerated
from rlverify.errors import Arguments
from rlverify.rationalization import require_exact, require_numbers
from rlverify.tabular_envs.finite_mdp import FiniteMDP
from rlverify.valuation import true_gradient

__all__ = ["Expectation", "exact_expectation", "exact_group_expectation", "true_gradient"]

BATCHES = 100_000  # one call of the estimator each
UNIT = 2.0**-53


@dataclass(frozen=True, eq=False)
class Expectation:
    """What an estimator gives on average, and how it scatters.

        mean = Σ Pₙ ĝₙ        covariance = Σ Pₙ (ĝₙ − mean)(ĝₙ − mean)ᵀ
        third = Σ Pₙ |ĝₙ − mean|³        skew = Σ Pₙ (ĝₙ − mean)³        largest = maxₙ |ĝₙ − mean|

    The last three are what a test on samples needs: Berry–Esseen's bound the third moment,
    Bernstein's the largest deviation.

    Attributes:
        mean: E ĝ, [P], float64 or `Fraction` objects.
        covariance: of one estimate (of one batch, where a batch makes one), [P, P].
        rounding: bound on the error of each element of `mean`, the estimates taken as exact
            numbers, [P]; all 0 in exact arithmetic.
        count: number of trajectories, or of batches, in the sum.
        third: absolute third central moment of each element, [P].
        skew: third central moment of each element, not divided by the deviation cubed, [P].
        largest: largest deviation of each element from its mean, [P].
        largest_norm: largest Euclidean norm of a deviation.
    """

    mean: Float[np.ndarray, "P"]
    covariance: Float[np.ndarray, "P P"]
    rounding: Float[np.ndarray, "P"]
    count: int
    third: Float[np.ndarray, "P"]
    skew: Float[np.ndarray, "P"]
    largest: Float[np.ndarray, "P"]
    largest_norm: float

    def bias(self, gradient: Float[np.ndarray, "P"]) -> Float[np.ndarray, "P"]:
        """E ĝ − ∇J, [P]; a gradient of another shape, such as [S, A], is flattened.

        Raises:
            TypeError: the gradient has not the dtype of the mean.
            ValueError: it has not as many elements.
        """
        return np.asarray(self.mean - self._flat("bias", gradient))

    def relative_bias(self, gradient: Float[np.ndarray, "P"]) -> float:
        """‖E ĝ − ∇J‖ / ‖∇J‖; 0 where both are 0, infinite where only the gradient is."""
        truth = self._flat("relative_bias", gradient)
        return quotient(norm(self.mean - truth), norm(truth))

    def factor(self, gradient: Float[np.ndarray, "P"]) -> Fraction | None:
        """Return the f with E ĝ = f·∇J exactly, or None where there is none.

        Raises:
            TypeError: the arithmetic is not exact; floats agree with too many factors.
            ValueError: the gradient has not as many elements as the mean.
        """
        truth = self._flat("factor", gradient)
        require_exact("factor", "mean", self.mean)
        pairs = list(zip(self.mean.tolist(), truth.tolist(), strict=True))
        found = next((Fraction(m) / Fraction(g) for m, g in pairs if g != 0), None)
        return found if found is not None and all(m == found * g for m, g in pairs) else None

    def signal_to_noise(self, gradient: Float[np.ndarray, "P"]) -> float:
        """‖∇J‖ / √tr Cov ĝ of one estimate; the mean of N independent ones has √N times it."""
        truth = self._flat("signal_to_noise", gradient)
        return quotient(norm(truth), math.sqrt(max(0, self.covariance.trace())))

    def _flat(self, function: str, gradient: Any) -> Any:
        arguments = Arguments(function, np.ndarray, exact=True)
        arguments.floats("...", gradient=gradient)
        if gradient.size != self.mean.size:
            raise ValueError(
                f"{function}: gradient came with shape {gradient.shape}, wanted "
                f"{self.mean.size} elements as the estimates have."
            )
        if gradient.dtype != self.mean.dtype:
            raise TypeError(
                f"{function}: gradient came as dtype {gradient.dtype}, wanted "
                f"{self.mean.dtype} as the estimates have."
            )
        return gradient.ravel()


def norm(vector: Any) -> float:
    """Return the Euclidean norm of a vector of floats or fractions."""
    return math.sqrt(sum(x * x for x in vector.tolist()))


def quotient(above: float, below: float) -> float:
    """Return a quotient of sizes; 0 where both are 0, infinite where only the divisor is."""
    if below == 0:
        return math.inf if above > 0 else 0.0
    return above / below


def _checked(function: str, estimates: Any, shape: tuple[Any, ...], *, exact: bool) -> Any:
    """Return what an estimator gave, once it is known to be an array as wanted."""
    Arguments(function, np.ndarray, exact=True).floats("...", estimates=estimates)
    if estimates.ndim != len(shape) or (len(shape) == 2 and estimates.shape[0] != shape[0]):
        wanted = ", ".join(map(str, shape))
        raise ValueError(
            f"{function}: estimates came with shape {estimates.shape}, wanted [{wanted}]."
        )
    require_numbers(function, "estimates", estimates, exact=exact)
    return estimates


def _moments(weights: Any, estimates: Any, *, exact: bool, roundings: int) -> Expectation:
    """Moments of estimates [N, P] whose weights [N] carry some roundings."""
    if exact:
        return _exact_moments(weights, estimates)
    terms = weights[:, None] * estimates
    mean = np.array([math.fsum(column) for column in terms.T.tolist()])
    total = np.array([math.fsum(column) for column in np.abs(terms).T.tolist()])
    # a term: the roundings of its weight and one of the product; the sum: one. Two more
    # are for `total`, which is itself made of rounded terms
    steps = (roundings + 4) * UNIT
    spread = estimates - mean
    sizes = np.abs(spread)
    return Expectation(
        mean,
        np.asarray((weights[:, None] * spread).T @ spread),
        steps / (1 - steps) * total,
        weights.size,
        third=weights @ sizes**3,
        skew=weights @ spread**3,
        largest=sizes.max(axis=0),
        largest_norm=math.sqrt((spread * spread).sum(axis=1).max()),
    )


def _exact_moments(weights: Any, estimates: Any) -> Expectation:
    """Moments of fractions, in integers over common denominators: an order faster."""
    chances, whole = _integers(weights)
    numbers, part = _integers(estimates)
    sums = chances @ numbers  # over whole · part, as the deviations are
    spread, unit = whole * numbers - sums, whole * part
    sizes = np.abs(spread)
    return Expectation(
        _over(sums, unit),
        _over((chances[:, None] * spread).T @ spread, whole * unit**2),
        np.zeros(sums.size),
        weights.size,
        third=_over(chances @ sizes**3, whole * unit**3),
        skew=_over(chances @ spread**3, whole * unit**3),
        largest=_over(sizes.max(axis=0), unit),
        largest_norm=math.sqrt(Fraction(int((spread * spread).sum(axis=1).max()), unit**2)),
    )


def _integers(array: Any) -> tuple[Any, int]:
    """Return numerators over the least common denominator, and that."""
    common = math.lcm(*(x.denominator for x in array.flat))
    found = np.empty(array.shape, dtype=object)
    found.reshape(-1)[:] = [x.numerator * (common // x.denominator) for x in array.flat]
    return found, common


def _over(numerators: Any, denominator: int) -> Any:
    found = np.empty(numerators.shape, dtype=object)
    found.reshape(-1)[:] = [Fraction(x, denominator) for x in numerators.flat]
    return found


def exact_expectation(
    estimate: Estimate,
    mdp: FiniteMDP,
    policy: Float[np.ndarray, "S A"],
    *,
    horizon: int,
    behaviour: Float[np.ndarray, "S A"] | None = None,
    limit: int = STEPS,
) -> Expectation:
    """Mean and covariance of an estimator that makes one estimate of each trajectory.

        E ĝ = Σ_τ P(τ) ĝ(τ)        Cov ĝ = Σ_τ P(τ) (ĝ(τ) − E ĝ)(ĝ(τ) − E ĝ)ᵀ

    Source: the definition of an expectation.

    The mean is summed by `math.fsum`: it is wrong by at most γ_{2H+4} Σ P|ĝ|, which the result
    holds as `rounding`. The covariance is a matrix product; to first order its element (i, j)
    is wrong by at most γ_{n+2H+4} Σ P|cᵢcⱼ| with c = ĝ − E ĝ, for n trajectories in any order
    (Higham 2002, §3.1, γ_k = ku/(1−ku)). In exact arithmetic both are exact.

    Args:
        estimate: takes `Trajectories` [H, N], gives float64 [N, P] (where the policy is made of
            `Fraction`, objects of it); wrap a function of one trajectory in `per_trajectory`.
        mdp: the process.
        policy: target policy, [S, A], float64 or `Fraction` objects.
        horizon: number of steps H, at least 1.
        behaviour: policy that acts; None is `policy`. Probabilities are then its own.
        limit: largest number of steps of all trajectories together.

    Returns:
        Mean, covariance, rounding bound, third moments and largest deviations.

    Raises:
        TypeError: an argument, or what `estimate` gave, is of another type or dtype.
        ValueError: as `enumerate_trajectories`; or the estimates are not shaped [N, P] or not
            finite.

    Example:
        >>> from rlverify.enumeration import rational_policy
        >>> from rlverify.tabular_envs.environments import two_button_game
        >>> even = rational_policy([[1, 1], [1, 1]])
        >>> def first_reward(trajectories):
        ...     return trajectories.rewards[0][:, None]
        >>> found = exact_expectation(first_reward, two_button_game(100), even, horizon=1)
        >>> found.mean.tolist(), found.covariance.tolist()
        ([Fraction(100, 1)], [[Fraction(1, 1)]])
    """
    function = "exact_expectation"
    _require_estimate(function, estimate)
    found = enumerated(function, mdp, policy, horizon=horizon, behaviour=behaviour, limit=limit)
    weights = found.probabilities
    estimates = _checked(function, estimate(found), (weights.size, "P"), exact=found.exact)
    return _moments(weights, estimates, exact=found.exact, roundings=2 * horizon)


def exact_group_expectation(
    estimate: Estimate,
    mdp: FiniteMDP,
    policy: Float[np.ndarray, "S A"],
    *,
    horizon: int,
    group: int,
    behaviour: Float[np.ndarray, "S A"] | None = None,
    ordered: bool = False,
    limit: int = BATCHES,
) -> Expectation:
    """Mean and covariance of an estimator that makes one estimate of a batch of trajectories.

        E ĝ = Σ N!/(Πᵢ kᵢ!) Πᵢ Pᵢ^kᵢ ĝ(batch)        over all multisets, Σᵢ kᵢ = N

    Source: the multinomial distribution of the counts kᵢ of each trajectory.
    Ours: the sum over multisets is right for an estimator that ignores the order in the batch;
        for one that does not, `ordered=True` sums over all nᴺ batches.

    A weight carries at most N(2H+1) roundings, so the mean is wrong by at most
    γ_{N(2H+1)+4} Σ W|ĝ|, which the result holds as `rounding`.

    Args:
        estimate: takes `Trajectories` [H, N] with N = group, gives float64 [P] (where the policy
            is made of `Fraction`, objects of it).
        mdp: the process.
        policy: target policy, [S, A], float64 or `Fraction` objects.
        horizon: number of steps H, at least 1.
        group: number N of trajectories in a batch, at least 1.
        behaviour: policy that acts; None is `policy`.
        ordered: whether the order in the batch matters to the estimator.
        limit: largest number of batches; each is one call of `estimate`.

    Returns:
        What `exact_expectation` returns, of the estimate of one batch.

    Raises:
        TypeError: an argument, or what `estimate` gave, is of another type or dtype.
        ValueError: as `enumerate_trajectories`; or there are more batches than the limit, or
            the estimates are not shaped [P] or not finite.
    """
    function = "exact_group_expectation"
    _require_estimate(function, estimate)
    arguments = Arguments(function, np.ndarray)
    arguments.count("group", group, least=1)
    arguments.count("limit", limit, least=1)
    found = enumerated(function, mdp, policy, horizon=horizon, behaviour=behaviour, limit=STEPS)
    n = found.probabilities.size
    batches = n**group if ordered else math.comb(n + group - 1, group)
    if batches > limit:
        raise ValueError(
            f"{function}: group came as {group}, which makes {batches} batches of {n} "
            f"trajectories, wanted at most {limit}; pass a smaller group, a shorter horizon or "
            f"a larger limit."
        )
    probabilities = found.probabilities.tolist()
    weights, estimates = [], []
    for batch in (
        product(range(n), repeat=group)
        if ordered
        else combinations_with_replacement(range(n), group)
    ):
        chance = math.prod(probabilities[i] for i in batch)
        weights.append(chance if ordered else chance * _orders(batch))
        given = estimate(found.select(batch))
        estimates.append(_checked(function, given, ("P",), exact=found.exact))
    sizes = {item.size for item in estimates}
    if len(sizes) > 1:
        raise ValueError(
            f"{function}: estimates came with sizes {sorted(sizes)}, wanted one size for all."
        )
    dtype = object if found.exact else np.float64
    return _moments(
        np.array(weights, dtype=dtype),
        np.stack(estimates),
        exact=found.exact,
        roundings=group * (2 * horizon + 1),
    )


def _require_estimate(function: str, estimate: Any) -> None:
    if not callable(estimate):
        raise TypeError(
            f"{function}: estimate came as {type(estimate).__name__}, wanted a function of "
            f"Trajectories."
        )


def _orders(batch: tuple[int, ...]) -> int:
    """Return in how many orders a multiset can be drawn, N!/Πᵢ kᵢ!."""
    repeats = math.prod(math.factorial(k) for k in Counter(batch).values())
    return math.factorial(len(batch)) // repeats
