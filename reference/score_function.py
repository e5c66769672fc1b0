"""Score-function estimators: gradients of an expectation from log-probabilities alone.

A recording holds T steps of B independent columns, time first; `log_probs` is log π(aₜ | sₜ).
The loss −(1/B) Σ w log π has the gradient −(1/B) Σ w ∇log π: what it estimates is decided by
the weights w, which are constants. With `reinforce_weights` it is REINFORCE (to_go and
discount_states: unbiased for ∇J); with TD errors the one-step actor-critic; with GAE its
advantages; with 1 on a data set, or on an elite, the likelihood gradient.  The identity to
remember: E[∇log π] = 0, so what does not depend on the action may be taken off a weight.

    >>> from rlverify.reference.advantages import gae
    >>> from rlverify.reference.returns import td_error
    >>> one, off = np.ones((2, 1)), np.zeros((2, 1), dtype=bool)
    >>> delta = td_error(one, one, 2 * one, off, gamma=0.5)
    >>> policy_gradient_loss(-one, delta, None)
    array(2.)
    >>> advantages = gae(one, one, 2 * one, off, off, gamma=0.5, lam=0.5).advantages
    >>> policy_gradient_loss(-one, advantages, None)
    array(2.25)

The Monte-Carlo estimate of J needs no function of its own: it is the mean over columns of the
first row of `reinforce_weights`, whole and without γᵗ. With samples fixed it does not depend on
the policy's parameters, so its derivative is zero: that is why the losses here exist.
"""

import numpy as np
from jaxtyping import Bool, Float, Int

from rlverify.errors import Arguments
from rlverify.reference._reductions import real_places, scalar
from rlverify.reference._steps import per_step


def policy_gradient_loss(
    log_probs: Float[np.ndarray, "T B"],
    weights: Float[np.ndarray, "T B"],
    mask: Bool[np.ndarray, "T B"] | None,
) -> Float[np.ndarray, ""]:
    """Loss whose gradient is the negative policy gradient.

        L = −(1/B) Σ_b Σ_t w_tb log π(a_tb | s_tb)

    Source: Williams 1992, section 5 (episodic REINFORCE); Sutton et al. 2000, theorem 1.
    Ours: a sum over steps and a mean over columns, as the gradient of an expectation over
    trajectories asks; libraries often take the mean over all steps, which is T times smaller.

    Args:
        log_probs: log π(aₜ | sₜ) of the actions taken.
        weights: wₜ, a return or an advantage; constant, no gradient flows to it.
        mask: True where a step is real; None when all are. What stands elsewhere is ignored.

    Returns:
        L, shape (). Its gradient with respect to log_probs is −w/B, and 0 where masked. B
        counts the columns, one without a real step too.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, or nothing is real.

    Example:
        >>> log_probs, weights = np.array([[-1.0, -2.0]]), np.array([[4.0, 1.0]])
        >>> policy_gradient_loss(log_probs, weights, None)
        array(3.)
    """
    check = Arguments("policy_gradient_loss", np.ndarray, exact=True)
    check.floats("T B", log_probs=log_probs, weights=weights)
    check.mask("T B", mask)

    steps, batch = log_probs.shape
    total = 0
    for b in range(batch):
        for t in range(steps):
            if mask is None or mask[t, b]:
                total = total + weights[t, b] * log_probs[t, b]
    return scalar(-total / batch, log_probs)


