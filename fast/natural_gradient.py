"""Natural gradient in PyTorch: curvature by products, never as a matrix larger than needed.

    mean KL(π_θ ‖ π_θ+d) = ½ dᵀF d + O(‖d‖³)        F v = mean Jᵀ M J v

with J the Jacobian of the policy's outputs and M the closed Fisher matrix of the outputs
themselves. A product is one tangent and one backward pass over a forward pass that is run once:
`fisher_operator` keeps it for the products of a whole solve. No KL is differentiated twice, but
in `kl_hessian`, which is there to check the others. For a policy that is any `torch.nn.Module`,
`module_fisher_operator` transposes a backward pass, and keeps both graphs.

`conjugate_gradient` reads no number back from the device inside its loop. Curvature is a
constant: no gradient flows through it. Half precision is computed in float32 and rounded once.
"""

import torch
from jaxtyping import Float

from rlverify.errors import Arguments, layer_parameters
from rlverify.fast._curvature import (
    balance,
    checked_policy,
    forward_pass,
    kl_of_outputs,
    outer_factors,
    solved,
)
from rlverify.fast._operators import (
    fisher_operator,
    module_fisher_operator,
    unchecked_fisher_operator,
)
from rlverify.fast._steps import widened
from rlverify.fast._systems import (
    STATUS,
    Matvec,
    Solution,
    at_least_zero,
    finite,
    power_of_two,
    product_of,
)
from rlverify.fast.networks import _layers
from rlverify.fast.scan import rounded

COLUMNS = 64  # of a Hessian at a time: each needs as much room as a backward pass

__all__ = [
    "Matvec",
    "Solution",
    "conjugate_gradient",
    "fisher_matrix",
    "fisher_operator",
    "fisher_vector_product",
    "kl_hessian",
    "kronecker_factored_step",
    "module_fisher_operator",
]


def fisher_matrix(
    parameters: Float[torch.Tensor, "P"],
    inputs: Float[torch.Tensor, "N I"],
    *,
    sizes: tuple[int, ...],
    activation: str,
    distribution: str,
) -> Float[torch.Tensor, "P P"]:
    """Fisher matrix of a policy, by the sum over its actions.

        F = 1/N Σₙ Σₐ π(a|xₙ) ∇log π(a|xₙ) ∇log π(a|xₙ)ᵀ                  categorical
        F = 1/N Σₙ Σ_d ∇μ_d(xₙ) ∇μ_d(xₙ)ᵀ / σ_d²,   and 2 for each log σ_d      gaussian

    Source: Kakade 2001, A natural policy gradient, eq. 2; Amari 1998, Neural Computation 10(2).
    Ours: states are the given inputs, all of one weight; the Gaussian's sum over actions is an
    integral that is known, E[(a − μ)²] = σ² and E[((a − μ)²/σ² − 1)²] = 2.

    Args:
        parameters: θ: the network's, layer after layer; then log σ [O] if gaussian.
        inputs: x, one sample a row.
        sizes: widths of the layers, the inputs' first.
        activation: `"tanh"` or `"relu"`.
        distribution: `"categorical"` or `"gaussian"`.

    Returns:
        F, [P, P]: symmetric, positive semi-definite.

    Raises:
        TypeError: an array is of the wrong kind or dtype.
        ValueError: sizes are no layers, a word is unknown, or a shape does not fit them.

    Example:
        >>> even = torch.zeros(4)  # two actions of probability ½, from one input: W [2, 1], b [2]
        >>> arguments = dict(sizes=(1, 2), activation="tanh", distribution="categorical")
        >>> fisher_matrix(even, torch.tensor([[2.0]]), **arguments)
        tensor([[ 1.0000, -1.0000,  0.5000, -0.5000],
                [-1.0000,  1.0000, -0.5000,  0.5000],
                [ 0.5000, -0.5000,  0.2500, -0.2500],
                [-0.5000,  0.5000, -0.2500,  0.2500]])
    """
    checked_policy("fisher_matrix", parameters, inputs, sizes, activation, distribution)

    with torch.no_grad():
        flat, rows = widened(parameters, inputs)
        count = layer_parameters(sizes)
        run = forward_pass(flat[:count], rows, sizes, activation)
        weights, cotangents = outer_factors(run.outputs, flat[count:], distribution)
        gradients = run.gradients(cotangents).flatten(0, 1)
        weighted = gradients * (weights.reshape(-1, 1) / len(rows))
        fisher = flat.new_zeros(len(flat), len(flat))
        torch.matmul(weighted.T, gradients, out=fisher[:count, :count])
        fisher.diagonal()[count:] = 2
    return fisher.to(inputs.dtype)


