"""Trust region policy optimisation: the longest step that a bound on the mean KL allows.

Of a policy π_θ, samples (s, a, A) of the policy π_old = π_θ_old:

    surrogate     L(θ) = mean ρA,  ρ = π_θ/π_old         what is raised
    constraint    KL(θ) = mean over s of KL(π_old(· | s) ‖ π_θ(· | s)) ≤ δ

To first order L rises along g = ∇L(θ_old), to second order KL is ½ dᵀHd, H its Hessian at θ_old.
So the step goes along s = (H + damping·1)⁻¹ g, as far as ½ β² sᵀ(H + damping·1)s = δ lets it, and
a line search shortens it until the true L has risen and the true KL is within δ. The identity to
remember: the full step's predicted divergence is δ, whatever the scale of the advantages.

Here H is the exact Hessian of the KL and s a direct solution, by Cholesky's factors. Whoever finds
s by conjugate gradients stops short of it; how far he may, the last section of `trpo_update` says.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from rlverify.errors import Arguments
from rlverify.reference._curvature import checked_policy
from rlverify.reference._functions import chosen, decided, reached
from rlverify.reference._reductions import real_places, scalar
from rlverify.reference._trust_region import Policy
from rlverify.reference._updates import Trace, policy_gradient, untraced
from rlverify.reference.networks import LEAST
from rlverify.refusals import check_search, check_solver, finite

Objective = Callable[[Float[np.ndarray, "P"]], Any]


class LineSearch(NamedTuple):
    """What a line search found.

    Attributes:
        parameters: of the accepted trial; those that came in, to the bit, where there is none.
        accepted: whether a trial was accepted.
        tries: how many trials were made.
    """

    parameters: Float[np.ndarray, "P"]
    accepted: Bool[np.ndarray, ""]
    tries: Int[np.ndarray, ""]


class TrpoUpdate(NamedTuple):
    """What an update did.

    Attributes:
        parameters: after it; those that came in, to the bit, where no trial was accepted.
        accepted: whether a trial was accepted.
        tries: how many trials were made.
        surrogate: by how much L has risen; 0 where no trial was accepted.
        kl: mean KL(old ‖ new); 0 where no trial was accepted.
    """

    parameters: Float[np.ndarray, "P"]
    accepted: Bool[np.ndarray, ""]
    tries: Int[np.ndarray, ""]
    surrogate: Float[np.ndarray, ""]
    kl: Float[np.ndarray, ""]


class _Trial(NamedTuple):
    """One trial of a line search: whether it is accepted, and why."""

    accept: Any
    parameters: np.ndarray
    improvement: Any
    divergence: Any


def surrogate(
    log_probs: Float[np.ndarray, "..."],
    old_log_probs: Float[np.ndarray, "..."],
    advantages: Float[np.ndarray, "..."],
    mask: Bool[np.ndarray, "..."] | None,
) -> Float[np.ndarray, ""]:
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
        >>> surrogate(np.log([2.0, 1.0]), np.zeros(2), np.array([4.0, -2.0]), None)
        array(3.)
    """
    check = Arguments("surrogate", np.ndarray, exact=True)
    check.floats("...", log_probs=log_probs, old_log_probs=old_log_probs, advantages=advantages)
    check.mask("...", mask)

    total, count = 0, 0
    for i in real_places(log_probs, mask):
        ratio = np.exp(log_probs[i] - old_log_probs[i])
        total = total + ratio * advantages[i]
        count = count + 1
    return scalar(total / count, log_probs)


def step_length(
    direction: Float[np.ndarray, "P"],
    curvature_product: Float[np.ndarray, "P"],
    *,
    delta: float,
) -> Float[np.ndarray, ""]:
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
        >>> step_length(np.array([1.0, 2.0]), np.array([2.0, 3.0]), delta=1.0)
        array(0.5)
    """
    check = Arguments("step_length", np.ndarray, exact=True)
    check.floats("P", direction=direction, curvature_product=curvature_product)
    check.positive("delta", delta)
    return scalar(_length("step_length", direction, curvature_product, delta), direction)


def _length(function: str, direction: np.ndarray, product: np.ndarray, delta: Any) -> Any:
    """Return β, or refuse."""
    curvature: Any = 0
    for i in range(len(direction)):
        curvature = curvature + direction[i] * product[i]
    if not curvature > 0:  # NaN fails here too
        raise ValueError(
            f"{function}: sᵀFs of direction and curvature_product is not above 0, wanted positive "
            f"curvature; add more damping, and look for a stale old policy."
        )
    return np.sqrt(2 * delta / curvature)


def line_search(
    objective: Objective,
    constraint: Objective,
    parameters: Float[np.ndarray, "P"],
    step: Float[np.ndarray, "P"],
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
        >>> found = line_search(improvement, divergence, np.zeros(1), np.array([2.0]), **knobs)
        >>> found.parameters, int(found.tries)
        (array([1.]), 2)
    """
    check = Arguments("line_search", np.ndarray, exact=True)
    check.callable(objective=objective, constraint=constraint)
    check.floats("P", parameters=parameters, step=step)
    check_search(check, delta, backtrack, max_backtracks)

    trials: list[_Trial] = []
    share: Any = 1
    for _ in range(max_backtracks):
        trial = _moved(parameters, share, step)
        improvement = check.result("objective", objective(trial.copy()))
        divergence = check.result("constraint", constraint(trial.copy()))
        trials.append(_Trial(_accepts(improvement, divergence, delta), trial, 0, 0))
        if decided(trials[-1].accept) and trials[-1].accept == 1:
            break
        share = share * backtrack
    return LineSearch(*_first_accepted(trials, parameters)[:3])


