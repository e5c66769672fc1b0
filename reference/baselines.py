"""Baselines: what is taken off a return before it weighs a score.

For a score s = ∇log π(a) with E[s] = 0, E[s (R − b)] = E[s R] for every b that does not depend
on the action. Each function here returns the b to subtract: one a sample, or for the
variance-optimal one, one a component of the score. A constant baseline needs no function; V(s)
from a critic is subtracted by `monte_carlo_advantage`.  The identity to
remember: R − mean R = (N − 1)/N · (R − leave-one-out), so a mean over the own batch keeps the
direction of the gradient and shrinks it by (N − 1)/N, and leaving the own return out does not.

What is fitted on the same samples depends on their actions. Leave-one-out is the exception;
fit the others on other samples where a factor or a bias matters.
"""

import numpy as np
from jaxtyping import Float, Int

from rlverify.errors import Arguments


def batch_mean_baseline(returns: Float[np.ndarray, "N"]) -> Float[np.ndarray, "N"]:
    """Mean return of the batch, the same for every sample.

        bᵢ = (1/N) Σⱼ Rⱼ

    Source: Williams 1992, section 4 (reinforcement comparison); Sutton and Barto 2018,
    section 2.8 (as a running mean).
    Ours: Rᵢ itself is in bᵢ, which makes the expected gradient (N − 1)/N of the true one, and
    0 where N = 1.

    Args:
        returns: Rᵢ of every sample.

    Returns:
        b, shape [N].

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: returns has another shape than [N], or is empty.

    Example:
        >>> batch_mean_baseline(np.array([1.0, 2.0, 6.0]))
        array([3., 3., 3.])
    """
    check = Arguments("batch_mean_baseline", np.ndarray, exact=True)
    check.floats("N", returns=returns)

    samples = len(returns)
    baselines = np.empty_like(returns)  # keeps Fraction objects exact
    total = 0
    for i in range(samples):
        total = total + returns[i]
    for i in range(samples):
        baselines[i] = total / samples
    return baselines


def leave_one_out_baseline(returns: Float[np.ndarray, "N"]) -> Float[np.ndarray, "N"]:
    """Mean return of the other samples.

        bᵢ = (1/(N − 1)) Σ_{j ≠ i} Rⱼ = (Σⱼ Rⱼ − Rᵢ)/(N − 1)

    Source: Kool et al. 2019, "Buy 4 REINFORCE samples, get a baseline for free!"; Mnih and
    Rezende 2016, arXiv:1602.06725 (VIMCO).
    Ours: the second form, which everybody writes; a large own return costs the others' digits in
    it, so its bound is the wider one. The fast version adds the others up and loses none.

    Args:
        returns: Rᵢ of every sample; at least two.

    Returns:
        b, shape [N]; bᵢ does not depend on Rᵢ.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: returns has another shape than [N], or fewer than two elements.

    Example:
        >>> leave_one_out_baseline(np.array([1.0, 2.0, 6.0]))
        array([4. , 3.5, 1.5])
    """
    check = Arguments("leave_one_out_baseline", np.ndarray, exact=True)
    check.floats("N", returns=returns)
    check.others("returns", returns)

    samples = len(returns)
    baselines = np.empty_like(returns)
    total = sum(returns)
    for i in range(samples):
        baselines[i] = (total - returns[i]) / (samples - 1)
    return baselines


def variance_optimal_baseline(
    scores: Float[np.ndarray, "N P"],
    returns: Float[np.ndarray, "N"],
    *,
    per_component: bool,
) -> Float[np.ndarray, "P"]:
    """Baseline that minimises the variance of one sample's gradient estimate s (R − b).

        b = E[‖s‖² R] / E[‖s‖²]            one for all components
        b_p = E[s_p² R] / E[s_p²]          one a component

    Where E[s] = 0 the mean of s (R − b) does not depend on b, so its total variance is
    E[‖s‖² (R − b)²] less a constant: a parabola in b with its minimum where
    E[‖s‖² (R − b)] = 0. The same holds for each component alone.

    Source: Weaver and Tao 2001; Greensmith et al. 2004 (one for all); Peters and Schaal 2008,
    "Reinforcement learning of motor skills with policy gradients" (one a component).
    Ours: means over the given samples stand for expectations. Where a score is 0 throughout,
    every baseline leaves the variance 0, and b is 0.

    Args:
        scores: sᵢ = ∇log π of every sample (of a trajectory: summed over its steps).
        returns: Rᵢ of every sample.
        per_component: whether each component of the gradient gets a baseline of its own.

    Returns:
        b, shape [P], to be taken off the return that weighs each component; one for all is
        the same number in each place.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, or are not [N, P] and [N].

    Example:
        >>> scores, returns = np.array([[1.0, 0.0], [1.0, 2.0]]), np.array([4.0, 1.0])
        >>> variance_optimal_baseline(scores, returns, per_component=True)
        array([2.5, 1. ])
        >>> variance_optimal_baseline(scores, returns, per_component=False)
        array([1.5, 1.5])
    """
    check = Arguments("variance_optimal_baseline", np.ndarray, exact=True)
    check.floats("N P", scores=scores)
    check.floats("N", returns=returns)
    check.switch(per_component=per_component)

    samples, components = scores.shape
    baselines = np.empty(components, dtype=scores.dtype)  # keeps Fraction objects exact
    for p in range(components):
        weighted, squared = 0, 0
        for q in [p] if per_component else range(components):
            for i in range(samples):
                weighted = weighted + scores[i, q] ** 2 * returns[i]
                squared = squared + scores[i, q] ** 2
        baselines[p] = 0 if squared == 0 else weighted / squared
    return baselines


def value_baseline(
    states: Int[np.ndarray, "N"], returns: Float[np.ndarray, "N"]
) -> Float[np.ndarray, "N"]:
    """Mean return of the samples in the same state: the Monte-Carlo estimate of V(sᵢ).

        bᵢ = V(sᵢ) = mean of Rⱼ over all j with sⱼ = sᵢ

    Source: Sutton and Barto 2018, sections 5.1 (every-visit estimate of V) and 13.4 (as the
    baseline of REINFORCE).
    Ours: a table, and Rᵢ itself is in it: in a state met n times the expected gradient is
    (n − 1)/n of the true one. For V from a critic subtract its values.

    Args:
        states: number of the state that each sample left.
        returns: Rᵢ of every sample, to go from that state.

    Returns:
        b, shape [N].

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, or a state is negative.

    Example:
        >>> value_baseline(np.array([0, 2, 0]), np.array([1.0, 5.0, 2.0]))
        array([1.5, 5. , 1.5])
    """
    check = Arguments("value_baseline", np.ndarray, exact=True)
    check.floats("N", returns=returns)
    check.integers("N", least=0, states=states)

    samples = len(returns)
    baselines = np.empty_like(returns)
    for i in range(samples):
        total, count = 0, 0
        for j in range(samples):
            if states[j] == states[i]:
                total, count = total + returns[j], count + 1
        baselines[i] = total / count
    return baselines