def reinforce_weights(
    rewards: Float[np.ndarray, "T B"],
    terminated: Bool[np.ndarray, "T B"],
    truncated: Bool[np.ndarray, "T B"],
    start_steps: Int[np.ndarray, "B"],
    *,
    gamma: float | Float[np.ndarray, "T B"],
    to_go: bool,
    discount_states: bool,
) -> Float[np.ndarray, "T B"]:
    """Weights of the score in REINFORCE: the return of the own episode.

        wₜ = cₜ · { Gₜ = Σ_{s ≥ t} γˢ⁻ᵗ rₛ    to go
                  { R  = Σ_s γᵏ rₛ            whole; k is the step of s in its episode
        cₜ = γᵏ of step t where states are discounted, else 1

    Source: Williams 1992, section 5 (whole); Sutton and Barto 2018, section 13.3 (to go, with
    γᵗ); Baxter and Bartlett 2001 (GPOMDP).
    Ours: sums run over the recorded steps of an episode and nothing is bootstrapped. Either
    (to go, states discounted) or (whole, not discounted) is unbiased for ∇J discounted from
    the start; to go without γᵗ is the common, biased form; the whole return times γᵗ discounts
    twice. Where a recording begins inside an episode the rewards before it are missing from R:
    given them the later scores still have mean zero, so no bias comes of it, and R is
    discounted from the episode's start all the same.

    Args:
        rewards: rₜ, the reward of step t.
        terminated: whether step t ended the episode for good.
        truncated: whether the recording of the episode stops after step t.
        start_steps: how many steps of its episode each column's first row follows.
        gamma: discount γ in [0, 1], or one γₜ a step, between t and t + 1 (γᵏ is then the
            product over the earlier steps of the episode).
        to_go: whether only the rewards from t on count, discounted from t.
        discount_states: whether the weight is multiplied by γᵏ, k the step in the episode.

    Returns:
        w, shape [T, B]. After an end the step count starts again at 0.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, gamma lies outside [0, 1], a start step is negative, or
            gamma is an array where a recording begins inside an episode.

    Example:
        >>> rewards, off = np.array([[4.0], [4.0], [4.0]]), np.zeros((3, 1), dtype=bool)
        >>> ended = np.array([[False], [True], [False]])
        >>> start = np.zeros(1, dtype=np.int64)
        >>> knobs = {"gamma": 0.5, "to_go": True, "discount_states": True}
        >>> reinforce_weights(rewards, ended, off, start, **knobs)
        array([[6.],
               [2.],
               [4.]])
    """
    check = Arguments("reinforce_weights", np.ndarray, exact=True)
    check.floats("T B", rewards=rewards)
    check.flags("T B", terminated=terminated, truncated=truncated)
    check.integers("B", least=0, start_steps=start_steps)
    check.unit("T B", gamma=gamma)
    check.switch(to_go=to_go, discount_states=discount_states)
    check.known_past(gamma, start_steps)

    discount = per_step(gamma, rewards)
    ended = terminated | truncated
    factors, returns = np.empty_like(rewards), np.empty_like(rewards)
    weights = np.empty_like(rewards)  # keeps Fraction objects exact
    steps, batch = rewards.shape
    for b in range(batch):
        factor = 1  # γᵏ, k the step in the episode
        for _ in range(start_steps[b]):
            factor = factor * discount[0, b]
        for t in range(steps):
            factors[t, b] = factor
            factor = 1 if ended[t, b] else factor * discount[t, b]
        following = 0
        for t in reversed(range(steps)):
            following = 0 if ended[t, b] else following
            following = rewards[t, b] + discount[t, b] * following
            returns[t, b] = following
        first = 0  # row in which the episode of step t begins
        for t in range(steps):
            first = t if t > 0 and ended[t - 1, b] else first
            whole = factors[first, b] * returns[first, b]
            weights[t, b] = returns[t, b] if to_go else whole
            if discount_states:
                weights[t, b] = factors[t, b] * weights[t, b]
    return weights


