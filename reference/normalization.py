"""Running moments: mean and variance of a stream, and what is scaled by them.

The state is three arrays: `count` [] (how many samples), `mean` [D] and `variance` [D], the
population variance, one of each a component. Samples come in batches x [N, D]. `update` takes a
batch in, `merge` joins two states, `normalize` uses a state and leaves it as it is: evaluation
never updates. Rewards are scaled, not centred, by the deviation of the discounted return so far.

The identity to remember (Chan, Golub and LeVeque): the squares about the common mean are those
about the two means, plus what the distance between the means adds,

    n₁₂ σ²₁₂ = n₁ σ²₁ + n₂ σ²₂ + (μ₂ − μ₁)² n₁ n₂ / n₁₂

so nothing is squared before a mean is taken off, and any split of a stream gives one answer.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from rlverify.errors import Arguments
from rlverify.reference._functions import limited

COUNTED = 2**53  # beyond this the next integer is no float64


class RunningMoments(NamedTuple):
    """Mean and population variance of what has been seen.

    Attributes:
        count: how many samples, [].
        mean: of each component, [D].
        variance: of each component, squares divided by the count, [D].
    """

    # shadows `tuple.count`; the field is named as the argument that it is passed on to
    count: np.ndarray  # type: ignore[assignment]
    mean: np.ndarray
    variance: np.ndarray


class ScaledRewards(NamedTuple):
    """Scaled rewards, and what the next call carries on from.

    Attributes:
        rewards: scaled and clipped, [T, B].
        returns: the discounted return of each column's open episode, [B]; 0 after an end.
        count: how many returns have been seen, [].
        mean: of the returns, [].
        variance: of the returns, [].
    """

    rewards: np.ndarray
    returns: np.ndarray
    count: np.ndarray  # type: ignore[assignment]
    mean: np.ndarray
    variance: np.ndarray


def _boxed(*numbers: Any) -> Any:
    """Return arrays without axes, for the NumPy scalars that arithmetic makes of them."""
    return [np.asarray(x) if isinstance(x, np.generic) else x for x in numbers]


def _joined(n: Any, mean: Any, spread: Any, m: Any, other: Any, other_spread: Any) -> Any:
    """Join n numbers with m more, each given by mean and sum of squares about it."""
    if n == 0 and m == 0:
        return 0 * n, 0 * n
    if n == 0:  # what an empty side holds is not read
        return other, other_spread
    if m == 0:
        other, other_spread = 0 * m, 0 * m
    distance = other - mean
    joined = mean + distance * (m / (n + m))
    # Chan et al. have distance² nm/(n + m) here; Welford's product for one sample more is the
    # same number, and its second factor carries the rounding of the new mean
    return joined, spread + other_spread + distance * (other - joined) * m


def _gathered(numbers: Any) -> Any:
    """Return the mean of numbers and their sum of squares about it."""
    mean = sum(numbers) / len(numbers)
    return mean, sum((number - mean) ** 2 for number in numbers)


def _variance(count: Any, spread: Any) -> Any:
    """Return the variance of a sum of squares; of nothing, 0."""
    return 0 * count if count == 0 else spread / count


def running_moments_init(like: Float[np.ndarray, "D"]) -> RunningMoments:
    """State of a stream of which nothing has been seen.

        n = 0        μ = 0        σ² = 0

    Source: Welford 1962, Technometrics 4(3).
    Ours: the count begins at 0. Much code begins at 10⁻⁴ with variance 1, which leaves a trace
    of a sample that never was in every later mean; pass such a state to `update` if you want it.

    Args:
        like: any array with one element a component; gives shape and dtype.

    Returns:
        `count` 0 [], `mean` 0 and `variance` 0 [D].

    Raises:
        TypeError: like is of the wrong kind or dtype.
        ValueError: like has another shape than [D], or is empty.

    Example:
        >>> running_moments_init(np.ones(2)).mean
        array([0., 0.])
    """
    check = Arguments("running_moments_init", np.ndarray, exact=True)
    check.floats("D", like=like)
    zero = type(like[0])(0)  # of fractions, a fraction
    count = np.array(zero, dtype=like.dtype)
    return RunningMoments(count, np.full_like(like, zero), np.full_like(like, zero))


def running_moments_update(
    count: Float[np.ndarray, ""],
    mean: Float[np.ndarray, "D"],
    variance: Float[np.ndarray, "D"],
    x: Float[np.ndarray, "N D"],
) -> RunningMoments:
    """Moments of everything seen before, and of a batch.

        μ' = μ + (x̄ − μ) N/(n + N)
        (n + N) σ'² = n σ² + Σᵢ (xᵢ − x̄)² + (x̄ − μ)² n N/(n + N)

    Source: Chan, Golub and LeVeque 1983, The American Statistician 37(3), eq. 2.1; Welford 1962
    (N = 1).
    Ours: the variance is carried, not n σ², as most code does; each component by itself.

    Args:
        count: n, how many samples the state holds; where it is 0 the rest of it is not read.
        mean: μ of the state.
        variance: σ² of the state, the population's.
        x: the batch, one sample a row.

    Returns:
        `count` n + N, `mean` and `variance`.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, count is negative, or so large that it would not stay exact.

    Example:
        >>> state = running_moments_init(np.zeros(1))
        >>> running_moments_update(*state, np.array([[1.0], [3.0]])).variance
        array([1.])
    """
    check = Arguments("running_moments_update", np.ndarray, exact=True)
    check.floats("D", mean=mean, variance=variance)
    check.floats("N D", x=x)
    (count,) = _boxed(count)
    check.within("", 0, COUNTED - len(x), count=count)

    # an empty state's variance is not even multiplied by 0: it may be infinite
    means, variances = np.empty_like(mean), np.empty_like(mean)
    n, samples = count[()], len(x)
    total = n + samples
    for d in range(len(mean)):
        batch_mean, batch_spread = _gathered(x[:, d])
        means[d], spread = _joined(
            n, mean[d], n and n * variance[d], samples, batch_mean, batch_spread
        )
        variances[d] = _variance(total, spread)
    return RunningMoments(np.array(total, dtype=count.dtype), means, variances)


def running_moments_merge(
    count: Float[np.ndarray, ""],
    mean: Float[np.ndarray, "D"],
    variance: Float[np.ndarray, "D"],
    other_count: Float[np.ndarray, ""],
    other_mean: Float[np.ndarray, "D"],
    other_variance: Float[np.ndarray, "D"],
) -> RunningMoments:
    """Moments of two streams together.

        μ₁₂ = μ₁ + (μ₂ − μ₁) n₂/(n₁ + n₂)
        (n₁ + n₂) σ²₁₂ = n₁ σ²₁ + n₂ σ²₂ + (μ₂ − μ₁)² n₁ n₂/(n₁ + n₂)

    Source: Chan, Golub and LeVeque 1983, The American Statistician 37(3), eq. 2.1.
    Ours: what an empty state holds as mean and variance is not read.

    Args:
        count: n₁, how many samples the one state holds.
        mean: μ₁.
        variance: σ²₁, the population's.
        other_count: n₂, how many samples the other holds.
        other_mean: μ₂.
        other_variance: σ²₂.

    Returns:
        `count`, `mean` and `variance` of both; all 0 where both are empty.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, a count is negative, or so large that the sum would not
            stay exact.

    Example:
        >>> one, two, zero = np.array(1.0), np.array([2.0]), np.zeros(1)
        >>> running_moments_merge(one, zero, zero, one, two, zero).variance
        array([1.])
    """
    check = Arguments("running_moments_merge", np.ndarray, exact=True)
    check.floats("D", mean=mean, variance=variance)
    check.floats("D", other_mean=other_mean, other_variance=other_variance)
    count, other_count = _boxed(count, other_count)
    check.within("", 0, COUNTED // 2, count=count, other_count=other_count)

    means, variances = np.empty_like(mean), np.empty_like(mean)
    n, m = count[()], other_count[()]
    total = n + m
    for d in range(len(mean)):
        means[d], spread = _joined(
            n, mean[d], n and n * variance[d], m, other_mean[d], m and m * other_variance[d]
        )
        variances[d] = _variance(total, spread)
    return RunningMoments(np.array(total, dtype=count.dtype), means, variances)


def running_moments_normalize(
    mean: Float[np.ndarray, "D"],
    variance: Float[np.ndarray, "D"],
    x: Float[np.ndarray, "N D"],
    *,
    eps: float,
    clip: float,
) -> Float[np.ndarray, "N D"]:
    """Samples shifted and scaled by a state's moments, and clipped.

        yᵢ = clip( (xᵢ − μ)/√(σ² + ε), −c, c )

    Source: Engstrom et al. 2020, arXiv:2005.12729, section 3 and appendix A (observation
    normalisation and clipping as implementations of PPO have it).
    Ours: ε stands inside the root; the state is given and stays as it is.

    Args:
        mean: μ of the state, a constant.
        variance: σ² of the state, a constant, at least 0.
        x: the samples, one a row.
        eps: ε above 0, in units of x².
        clip: c above 0.

    Returns:
        y, the shape of x. Gradients flow to x, none where it is clipped.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, or eps or clip is not above 0.

    Example:
        >>> x = np.array([[1.0], [5.0], [90.0]])
        >>> running_moments_normalize(np.array([3.0]), np.array([3.0]), x, eps=1.0, clip=10.0)
        array([[-1.],
               [ 1.],
               [10.]])
    """
    check = Arguments("running_moments_normalize", np.ndarray, exact=True)
    check.floats("D", mean=mean, variance=variance)
    check.floats("N D", x=x)
    check.positive("eps", eps)
    check.positive("clip", clip)

    normalized = np.empty_like(x)
    for i, d in np.ndindex(x.shape):
        deviation = np.sqrt(variance[d] + eps)
        scaled = (x[i, d] - mean[d]) / deviation
        normalized[i, d] = limited(scaled, -clip, clip)
    return normalized


def scale_rewards(
    rewards: Float[np.ndarray, "T B"],
    terminated: Bool[np.ndarray, "T B"],
    truncated: Bool[np.ndarray, "T B"],
    returns: Float[np.ndarray, "B"],
    count: Float[np.ndarray, ""],
    mean: Float[np.ndarray, ""],
    variance: Float[np.ndarray, ""],
    *,
    gamma: float,
    eps: float,
    clip: float,
) -> ScaledRewards:
    """Rewards over the running deviation of the discounted return, and clipped.

        Rₜ = γ Rₜ₋₁ + rₜ                        of every column, from 0 after an end
        (n, μ, σ²) ← update with the B numbers Rₜ
        rₜ ← clip( rₜ/√(σ² + ε), −c, c )

    Source: Engstrom et al. 2020, arXiv:2005.12729, algorithm 1 (reward scaling); the moments by
    Chan, Golub and LeVeque 1983, eq. 2.1.
    Ours: R is set to 0 at every end, terminated or truncated, after it has been counted; the
    paper does not say when. No mean is taken off: that would change what is optimal.

    Args:
        rewards: rₜ of T steps of B columns.
        terminated: whether step t ended the episode for good.
        truncated: whether the recording of the episode stops after step t.
        returns: R of every column before the first row; 0 where an episode begins.
        count: n, how many returns the moments hold.
        mean: μ of the returns so far.
        variance: σ² of the returns so far, the population's.
        gamma: discount γ in [0, 1].
        eps: ε above 0, in units of r².
        clip: c above 0.

    Returns:
        `rewards` [T, B], and `returns`, `count`, `mean`, `variance` for the next call. They are
        data: no gradients.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, gamma lies outside [0, 1], eps or clip is not above 0, count
            is negative, or so large that it would not stay exact.

    Example:
        >>> rewards, off, zero = np.array([[2.0, 0.0]]), np.zeros((1, 2), dtype=bool), np.array(0.0)
        >>> state = np.zeros(2), zero, zero, zero
        >>> scale_rewards(rewards, off, off, *state, gamma=0.5, eps=3.0, clip=10.0).rewards
        array([[1., 0.]])
    """
    check = Arguments("scale_rewards", np.ndarray, exact=True)
    check.floats("T B", rewards=rewards)
    check.flags("T B", terminated=terminated, truncated=truncated)
    check.floats("B", returns=returns)
    count, mean, variance = _boxed(count, mean, variance)
    check.within("", 0, COUNTED - rewards.size, count=count)
    check.floats("", mean=mean, variance=variance)
    check.unit(gamma=gamma)
    check.positive("eps", eps)
    check.positive("clip", clip)

    steps, batch = rewards.shape
    scaled, carried = np.empty_like(rewards), returns.copy()
    n, center, square = count[()], mean[()], variance[()]
    for t in range(steps):
        for b in range(batch):
            carried[b] = gamma * carried[b] + rewards[t, b]
        row_mean, row_spread = _gathered(carried)
        center, spread = _joined(n, center, n and n * square, batch, row_mean, row_spread)
        n = n + batch
        square = _variance(n, spread)
        deviation = np.sqrt(square + eps)
        for b in range(batch):
            scaled[t, b] = limited(rewards[t, b] / deviation, -clip, clip)
            if terminated[t, b] or truncated[t, b]:
                carried[b] = 0
    kind = rewards.dtype
    moments = (np.array(n, dtype=kind), np.array(center, dtype=kind), np.array(square, dtype=kind))
    return ScaledRewards(scaled, carried, *moments)
