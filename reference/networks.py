"""Multilayer perceptrons: the forward pass, and the two products with its Jacobian.

A network is a function of one flat vector of parameters and of inputs [N, I], a row a sample:

    h₀ = x        zₗ = hₗ₋₁ Wₗᵀ + bₗ        hₗ = φ(zₗ)        output = z_L, without activation

The vector holds, layer after layer, the weight Wₗ [out, in] row by row and then the bias bₗ [out]:
what `torch.nn.utils.parameters_to_vector` makes of a stack of `torch.nn.Linear`. With J the
Jacobian of all outputs with respect to the parameters, `mlp_backward` is Jᵀ times cotangents and
`mlp_jvp` is J times tangents; neither ever builds J.  The identity to remember is that the two
are adjoint:  ⟨cotangents, J t⟩ = ⟨Jᵀ cotangents, t⟩.

Matrix products are allowed here, and run on numbers that carry errors or derivatives like on
floats. The slope of a rectifier at exactly 0 is 0, as in PyTorch.
"""

import math
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from rlverify.errors import Arguments, layer_parameters
from rlverify.reference._functions import reached

ACTIVATIONS = ("tanh", "relu")
LEAST = math.ulp(0.0)  # the smallest float above 0: a number is positive where it reaches this

Layers = list[tuple[np.ndarray, np.ndarray]]


def _layers(parameters: np.ndarray, sizes: tuple[int, ...]) -> Layers:
    """Return (weight [out, in], bias [out]) of every layer, as views of the flat vector."""
    layers, start = [], 0
    for inputs, outputs in pairwise(sizes):
        middle, end = start + outputs * inputs, start + outputs * inputs + outputs
        weight = parameters[start:middle].reshape(outputs, inputs)
        layers.append((weight, parameters[middle:end]))
        start = end
    return layers


def _activated(before: np.ndarray, activation: str) -> tuple[np.ndarray, np.ndarray]:
    """Return h = φ(z) and its slope φ′(z), elementwise."""
    if activation == "tanh":
        after = np.tanh(before)
        return after, 1 - after * after
    slope = np.empty_like(before)
    for i in np.ndindex(before.shape):
        slope[i] = reached(LEAST, before[i])
    return before * slope, slope


def _checked(
    function: str,
    sizes: tuple[int, ...],
    activation: str,
    parameters: np.ndarray,
    inputs: np.ndarray,
) -> Arguments:
    """Refuse what is no network; return the checks for what else came."""
    check = Arguments(function, np.ndarray, exact=True)
    check.sizes(sizes)
    check.choice("activation", activation, ACTIVATIONS)
    check.floats("P", parameters=parameters)
    check.floats("N I", inputs=inputs)
    check.width(sizes, layer_parameters(sizes), parameters=parameters)
    check.width(sizes, sizes[0], inputs=inputs)
    return check


def mlp_forward(
    parameters: Float[np.ndarray, "P"],
    inputs: Float[np.ndarray, "N I"],
    *,
    sizes: tuple[int, ...],
    activation: str,
) -> Float[np.ndarray, "N O"]:
    """Outputs of a multilayer perceptron.

        h₀ = x        zₗ = hₗ₋₁ Wₗᵀ + bₗ        hₗ = φ(zₗ)        output = z_L

    Source: Rumelhart, Hinton and Williams 1986 (Nature 323), eqs. 1 and 2; Goodfellow et al.
    2016, Deep Learning, algorithm 6.3.
    Ours: samples are rows, as PyTorch has them (the sources' are columns); φ is tanh or the
    rectifier max(z, 0), the output layer is linear.

    Args:
        parameters: per layer the weight [out, in] row by row, then the bias [out].
        inputs: x, one sample a row.
        sizes: widths of the layers, the inputs' first: (4, 8, 2) has one hidden layer of 8.
        activation: `"tanh"` or `"relu"`.

    Returns:
        The outputs, [N, O].

    Raises:
        TypeError: an array is of the wrong kind or dtype.
        ValueError: sizes are no layers, the activation is unknown, or a shape does not fit them.

    Example:
        >>> parameters = np.array([1.0, 2.0, -1.0, 3.0, 0.5])  # W₁ = [[1, 2]], b₁, W₂, b₂
        >>> inputs = np.array([[2.0, 1.0], [0.0, 0.0]])
        >>> mlp_forward(parameters, inputs, sizes=(2, 1, 1), activation="relu")
        array([[9.5],
               [0.5]])
    """
    _checked("mlp_forward", sizes, activation, parameters, inputs)

    *hidden_layers, (last_weight, last_bias) = _layers(parameters, sizes)
    hidden = inputs
    for weight, bias in hidden_layers:
        hidden, _ = _activated(hidden @ weight.T + bias, activation)
    return hidden @ last_weight.T + last_bias


