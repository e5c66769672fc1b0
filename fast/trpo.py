"""Trust region policy optimisation in PyTorch: the longest step that a bound on the KL allows.

    s = (F + damping·1)⁻¹ g        β = √(2δ / sᵀ(F + damping·1)s)        θ′ = θ + bʲβs

s is found by conjugate gradients, whose products with the Fisher matrix F need one tangent and one
backward pass each; the matrix is never formed. `trpo_update` takes a perceptron's parameters as
one vector, `trpo_module_update` any `torch.nn.Module` and moves it in place.

Nothing here carries a gradient but `surrogate`. Half precision is computed in float32 and rounded
once; the trials that a line search makes are then float32.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int

from rlverify.errors import Arguments
from rlverify.fast._curvature import DISTRIBUTIONS, checked_policy
from rlverify.fast._steps import widened
from rlverify.fast._trust_region import (
    FlatPolicy,
    Knobs,
    ModulePolicy,
    TrpoUpdate,
    ascended,
    length,
    searched,
)
from rlverify.fast._updates import Trace, untraced
from rlverify.fast.scan import rounded
from rlverify.refusals import check_search, check_solver, finite

__all__ = [
    "LineSearch",
    "TrpoUpdate",
    "line_search",
    "step_length",
    "surrogate",
    "trpo_module_update",
    "trpo_update",
]

Objective = Callable[[torch.Tensor], Any]


class LineSearch(NamedTuple):
    """What a line search found.

    Attributes:
        parameters: of the accepted trial; those that came in, to the bit, where there is none.
        accepted: whether a trial was accepted.
        tries: how many trials were made.
    """

    parameters: Float[torch.Tensor, "P"]
    accepted: Bool[torch.Tensor, ""]
    tries: Int[torch.Tensor, ""]


def surrogate(
    log_probs: Float[torch.Tensor, "..."],
    old_log_probs: Float[torch.Tensor, "..."],
    advantages: Float[torch.Tensor, "..."],
    mask: Bool[torch.Tensor, "..."] | None,
) -> Float[torch.Tensor, ""]:
    """Surrogate objective of two policies.

        L = (1/N) Σᵢ ρᵢ Aᵢ        ρ = exp(log π − log π_old)

    Source: Schulman et al. 2015, arXiv:1502.05477, eq. 14.
    Ours: a mean over the real elements; an objective, to be raised: the loss is −L.

    Args:
        log_probs: log π(aᵢ | sᵢ) under the policy that learns.
        old_log_probs: log π_old(aᵢ | sᵢ) under the policy that acted; constant.
        advantages: Aᵢ; constant.
        mask: True where an element is real; None when all are. What stands elsewhere is ignored.

    Returns:
        L, shape (). Its gradient with respect to log_probs is ρA/N, and 0 where masked; where
        both policies are the same it is the policy gradient.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, or nothing is real.

    Example:
        >>> old, advantages = torch.zeros(2), torch.tensor([4.0, -2.0])
        >>> surrogate(torch.tensor([2.0, 1.0]).log(), old, advantages, None)
        tensor(3.)
    """
    check = Arguments("surrogate", torch.Tensor)
    check.floats("...", log_probs=log_probs, old_log_probs=old_log_probs, advantages=advantages)
    check.mask("...", mask)

    now, old, weights = widened(log_probs, old_log_probs.detach(), advantages.detach())
    log_ratios = now - old
    count: torch.Tensor | int = now.numel()
    if mask is not None:  # before the exponential: 0 times an infinity would come back as NaN
        log_ratios, weights = torch.where(mask, log_ratios, 0), torch.where(mask, weights, 0)
        count = mask.sum()
    # a product and a sum in one pass over memory
    total = torch.dot(log_ratios.exp().flatten(), weights.flatten())
    return (total / count).to(log_probs.dtype)


def step_length(
    direction: Float[torch.Tensor, "P"],
    curvature_product: Float[torch.Tensor, "P"],
    *,
    delta: float,
) -> Float[torch.Tensor, ""]:
    """How far a direction may be followed until the predicted divergence is δ.

        β = √(2δ / sᵀ(Fs))        so that  ½ (βs)ᵀ F (βs) = δ

    Source: Schulman et al. 2015, arXiv:1502.05477, appendix C.
    Ours: the product comes in, damped or not as its maker likes. Where sᵀFs is not above 0 there
    is no such length, and it is refused.

    Args:
        direction: s.
        curvature_product: Fs, of the Fisher matrix or the Hessian of the KL.
        delta: bound δ on the divergence, above 0.

    Returns:
        β, shape ().

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, δ is not above 0, or sᵀFs is not.

    Example:
        >>> step_length(torch.tensor([1.0, 2.0]), torch.tensor([2.0, 3.0]), delta=1.0)
        tensor(0.5000)
    """
    check = Arguments("step_length", torch.Tensor)
    check.floats("P", direction=direction, curvature_product=curvature_product)
    check.positive("delta", delta)

    s, product = widened(direction.detach(), curvature_product.detach())
    found = length("step_length", s, product, rounded(delta, direction.dtype))
    return found.to(direction.dtype)


def line_search(
    objective: Objective,
    constraint: Objective,
    parameters: Float[torch.Tensor, "P"],
    step: Float[torch.Tensor, "P"],
    *,
    delta: float,
    backtrack: float,
    max_backtracks: int,
) -> LineSearch:
    """Longest of a series of ever shorter steps that improves and stays within the bound.

        θⱼ = θ + bʲ Δ,  j = 0, 1, …        the first with  objective(θⱼ) > 0  and
                                           constraint(θⱼ) ≤ δ

    Source: Schulman et al. 2015, arXiv:1502.05477, appendix C.
    Ours: the full step is the first of at most `max_backtracks` trials (rllab's meaning). Any
    improvement will do, however small a share of the predicted one. An objective or constraint
    that is NaN accepts nothing.

    Args:
        objective: improvement over θ, from parameters [P] to a number.
        constraint: divergence from θ, likewise.
        parameters: θ.
        step: the full step Δ.
        delta: bound δ on the constraint, above 0.
        backtrack: b, between 0 and 1.
        max_backtracks: greatest number of trials.

    Returns:
        `parameters`, `accepted`, `tries`; without an accepted trial the parameters come back
        bit-identical.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, a knob is out of range, or a function gave no single number.

    Example:
        >>> improvement, divergence = lambda x: x[0], lambda x: x[0] * x[0]
        >>> knobs = dict(delta=1.0, backtrack=0.5, max_backtracks=2)
        >>> found = line_search(
        ...     improvement, divergence, torch.zeros(1), torch.tensor([2.0]), **knobs
        ... )
        >>> found.parameters, int(found.tries)
        (tensor([1.]), 2)
    """
    check = Arguments("line_search", torch.Tensor)
    check.callable(objective=objective, constraint=constraint)
    check.floats("P", parameters=parameters, step=step)
    check_search(check, delta, backtrack, max_backtracks)

    with torch.no_grad():
        start, full = widened(parameters.detach(), step.detach())

        def tried(share: float) -> dict[str, Any]:
            moved = start + share * full
            gain = check.result("objective", objective(moved.clone()))
            away = check.result("constraint", constraint(moved.clone()))
            accept = float(bool(gain > 0) and bool(away <= knobs.delta))
            return {"parameters": moved, "surrogate": 0, "kl": 0, "accept": accept}

        dtype = parameters.dtype
        knobs = Knobs(
            rounded(delta, dtype), 0, 0, 0, rounded(backtrack, dtype), max_backtracks
        )  # fmt: skip
        found = searched(tried, start, 1.0, knobs, untraced)
    return LineSearch(found.parameters.to(dtype), found.accepted, found.tries)


def trpo_update(
    parameters: Float[torch.Tensor, "P"],
    inputs: Float[torch.Tensor, "N I"],
    actions: Int[torch.Tensor, "N"] | Float[torch.Tensor, "N D"],
    log_probs: Float[torch.Tensor, "N"],
    advantages: Float[torch.Tensor, "N"],
    *,
    sizes: tuple[int, ...],
    activation: str,
    distribution: str,
    delta: float,
    damping: float,
    cg_iterations: int,
    cg_tolerance: float,
    backtrack: float,
    max_backtracks: int,
    trace: Trace | None = None,
) -> TrpoUpdate:
    """One update of a policy within its trust region.

        g = ∇L(θ)                       L(θ′) = mean ρA,  ρ = π_θ′/π_old
        s ≈ (F + μI)⁻¹ g                F = ∇² mean KL(π_θ ‖ π_θ′) at θ′ = θ
        β = √(2δ / sᵀ(F + μI)s)
        θ′ = θ + bʲβs                   the first with L(θ′) > L(θ) and mean KL(π_θ ‖ π_θ′) ≤ δ

    Source: Schulman et al. 2015, arXiv:1502.05477, section 6 and appendix C; the damping of
    Martens 2010, section 4.1.
    Ours: the divergence is KL(old ‖ new), its bound δ itself, any improvement is enough, and the
    damping is part of sᵀ(F + μI)s too; all four are conventions. ρ is of the rollout's own
    log-probabilities, the divergence of θ. A gradient of 0 moves nothing. The system is solved
    by conjugate gradients, with products with the Fisher matrix, which is the Hessian at θ.

    Args:
        parameters: θ: the network's, layer after layer; then log σ [O] if gaussian.
        inputs: x, one sample a row.
        actions: taken: numbers [N] if categorical, vectors [N, D] if gaussian.
        log_probs: log π_old(a | s), as the rollout stored it.
        advantages: A.
        sizes: widths of the policy's layers, the inputs' first.
        activation: `"tanh"` or `"relu"`.
        distribution: `"categorical"` or `"gaussian"`.
        delta: bound δ on the mean divergence, above 0.
        damping: μ above 0.
        cg_iterations: greatest number k of steps of conjugate gradients.
        cg_tolerance: of their residual, relative to ‖g‖.
        backtrack: b, between 0 and 1.
        max_backtracks: greatest number of trials, the full step the first of them.
        trace: called after every stage with its name and outputs; what it returns is gone on with.

    Returns:
        `parameters`, `accepted`, `tries`, `surrogate` (by how much L has risen), `kl`; without
        an accepted trial the parameters come back bit-identical, and the last two are 0.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: a shape does not fit, a number is not finite, or a knob is out of range.

    Example:
        >>> even = torch.zeros(4)  # two actions, whatever the input
        >>> one = torch.ones(1)
        >>> found = trpo_update(  # g = (½, −½) is an eigenvector of F, of eigenvalue ½
        ...     even, 0 * one[None], torch.tensor([0]), (one / 2).log(), one,
        ...     sizes=(1, 2), activation="tanh", distribution="categorical", delta=0.25,
        ...     damping=0.5, cg_iterations=10, cg_tolerance=1e-8, backtrack=0.5, max_backtracks=10,
        ... )
        >>> found.parameters
        tensor([ 0.0000,  0.0000,  0.5000, -0.5000])
    """
    name = "trpo_update"
    check = checked_policy(name, parameters, inputs, sizes, activation, distribution)
    if distribution == "categorical":
        check.actions("N", below=sizes[-1], actions=actions)
    else:
        check.floats("N D", actions=actions)
        check.width(sizes, sizes[-1], actions=actions)
    check.floats("N", log_probs=log_probs, advantages=advantages)
    finite(check, parameters=parameters, inputs=inputs, log_probs=log_probs, advantages=advantages)
    check_solver(check, damping, cg_iterations, cg_tolerance)
    check_search(check, delta, backtrack, max_backtracks)

    dtype = parameters.dtype
    with torch.no_grad():
        start, rows, old, gains = widened(parameters, inputs, log_probs, advantages)
        taken = actions if distribution == "categorical" else widened(actions)[0]
        policy = FlatPolicy(start, rows, sizes, activation, distribution)
        small, damp, tolerance, shorter = (
            rounded(number, dtype) for number in (delta, damping, cg_tolerance, backtrack)
        )
        knobs = Knobs(small, damp, cg_iterations, tolerance, shorter, max_backtracks)
        found = ascended(name, policy, taken, old, gains, knobs, trace or untraced)
        return TrpoUpdate(
            found.parameters.to(dtype), found.accepted, found.tries, found.surrogate.to(dtype),
            found.kl.to(dtype),
        )  # fmt: skip


def trpo_module_update(
    module: torch.nn.Module,
    inputs: torch.Tensor,
    actions: torch.Tensor,
    log_probs: Float[torch.Tensor, "..."],
    advantages: Float[torch.Tensor, "..."],
    *,
    distribution: str,
    delta: float,
    damping: float,
    cg_iterations: int,
    cg_tolerance: float,
    backtrack: float,
    max_backtracks: int,
    trace: Trace | None = None,
) -> TrpoUpdate:
    """Make one update of any policy within its trust region, in place.

    The equations of `trpo_update`, with every parameter of the module that requires a gradient.

    Source: Schulman et al. 2015, arXiv:1502.05477, section 6 and appendix C.
    Ours: what `trpo_update` says. The module is only written to when a trial is accepted.

    Args:
        module: called with the inputs it returns logits [..., A] if categorical; if gaussian mean
            [..., D] and log σ that broadcasts to it, or the mean alone beside a parameter
            `module.log_std`. The same at every call: no dropout.
        inputs: what the module takes.
        actions: taken: numbers [...] if categorical, vectors [..., D] if gaussian.
        log_probs: log π_old(a | s), as the rollout stored it.
        advantages: A.
        distribution: `"categorical"` or `"gaussian"`.
        delta: bound δ on the mean divergence, above 0.
        damping: μ above 0.
        cg_iterations: greatest number of steps of conjugate gradients.
        cg_tolerance: of their residual, relative to ‖g‖.
        backtrack: b, between 0 and 1.
        max_backtracks: greatest number of trials, the full step the first of them.
        trace: as in `trpo_update`.

    Returns:
        As `trpo_update`; the parameters as one vector, as `flat_parameters` has them.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: a shape does not fit, a number is not finite, or a knob is out of range.

    Example:
        >>> module = torch.nn.Linear(1, 2)
        >>> _ = torch.nn.init.zeros_(module.weight), torch.nn.init.zeros_(module.bias)
        >>> one = torch.ones(1)
        >>> found = trpo_module_update(
        ...     module, 0 * one[None], torch.tensor([0]), (one / 2).log(), one,
        ...     distribution="categorical", delta=0.25, damping=0.5, cg_iterations=10,
        ...     cg_tolerance=1e-8, backtrack=0.5, max_backtracks=10,
        ... )
        >>> module.bias
        Parameter containing:
        tensor([ 0.5000, -0.5000], requires_grad=True)
    """
    name = "trpo_module_update"
    check = Arguments(name, torch.Tensor)
    check.choice("distribution", distribution, DISTRIBUTIONS)
    check.floats("...", log_probs=log_probs, advantages=advantages)
    finite(check, log_probs=log_probs, advantages=advantages)
    check_solver(check, damping, cg_iterations, cg_tolerance)
    check_search(check, delta, backtrack, max_backtracks)

    with torch.no_grad():
        policy = ModulePolicy(module, inputs, distribution)
        old, gains = log_probs.to(policy.start.dtype), advantages.to(policy.start.dtype)
        knobs = Knobs(delta, damping, cg_iterations, cg_tolerance, backtrack, max_backtracks)
        found = ascended(name, policy, actions, old, gains, knobs, trace or untraced)
        if found.accepted:
            policy.put(found.parameters)
    return found
