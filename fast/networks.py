"""Multilayer perceptrons in PyTorch: the forward pass, and both products with its Jacobian.

A network is a function of one flat vector of parameters and of inputs [N, I], a row a sample:
per layer the weight [out, in] row by row, then the bias [out], in the order of
`torch.nn.utils.parameters_to_vector`. `mlp_module` builds the same network as a `torch.nn.Module`
and `flat_parameters` reads its vector, so that a product computed here fits a policy trained
there.

The layers are `torch.nn.functional.linear` on views of the vector. The two products are written
out: `torch.func.vjp` and `jvp` give the same numbers (a test says so) but take two to three times
as long on the batches that a policy sees, and more than a second when first called. All three
functions can be differentiated again and work under `torch.func`. Half precision is computed in
float32 and rounded once.
"""

from itertools import pairwise

import torch
from jaxtyping import Float
from torch.nn import functional

from rlverify.errors import Arguments, layer_parameters
from rlverify.fast._steps import widened

ACTIVATIONS = ("tanh", "relu")

Layers = list[tuple[torch.Tensor, torch.Tensor]]


def _layers(parameters: torch.Tensor, sizes: tuple[int, ...]) -> Layers:
    """Return (weight [out, in], bias [out]) of every layer, as views of the flat vector."""
    lengths = [length for i, o in pairwise(sizes) for length in (o * i, o)]
    pieces = torch.split_with_sizes(parameters, lengths)
    weights = [
        flat.reshape(o, i) for flat, (i, o) in zip(pieces[::2], pairwise(sizes), strict=True)
    ]
    return list(zip(weights, pieces[1::2], strict=True))


def _activated(before: torch.Tensor, activation: str) -> torch.Tensor:
    return before.tanh() if activation == "tanh" else before.relu()


def _sloped(derivative: torch.Tensor, after: torch.Tensor, activation: str) -> torch.Tensor:
    """Multiply a derivative by φ′(z), which φ(z) tells: 1 − φ², or 1 where φ is above 0."""
    if activation == "tanh":
        # d − dφ·φ in two passes over memory, where d · (1 − φ²) takes three
        return torch.addcmul(derivative, derivative * after, after, value=-1)
    return torch.where(after > 0, derivative, 0)


def _forward(
    parameters: torch.Tensor, inputs: torch.Tensor, sizes: tuple[int, ...], activation: str
) -> torch.Tensor:
    """Compute the outputs from checked and widened arrays, not rounded back."""
    *hidden_layers, (last_weight, last_bias) = _layers(parameters, sizes)
    hidden = inputs
    for weight, bias in hidden_layers:
        hidden = _activated(functional.linear(hidden, weight, bias), activation)
    return functional.linear(hidden, last_weight, last_bias)


def _checked(
    function: str,
    sizes: tuple[int, ...],
    activation: str,
    parameters: torch.Tensor,
    inputs: torch.Tensor,
) -> Arguments:
    """Refuse what is no network; return the checks for what else came."""
    check = Arguments(function, torch.Tensor)
    check.sizes(sizes)
    check.choice("activation", activation, ACTIVATIONS)
    check.floats("P", parameters=parameters)
    check.floats("N I", inputs=inputs)
    check.width(sizes, layer_parameters(sizes), parameters=parameters)
    check.width(sizes, sizes[0], inputs=inputs)
    return check


def mlp_forward(
    parameters: Float[torch.Tensor, "P"],
    inputs: Float[torch.Tensor, "N I"],
    *,
    sizes: tuple[int, ...],
    activation: str,
) -> Float[torch.Tensor, "N O"]:
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
        >>> parameters = torch.tensor([1.0, 2.0, -1.0, 3.0, 0.5])  # W₁ = [[1, 2]], b₁, W₂, b₂
        >>> inputs = torch.tensor([[2.0, 1.0], [0.0, 0.0]])
        >>> mlp_forward(parameters, inputs, sizes=(2, 1, 1), activation="relu")
        tensor([[9.5000],
                [0.5000]])
    """
    _checked("mlp_forward", sizes, activation, parameters, inputs)

    flat, rows = widened(parameters, inputs)
    return _forward(flat, rows, sizes, activation).to(inputs.dtype)


def mlp_backward(
    parameters: Float[torch.Tensor, "P"],
    inputs: Float[torch.Tensor, "N I"],
    cotangents: Float[torch.Tensor, "N O"],
    *,
    sizes: tuple[int, ...],
    activation: str,
) -> Float[torch.Tensor, "P"]:
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
        >>> parameters = torch.tensor([1.0, 2.0, -1.0, 3.0, 0.5])  # W₁ = [[1, 2]], b₁, W₂, b₂
        >>> inputs, cotangents = torch.tensor([[2.0, 1.0], [0.0, 0.0]]), torch.ones(2, 1)
        >>> mlp_backward(parameters, inputs, cotangents, sizes=(2, 1, 1), activation="relu")
        tensor([6., 3., 3., 3., 2.])
    """
    check = _checked("mlp_backward", sizes, activation, parameters, inputs)
    check.floats("N O", cotangents=cotangents)
    check.width(sizes, sizes[-1], cotangents=cotangents)

    flat, rows, arriving = widened(parameters, inputs, cotangents)
    layers, values = _layers(flat, sizes), [rows]
    for weight, bias in layers[:-1]:
        values.append(_activated(functional.linear(values[-1], weight, bias), activation))
    pieces: list[torch.Tensor] = []
    for k in reversed(range(len(layers))):
        if k < len(layers) - 1:
            arriving = _sloped(arriving @ layers[k + 1][0], values[k + 1], activation)
        pieces = [(arriving.T @ values[k]).flatten(), arriving.sum(0), *pieces]
    return torch.cat(pieces).to(inputs.dtype)


