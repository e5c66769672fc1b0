"""Q-learning with function approximation: targets, their loss, and the target network, in PyTorch.

A batch holds N transitions (s, a, r, s′). `next_q_values` [N, A] are the values of all actions
in s′, the state the action led to before any reset; `terminated` says that nothing follows s′,
so its values are not read: not multiplied by 0 but left out, for they may be NaN. A time limit
is no end: a transition that was only truncated bootstraps like any other. `legal` [N, A] says
which actions exist in s′.  The identity to remember: all four targets are one,

    y = r + γ · (0 if terminated else Σ_b p(b) Q(s′, b))

and differ in p: greedy in Q itself, greedy in another Q, the action that was taken, the policy.

    >>> rewards, values = torch.tensor([1.0, 1.0]), torch.tensor([[2.0, 4.0], [2.0, 4.0]])
    >>> q_learning_target(rewards, values, torch.tensor([False, True]), None, gamma=0.5)
    tensor([3., 1.])

A target is a constant of `td_loss`: Q-learning descends half of what a gradient would be.
"""

import torch
from jaxtyping import Bool, Float, Int

from rlverify.errors import Arguments
from rlverify.fast._reductions import real, real_mean
from rlverify.fast._steps import weight, widened
from rlverify.fast.scan import plus_scaled, rounded
from rlverify.refusals import legal_unless


def _backed_up(
    rewards: torch.Tensor,
    bootstrap: torch.Tensor,
    terminated: torch.Tensor,
    gamma: float | torch.Tensor,
) -> torch.Tensor:
    """Return r + γ · (0 if terminated else bootstrap), rounded back."""
    wide, follows = widened(rewards, bootstrap)
    follows = torch.where(terminated, 0, follows)
    return plus_scaled(wide, weight(gamma, rewards), follows).to(rewards.dtype)


def _legal_only(values: torch.Tensor, legal: torch.Tensor | None) -> torch.Tensor:
    """Return the values, −∞ where an action is not legal."""
    return values if legal is None else torch.where(legal, values, -torch.inf)


def q_learning_target(
    rewards: Float[torch.Tensor, "N"],
    next_q_values: Float[torch.Tensor, "N A"],
    terminated: Bool[torch.Tensor, "N"],
    legal: Bool[torch.Tensor, "N A"] | None,
    *,
    gamma: float | Float[torch.Tensor, "N"],
) -> Float[torch.Tensor, "N"]:
    """Target of Q-learning, and of DQN with the values of a target network.

        y = r + γ max_b Q(s′, b)        the maximum is 0 where terminated, b runs over legal actions

    Source: Watkins 1989; Sutton & Barto 2018, eq. 6.8; Mnih et al. 2015, methods, algorithm 1.
    Ours: only legal actions count, and a truncated transition bootstraps.

    Args:
        rewards: r of each transition.
        next_q_values: Q(s′, ·), all actions; of the target network where there is one.
        terminated: True where the episode ended in s′; s′ is not read then. Not where it was cut.
        legal: True where an action exists in s′; None when all do. What stands elsewhere is
            ignored; where terminated a row may be empty.
        gamma: γ in [0, 1], or one a transition: γᵏ of a return over k steps.

    Returns:
        y, [N]. Gradients flow to rewards, gamma and the first of the greatest legal values.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, gamma lies outside [0, 1], or a row that did not terminate
            has no legal action.

    Example:
        >>> rewards, terminated = torch.tensor([1.0]), torch.tensor([False])
        >>> values, legal = torch.tensor([[2.0, 8.0]]), torch.tensor([[True, False]])
        >>> q_learning_target(rewards, values, terminated, legal, gamma=0.5)
        tensor([2.])
    """
    check = Arguments("q_learning_target", torch.Tensor)
    check.floats("N", rewards=rewards)
    check.floats("N A", next_q_values=next_q_values)
    check.flags("N", terminated=terminated)
    legal_unless(check, legal, terminated)
    check.unit("N", gamma=gamma)

    possible = _legal_only(next_q_values, legal)
    best = possible.detach().argmax(-1, keepdim=True)
    # the first of the greatest gets the gradient, as in the reference; `amax` would share it
    return _backed_up(rewards, possible.gather(-1, best).squeeze(-1), terminated, gamma)


