"""How much better one policy is than another, in PyTorch: exactly, to first order, and the gap.

`policy` is the new one, `old_policy` the one whose advantages A and visitation d are known. Both
are tables [S, A] of probabilities over the process of `dynamic_programming`; any array may have
leading axes, on which those that have them agree.

The one identity to remember: J(π) − J(π_old) = Σₛ d_π(s) Σₐ π(a|s) A_old(s,a). The surrogate
puts d_old, which is known before π is tried, for d_π. It agrees to first order, and is off by no
more than C·max KL, so that a policy whose surrogate exceeds that is better for certain.
"""

import math

import torch
from jaxtyping import Bool, Float

from rlverify.errors import Arguments
from rlverify.fast._processes import backup, chain, discounted_solution, earned, going_on
from rlverify.fast._steps import widened
from rlverify.fast.scan import rounded
from rlverify.refusals import discounted, distributions, process


def performance_difference(
    transition: Float[torch.Tensor, "... S A S"],
    reward: Float[torch.Tensor, "... S A S"],
    terminal: Bool[torch.Tensor, "... S A S"],
    start: Float[torch.Tensor, "... S"],
    policy: Float[torch.Tensor, "... S A"],
    old_policy: Float[torch.Tensor, "... S A"],
    *,
    gamma: float,
) -> Float[torch.Tensor, "..."]:
    """How much more a policy earns than another: the other's advantages along the way of the one.

        J(π) − J(π_old) = Σₛ d_π(s) Σₐ π(a|s) A_old(s,a)        d_π(s) = Σₜ γᵗ P(sₜ = s | π)

    Source: Kakade & Langford 2002, lemma 6.1; Schulman et al. 2015, arXiv:1502.05477, eq. 1.
    Ours: d is not normalised, so there is no factor 1/(1−γ).

    Args:
        transition: P, every row over the last axis a distribution.
        reward: r, finite also where the probability is 0.
        terminal: True where the step ends the episode.
        start: probabilities of the first state.
        policy: π(a|s), the new policy; every row a distribution.
        old_policy: π_old(a|s), the one it is compared with.
        gamma: γ in [0, 1).

    Returns:
        The difference, shape [...]. No gradient.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, a row is no distribution, or gamma lies outside [0, 1).

    Example:
        >>> two_ways, start = torch.ones((1, 2, 1)), torch.ones(1)  # to stay, paid 0 or 1
        >>> old, new = torch.tensor([[0.5, 0.5]]), torch.tensor([[0.0, 1.0]])
        >>> pays = torch.tensor([[[0.0], [1.0]]])
        >>> float(  # J = 2 against J = 1
        ...     performance_difference(two_ways, pays, two_ways < 1, start, new, old, gamma=0.5)
        ... )
        1.0
    """
    check = Arguments("performance_difference", torch.Tensor)
    process(check, transition, terminal, reward)
    distributions(check, "S", start=start)
    distributions(check, "S A", policy=policy, old_policy=old_policy)
    discounted(check, gamma)

    with torch.no_grad():
        discount = rounded(gamma, policy.dtype)
        going, advantages = _advantages(transition, reward, terminal, old_policy, discount)
        first, new = widened(start, policy)
        visits = discounted_solution(chain(going, new), discount, first, transposed=True)
        return _weighted(visits, new, advantages).to(policy.dtype)


def surrogate_objective(
    transition: Float[torch.Tensor, "... S A S"],
    reward: Float[torch.Tensor, "... S A S"],
    terminal: Bool[torch.Tensor, "... S A S"],
    start: Float[torch.Tensor, "... S"],
    policy: Float[torch.Tensor, "... S A"],
    old_policy: Float[torch.Tensor, "... S A"],
    *,
    gamma: float,
) -> Float[torch.Tensor, "..."]:
    """What a policy seems to gain where states are visited as the old one visits them.

        L(π) = Σₛ d_old(s) Σₐ π(a|s) A_old(s,a)        J(π) ≈ J(π_old) + L(π)

    Source: Kakade & Langford 2002, section 4; Schulman et al. 2015, arXiv:1502.05477, eq. 3.
    Ours: without the constant J(π_old), so L(π_old) = 0; d is not normalised. Linear in π.

    Args:
        transition: P, every row over the last axis a distribution.
        reward: r, finite also where the probability is 0.
        terminal: True where the step ends the episode.
        start: probabilities of the first state.
        policy: π(a|s), the new policy; every row a distribution.
        old_policy: π_old(a|s); d_old and A_old are its own.
        gamma: γ in [0, 1).

    Returns:
        L, shape [...], to be maximised. Gradients flow to policy alone; at π_old they are ∇J.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, a row is no distribution, or gamma lies outside [0, 1).

    Example:
        >>> two_ways, start = torch.ones((1, 2, 1)), torch.ones(1)  # one state
        >>> old, new = torch.tensor([[0.5, 0.5]]), torch.tensor([[0.0, 1.0]])
        >>> pays = torch.tensor([[[0.0], [1.0]]])
        >>> float(surrogate_objective(two_ways, pays, two_ways < 1, start, new, old, gamma=0.5))
        1.0
    """
    check = Arguments("surrogate_objective", torch.Tensor)
    process(check, transition, terminal, reward)
    distributions(check, "S", start=start)
    distributions(check, "S A", policy=policy, old_policy=old_policy)
    discounted(check, gamma)

    first, new, old = widened(start, policy, old_policy)
    with torch.no_grad():
        discount = rounded(gamma, policy.dtype)
        going, advantages = _advantages(transition, reward, terminal, old_policy, discount)
        visits = discounted_solution(chain(going, old), discount, first, transposed=True)
    return _weighted(visits, new, advantages).to(policy.dtype)


