"""Score-function estimators: gradients from log-probabilities alone, in PyTorch.

A recording holds T steps of B independent columns, time first; `log_probs` is log π(aₜ | sₜ).
The loss −(1/B) Σ w log π has the gradient −(1/B) Σ w ∇log π: what it estimates is decided by
the weights w, which are constants. With `reinforce_weights` it is REINFORCE (to_go and
discount_states: unbiased for ∇J); with TD errors the one-step actor-critic; with GAE its
advantages; with 1 on a data set, or on an elite, the likelihood gradient.  The identity to
remember: E[∇log π] = 0, so what does not depend on the action may be taken off a weight.

    >>> from rlverify.fast.advantages import gae
    >>> from rlverify.fast.returns import td_error
    >>> one, off = torch.ones(2, 1), torch.zeros(2, 1, dtype=torch.bool)
    >>> delta = td_error(one, one, 2 * one, off, gamma=0.5)
    >>> policy_gradient_loss(-one, delta, None)
    tensor(2.)
    >>> advantages = gae(one, one, 2 * one, off, off, gamma=0.5, lam=0.5).advantages
    >>> policy_gradient_loss(-one, advantages, None)
    tensor(2.2500)

The Monte-Carlo estimate of J needs no function of its own: it is the mean over columns of the
first row of `reinforce_weights`, whole and without γᵗ. With samples fixed it does not depend on
the policy's parameters, so its derivative is zero: that is why the losses here exist.

What is masked is replaced before the arithmetic, so that NaN there reaches neither a loss nor a
gradient. Half precision is computed in float32 and rounded once.
"""

import torch
from jaxtyping import Bool, Float, Int

from rlverify.errors import Arguments
from rlverify.fast._reductions import real, real_dot, real_mean
from rlverify.fast._steps import weight, widened
from rlverify.fast.scan import Decay, reverse_linear_recurrence


def _first_rows(ended: torch.Tensor) -> torch.Tensor:
    """Return for every row the row in which its episode begins."""
    row = torch.arange(len(ended), device=ended.device)[:, None]
    begins = torch.cat([torch.ones_like(ended[:1]), ended[:-1]])
    return torch.where(begins, row, 0).cummax(0).values