def kl_hessian(
    parameters: Float[torch.Tensor, "P"],
    inputs: Float[torch.Tensor, "N I"],
    *,
    sizes: tuple[int, ...],
    activation: str,
    distribution: str,
) -> Float[torch.Tensor, "P P"]:
    """Hessian of the mean KL divergence from the old policy, at the old policy itself.

        H = ∂²/∂θ² 1/N Σₙ KL(π_old(·|xₙ) ‖ π_θ(·|xₙ))  at θ = θ_old

    Source: Schulman et al. 2015, arXiv:1502.05477, appendix C; Pearlmutter 1994, Fast exact
    multiplication by the Hessian, Neural Computation 6(1), for the derivative of a backward pass.
    Ours: the old side is a constant: KL(π_θ ‖ π_θ), with both sides moving, is 0 everywhere and
    has no curvature. Column i is the derivative along θᵢ of the gradient of the KL itself, second
    derivatives of the network included; that this is the Fisher matrix is a law, not an input.
    The other direction, KL(π_θ ‖ π_old), has the same Hessian here.

    Args:
        parameters: θ_old: the network's, layer after layer; then log σ [O] if gaussian.
        inputs: x, one sample a row.
        sizes: widths of the layers, the inputs' first.
        activation: `"tanh"` or `"relu"`; a rectifier's slope is taken for constant.
        distribution: `"categorical"` or `"gaussian"`.

    Returns:
        H, [P, P].

    Raises:
        TypeError: an array is of the wrong kind or dtype.
        ValueError: sizes are no layers, a word is unknown, or a shape does not fit them.

    Example:
        >>> parameters = torch.tensor([3.0, 1.0, 0.0])  # mean 3x + 1, log σ = 0
        >>> arguments = dict(sizes=(1, 1), activation="tanh", distribution="gaussian")
        >>> kl_hessian(parameters, torch.tensor([[2.0]]), **arguments)
        tensor([[4., 2., 0.],
                [2., 1., 0.],
                [0., 0., 2.]])
    """
    checked_policy("kl_hessian", parameters, inputs, sizes, activation, distribution)

    count = layer_parameters(sizes)
    with torch.enable_grad():
        flat, rows = widened(parameters.detach(), inputs.detach())
        flat = flat.clone().requires_grad_()
        outputs = forward_pass(flat[:count], rows, sizes, activation).outputs
        old, log_std = outputs.detach(), flat[count:]
        divergence = kl_of_outputs(old, log_std.detach(), outputs, log_std, distribution).mean()
        (gradient,) = torch.autograd.grad(divergence, flat, create_graph=True)
        units = torch.eye(len(flat), dtype=flat.dtype, device=flat.device)
        rows_of_hessian = [  # many from one backward pass
            torch.autograd.grad(gradient, flat, some, is_grads_batched=True, retain_graph=True)[0]
            for some in (units[i : i + COLUMNS] for i in range(0, len(flat), COLUMNS))
        ]
    return torch.cat(rows_of_hessian).T.contiguous().to(inputs.dtype)


def fisher_vector_product(
    parameters: Float[torch.Tensor, "P"],
    inputs: Float[torch.Tensor, "N I"],
    vector: Float[torch.Tensor, "P"],
    *,
    sizes: tuple[int, ...],
    activation: str,
    distribution: str,
    damping: float,
) -> Float[torch.Tensor, "P"]:
    """Damped Fisher matrix of a policy times a vector.

        (F + μ I) v        F = 1/N Σₙ J(xₙ)ᵀ M(xₙ) J(xₙ),   and 2 for each log σ

    with J the Jacobian of the outputs and M their own Fisher matrix: diag(π) − π πᵀ of logits,
    diag(1/σ²) of means.

    Source: Schulman et al. 2015, arXiv:1502.05477, appendix C.1; the damping of Martens 2010,
    Deep learning via Hessian-free optimization, section 4.1.
    Ours: the matrix is formed, then multiplied; the fast version never forms it. Both sides of
    the solve get the same damping, so that step lengths belong to the matrix solved with.

    Args:
        parameters: θ: the network's, layer after layer; then log σ [O] if gaussian.
        inputs: x, one sample a row.
        vector: v.
        sizes: widths of the layers, the inputs' first.
        activation: `"tanh"` or `"relu"`.
        distribution: `"categorical"` or `"gaussian"`.
        damping: μ, at least 0.

    Returns:
        The product, [P].

    Raises:
        TypeError: an array is of the wrong kind or dtype.
        ValueError: sizes are no layers, a word is unknown, a shape does not fit them, or the
            damping is negative.

    Example:
        >>> parameters, v = torch.tensor([3.0, 1.0, 0.0]), torch.tensor([1.0, 0.0, 1.0])
        >>> arguments = dict(sizes=(1, 1), activation="tanh", distribution="gaussian")
        >>> fisher_vector_product(parameters, torch.tensor([[2.0]]), v, damping=0.5, **arguments)
        tensor([4.5000, 2.0000, 2.5000])
    """
    function = "fisher_vector_product"
    check = checked_policy(function, parameters, inputs, sizes, activation, distribution)
    check.floats("P", vector=vector)
    at_least_zero(check, "damping", damping)

    settings = (sizes, activation, distribution, damping)
    product = unchecked_fisher_operator(parameters, inputs, *settings)
    return product(vector).to(vector.dtype)