def _like(parameters: np.ndarray, array: Any) -> np.ndarray:
    """Return an array that came back from a trace as the parameters have it."""
    return np.asarray(array, dtype=parameters.dtype)


def _moved(parameters: np.ndarray, share: Any, step: np.ndarray) -> np.ndarray:
    """Return the parameters with a share of the step added."""
    moved = np.empty_like(parameters)
    for i in range(len(parameters)):
        moved[i] = parameters[i] + share * step[i]
    return moved


def _accepts(improvement: Any, divergence: Any, delta: Any) -> Any:
    """Return 1 where a trial improves and stays within the bound, else 0."""
    return reached(LEAST, improvement) * reached(divergence, delta)


def _first_accepted(trials: list[_Trial], parameters: np.ndarray) -> TrpoUpdate:
    """Return the first trial that is accepted, or what came in.

    Where rounding leaves open whether a trial is accepted, what follows is as right.
    """
    found, accepted, tries = parameters.copy(), 0, len(trials)
    improvement, divergence = 0, 0
    for j in reversed(range(len(trials))):
        accept, trial, gain, distance = trials[j]
        for i in range(len(found)):
            found[i] = chosen(accept, trial[i], found[i])
        accepted, tries = chosen(accept, 1, accepted), chosen(accept, j + 1, tries)
        improvement = chosen(accept, gain, improvement)
        divergence = chosen(accept, distance, divergence)
    flag, count = _whole(accepted, found, bool), _whole(tries, found, np.int64)
    return TrpoUpdate(found, flag, count, scalar(improvement, found), scalar(divergence, found))


def _whole(number: Any, like: np.ndarray, dtype: Any) -> np.ndarray:
    """Return a count or a flag as an array of shape (), of its own dtype among floats."""
    return scalar(number, like if like.dtype == object else np.empty(0, dtype=dtype))


def trpo_update(
    parameters: Float[np.ndarray, "P"],
    inputs: Float[np.ndarray, "N I"],
    actions: Int[np.ndarray, "N"] | Float[np.ndarray, "N D"],
    log_probs: Float[np.ndarray, "N"],
    advantages: Float[np.ndarray, "N"],
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
        s = (H + μI)⁻¹ g                H = ∇² mean KL(π_θ ‖ π_θ′) at θ′ = θ
        β = √(2δ / sᵀ(H + μI)s)
        θ′ = θ + bʲβs                   the first with L(θ′) > L(θ) and mean KL(π_θ ‖ π_θ′) ≤ δ

    Source: Schulman et al. 2015, arXiv:1502.05477, section 6 and appendix C; the damping of
    Martens 2010, section 4.1.
    Ours: the divergence is KL(old ‖ new), its bound δ itself, any improvement is enough, and the
    damping is part of sᵀ(H + μI)s too; all four are conventions. ρ is of the rollout's own
    log-probabilities, the divergence of θ. A gradient of 0 moves nothing. The Hessian is exact
    and the system is solved by Cholesky's factors. Conjugate gradients that stop at a residual of
    `cg_tolerance` ‖g‖, or after k steps, give s to within (no eigenvalue is below μ; κ is the
    condition number; the second is Saad 2003, Iterative Methods, eq. 6.128)

        ‖ŝ − s‖ ≤ cg_tolerance ‖g‖ / μ    or    2 ((√κ − 1)/(√κ + 1))ᵏ √(gᵀs/μ)

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
        >>> even = np.zeros(4)  # two actions, whatever the input
        >>> found = trpo_update(  # g = (½, −½) is an eigenvector of H, of eigenvalue ½
        ...     even, np.array([[0.0]]), np.array([0]), np.log([0.5]), np.array([1.0]),
        ...     sizes=(1, 2), activation="tanh", distribution="categorical", delta=0.25,
        ...     damping=0.5, cg_iterations=10, cg_tolerance=1e-8, backtrack=0.5, max_backtracks=10,
        ... )
        >>> found.parameters
        array([ 0. ,  0. ,  0.5, -0.5])
    """
    name, record = "trpo_update", trace or untraced
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
    policy = Policy(inputs, sizes, activation, distribution)

    old = policy.outputs(parameters)
    ratios = np.exp(policy.log_probs(parameters, old, actions) - log_probs)
    g = policy_gradient(
        parameters, inputs, actions, ratios * advantages / len(inputs), None,
        sizes=sizes, activation=activation, distribution=distribution,
    )  # fmt: skip
    g = _like(parameters, record("gradient", {"gradient": g})["gradient"])
    if all(slope == 0 for slope in g):
        return _first_accepted([], parameters)

    s = policy.direction(parameters, g, damping, cg_iterations, cg_tolerance)
    s = _like(parameters, record("direction", {"direction": s})["direction"])
    length = _length(name, s, policy.product(parameters, s, damping), delta)
    share = record("step length", {"step_length": length})["step_length"]

    trials: list[_Trial] = []
    while len(trials) < max_backtracks:
        moved = _moved(parameters, share, s)
        new = policy.outputs(moved)
        risen = np.exp(policy.log_probs(moved, new, actions) - log_probs) - ratios
        improvement = (risen * advantages).sum() / len(inputs)
        divergence = policy.divergence(parameters, old, moved, new)
        accept = _accepts(improvement, divergence, delta)
        made = {"parameters": moved, "surrogate": improvement, "kl": divergence, "accept": accept}
        made = record(f"trial {len(trials) + 1}", made)
        moved = _like(parameters, made["parameters"])
        trials.append(_Trial(made["accept"], moved, made["surrogate"], made["kl"]))
        if decided(made["accept"]) and made["accept"] == 1:
            break
        share = share * backtrack
    found = _first_accepted(trials, parameters)
    return TrpoUpdate(**record("accept", found._asdict()))