def importance_weighted_loss(
    log_probs: Float[np.ndarray, "T B"],
    behaviour_log_probs: Float[np.ndarray, "T B"],
    weights: Float[np.ndarray, "T B"],
    mask: Bool[np.ndarray, "T B"] | None,
) -> Float[np.ndarray, ""]:
    """Off-policy surrogate: the weights, corrected by the likelihood ratio of each step.

        L = −(1/B) Σ_b Σ_t ρ_tb w_tb        ρ = π(a | s) / μ(a | s) = exp(log π − log μ)

    Source: Schulman et al. 2015, arXiv:1502.05477, eq. 14; Degris et al. 2012,
    arXiv:1205.4839.
    Ours: the ratio of each step alone, so states stay distributed as under μ; sum over steps,
    mean over columns. At π = μ its gradient is that of `policy_gradient_loss`.

    Args:
        log_probs: log π(aₜ | sₜ) under the policy that learns.
        behaviour_log_probs: log μ(aₜ | sₜ) under the policy that acted; constant.
        weights: wₜ, a return or an advantage; constant.
        mask: True where a step is real; None when all are. What stands elsewhere is ignored.

    Returns:
        L, shape (). Its gradient with respect to log_probs is −ρw/B, and 0 where masked.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, or nothing is real.

    Example:
        >>> behaviour, weights = np.array([[-1.0, -2.0]]), np.array([[4.0, 1.0]])
        >>> twice = behaviour + np.log(2)
        >>> importance_weighted_loss(twice, behaviour, weights, None)
        array(-5.)
    """
    check = Arguments("importance_weighted_loss", np.ndarray, exact=True)
    check.floats("T B", log_probs=log_probs, behaviour_log_probs=behaviour_log_probs)
    check.floats("T B", weights=weights)
    check.mask("T B", mask)

    steps, batch = log_probs.shape
    total = 0
    for b in range(batch):
        for t in range(steps):
            if mask is None or mask[t, b]:
                ratio = np.exp(log_probs[t, b] - behaviour_log_probs[t, b])
                total = total + ratio * weights[t, b]
    return scalar(-total / batch, log_probs)


def log_likelihood_loss(
    log_probs: Float[np.ndarray, "..."],
    mask: Bool[np.ndarray, "..."] | None,
) -> Float[np.ndarray, ""]:
    """Mean negative log-likelihood of the given actions: behavioural cloning, and CEM's update.

        L = −(1/N) Σᵢ log π(aᵢ | sᵢ)        over the N real elements

    Source: Pomerleau 1991; de Boer et al. 2005, section 2 (on the elite).
    Ours: every real element counts the same, whatever its row. It is `policy_gradient_loss`
    with weight 1 on the data set, up to the constant by which the sum is divided.

    Args:
        log_probs: log π(aᵢ | sᵢ), any shape.
        mask: True where an element is real (or elite); None when all are.

    Returns:
        L, shape (). Its gradient is −1/N, and 0 where masked.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, or nothing is real.

    Example:
        >>> log_probs, elite = np.array([-1.0, -2.0, -9.0]), np.array([True, True, False])
        >>> log_likelihood_loss(log_probs, elite)
        array(1.5)
    """
    check = Arguments("log_likelihood_loss", np.ndarray, exact=True)
    check.floats("...", log_probs=log_probs)
    check.mask("...", mask)

    total, count = 0, 0
    for i in real_places(log_probs, mask):
        total = total + log_probs[i]
        count = count + 1
    return scalar(-total / count, log_probs)


def entropy_bonus(
    entropies: Float[np.ndarray, "..."],
    mask: Bool[np.ndarray, "..."] | None,
) -> Float[np.ndarray, ""]:
    """Mean entropy of the policy over the visited states.

        H̄ = (1/N) Σᵢ H(π(· | sᵢ))        over the N real elements

    Source: Williams and Peng 1991; Mnih et al. 2016, arXiv:1602.01783, section 4.
    Ours: the bonus itself, so it is taken off a loss: L − c H̄ with c > 0 keeps the policy
    broad. Stable-Baselines3's `entropy_loss` is −H̄, added.

    Args:
        entropies: H(π(· | sᵢ)) of whole distributions, any shape; over several dimensions of
            an action it is their sum.
        mask: True where an element is real; None when all are. What stands elsewhere is ignored.

    Returns:
        H̄, shape (). Its gradient is 1/N, and 0 where masked.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, or nothing is real.

    Example:
        >>> entropies, mask = np.array([[0.5, 0.25, 9.0]]), np.array([[True, True, False]])
        >>> entropy_bonus(entropies, mask)
        array(0.375)
    """
    check = Arguments("entropy_bonus", np.ndarray, exact=True)
    check.floats("...", entropies=entropies)
    check.mask("...", mask)

    total, count = 0, 0
    for i in real_places(entropies, mask):
        total = total + entropies[i]
        count = count + 1
    return scalar(total / count, entropies)