def conjugate_gradient(
    matvec: Matvec,
    b: Float[torch.Tensor, "P"],
    *,
    max_iterations: int,
    tolerance: float,
) -> Solution:
    """Solution of A x = b for a symmetric positive definite A, by products with A alone.

        x₀ = 0    r₀ = p₀ = b        αₖ = rₖᵀrₖ / pₖᵀA pₖ
        xₖ₊₁ = xₖ + αₖ pₖ            rₖ₊₁ = rₖ − αₖ A pₖ
        pₖ₊₁ = rₖ₊₁ + βₖ pₖ          βₖ = rₖ₊₁ᵀrₖ₊₁ / rₖᵀrₖ        until ‖rₖ‖ ≤ tolerance ‖b‖

    Source: Hestenes and Stiefel 1952, J. Res. NBS 49(6), eqs. 3:1a to 3:1f; Nocedal and Wright
    2006, Numerical Optimization, algorithm 5.2.
    Ours: b is divided by a power of two before and x multiplied by it after, so that no square
    underflows and 2ᵏ b gives 2ᵏ x to the bit; popular code stops at an absolute rᵀr. A residual
    below the rounding of ‖b‖ counts as 0. Every end has a name; x is the last iterate.

    Args:
        matvec: v ↦ A v; called once an iteration.
        b: the right side, finite.
        max_iterations: at most so many products, at least 1.
        tolerance: of the residual, relative to ‖b‖, at least 0.

    Returns:
        Named `x`, `status`, `iterations`, `residual`. Status `converged`: the residual is within
        the tolerance. `max_iterations`: it is not yet. `zero`: b is 0, and so is x.
        `not_positive_definite`: pᵀA p is not above the rounding of the greatest curvature met
        (0, negative or NaN), so A is indefinite, or singular with no solution.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: b is not finite, a number is out of range, or a product has another shape.

    Example:
        >>> solution = conjugate_gradient(
        ...     lambda v: torch.tensor([2.0, 4.0]) * v, torch.tensor([2.0, 0.0]),
        ...     max_iterations=5, tolerance=1e-10,
        ... )
        >>> solution.x, solution.status, solution.iterations
        (tensor([1., 0.]), 'converged', 1)
    """
    check = Arguments("conjugate_gradient", torch.Tensor)
    check.callable(matvec=matvec)
    check.floats("P", b=b)
    check.count("max_iterations", max_iterations, least=1)
    at_least_zero(check, "tolerance", tolerance)
    finite(check, b=b)

    (right,) = widened(b.detach())
    unit, smallest = power_of_two(right), torch.finfo(right.dtype).eps / 2
    r = right / unit
    p, x = r, torch.zeros_like(r)
    squared = start = r @ r
    enough = max(rounded(tolerance, b.dtype), smallest) ** 2 * start
    steepest, steps = torch.zeros_like(start), torch.zeros_like(start, dtype=torch.int64)
    going = start > 0
    failed = torch.zeros_like(going)
    for _ in range(max_iterations):
        # asking a CPU costs nothing, a GPU would have to catch up first
        if r.device.type == "cpu" and not going:
            break
        product = product_of(check, matvec, p)
        curvature, length = p @ product, p @ p
        stuck = going & ~(curvature > smallest * steepest * length)
        failed, going = failed | stuck, going & ~stuck
        steepest = torch.maximum(steepest, curvature / length)
        alpha = squared / curvature
        x = torch.where(going, x + alpha * p, x)
        r = torch.where(going, r - alpha * product, r)
        following = r @ r
        p = torch.where(going, r + following / squared * p, p)
        squared, steps = following, steps + going
        going = going & ~(following <= enough)
    end = 1 * (squared <= enough)
    end = torch.where(failed, 2, torch.where(start > 0, end, 3))
    relative = torch.where(start > 0, (squared / start).sqrt(), 0)
    return Solution((x * unit).to(b.dtype), STATUS[int(end)], int(steps), float(relative))


