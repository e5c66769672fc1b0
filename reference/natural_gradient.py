"""Natural gradient: steepest ascent where the length of a step is measured in KL divergence.

A policy π_θ turns inputs [N, I] into distributions: the outputs of a perceptron (`networks`) are
logits, or the means of a diagonal Gaussian, whose log σ [O] then follow the network's weights and
biases in the vector θ. How far a small step d moves the policy is told by the Fisher matrix F:

    mean KL(π_θ ‖ π_θ+d) = ½ dᵀF d + O(‖d‖³)        F = mean E_π[∇log π ∇log πᵀ]

so the direction that gains most for its divergence is F⁻¹∇J, whatever the parametrisation. F is
[P, P] and never built in practice: `conjugate_gradient` solves with products F v alone, and
`kronecker_factored_step` replaces F by a product of two small matrices per layer. The identity to
remember: at θ = θ_old, F is the Hessian of the mean KL, whose value and gradient are 0 there.

Matrix products are allowed here. Curvature is a constant: no gradient flows through it.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from rlverify.errors import Arguments, layer_parameters
from rlverify.reference._curvature import (
    balance,
    checked_policy,
    factors,
    forward_pass,
    hessian_product,
    identity,
    jacobian,
    kl_pull,
    kl_rest,
    output_fisher,
    scores,
    solved,
)
from rlverify.reference._functions import limited
from rlverify.reference._systems import Matvec, at_least_zero, finite, power_of_two, product_of
from rlverify.reference.networks import _layers, mlp_forward

ROUNDING = 2.0**-53  # of float64; exact numbers have none


class Solution(NamedTuple):
    """What `conjugate_gradient` found, and how it ended."""

    x: Float[np.ndarray, "P"]
    status: str  # converged, max_iterations, not_positive_definite or zero
    iterations: int  # products with the matrix whose step was taken
    residual: float  # ‖b − A x‖ / ‖b‖, as the recursion has it


def fisher_matrix(
    parameters: Float[np.ndarray, "P"],
    inputs: Float[np.ndarray, "N I"],
    *,
    sizes: tuple[int, ...],
    activation: str,
    distribution: str,
) -> Float[np.ndarray, "P P"]:
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
        >>> even = np.zeros(4)  # two actions of probability ½, from one input: W [2, 1], b [2]
        >>> arguments = dict(sizes=(1, 2), activation="tanh", distribution="categorical")
        >>> fisher_matrix(even, np.array([[2.0]]), **arguments)
        array([[ 1.  , -1.  ,  0.5 , -0.5 ],
               [-1.  ,  1.  , -0.5 ,  0.5 ],
               [ 0.5 , -0.5 ,  0.25, -0.25],
               [-0.5 ,  0.5 , -0.25,  0.25]])
    """
    checked_policy("fisher_matrix", parameters, inputs, sizes, activation, distribution)

    count = layer_parameters(sizes)
    fisher = np.zeros_like(parameters, shape=(len(parameters), len(parameters)))
    for n in range(len(inputs)):
        row = inputs[n : n + 1]
        if distribution == "categorical":
            weights, gradients = scores(parameters, row, sizes, activation)
        else:
            weights = np.exp(-2 * parameters[count:])
            gradients = jacobian(parameters[:count], row, sizes, activation)
        for weight, gradient in zip(weights, gradients, strict=True):
            fisher[:count, :count] += np.outer(gradient, gradient) * weight
    fisher = fisher / len(inputs)
    # σ²/σ² is 1, but whoever integrates or differentiates has to round it
    variance = np.exp(2 * parameters[count:])
    fisher[count:, count:] = np.diag(2 * variance / variance)
    return fisher


def kl_hessian(
    parameters: Float[np.ndarray, "P"],
    inputs: Float[np.ndarray, "N I"],
    *,
    sizes: tuple[int, ...],
    activation: str,
    distribution: str,
) -> Float[np.ndarray, "P P"]:
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
        >>> parameters = np.array([3.0, 1.0, 0.0])  # mean 3x + 1, log σ = 0
        >>> arguments = dict(sizes=(1, 1), activation="tanh", distribution="gaussian")
        >>> kl_hessian(parameters, np.array([[2.0]]), **arguments)
        array([[4., 2., 0.],
               [2., 1., 0.],
               [0., 0., 2.]])
    """
    checked_policy("kl_hessian", parameters, inputs, sizes, activation, distribution)

    hessian = np.empty_like(parameters, shape=(len(parameters), len(parameters)))
    run = forward_pass(parameters[: layer_parameters(sizes)], inputs, sizes, activation)
    for i in range(len(parameters)):
        unit = np.zeros_like(parameters)
        unit[i] = 1
        hessian[:, i] = hessian_product(
            parameters, unit, run, sizes, activation, distribution, kl_pull
        )
    return hessian


def fisher_vector_product(
    parameters: Float[np.ndarray, "P"],
    inputs: Float[np.ndarray, "N I"],
    vector: Float[np.ndarray, "P"],
    *,
    sizes: tuple[int, ...],
    activation: str,
    distribution: str,
    damping: float,
) -> Float[np.ndarray, "P"]:
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
        >>> parameters, v = np.array([3.0, 1.0, 0.0]), np.array([1.0, 0.0, 1.0])
        >>> arguments = dict(sizes=(1, 1), activation="tanh", distribution="gaussian")
        >>> fisher_vector_product(parameters, np.array([[2.0]]), v, damping=0.5, **arguments)
        array([4.5, 2. , 2.5])
    """
    function = "fisher_vector_product"
    check = checked_policy(function, parameters, inputs, sizes, activation, distribution)
    check.floats("P", vector=vector)
    at_least_zero(check, "damping", damping)

    count = layer_parameters(sizes)
    network, log_std = parameters[:count], parameters[count:]
    fisher = np.zeros_like(network, shape=(count, count))
    for n in range(len(inputs)):
        row = inputs[n : n + 1]
        outputs = mlp_forward(network, row, sizes=sizes, activation=activation)
        slopes = jacobian(network, row, sizes, activation)
        fisher += slopes.T @ (output_fisher(outputs, log_std, distribution) @ slopes)
    curved = fisher @ vector[:count] / len(inputs)
    # σ²/σ² is 1 and the rest is 0, but whoever differentiates a KL twice has to round both
    variance = np.exp(2 * log_std)
    product: np.ndarray = np.concatenate([curved, vector[count:] * (2 * variance / variance)])
    run = forward_pass(network, inputs, sizes, activation)
    rest = hessian_product(parameters, vector, run, sizes, activation, distribution, kl_rest)
    product = product + vector * damping + rest
    return product