def mlp_jvp(
    parameters: Float[torch.Tensor, "P"],
    inputs: Float[torch.Tensor, "N I"],
    tangents: Float[torch.Tensor, "P"],
    *,
    sizes: tuple[int, ...],
    activation: str,
) -> Float[torch.Tensor, "N O"]:
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
        >>> parameters = torch.tensor([1.0, 2.0, -1.0, 3.0, 0.5])  # W₁ = [[1, 2]], b₁, W₂, b₂
        >>> inputs, tangents = torch.tensor([[2.0, 1.0]]), torch.tensor([1.0, 0.0, 0.0, 1.0, 4.0])
        >>> mlp_jvp(parameters, inputs, tangents, sizes=(2, 1, 1), activation="relu")
        tensor([[13.]])
    """
    check = _checked("mlp_jvp", sizes, activation, parameters, inputs)
    check.floats("P", tangents=tangents)

    flat, hidden, direction = widened(parameters, inputs, tangents)
    layers, moves = _layers(flat, sizes), _layers(direction, sizes)
    moved = hidden.new_zeros(())  # ḣ, which begins as 0
    for k, ((weight, bias), (weight_move, bias_move)) in enumerate(zip(layers, moves, strict=True)):
        before_moved = functional.linear(hidden, weight_move, bias_move)
        if k > 0:
            before_moved = torch.addmm(before_moved, moved, weight.T)
        if k == len(layers) - 1:
            break
        hidden = _activated(functional.linear(hidden, weight, bias), activation)
        moved = _sloped(before_moved, hidden, activation)
    return before_moved.to(inputs.dtype)


def mlp_module(*, sizes: tuple[int, ...], activation: str) -> torch.nn.Sequential:
    """Build a perceptron as a module, initialised as `torch.nn.Linear` is.

    Args:
        sizes: widths of the layers, the inputs' first.
        activation: `"tanh"` or `"relu"`.

    Returns:
        `Linear` layers with an activation after each but the last. Called with inputs it gives
        what `mlp_forward` gives for the vector that `flat_parameters` reads from it.

    Raises:
        ValueError: sizes are no layers, or the activation is unknown.

    Example:
        >>> module = mlp_module(sizes=(4, 8, 2), activation="tanh")
        >>> flat_parameters(module).shape
        torch.Size([58])
    """
    check = Arguments("mlp_module", torch.Tensor)
    check.sizes(sizes)
    check.choice("activation", activation, ACTIVATIONS)

    modules: list[torch.nn.Module] = []
    for width, following in pairwise(sizes):
        modules.append(torch.nn.Linear(width, following))
        modules.append(torch.nn.Tanh() if activation == "tanh" else torch.nn.ReLU())
    return torch.nn.Sequential(*modules[:-1])


def flat_parameters(module: torch.nn.Module) -> Float[torch.Tensor, "P"]:
    """Return the parameters of a module as one vector, in the order of this topic.

    Args:
        module: such as `mlp_module` builds; any module with parameters will do.

    Returns:
        A new vector, [P]; gradients flow to the module's parameters.

    Raises:
        ValueError: the module has no parameters.

    Example:
        >>> flat_parameters(torch.nn.Linear(3, 2)).shape
        torch.Size([8])
    """
    parameters = list(module.parameters())
    if not parameters:
        raise ValueError("flat_parameters: module came without parameters, wanted at least one.")
    return torch.nn.utils.parameters_to_vector(parameters)
