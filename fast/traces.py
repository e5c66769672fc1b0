"""Traces: how far credit for a later surprise travels back, on and off policy, in PyTorch.

The surprise at step t is the one-step error δₜ. Whoever was there k steps earlier is given a
share of it, a product of k weights: (γλ)ᵏ on policy, γᵏ c … c off policy, where the coefficient
c says how far an action of the behaviour policy μ is trusted under the target policy π. With
ρ = π/μ the named choices are c = λρ (importance sampling), λ min(1, ρ) (Retrace), λ π (tree
backup) and λ (no correction).  The identity to remember: a target is its own value plus the
correction Δₜ = δₜ + γ cₜ₊₁ Δₜ₊₁, for the action at t is given and needs no coefficient; only
V-trace, whose V does not know the action, weights δₜ and Δₜ₊₁ with ratios of step t itself.

Recordings are those of `returns`. All corrections are the one recurrence of `scan`, with decay
γ cₜ₊₁ or γ cₜ; a coefficient that nothing is carried with is replaced before the arithmetic,
so that an infinite ratio there reaches neither a result nor a gradient. Ratios and
probabilities are constants: they say how far to trust, and are not to be learnt through.
Half precision is computed in float32 and rounded once.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float

from rlverify.errors import Arguments
from rlverify.fast._steps import cuts, one_step, weight, widened
from rlverify.fast.kernels import cpu
from rlverify.fast.scan import reverse_linear_recurrence, rounded
from rlverify.refusals import clip_levels


class Vtrace(NamedTuple):
    """Targets of a critic, and advantages for the actor.

    Attributes:
        value_targets: vₜ, what V(sₜ) is moved towards.
        advantages: what log π(aₜ | sₜ) is weighted with, the ratio included.
    """

    value_targets: torch.Tensor
    advantages: torch.Tensor


def off_policy_return(
    rewards: Float[torch.Tensor, "T B"],
    q_taken: Float[torch.Tensor, "T B"],
    next_state_values: Float[torch.Tensor, "T B"],
    coefficients: Float[torch.Tensor, "T B"],
    terminated: Bool[torch.Tensor, "T B"],
    truncated: Bool[torch.Tensor, "T B"],
    *,
    gamma: float | Float[torch.Tensor, "T B"],
) -> Float[torch.Tensor, "T B"]:
    """Returns of a target policy, corrected step by step with coefficients of trust.

        Gₜ = rₜ + γ · { 0                                   where terminated
                      { V'ₜ                                 where cut otherwise
                      { V'ₜ + cₜ₊₁ (Gₜ₊₁ − Q(sₜ₊₁, aₜ₊₁))    elsewhere

    Source: Munos et al. 2016, arXiv:1606.02647, eq. 3.
    Ours: a recording may hold several episodes and stop inside one. Written as
    Gₜ = Q(sₜ, aₜ) + Δₜ with Δₜ = δₜ + γ cₜ₊₁ Δₜ₊₁, as in the paper. c = λ gives Q(λ) of
    Harutyunyan et al. 2016, c = 0 the one-step target of expected SARSA.

    Args:
        rewards: rₜ, the reward of step t.
        q_taken: Q(sₜ, aₜ), value of the action that step t took.
        next_state_values: V'ₜ = Σₐ π(a | s'ₜ) Q(s'ₜ, a), under the target policy; ignored
            where terminated.
        coefficients: cₜ, the trust in the action of step t; never read where an episode begins.
        terminated: whether step t ended the episode for good.
        truncated: whether the recording of the episode stops after step t.
        gamma: discount γ in [0, 1], or one γₜ a step.

    Returns:
        G, shape [T, B], targets for Q(sₜ, aₜ). Gradients flow to all arrays of floats.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, or gamma lies outside [0, 1].

    Example:
        >>> rewards, off = torch.tensor([[1.0], [2.0]]), torch.zeros(2, 1, dtype=torch.bool)
        >>> trust = torch.tensor([[8.0], [0.5]])
        >>> off_policy_return(rewards, rewards, 4 * rewards, trust, off, off, gamma=0.5)
        tensor([[4.],
                [6.]])
    """
    made = cpu.corrected(
        rewards, q_taken, next_state_values, coefficients, terminated, truncated, gamma, 1.0, None
    )
    if made is not None:
        return made
    check = Arguments("off_policy_return", torch.Tensor)
    check.floats("T B", rewards=rewards, q_taken=q_taken, next_state_values=next_state_values)
    check.floats("T B", coefficients=coefficients)
    check.flags("T B", terminated=terminated, truncated=truncated)
    check.unit("T B", gamma=gamma)

    return _corrected(
        rewards, q_taken, next_state_values, coefficients, terminated, truncated, gamma
    )


def _corrected(
    rewards: torch.Tensor,
    q_taken: torch.Tensor,
    next_state_values: torch.Tensor,
    coefficients: torch.Tensor,
    terminated: torch.Tensor,
    truncated: torch.Tensor,
    gamma: float | torch.Tensor,
) -> torch.Tensor:
    """Return Q + Δ from checked arrays, Δₜ = δₜ + γ cₜ₊₁ Δₜ₊₁."""
    earned, baseline, following, trust = widened(rewards, q_taken, next_state_values, coefficients)
    discount, cut = weight(gamma, rewards), cuts(terminated, truncated)
    delta = one_step(earned, baseline, following, terminated, discount)
    decay = discount * trust.roll(-1, 0).masked_fill(cut, 0)
    corrections = reverse_linear_recurrence(delta, decay, cut)
    return (baseline + corrections).to(rewards.dtype)


def _ratios(log_ratios: torch.Tensor, most: float) -> torch.Tensor:
    """Return min(most, ρ) in the compute dtype, as constants."""
    (wide,) = widened(log_ratios.detach())
    return wide.exp().clamp_(max=rounded(most, log_ratios.dtype))


def importance_sampling_return(
    rewards: Float[torch.Tensor, "T B"],
    q_taken: Float[torch.Tensor, "T B"],
    next_state_values: Float[torch.Tensor, "T B"],
    log_ratios: Float[torch.Tensor, "T B"],
    terminated: Bool[torch.Tensor, "T B"],
    truncated: Bool[torch.Tensor, "T B"],
    *,
    gamma: float | Float[torch.Tensor, "T B"],
    lam: float,
) -> Float[torch.Tensor, "T B"]:
    """Returns of a target policy, every later step weighted with its likelihood ratio.

        Gₜ as `off_policy_return` with cₜ = λ ρₜ        ρₜ = π(aₜ | sₜ) / μ(aₜ | sₜ)

    Source: Munos et al. 2016, arXiv:1606.02647, section 3; Precup et al. 2000.
    Ours: the ratio as its logarithm; λ as in their Table 1 would be 1. Nothing bounds the
    product of the ratios, nor the variance.

    Args:
        rewards: rₜ, the reward of step t.
        q_taken: Q(sₜ, aₜ), value of the action that step t took.
        next_state_values: V'ₜ = Σₐ π(a | s'ₜ) Q(s'ₜ, a); ignored where terminated.
        log_ratios: log ρₜ; constant, and never read where an episode begins.
        terminated: whether step t ended the episode for good.
        truncated: whether the recording of the episode stops after step t.
        gamma: discount γ in [0, 1], or one γₜ a step.
        lam: trace λ in [0, 1].

    Returns:
        G, shape [T, B]. Gradients flow to rewards, both kinds of values and a gamma array.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, or gamma or lam lies outside [0, 1].

    Example:
        >>> rewards, off = torch.tensor([[1.0], [2.0]]), torch.zeros(2, 1, dtype=torch.bool)
        >>> knobs = {"gamma": 0.5, "lam": 0.5}
        >>> importance_sampling_return(
        ...     rewards, rewards, 4 * rewards, 0 * rewards, off, off, **knobs
        ... )
        tensor([[4.],
                [6.]])
    """
    made = cpu.corrected(
        rewards, q_taken, next_state_values, log_ratios, terminated, truncated, gamma, lam, math.inf
    )
    if made is not None:
        return made
    check = Arguments("importance_sampling_return", torch.Tensor)
    check.floats("T B", rewards=rewards, q_taken=q_taken, next_state_values=next_state_values)
    check.floats("T B", log_ratios=log_ratios)
    check.flags("T B", terminated=terminated, truncated=truncated)
    check.unit("T B", gamma=gamma)
    check.unit(lam=lam)

    coefficients = rounded(lam, rewards.dtype) * _ratios(log_ratios, math.inf)
    return _corrected(
        rewards, q_taken, next_state_values, coefficients, terminated, truncated, gamma
    )


def retrace(
    rewards: Float[torch.Tensor, "T B"],
    q_taken: Float[torch.Tensor, "T B"],
    next_state_values: Float[torch.Tensor, "T B"],
    log_ratios: Float[torch.Tensor, "T B"],
    terminated: Bool[torch.Tensor, "T B"],
    truncated: Bool[torch.Tensor, "T B"],
    *,
    gamma: float | Float[torch.Tensor, "T B"],
    lam: float,
) -> Float[torch.Tensor, "T B"]:
    """Returns of a target policy, with traces that are cut where it would not have acted so.

        Gₜ as `off_policy_return` with cₜ = λ min(1, ρₜ)        ρₜ = π(aₜ | sₜ) / μ(aₜ | sₜ)

    Source: Munos et al. 2016, arXiv:1606.02647, section 3.
    Ours: the ratio as its logarithm. On policy, ρ = 1, this is Q(λ); the first error has no
    ratio, because its action is given.

    Args:
        rewards: rₜ, the reward of step t.
        q_taken: Q(sₜ, aₜ), value of the action that step t took.
        next_state_values: V'ₜ = Σₐ π(a | s'ₜ) Q(s'ₜ, a); ignored where terminated.
        log_ratios: log ρₜ; constant, and never read where an episode begins.
        terminated: whether step t ended the episode for good.
        truncated: whether the recording of the episode stops after step t.
        gamma: discount γ in [0, 1], or one γₜ a step.
        lam: trace λ in [0, 1].

    Returns:
        G, shape [T, B]. Gradients flow to rewards, both kinds of values and a gamma array.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, or gamma or lam lies outside [0, 1].

    Example:
        >>> rewards, off = torch.tensor([[1.0], [2.0]]), torch.zeros(2, 1, dtype=torch.bool)
        >>> knobs = {"gamma": 0.5, "lam": 0.5}
        >>> retrace(rewards, rewards, 4 * rewards, 8 * rewards, off, off, **knobs)
        tensor([[4.],
                [6.]])
    """
    made = cpu.corrected(
        rewards, q_taken, next_state_values, log_ratios, terminated, truncated, gamma, lam, 1.0
    )
    if made is not None:
        return made
    check = Arguments("retrace", torch.Tensor)
    check.floats("T B", rewards=rewards, q_taken=q_taken, next_state_values=next_state_values)
    check.floats("T B", log_ratios=log_ratios)
    check.flags("T B", terminated=terminated, truncated=truncated)
    check.unit("T B", gamma=gamma)
    check.unit(lam=lam)

    coefficients = rounded(lam, rewards.dtype) * _ratios(log_ratios, 1)
    return _corrected(
        rewards, q_taken, next_state_values, coefficients, terminated, truncated, gamma
    )


def tree_backup(
    rewards: Float[torch.Tensor, "T B"],
    q_taken: Float[torch.Tensor, "T B"],
    next_state_values: Float[torch.Tensor, "T B"],
    target_probabilities: Float[torch.Tensor, "T B"],
    terminated: Bool[torch.Tensor, "T B"],
    truncated: Bool[torch.Tensor, "T B"],
    *,
    gamma: float | Float[torch.Tensor, "T B"],
    lam: float,
) -> Float[torch.Tensor, "T B"]:
    """Returns of a target policy that need no knowledge of the policy that acted.

        Gₜ as `off_policy_return` with cₜ = λ π(aₜ | sₜ)

    Source: Precup et al. 2000; Munos et al. 2016, arXiv:1606.02647, section 3.
    Ours: λ as Munos et al. have it. Safe for any behaviour, and slow where π spreads widely,
    even on policy.

    Args:
        rewards: rₜ, the reward of step t.
        q_taken: Q(sₜ, aₜ), value of the action that step t took.
        next_state_values: V'ₜ = Σₐ π(a | s'ₜ) Q(s'ₜ, a); ignored where terminated.
        target_probabilities: π(aₜ | sₜ) in [0, 1]; constant, and never used where an episode
            begins.
        terminated: whether step t ended the episode for good.
        truncated: whether the recording of the episode stops after step t.
        gamma: discount γ in [0, 1], or one γₜ a step.
        lam: trace λ in [0, 1].

    Returns:
        G, shape [T, B]. Gradients flow to rewards, both kinds of values and a gamma array.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, or gamma, lam or a probability lies outside [0, 1].

    Example:
        >>> rewards, off = torch.tensor([[1.0], [2.0]]), torch.zeros(2, 1, dtype=torch.bool)
        >>> knobs = {"gamma": 0.5, "lam": 0.5}
        >>> tree_backup(rewards, rewards, 4 * rewards, rewards / 2, off, off, **knobs)
        tensor([[4.],
                [6.]])
    """
    check = Arguments("tree_backup", torch.Tensor)
    check.floats("T B", rewards=rewards, q_taken=q_taken, next_state_values=next_state_values)
    check.within("T B", 0, 1, target_probabilities=target_probabilities)
    check.flags("T B", terminated=terminated, truncated=truncated)
    check.unit("T B", gamma=gamma)
    check.unit(lam=lam)

    coefficients = rounded(lam, rewards.dtype) * widened(target_probabilities.detach())[0]
    return _corrected(
        rewards, q_taken, next_state_values, coefficients, terminated, truncated, gamma
    )


def vtrace(
    rewards: Float[torch.Tensor, "T B"],
    values: Float[torch.Tensor, "T B"],
    next_values: Float[torch.Tensor, "T B"],
    log_ratios: Float[torch.Tensor, "T B"],
    terminated: Bool[torch.Tensor, "T B"],
    truncated: Bool[torch.Tensor, "T B"],
    *,
    gamma: float | Float[torch.Tensor, "T B"],
    lam: float,
    rho_bar: float,
    c_bar: float,
    rho_bar_advantage: float,
) -> Vtrace:
    """Targets of a critic and advantages of an actor from another policy's steps.

        δₜ = min(ρ̄, ρₜ) (rₜ + γ V(s'ₜ) − V(sₜ))        V(s'ₜ) = 0 where terminated
        vₜ − V(sₜ) = δₜ + γ λ min(c̄, ρₜ) (vₜ₊₁ − V(sₜ₊₁))        nothing carried over a cut
        Âₜ = min(ρ̄ₐ, ρₜ) (rₜ + γ vₜ₊₁ − V(sₜ))        vₜ₊₁ = V(s'ₜ) at a cut

    Source: Espeholt et al. 2018, arXiv:1802.01561, eq. 1, remarks 1 and 2, and section 4.2.
    Ours: ends inside the recording. The fixed point of vₜ is the value of π only where ρ̄ is at
    least every ratio; elsewhere it is that of a policy between μ and π (their eq. 3).

    Args:
        rewards: rₜ, the reward of step t.
        values: V(sₜ), value of the state that step t left.
        next_values: V(s'ₜ), value of the state that step t led to; ignored where terminated.
        log_ratios: log ρₜ = log π(aₜ | sₜ) − log μ(aₜ | sₜ); constant.
        terminated: whether step t ended the episode for good.
        truncated: whether the recording of the episode stops after step t.
        gamma: discount γ in [0, 1], or one γₜ a step.
        lam: trace λ in [0, 1]; 1 in most of the paper.
        rho_bar: ρ̄ above 0, may be infinite: decides what is learnt.
        c_bar: c̄ above 0, may be infinite: decides how fast, and with what variance.
        rho_bar_advantage: ρ̄ₐ above 0, may be infinite.

    Returns:
        `value_targets` v and `advantages` Â, each [T, B]. Gradients flow to rewards, both kinds
        of values and a gamma array; learners detach both results.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, gamma or lam lies outside [0, 1], or a level is not above 0.

    Example:
        >>> ones, off = torch.ones(2, 1), torch.zeros(2, 1, dtype=torch.bool)
        >>> knobs = {"rho_bar": 0.5, "c_bar": 1.0, "rho_bar_advantage": 1.0}
        >>> vtrace(ones, ones, 2 * ones, 0 * ones, off, off, gamma=0.5, lam=0.5, **knobs)
        Vtrace(value_targets=tensor([[1.6250],
                [1.5000]]), advantages=tensor([[0.7500],
                [1.0000]]))
    """
    levels = (rho_bar, c_bar, rho_bar_advantage)
    made = cpu.vtrace(
        rewards, values, next_values, log_ratios, terminated, truncated, gamma, lam, levels
    )
    if made is not None:
        return Vtrace(*made)
    check = Arguments("vtrace", torch.Tensor)
    check.floats("T B", rewards=rewards, values=values, next_values=next_values)
    check.floats("T B", log_ratios=log_ratios)
    check.flags("T B", terminated=terminated, truncated=truncated)
    check.unit("T B", gamma=gamma)
    check.unit(lam=lam)
    clip_levels(check, rho_bar=rho_bar, c_bar=c_bar, rho_bar_advantage=rho_bar_advantage)

    earned, baseline, following = widened(rewards, values, next_values)
    discount, cut = weight(gamma, rewards), cuts(terminated, truncated)
    error = one_step(earned, baseline, following, terminated, discount)
    trust = rounded(lam, rewards.dtype) * _ratios(log_ratios, c_bar)
    decay = discount * trust.masked_fill(cut, 0)
    corrections = reverse_linear_recurrence(_ratios(log_ratios, rho_bar) * error, decay, cut)
    targets = baseline + corrections
    following = torch.where(cut, following, targets.roll(-1, 0))
    error = one_step(earned, baseline, following, terminated, discount)
    advantages = _ratios(log_ratios, rho_bar_advantage) * error
    return Vtrace(targets.to(rewards.dtype), advantages.to(rewards.dtype))