def _powers(discount: Decay, exponents: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Return γᵏ for every exponent, as one row; 1 where γ differs from step to step."""
    powers = torch.ones_like(like[:1])
    # by repeated squaring: exact to as many roundings as k − 1 products would cost
    while isinstance(discount, float) and bool(exponents.any()):
        powers = torch.where(exponents % 2 == 1, powers * discount, powers)
        exponents, discount = exponents // 2, discount * discount
    return powers


def _step_factors(
    discount: Decay, ended: torch.Tensor, start_steps: torch.Tensor, like: torch.Tensor
) -> torch.Tensor:
    """Return γᵏ of every row, k its step in the episode: the recurrence, run forwards."""
    first = _powers(discount, start_steps, like)
    begins = torch.cat([first, ended[:-1].to(like.dtype)])
    before = discount if isinstance(discount, float) else discount.roll(1, 0).flip(0)
    return reverse_linear_recurrence(begins.flip(0), before, ended.roll(1, 0).flip(0)).flip(0)


def policy_gradient_loss(
    log_probs: Float[torch.Tensor, "T B"],
    weights: Float[torch.Tensor, "T B"],
    mask: Bool[torch.Tensor, "T B"] | None,
) -> Float[torch.Tensor, ""]:
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
        >>> log_probs, weights = torch.tensor([[-1.0, -2.0]]), torch.tensor([[4.0, 1.0]])
        >>> policy_gradient_loss(log_probs, weights, None)
        tensor(3.)
    """
    check = Arguments("policy_gradient_loss", torch.Tensor)
    check.floats("T B", log_probs=log_probs, weights=weights)
    check.mask("T B", mask)

    total = real_dot(log_probs, weights.detach(), mask)
    return (-total / log_probs.shape[1]).to(log_probs.dtype)


def reinforce_weights(
    rewards: Float[torch.Tensor, "T B"],
    terminated: Bool[torch.Tensor, "T B"],
    truncated: Bool[torch.Tensor, "T B"],
    start_steps: Int[torch.Tensor, "B"],
    *,
    gamma: float | Float[torch.Tensor, "T B"],
    to_go: bool,
    discount_states: bool,
) -> Float[torch.Tensor, "T B"]:
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
        >>> rewards, off = torch.tensor([[4.0], [4.0], [4.0]]), torch.zeros(3, 1, dtype=torch.bool)
        >>> ended = torch.tensor([[False], [True], [False]])
        >>> start = torch.zeros(1, dtype=torch.int64)
        >>> knobs = {"gamma": 0.5, "to_go": True, "discount_states": True}
        >>> reinforce_weights(rewards, ended, off, start, **knobs)
        tensor([[6.],
                [2.],
                [4.]])
    """
    check = Arguments("reinforce_weights", torch.Tensor)
    check.floats("T B", rewards=rewards)
    check.flags("T B", terminated=terminated, truncated=truncated)
    check.integers("B", least=0, start_steps=start_steps)
    check.unit("T B", gamma=gamma)
    check.switch(to_go=to_go, discount_states=discount_states)
    check.known_past(gamma, start_steps)

    (earned,) = widened(rewards)
    discount, ended = weight(gamma, rewards), terminated | truncated
    weights = reverse_linear_recurrence(earned, discount, ended)
    if not to_go:
        # the whole return is the return to go of the first row, discounted to the start
        first = _powers(discount, start_steps, weights) * weights[:1]
        weights = torch.cat([first, weights[1:]]).gather(0, _first_rows(ended))
    if discount_states:
        weights = _step_factors(discount, ended, start_steps, earned) * weights
    return weights.to(rewards.dtype)


def importance_weighted_loss(
    log_probs: Float[torch.Tensor, "T B"],
    behaviour_log_probs: Float[torch.Tensor, "T B"],
    weights: Float[torch.Tensor, "T B"],
    mask: Bool[torch.Tensor, "T B"] | None,
) -> Float[torch.Tensor, ""]:
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
        >>> behaviour, weights = torch.tensor([[-1.0, -2.0]]), torch.tensor([[4.0, 1.0]])
        >>> twice = behaviour + torch.log(torch.tensor(2.0))
        >>> importance_weighted_loss(twice, behaviour, weights, None)
        tensor(-5.)
    """
    check = Arguments("importance_weighted_loss", torch.Tensor)
    check.floats("T B", log_probs=log_probs, behaviour_log_probs=behaviour_log_probs)
    check.floats("T B", weights=weights)
    check.mask("T B", mask)

    target, behaviour = widened(log_probs, behaviour_log_probs.detach())
    ratios = real(target - behaviour, mask).exp()
    total = real_dot(ratios, weights.detach(), mask)
    return (-total / log_probs.shape[1]).to(log_probs.dtype)


def log_likelihood_loss(
    log_probs: Float[torch.Tensor, "..."],
    mask: Bool[torch.Tensor, "..."] | None,
) -> Float[torch.Tensor, ""]:
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
        >>> log_probs, elite = torch.tensor([-1.0, -2.0, -9.0]), torch.tensor([True, True, False])
        >>> log_likelihood_loss(log_probs, elite)
        tensor(1.5000)
    """
    check = Arguments("log_likelihood_loss", torch.Tensor)
    check.floats("...", log_probs=log_probs)
    check.mask("...", mask)

    return -real_mean(log_probs, mask).to(log_probs.dtype)


def entropy_bonus(
    entropies: Float[torch.Tensor, "..."],
    mask: Bool[torch.Tensor, "..."] | None,
) -> Float[torch.Tensor, ""]:
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
        >>> entropies, mask = torch.tensor([[0.5, 0.25, 9.0]]), torch.tensor([[True, True, False]])
        >>> entropy_bonus(entropies, mask)
        tensor(0.3750)
    """
    check = Arguments("entropy_bonus", torch.Tensor)
    check.floats("...", entropies=entropies)
    check.mask("...", mask)

    return real_mean(entropies, mask).to(entropies.dtype)
