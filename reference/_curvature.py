"""What the curvature of a policy is made of: its Jacobian, its Fisher matrix, second derivatives.

The parameters of a policy are those of a perceptron, layer after layer; a Gaussian policy's log σ
[O] stands behind them. The perceptron's outputs are logits, or the means of a diagonal Gaussian.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from rlverify.errors import Arguments, layer_parameters
from rlverify.reference.networks import (
    ACTIVATIONS,
    _activated,
    _layers,
    mlp_backward,
    mlp_forward,
)

DISTRIBUTIONS = ("categorical", "gaussian")
Pull = Callable[..., tuple[np.ndarray, ...]]


def policy_parameters(sizes: tuple[int, ...], distribution: str) -> int:
    """Return how many parameters a policy has: its network's, and log σ of a Gaussian."""
    return layer_parameters(sizes) + (sizes[-1] if distribution == "gaussian" else 0)


def checked_policy(
    function: str,
    parameters: np.ndarray,
    inputs: np.ndarray,
    sizes: tuple[int, ...],
    activation: str,
    distribution: str,
) -> Arguments:
    """Refuse what is no policy; return the checks for what else came."""
    check = Arguments(function, np.ndarray, exact=True)
    check.sizes(sizes)
    check.choice("activation", activation, ACTIVATIONS)
    check.choice("distribution", distribution, DISTRIBUTIONS)
    check.floats("P", parameters=parameters)
    check.floats("N I", inputs=inputs)
    check.width(sizes, policy_parameters(sizes, distribution), parameters=parameters)
    check.width(sizes, sizes[0], inputs=inputs)
    return check


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Return the softmax of every row."""
    chances = np.empty_like(logits)
    for n in range(len(logits)):
        grown = np.exp(logits[n] - max(logits[n]))
        chances[n] = grown / grown.sum()
    return chances


def jacobian(
    network: np.ndarray, row: np.ndarray, sizes: tuple[int, ...], activation: str
) -> np.ndarray:
    """Return the derivative of every output for one input by every weight and bias, [O, P]."""
    outputs = sizes[-1]
    derivative = np.empty((outputs, len(network)), dtype=network.dtype)
    for o in range(outputs):
        unit = np.zeros_like(network, shape=(1, outputs))
        unit[0, o] = 1
        derivative[o] = mlp_backward(network, row, unit, sizes=sizes, activation=activation)
    return derivative


def scores(
    parameters: np.ndarray,
    row: np.ndarray,
    sizes: tuple[int, ...],
    activation: str,
) -> tuple[np.ndarray, np.ndarray]:
    """Return π(a) and ∇ log π(a) of every action for one input: [A] and [A, P].

    ∇ log π(a) = Σ_b (1[a = b] − π(b)) ∇z_b
    """
    logits = mlp_forward(parameters, row, sizes=sizes, activation=activation)
    (chances,) = probabilities(logits)
    gradients = np.empty((sizes[-1], len(parameters)), dtype=parameters.dtype)
    for a in range(sizes[-1]):
        taken = np.zeros_like(logits)
        taken[0, a] = 1
        gradients[a] = mlp_backward(
            parameters, row, taken - chances, sizes=sizes, activation=activation
        )
    return chances, gradients


def output_fisher(outputs: np.ndarray, log_std: np.ndarray, distribution: str) -> np.ndarray:
    """Return the Fisher matrix of a distribution by its own parameters, for one input: [O, O].

    categorical   diag(π) − π πᵀ        by the logits
    gaussian      diag(1/σ²)            by the means
    """
    if distribution == "gaussian":
        return np.diag(np.exp(-2 * log_std))
    (chances,) = probabilities(outputs)
    return np.diag(chances) - np.outer(chances, chances)


def kl_pull(
    outputs: np.ndarray,
    outputs_move: np.ndarray,
    log_std: np.ndarray,
    log_std_move: np.ndarray,
    distribution: str,
) -> tuple[np.ndarray, ...]:
    """Return how KL(old ‖ new) pulls at the new side, at new = old, and the pull's derivative.

    The old side is a constant; `outputs` [N, O] and `log_std` [O] are those of both.

        categorical   ∂KL/∂z = π − π_old
        gaussian      ∂KL/∂μ = (μ − μ_old)/σ²        ∂KL/∂log σ = 1 − (σ_old² + (μ − μ_old)²)/σ²

    Returns:
        The pull at the outputs [N, O]; the derivatives along the move of this pull and of that
        at log σ [N, O] (empty where there is none).
    """
    if distribution == "categorical":
        chances = probabilities(outputs)
        old = chances  # a constant: it does not move
        mean_move = (chances * outputs_move).sum(axis=1, keepdims=True)
        chances_move = chances * (outputs_move - mean_move)
        none = np.empty_like(outputs, shape=(len(outputs), 0))
        return chances - old, chances_move, none
    old, old_variance = outputs, np.exp(2 * log_std)
    variance = np.exp(2 * log_std)
    away = outputs - old
    spread = old_variance + away * away
    pull = away / variance
    pull_move = outputs_move / variance - 2 * pull * log_std_move
    width_move = 2 * spread / variance * log_std_move - 2 * pull * outputs_move
    return pull, pull_move, width_move


def kl_rest(*policies: Any) -> tuple[np.ndarray, ...]:
    """Return what `kl_pull` returns, its derivatives replaced by 0: all that is left is rounding.

    A KL that is differentiated twice adds the second derivatives of the network times its pull,
    π − π_old or (μ − μ_old)/σ², which is 0 only as far as both are computed alike.
    """
    pull, pull_move, width_move = kl_pull(*policies)
    return pull, 0 * pull_move, 0 * width_move


class Pass(NamedTuple):
    """What a forward pass leaves behind: hₗ₋₁ of every layer, φ′(zₗ) of the hidden ones, z_L."""

    values: list[np.ndarray]
    slopes: list[np.ndarray]
    outputs: np.ndarray


def forward_pass(
    network: np.ndarray, inputs: np.ndarray, sizes: tuple[int, ...], activation: str
) -> Pass:
    """Run a network and keep what its derivatives need."""
    *hidden_layers, (weight, bias) = _layers(network, sizes)
    values: list[np.ndarray] = [inputs]
    slopes: list[np.ndarray] = []
    for hidden_weight, hidden_bias in hidden_layers:
        after, slope = _activated(values[-1] @ hidden_weight.T + hidden_bias, activation)
        values.append(after)
        slopes.append(slope)
    return Pass(values, slopes, values[-1] @ weight.T + bias)


def hessian_product(
    parameters: np.ndarray,
    direction: np.ndarray,
    run: Pass,
    sizes: tuple[int, ...],
    activation: str,
    distribution: str,
    pull: Pull,
) -> np.ndarray:
    """Return the derivative of ∇ mean KL(π_old ‖ π_θ) along a direction, at θ = θ_old.

    `pull` is `kl_pull`. The pass that yields the gradient, and beside every quantity its
    derivative along the direction, here called its move: R{·} of Pearlmutter 1994.
    """
    count = layer_parameters(sizes)
    layers, moves = _layers(parameters[:count], sizes), _layers(direction[:count], sizes)
    values, slopes = run.values, run.slopes
    outputs_move = values[0] @ moves[0][0].T + moves[0][1]  # of z₁ first, of z_L in the end
    value_moves: list[np.ndarray] = [np.zeros_like(values[0])]  # of hₗ
    slope_moves: list[np.ndarray] = []  # of φ′(zₗ)
    for k in range(len(slopes)):
        moved = slopes[k] * outputs_move
        value_moves.append(moved)
        # (1 − h²)′ = −2 h h′; a rectifier is straight
        bend = -2 * values[k + 1] * moved if activation == "tanh" else 0 * moved
        slope_moves.append(bend)
        weight_move, bias_move = moves[k + 1]
        outputs_move = moved @ layers[k + 1][0].T + values[k + 1] @ weight_move.T + bias_move

    arriving, arriving_move, width_move = pull(
        run.outputs, outputs_move, parameters[count:], direction[count:], distribution
    )
    product = np.empty_like(parameters)
    parts = _layers(product[:count], sizes)
    for k in reversed(range(len(layers))):
        if k < len(slopes):
            weight, weight_move = layers[k + 1][0], moves[k + 1][0]
            passed = arriving @ weight
            passed_move = arriving_move @ weight + arriving @ weight_move
            arriving = passed * slopes[k]
            arriving_move = passed_move * slopes[k] + passed * slope_moves[k]
        parts[k][0][:] = arriving_move.T @ values[k] + arriving.T @ value_moves[k]
        parts[k][1][:] = arriving_move.sum(axis=0)
    product[count:] = width_move.sum(axis=0)
    return product / len(values[0])


def cholesky(matrix: np.ndarray) -> np.ndarray:
    """Return the lower triangle L with L Lᵀ = matrix, symmetric and positive definite."""
    lower = np.zeros_like(matrix)
    for i in range(len(matrix)):
        for j in range(i + 1):
            rest = matrix[i, j] - (lower[i, :j] * lower[j, :j]).sum()
            lower[i, j] = np.sqrt(rest) if i == j else rest / lower[j, j]
    return lower


def solved(matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return matrix⁻¹ right, for a symmetric positive definite matrix and right [n, m]."""
    lower, answer = cholesky(matrix), right.copy()
    for i in range(len(answer)):  # L y = right
        for j in range(i):
            answer[i] = answer[i] - answer[j] * lower[i, j]
        answer[i] = answer[i] / lower[i, i]
    for i in reversed(range(len(answer))):  # Lᵀ x = y
        for j in range(i + 1, len(answer)):
            answer[i] = answer[i] - answer[j] * lower[j, i]
        answer[i] = answer[i] / lower[i, i]
    return answer