def conjugate_gradient(
    matvec: Matvec,
    b: Float[np.ndarray, "P"],
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
        ...     lambda v: np.array([2.0, 4.0]) * v, np.array([2.0, 0.0]),
        ...     max_iterations=5, tolerance=1e-10,
        ... )
        >>> solution.x, solution.status, solution.iterations
        (array([1., 0.]), 'converged', 1)
    """
    check = Arguments("conjugate_gradient", np.ndarray, exact=True)
    check.callable(matvec=matvec)
    check.floats("P", b=b)
    check.count("max_iterations", max_iterations, least=1)
    at_least_zero(check, "tolerance", tolerance)
    finite(check, b=b)
    if not any(b):
        return Solution(np.zeros_like(b), "zero", 0, 0.0)

    unit = power_of_two(b)
    smallest = ROUNDING if b.dtype == np.float64 else 0
    x = np.zeros_like(b)
    r = b / unit
    p = r
    squared = r @ r
    enough = max(tolerance, smallest) ** 2 * squared
    start, steepest = squared, 0
    status = "max_iterations"
    iterations = 0
    while iterations < max_iterations:
        product = product_of(check, matvec, p)
        curvature = p @ product
        if not curvature > smallest * steepest * (p @ p):
            status = "not_positive_definite"
            break
        steepest = max(steepest, curvature / (p @ p))
        alpha = squared / curvature
        x = x + alpha * p
        r = r - alpha * product
        following = r @ r
        iterations += 1
        if following <= enough:
            squared, status = following, "converged"
            break
        beta = following / squared
        p = r + beta * p
        squared = following
    return Solution(x * unit, status, iterations, math.sqrt(squared / start))


def kronecker_factored_step(
    parameters: Float[np.ndarray, "P"],
    inputs: Float[np.ndarray, "N I"],
    gradient: Float[np.ndarray, "P"],
    *,
    sizes: tuple[int, ...],
    activation: str,
    distribution: str,
    damping: float,
    delta: float,
    learning_rate: float,
) -> Float[np.ndarray, "P"]:
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
        >>> parameters, gradient = np.array([0.0, 0.0, 0.0]), np.array([0.0, 6.0, 5.0])
        >>> settings = dict(sizes=(1, 1), activation="tanh", distribution="gaussian")
        >>> kronecker_factored_step(  # A = diag(0, 1), G = 1, π² = ½
        ...     parameters, np.array([[0.0]]), gradient, **settings,
        ...     damping=0.5, delta=100.0, learning_rate=1.0,
        ... )
        array([0., 2., 2.])
    """
    function = "kronecker_factored_step"
    check = checked_policy(function, parameters, inputs, sizes, activation, distribution)
    check.floats("P", gradient=gradient)
    check.positive("damping", damping)
    check.positive("delta", delta)
    check.positive("learning_rate", learning_rate)

    count = layer_parameters(sizes)
    root = np.sqrt(damping)
    direction = np.empty_like(parameters)
    parts, slopes = _layers(direction[:count], sizes), _layers(gradient[:count], sizes)
    pairs = factors(parameters, inputs, sizes, activation, distribution)
    for (inner, outer), (weight, bias), slope in zip(pairs, parts, slopes, strict=True):
        share = balance(inner, outer)
        joint = np.concatenate([slope[0], slope[1][:, None]], axis=1)
        half = solved(outer + identity(outer) * (root / share), joint)
        joint = solved(inner + identity(inner) * (root * share), half.T).T
        weight[:], bias[:] = joint[:, :-1], joint[:, -1]
    direction[count:] = gradient[count:] / (2 + damping)

    squared = (gradient * direction).sum()
    if not squared > 0:
        return direction * learning_rate
    step: np.ndarray = direction * limited(np.sqrt(2 * delta / squared), 0, learning_rate)
    return step