def surrogate_bound(
    transition: Float[torch.Tensor, "... S A S"],
    reward: Float[torch.Tensor, "... S A S"],
    terminal: Bool[torch.Tensor, "... S A S"],
    policy: Float[torch.Tensor, "... S A"],
    old_policy: Float[torch.Tensor, "... S A"],
    *,
    gamma: float,
) -> Float[torch.Tensor, "..."]:
    """How far the surrogate may be from the truth: a constant times the greatest divergence.

        |J(π) − J(π_old) − L(π)| ≤ C maxₛ KL(π_old(·|s) ‖ π(·|s))        C = 4γ max|A_old| / (1−γ)²

    so J never falls if L(π) − C maxₛ KL(π_old ‖ π) is made as great as can be: minorise, maximise.

    Source: Schulman et al. 2015, arXiv:1502.05477, theorem 1 and eqs. 8 and 9.
    Ours: the same bound from above as from below; the theorem's proof gives both. The maxima are
    over all states, visited or not. Infinite where the new policy never does what the old one may.

    Args:
        transition: P, every row over the last axis a distribution.
        reward: r, finite also where the probability is 0.
        terminal: True where the step ends the episode.
        policy: π(a|s), the new policy; every row a distribution.
        old_policy: π_old(a|s), whose advantages the surrogate takes.
        gamma: γ in [0, 1).

    Returns:
        The bound, shape [...], at least 0. No gradient.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, a row is no distribution, or gamma lies outside [0, 1).

    Example:
        >>> two_ways = torch.ones((1, 2, 1))  # C = 4·½·1 / ¼ = 8, KL = ½ log(½/¼) + ½ log(½/¾)
        >>> old, new = torch.tensor([[0.5, 0.5]]), torch.tensor([[0.25, 0.75]])
        >>> pays = torch.tensor([[[0.0], [2.0]]])
        >>> bound = surrogate_bound(two_ways, pays, two_ways < 1, new, old, gamma=0.5)
        >>> round(float(bound), 4), round(4 * math.log(4 / 3), 4)
        (1.1507, 1.1507)
    """
    check = Arguments("surrogate_bound", torch.Tensor)
    process(check, transition, terminal, reward)
    distributions(check, "S A", policy=policy, old_policy=old_policy)
    discounted(check, gamma)

    with torch.no_grad():
        discount = rounded(gamma, policy.dtype)
        _, advantages = _advantages(transition, reward, terminal, old_policy, discount)
        new, old = widened(policy, old_policy)
        greatest = advantages.abs().amax((-2, -1))
        constant = 4 * discount * greatest / ((1 - discount) * (1 - discount))
        # as 1 + a difference: two logarithms that are nearly equal would cancel
        change = torch.where(old > 0, (new - old) / old, 0)
        divergence = -(old * torch.log1p(change)).sum(-1)
        divergence = divergence.masked_fill(((old > 0) & ~(new > 0)).any(-1), math.inf)
        worst = divergence.amax(-1)
        # equal policies differ by nothing, and without discounted steps there is nothing to
        # differ in, whatever the divergence
        bound = torch.where((constant > 0) & (worst > 0), constant * worst, 0)
        return bound.to(policy.dtype)


def _advantages(
    transition: torch.Tensor,
    reward: torch.Tensor,
    terminal: torch.Tensor,
    policy: torch.Tensor,
    discount: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return P(s′|s,a)·[not terminal] and A(s,a) = Q(s,a) − V(s) of a policy."""
    (weights,) = widened(policy)
    going, pays = going_on(transition, terminal), earned(transition, reward)
    gains = (weights * pays).sum(-1)
    values = discounted_solution(chain(going, weights), discount, gains)
    return going, backup(pays, going, values, discount) - values.unsqueeze(-1)


def _weighted(visits: torch.Tensor, policy: torch.Tensor, advantages: torch.Tensor) -> torch.Tensor:
    """Return Σₛ d(s) Σₐ π(a|s) A(s,a)."""
    return (visits * (policy * advantages).sum(-1)).sum(-1)