def double_q_target(
    rewards: Float[torch.Tensor, "N"],
    next_q_online: Float[torch.Tensor, "N A"],
    next_q_target: Float[torch.Tensor, "N A"],
    terminated: Bool[torch.Tensor, "N"],
    legal: Bool[torch.Tensor, "N A"] | None,
    *,
    gamma: float | Float[torch.Tensor, "N"],
) -> Float[torch.Tensor, "N"]:
    """Target of double DQN: one network picks the action, the other says what it is worth.

        y = r + γ Q⁻(s′, argmax_b Q(s′, b))        0 for Q⁻ where terminated, b legal

    Source: van Hasselt, Guez & Silver 2016, arXiv:1509.06461, eq. 4; van Hasselt 2010.
    Ours: of equal greatest values the first is taken; any of them would be right.

    Args:
        rewards: r of each transition.
        next_q_online: Q(s′, ·) of the network that learns: it picks the action; constant.
        next_q_target: Q(s′, ·) of the target network: it says what that action is worth.
        terminated: True where the episode ended in s′; s′ is not read then. Not where it was cut.
        legal: True where an action exists in s′; None when all do. What stands elsewhere is
            ignored; where terminated a row may be empty.
        gamma: γ in [0, 1], or one a transition: γᵏ of a return over k steps.

    Returns:
        y, [N]. Gradients flow to rewards, gamma and the picked value of the target network.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, gamma lies outside [0, 1], or a row that did not terminate
            has no legal action.

    Example:
        >>> rewards, terminated = torch.tensor([1.0]), torch.tensor([False])
        >>> online, target = torch.tensor([[1.0, 2.0]]), torch.tensor([[8.0, 4.0]])
        >>> double_q_target(rewards, online, target, terminated, None, gamma=0.5)
        tensor([3.])
    """
    check = Arguments("double_q_target", torch.Tensor)
    check.floats("N", rewards=rewards)
    check.floats("N A", next_q_online=next_q_online, next_q_target=next_q_target)
    check.flags("N", terminated=terminated)
    legal_unless(check, legal, terminated)
    check.unit("N", gamma=gamma)

    best = _legal_only(next_q_online.detach(), legal).argmax(-1, keepdim=True)
    return _backed_up(rewards, next_q_target.gather(-1, best).squeeze(-1), terminated, gamma)


def sarsa_target(
    rewards: Float[torch.Tensor, "N"],
    next_q_values: Float[torch.Tensor, "N A"],
    next_actions: Int[torch.Tensor, "N"],
    terminated: Bool[torch.Tensor, "N"],
    *,
    gamma: float | Float[torch.Tensor, "N"],
) -> Float[torch.Tensor, "N"]:
    """Target of SARSA: the value of the action that was really taken next.

        y = r + γ Q(s′, a′)        0 for Q where terminated

    Source: Rummery & Niranjan 1994; Sutton & Barto 2018, eq. 6.7.
    Ours: on-policy: a′ comes from the policy that acts, exploration and all.

    Args:
        rewards: r of each transition.
        next_q_values: Q(s′, ·), all actions; of the target network where there is one.
        next_actions: a′, the actions taken in s′; where terminated any number in range.
        terminated: True where the episode ended in s′; s′ is not read then. Not where it was cut.
        gamma: γ in [0, 1], or one a transition: γᵏ of a return over k steps.

    Returns:
        y, [N]. Gradients flow to rewards, gamma and the values of the actions taken.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, gamma lies outside [0, 1], or an action is out of range.

    Example:
        >>> rewards, terminated = torch.tensor([1.0]), torch.tensor([False])
        >>> values, actions = torch.tensor([[2.0, 8.0]]), torch.tensor([0])
        >>> sarsa_target(rewards, values, actions, terminated, gamma=0.5)
        tensor([2.])
    """
    check = Arguments("sarsa_target", torch.Tensor)
    check.floats("N", rewards=rewards)
    check.floats("N A", next_q_values=next_q_values)
    check.actions("N", below=next_q_values.shape[1], next_actions=next_actions)
    check.flags("N", terminated=terminated)
    check.unit("N", gamma=gamma)

    taken = next_q_values.gather(-1, next_actions.unsqueeze(-1)).squeeze(-1)
    return _backed_up(rewards, taken, terminated, gamma)


