"""Running moments: mean and variance of a stream, and what is scaled by them, in PyTorch.

The state is three arrays: `count` [] (how many samples), `mean` [D] and `variance` [D], the
population variance, one of each a component. Samples come in batches x [N, D]. `update` takes a
batch in, `merge` joins two states, `normalize` uses a state and leaves it as it is: evaluation
never updates. Rewards are scaled, not centred, by the deviation of the discounted return so far.

The identity to remember (Chan, Golub and LeVeque): the squares about the common mean are those
about the two means, plus what the distance between the means adds,

    n₁₂ σ²₁₂ = n₁ σ²₁ + n₂ σ²₂ + (μ₂ − μ₁)² n₁ n₂ / n₁₂

so nothing is squared before a mean is taken off, and any split of a stream gives one answer.
The moments of every prefix of a recording come from the same formula in ⌈log₂ T⌉ passes. Half
precision is computed in float32 and rounded once; a state kept in it counts to 256 (bfloat16) or
2048 (float16) and is refused beyond: keep states in float32 or float64.
"""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float

from rlverify.errors import Arguments
from rlverify.fast._steps import widened
from rlverify.fast.scan import reverse_linear_recurrence, rounded


class RunningMoments(NamedTuple):
    """Mean and population variance of what has been seen.

    Attributes:
        count: how many samples, [].
        mean: of each component, [D].
        variance: of each component, squares divided by the count, [D].
    """

    # shadows `tuple.count`; the field is named as the argument that it is passed on to
    count: torch.Tensor  # type: ignore[assignment]
    mean: torch.Tensor
    variance: torch.Tensor


class ScaledRewards(NamedTuple):
    """Scaled rewards, and what the next call carries on from.

    Attributes:
        rewards: scaled and clipped, [T, B].
        returns: the discounted return of each column's open episode, [B]; 0 after an end.
        count: how many returns have been seen, [].
        mean: of the returns, [].
        variance: of the returns, [].
    """

    rewards: torch.Tensor
    returns: torch.Tensor
    count: torch.Tensor  # type: ignore[assignment]
    mean: torch.Tensor
    variance: torch.Tensor


# mean and sum of squares about it, of `count` numbers
Spread = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def _counted(dtype: torch.dtype) -> int:
    """Return the greatest number to which a dtype holds every integer."""
    return round(2 / torch.finfo(dtype).eps)


def _joined(one: Spread, other: Spread) -> Spread:
    """Join two sets of numbers; an empty one holds zeros."""
    (n, mean, spread), (m, other_mean, other_spread) = one, other
    total = n + m
    share = m / total.masked_fill(total == 0, 1)
    distance = other_mean - mean
    squares = torch.addcmul(spread + other_spread, distance.square(), n * share)
    return total, torch.addcmul(mean, distance, share), squares


def _gathered(x: torch.Tensor, dim: int) -> Spread:
    """Return count, mean and sum of squares along an axis."""
    mean = x.mean(dim, keepdim=True)
    spread = (x - mean).square().sum(dim)
    return x.new_tensor(x.shape[dim]), mean.squeeze(dim), spread


def _state(count: torch.Tensor, mean: torch.Tensor, variance: torch.Tensor) -> Spread:
    """Return a state as count, mean and sum of squares; what an empty one holds is not read."""
    n, center, square = widened(count.detach(), mean.detach(), variance.detach())
    if bool(n == 0):
        return n, torch.zeros_like(center), torch.zeros_like(square)
    return n, center, n * square


def _moments(joined: Spread, dtype: torch.dtype) -> RunningMoments:
    total, mean, spread = joined
    variance = spread / total.masked_fill(total == 0, 1)
    return RunningMoments(total.to(dtype), mean.to(dtype), variance.to(dtype))


def _prefixes(rows: Iterable[torch.Tensor]) -> Spread:
    """Return the moments of all rows up to each: the joining is associative, so by doubling."""
    n, mean, spread = rows
    window = 1
    while window < len(n):
        before = n[:-window], mean[:-window], spread[:-window]
        after = n[window:], mean[window:], spread[window:]
        done = n[:window], mean[:window], spread[:window]
        n, mean, spread = map(torch.cat, zip(done, _joined(before, after), strict=True))
        window *= 2
    return n, mean, spread


def running_moments_init(like: Float[torch.Tensor, "D"]) -> RunningMoments:
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
        >>> running_moments_init(torch.ones(2)).mean
        tensor([0., 0.])
    """
    check = Arguments("running_moments_init", torch.Tensor)
    check.floats("D", like=like)
    zeros = torch.zeros_like(like, requires_grad=False)
    return RunningMoments(zeros.new_zeros(()), zeros, zeros.clone())


def running_moments_update(
    count: Float[torch.Tensor, ""],
    mean: Float[torch.Tensor, "D"],
    variance: Float[torch.Tensor, "D"],
    x: Float[torch.Tensor, "N D"],
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
        >>> state = running_moments_init(torch.zeros(1))
        >>> running_moments_update(*state, torch.tensor([[1.0], [3.0]])).variance
        tensor([1.])
    """
    check = Arguments("running_moments_update", torch.Tensor)
    check.floats("D", mean=mean, variance=variance)
    check.floats("N D", x=x)
    check.within("", 0, _counted(x.dtype) - len(x), count=count)

    (wide,) = widened(x.detach())
    return _moments(_joined(_state(count, mean, variance), _gathered(wide, 0)), x.dtype)