def trace(matrix: np.ndarray) -> Any:
    """Return the sum of the diagonal."""
    return np.diag(matrix).sum()


def factors(
    parameters: np.ndarray,
    inputs: np.ndarray,
    sizes: tuple[int, ...],
    activation: str,
    distribution: str,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return (A, G) of every layer."""
    count = layer_parameters(sizes)
    network, samples = parameters[:count], len(inputs)
    inner = [np.zeros_like(inputs, shape=(width + 1, width + 1)) for width in sizes[:-1]]
    outer = [np.zeros_like(inputs, shape=(width, width)) for width in sizes[1:]]
    for n in range(samples):
        row = inputs[n : n + 1]
        value = inputs[n]
        for k, (weight, bias) in enumerate(_layers(network, sizes)):
            entering = np.append(value, np.ones_like(value[:1]))
            inner[k] += np.outer(entering, entering) / samples
            value, _ = _activated(weight @ value + bias, activation)
        if distribution == "categorical":
            weights, gradients = scores(network, row, sizes, activation)
        else:
            weights = np.exp(-2 * parameters[count:])
            gradients = jacobian(network, row, sizes, activation)
        for chance, gradient in zip(weights, gradients, strict=True):
            # what the bias of a layer gets is what its output before the activation gets
            for k, (_, pull) in enumerate(_layers(gradient, sizes)):
                outer[k] += np.outer(pull, pull) * chance / samples
    return list(zip(inner, outer, strict=True))


def balance(inner: np.ndarray, outer: np.ndarray) -> Any:
    """Return π, which shares the damping out between both factors; 1 where G is 0."""
    if not trace(outer) > 0:
        return 1
    return np.sqrt(trace(inner) / len(inner) / (trace(outer) / len(outer)))


def identity(like: np.ndarray) -> np.ndarray:
    identity = np.zeros_like(like)
    np.fill_diagonal(identity, 1)
    return identity