def mlp_backward(
    parameters: Float[np.ndarray, "P"],
    inputs: Float[np.ndarray, "N I"],
    cotangents: Float[np.ndarray, "N O"],
    *,
    sizes: tuple[int, ...],
    activation: str,
) -> Float[np.ndarray, "P"]:
    """Gradient of Σ cotangents · outputs with respect to the parameters: Jᵀ times cotangents.

        C_L = cotangents                  Cₗ = (Cₗ₊₁ Wₗ₊₁) ∘ φ′(zₗ)
        ∂/∂Wₗ = Cₗᵀ hₗ₋₁                  ∂/∂bₗ = Σₙ Cₗ[n]

    Source: Rumelhart, Hinton and Williams 1986 (Nature 323), eqs. 4 to 7; Goodfellow et al.
    2016, Deep Learning, algorithm 6.4.
    Ours: summed over the samples, never averaged: a mean belongs into the cotangents. The
    slope of the rectifier at exactly 0 is 0, as in PyTorch.

    Args:
        parameters: per layer the weight [out, in] row by row, then the bias [out].
        inputs: x, one sample a row.
        cotangents: derivative of some scalar with respect to every output.
        sizes: widths of the layers, the inputs' first.
        activation: `"tanh"` or `"relu"`.

    Returns:
        The gradient, [P], in the order of the parameters.

    Raises:
        TypeError: an array is of the wrong kind or dtype.
        ValueError: sizes are no layers, the activation is unknown, or a shape does not fit them.

    Example:
        >>> parameters = np.array([1.0, 2.0, -1.0, 3.0, 0.5])  # W₁ = [[1, 2]], b₁, W₂, b₂
        >>> inputs, cotangents = np.array([[2.0, 1.0], [0.0, 0.0]]), np.array([[1.0], [1.0]])
        >>> mlp_backward(parameters, inputs, cotangents, sizes=(2, 1, 1), activation="relu")
        array([6., 3., 3., 3., 2.])
    """
    check = _checked("mlp_backward", sizes, activation, parameters, inputs)
    check.floats("N O", cotangents=cotangents)
    check.width(sizes, sizes[-1], cotangents=cotangents)

    layers = _layers(parameters, sizes)
    values, slopes = [inputs], []
    for weight, bias in layers[:-1]:
        after, slope = _activated(values[-1] @ weight.T + bias, activation)
        values.append(after)
        slopes.append(slope)

    gradient = np.empty_like(parameters)
    parts = _layers(gradient, sizes)  # views: what is written to them lands in the gradient
    arriving = cotangents  # Cₗ: the derivative with respect to zₗ
    for k in reversed(range(len(layers))):
        if k < len(slopes):
            arriving = (arriving @ layers[k + 1][0]) * slopes[k]
        parts[k][0][:] = arriving.T @ values[k]
        parts[k][1][:] = arriving.sum(axis=0)
    return gradient


def mlp_jvp(
    parameters: Float[np.ndarray, "P"],
    inputs: Float[np.ndarray, "N I"],
    tangents: Float[np.ndarray, "P"],
    *,
    sizes: tuple[int, ...],
    activation: str,
) -> Float[np.ndarray, "N O"]:
    """Derivative of the outputs along a direction of the parameters: J times tangents.

        ḣ₀ = 0        żₗ = ḣₗ₋₁ Wₗᵀ + hₗ₋₁ Ẇₗᵀ + ḃₗ        ḣₗ = φ′(zₗ) ∘ żₗ        result = ż_L

    Source: Griewank and Walther 2008, Evaluating Derivatives, section 3.1 (tangents); Baydin et
    al. 2018, arXiv:1502.05767, section 3.1 (forward mode).
    Ours: the direction lies in the parameters, the inputs are constant.

    Args:
        parameters: per layer the weight [out, in] row by row, then the bias [out].
        inputs: x, one sample a row.
        tangents: the direction, in the order of the parameters.
        sizes: widths of the layers, the inputs' first.
        activation: `"tanh"` or `"relu"`.

    Returns:
        The derivative of every output, [N, O].

    Raises:
        TypeError: an array is of the wrong kind or dtype.
        ValueError: sizes are no layers, the activation is unknown, or a shape does not fit them.

    Example:
        >>> parameters = np.array([1.0, 2.0, -1.0, 3.0, 0.5])  # W₁ = [[1, 2]], b₁, W₂, b₂
        >>> inputs, tangents = np.array([[2.0, 1.0]]), np.array([1.0, 0.0, 0.0, 1.0, 4.0])
        >>> mlp_jvp(parameters, inputs, tangents, sizes=(2, 1, 1), activation="relu")
        array([[13.]])
    """
    check = _checked("mlp_jvp", sizes, activation, parameters, inputs)
    check.floats("P", tangents=tangents)

    layers, moves = _layers(parameters, sizes), _layers(tangents, sizes)
    hidden, moved = inputs, np.zeros_like(inputs)  # h, and its derivative ḣ
    for k, ((weight, bias), (weight_move, bias_move)) in enumerate(zip(layers, moves, strict=True)):
        before = hidden @ weight.T + bias
        moved = moved @ weight.T + hidden @ weight_move.T + bias_move
        if k < len(layers) - 1:
            hidden, slope = _activated(before, activation)
            moved = slope * moved
    return moved