def running_moments_merge(
    count: Float[torch.Tensor, ""],
    mean: Float[torch.Tensor, "D"],
    variance: Float[torch.Tensor, "D"],
    other_count: Float[torch.Tensor, ""],
    other_mean: Float[torch.Tensor, "D"],
    other_variance: Float[torch.Tensor, "D"],
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
        >>> one, two, zero = torch.tensor(1.0), torch.tensor([2.0]), torch.zeros(1)
        >>> running_moments_merge(one, zero, zero, one, two, zero).variance
        tensor([1.])
    """
    check = Arguments("running_moments_merge", torch.Tensor)
    check.floats("D", mean=mean, variance=variance)
    check.floats("D", other_mean=other_mean, other_variance=other_variance)
    check.within("", 0, _counted(mean.dtype) // 2, count=count, other_count=other_count)

    other = _state(other_count, other_mean, other_variance)
    return _moments(_joined(_state(count, mean, variance), other), mean.dtype)


def running_moments_normalize(
    mean: Float[torch.Tensor, "D"],
    variance: Float[torch.Tensor, "D"],
    x: Float[torch.Tensor, "N D"],
    *,
    eps: float,
    clip: float,
) -> Float[torch.Tensor, "N D"]:
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
        >>> x, three = torch.tensor([[1.0], [5.0], [90.0]]), torch.tensor([3.0])
        >>> running_moments_normalize(three, three, x, eps=1.0, clip=10.0)
        tensor([[-1.],
                [ 1.],
                [10.]])
    """
    check = Arguments("running_moments_normalize", torch.Tensor)
    check.floats("D", mean=mean, variance=variance)
    check.floats("N D", x=x)
    check.positive("eps", eps)
    check.positive("clip", clip)

    center, square, wide = widened(mean.detach(), variance.detach(), x)
    deviation = (square + rounded(eps, x.dtype)).sqrt()
    limit = rounded(clip, x.dtype)
    return (wide - center).div_(deviation).clamp(-limit, limit).to(x.dtype)


def scale_rewards(
    rewards: Float[torch.Tensor, "T B"],
    terminated: Bool[torch.Tensor, "T B"],
    truncated: Bool[torch.Tensor, "T B"],
    returns: Float[torch.Tensor, "B"],
    count: Float[torch.Tensor, ""],
    mean: Float[torch.Tensor, ""],
    variance: Float[torch.Tensor, ""],
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
        >>> rewards, zero = torch.tensor([[2.0, 0.0]]), torch.tensor(0.0)
        >>> off, state = torch.zeros(1, 2).bool(), (torch.zeros(2), zero, zero, zero)
        >>> scale_rewards(rewards, off, off, *state, gamma=0.5, eps=3.0, clip=10.0).rewards
        tensor([[1., 0.]])
    """
    check = Arguments("scale_rewards", torch.Tensor)
    check.floats("T B", rewards=rewards)
    check.flags("T B", terminated=terminated, truncated=truncated)
    check.floats("B", returns=returns)
    check.within("", 0, _counted(rewards.dtype) - rewards.numel(), count=count)
    check.floats("", mean=mean, variance=variance)
    check.unit(gamma=gamma)
    check.positive("eps", eps)
    check.positive("clip", clip)

    dtype, discount = rewards.dtype, rounded(gamma, rewards.dtype)
    earned, carried = widened(rewards.detach(), returns.detach())
    ended = terminated | truncated
    # the recurrence runs backwards, so time is turned round; what was carried in is its last row
    rows = torch.cat([earned.flip(0), carried[None]])
    cut = torch.cat([ended[:-1].flip(0), ended.new_zeros(2, len(carried))])
    totals = reverse_linear_recurrence(rows, discount, cut)[:-1].flip(0)

    each, means, spreads = _gathered(totals, 1)
    counts = each.expand(len(rewards))
    start = _state(count, mean, variance)
    rows_of = zip(start, (counts, means, spreads), strict=True)
    n, center, spread = _prefixes(torch.cat([s[None], row]) for s, row in rows_of)
    moments = _moments((n[-1], center[-1], spread[-1]), dtype)
    deviation = (spread[1:] / n[1:] + rounded(eps, dtype)).sqrt()
    limit = rounded(clip, dtype)
    scaled = (earned / deviation[:, None]).clamp(-limit, limit)
    left = totals[-1].masked_fill(ended[-1], 0)
    return ScaledRewards(scaled.to(dtype), left.to(dtype), *moments)