def kronecker_factored_step(
    parameters: Float[torch.Tensor, "P"],
    inputs: Float[torch.Tensor, "N I"],
    gradient: Float[torch.Tensor, "P"],
    *,
    sizes: tuple[int, ...],
    activation: str,
    distribution: str,
    damping: float,
    delta: float,
    learning_rate: float,
) -> Float[torch.Tensor, "P"]:
    """Step of ACKTR: a natural gradient with one Kronecker product per layer for curvature.

        F̂ₗ = (Aₗ + π √μ I) ⊗ (Gₗ + √μ/π I)      Aₗ = E[ā āᵀ]      Gₗ = E[g gᵀ]
        ΔWₗ = (Gₗ + √μ/π I)⁻¹ ∇Wₗ (Aₗ + π √μ I)⁻¹
        step = η F̂⁻¹∇J        η = min(learning_rate, √(2δ / ∇JᵀF̂⁻¹∇J))

    with ā the inputs of a layer and 1, for its bias; g the derivative of log π by what the layer
    puts out before its activation; π² = (tr A / dim A) / (tr G / dim G).

    Source: Wu et al. 2017, arXiv:1708.05144, sections 3.1 and 3.2; the damping of Martens and
    Grosse 2015, arXiv:1503.05671, section 6.3.
    Ours: the expectation over actions is exact (theirs samples one), over the given inputs alone
    (theirs is a running average). Where G is 0, π = 1. A Gaussian's log σ have the curvature
    2 + μ each. The predicted divergence ½ stepᵀF̂ step includes the damping.

    Args:
        parameters: θ: the network's, layer after layer; then log σ [O] if gaussian.
        inputs: x, one sample a row.
        gradient: ∇J, of what is to grow, in the order of the parameters.
        sizes: widths of the layers, the inputs' first.
        activation: `"tanh"` or `"relu"`.
        distribution: `"categorical"` or `"gaussian"`.
        damping: μ above 0.
        delta: δ above 0, the greatest divergence that is predicted for the step.
        learning_rate: the greatest η, above 0.

    Returns:
        The step, [P], to be added to the parameters.

    Raises:
        TypeError: an array is of the wrong kind or dtype.
        ValueError: sizes are no layers, a word is unknown, a shape does not fit them, or a
            number is not above 0.

    Example:
        >>> parameters, gradient = torch.tensor([0.0, 0.0, 0.0]), torch.tensor([0.0, 6.0, 5.0])
        >>> settings = dict(sizes=(1, 1), activation="tanh", distribution="gaussian")
        >>> kronecker_factored_step(  # A = diag(0, 1), G = 1, π² = ½
        ...     parameters, torch.tensor([[0.0]]), gradient, **settings,
        ...     damping=0.5, delta=100.0, learning_rate=1.0,
        ... )
        tensor([0.0000, 2.0000, 2.0000])
    """
    function = "kronecker_factored_step"
    check = checked_policy(function, parameters, inputs, sizes, activation, distribution)
    check.floats("P", gradient=gradient)
    check.positive("damping", damping)
    check.positive("delta", delta)
    check.positive("learning_rate", learning_rate)

    with torch.no_grad():
        flat, rows, ascent = widened(parameters, inputs, gradient)
        mu, radius, cap = (rounded(x, inputs.dtype) for x in (damping, delta, learning_rate))
        count, root = layer_parameters(sizes), mu**0.5
        run = forward_pass(flat[:count], rows, sizes, activation)
        weights, cotangents = outer_factors(run.outputs, flat[count:], distribution)
        shares = (weights / len(rows)).unsqueeze(-1)
        parts = []
        slopes = _layers(ascent[:count], sizes)
        pairs = zip(run.values, run.pulls(cotangents), slopes, strict=True)
        for value, pull, (weight, bias) in pairs:
            entering = torch.cat([value, torch.ones_like(value[:, :1])], dim=1)
            inner = entering.T @ entering / len(rows)
            outer = (pull * shares).flatten(0, 1).T @ pull.flatten(0, 1)
            share = balance(inner, outer)
            joint = torch.cat([weight, bias[:, None]], dim=1)
            joint = solved(outer, root / share, joint)
            joint = solved(inner, root * share, joint.T).T
            parts += [joint[:, :-1].reshape(-1), joint[:, -1]]
        direction = torch.cat([*parts, ascent[count:] / (2 + mu)])
        squared = ascent @ direction
        limit = torch.where(squared > 0, (2 * radius / squared).sqrt(), cap)
        return (limit.clamp(max=cap) * direction).to(inputs.dtype)