def expected_sarsa_target(
    rewards: Float[torch.Tensor, "N"],
    next_q_values: Float[torch.Tensor, "N A"],
    next_probabilities: Float[torch.Tensor, "N A"],
    terminated: Bool[torch.Tensor, "N"],
    legal: Bool[torch.Tensor, "N A"] | None,
    *,
    gamma: float | Float[torch.Tensor, "N"],
) -> Float[torch.Tensor, "N"]:
    """Target of expected SARSA: the mean over what the policy would do next.

        y = r + γ Σ_b π(b | s′) Q(s′, b)        0 for the sum where terminated, b legal

    Source: van Seijen et al. 2009, eq. 6; Sutton & Barto 2018, eq. 6.9.
    Ours: illegal actions are left out, whatever probability stands there; with an ε-greedy π it
    lies between SARSA and Q-learning.

    Args:
        rewards: r of each transition.
        next_q_values: Q(s′, ·), all actions; of the target network where there is one.
        next_probabilities: π(· | s′), non-negative and summing to 1.
        terminated: True where the episode ended in s′; s′ is not read then. Not where it was cut.
        legal: True where an action exists in s′; None when all do. What stands elsewhere is
            ignored; where terminated a row may be empty.
        gamma: γ in [0, 1], or one a transition: γᵏ of a return over k steps.

    Returns:
        y, [N]. Gradients flow to rewards, gamma, values and probabilities.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, gamma lies outside [0, 1], or a row that did not terminate
            has no legal action.

    Example:
        >>> rewards, terminated = torch.tensor([1.0]), torch.tensor([False])
        >>> values, chances = torch.tensor([[2.0, 8.0]]), torch.tensor([[0.5, 0.5]])
        >>> expected_sarsa_target(rewards, values, chances, terminated, None, gamma=0.5)
        tensor([3.5000])
    """
    check = Arguments("expected_sarsa_target", torch.Tensor)
    check.floats("N", rewards=rewards)
    check.floats("N A", next_q_values=next_q_values, next_probabilities=next_probabilities)
    check.flags("N", terminated=terminated)
    legal_unless(check, legal, terminated)
    check.unit("N", gamma=gamma)

    # the selection comes before the product, so that no gradient is 0 · NaN
    read = ~terminated.unsqueeze(-1) if legal is None else legal & ~terminated.unsqueeze(-1)
    values, chances = (torch.where(read, x, 0) for x in widened(next_q_values, next_probabilities))
    return _backed_up(rewards, (chances * values).sum(-1), terminated, gamma)


def td_loss(
    q_taken: Float[torch.Tensor, "..."],
    targets: Float[torch.Tensor, "..."],
    mask: Bool[torch.Tensor, "..."] | None,
    *,
    huber: float | None,
) -> Float[torch.Tensor, ""]:
    """Half the mean squared error of the values of the actions taken, or Huber's of it.

        L = (1/N) Σᵢ ½ eᵢ²                            e = Q(s, a) − y
        L = (1/N) Σᵢ c(eᵢ) (eᵢ − c(eᵢ)/2)             c(e) = min(max(e, −δ), δ)

    Source: Mnih et al. 2015, methods, eq. 2 (squared) and "Training details" (the error clipped
    to ±1 in the update); Huber 1964.
    Ours: with the ½, so that both agree for small errors; the mean over the real elements. The
    second is ½e² up to δ and δ(|e| − δ/2) beyond: torch's HuberLoss, δ times its SmoothL1Loss.

    Args:
        q_taken: Q(sᵢ, aᵢ) of the network that learns.
        targets: yᵢ; constant.
        mask: True where an element is real; None when all are. What stands elsewhere is ignored.
        huber: δ above 0, the greatest slope of one element; None for the squared error.

    Returns:
        L, shape (). Its gradient with respect to q_taken is e/N, clipped to ±δ/N, and 0 where
        masked.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, nothing is real, or huber is not above 0.

    Example:
        >>> values, targets = torch.tensor([1.0, 4.0]), torch.tensor([0.0, 0.0])
        >>> td_loss(values, targets, None, huber=None)
        tensor(4.2500)
        >>> td_loss(values, targets, None, huber=1.0)
        tensor(2.)
    """
    check = Arguments("td_loss", torch.Tensor)
    check.floats("...", q_taken=q_taken, targets=targets)
    check.mask("...", mask)
    if huber is not None:
        check.positive("huber", huber)

    # selected before the difference: the gradient of what is masked is 0, not 0 · NaN
    errors = real(q_taken, mask) - real(targets.detach(), mask)
    if huber is None:
        return (real_mean(errors.square(), mask) / 2).to(q_taken.dtype)
    edge = rounded(huber, q_taken.dtype)
    clipped = errors.clamp(-edge, edge)
    return real_mean(clipped * (errors - clipped / 2), mask).to(q_taken.dtype)


def soft_update(
    target: Float[torch.Tensor, "..."], online: Float[torch.Tensor, "..."], *, tau: float
) -> Float[torch.Tensor, "..."]:
    """Target network moved a little towards the one that learns.

        θ⁻ ← (1 − τ) θ⁻ + τ θ

    Source: Lillicrap et al. 2016, arXiv:1509.02971, algorithm 1; τ = 1 is the copy of Mnih et al.
    2015.
    Ours: τ is the share of the new: 0 leaves the target as it is, 1 copies. Elsewhere τ is
    called 1 − τ, or polyak.

    Args:
        target: θ⁻, any shape; constant.
        online: θ; constant.
        tau: τ in [0, 1].

    Returns:
        The new θ⁻, the shape of `target`. No gradient.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, or tau lies outside [0, 1].

    Example:
        >>> soft_update(torch.tensor([0.0, 4.0]), torch.tensor([8.0, 4.0]), tau=0.25)
        tensor([2., 4.])
    """
    check = Arguments("soft_update", torch.Tensor)
    check.floats("...", target=target, online=online)
    check.unit(tau=tau)

    old, new = widened(target.detach(), online.detach())
    return torch.lerp(old, new, rounded(tau, target.dtype)).to(target.dtype)
