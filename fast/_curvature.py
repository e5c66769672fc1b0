"""What the curvature of a policy is made of: one forward pass, and what is carried through it.

Products with the Jacobian go through the samples block by block: what a layer makes of a block is
still in the cache when the next one reads it, and the same few buffers serve every block, where
arrays of all samples would be fresh pages each (docs/decisions/0013-fisher-products.md).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch.nn import functional

from rlverify.errors import Arguments, layer_parameters
from rlverify.fast.networks import ACTIVATIONS, Layers, _activated, _layers, _sloped

DISTRIBUTIONS = ("categorical", "gaussian")
# samples whose layers stay in the cache (measured); a GPU takes all at once
ROWS = 1024


def checked_policy(
    function: str,
    parameters: torch.Tensor,
    inputs: torch.Tensor,
    sizes: tuple[int, ...],
    activation: str,
    distribution: str,
) -> Arguments:
    """Refuse what is no policy; return the checks for what else came."""
    check = Arguments(function, torch.Tensor)
    check.sizes(sizes)
    check.choice("activation", activation, ACTIVATIONS)
    check.choice("distribution", distribution, DISTRIBUTIONS)
    check.floats("P", parameters=parameters)
    check.floats("N I", inputs=inputs)
    wanted = layer_parameters(sizes) + (sizes[-1] if distribution == "gaussian" else 0)
    check.width(sizes, wanted, parameters=parameters)
    check.width(sizes, sizes[0], inputs=inputs)
    return check


def blocks(array: torch.Tensor) -> Iterator[slice]:
    """Yield the rows of an array, a block at a time."""
    rows = ROWS if array.device.type == "cpu" else max(len(array), 1)
    for start in range(0, len(array), rows):
        yield slice(start, min(start + rows, len(array)))


def accumulate(
    layer: tuple[torch.Tensor, torch.Tensor], arriving: torch.Tensor, entered: torch.Tensor
) -> None:
    """Add the gradient of a block to a layer's weight and bias."""
    weight, bias = layer
    weight.addmm_(arriving.T, entered)
    # a product with ones takes half the time of a sum over the first axis
    bias.addmv_(arriving.T, arriving.new_ones(len(arriving)))


@dataclass(frozen=True)
class Pass:
    """A forward pass of a network, kept for the products with its Jacobian.

    Attributes:
        layers: weight and bias of every layer.
        values: what enters every layer, hₗ₋₁ [N, in].
        outputs: [N, O].
        activation: `"tanh"` or `"relu"`.
        sizes: widths of the layers.
    """

    layers: Layers
    values: list[torch.Tensor]
    outputs: torch.Tensor
    activation: str
    sizes: tuple[int, ...]

    def pulls(self, cotangents: torch.Tensor) -> list[torch.Tensor]:
        """Return what arrives before the activation of every layer: [..., N, out]."""
        arriving = cotangents
        found = [arriving]
        for k in reversed(range(1, len(self.layers))):
            arriving = _sloped(arriving @ self.layers[k][0], self.values[k], self.activation)
            found.append(arriving)
        return found[::-1]

    def pulled(self, cotangents: torch.Tensor) -> torch.Tensor:
        """Return Jᵀ times cotangents [N, O], summed over the samples: [P]."""
        flat = cotangents.new_zeros(layer_parameters(self.sizes))
        into = _layers(flat, self.sizes)
        for rows in blocks(cotangents):
            arriving = cotangents[rows]
            for k in reversed(range(len(self.layers))):
                accumulate(into[k], arriving, self.values[k][rows])
                if k > 0:
                    arriving = _sloped(
                        arriving @ self.layers[k][0], self.values[k][rows], self.activation
                    )
        return flat

    def gradients(self, cotangents: torch.Tensor) -> torch.Tensor:
        """Return Jᵀ times cotangents [K, N, O] for every sample apart: [K, N, P]."""
        parts = []
        for value, pull in zip(self.values, self.pulls(cotangents), strict=True):
            parts += [(pull[..., None] * value[:, None, :]).flatten(2), pull]
        return torch.cat(parts, dim=-1)


def forward_pass(
    network: torch.Tensor, inputs: torch.Tensor, sizes: tuple[int, ...], activation: str
) -> Pass:
    """Run the network and keep what its layers were given."""
    layers, values = _layers(network, sizes), [inputs]
    for weight, bias in layers[:-1]:
        values.append(_activated(functional.linear(values[-1], weight, bias), activation))
    return Pass(layers, values, functional.linear(values[-1], *layers[-1]), activation, sizes)


def outputs_of(
    network: torch.Tensor, inputs: torch.Tensor, sizes: tuple[int, ...], activation: str
) -> torch.Tensor:
    """Run the network, keep nothing but the outputs [N, O], and let no gradient flow."""
    outputs = inputs.new_empty(len(inputs), sizes[-1])
    with torch.no_grad():
        *layers, (last_weight, last_bias) = _layers(network, sizes)
        for rows in blocks(inputs):
            hidden = inputs[rows]
            for weight, bias in layers:
                hidden = functional.linear(hidden, weight, bias)
                hidden = hidden.tanh_() if activation == "tanh" else hidden.relu_()
            torch.addmm(last_bias, hidden, last_weight.T, out=outputs[rows])
    return outputs


def outer_factors(
    outputs: torch.Tensor, log_std: torch.Tensor, distribution: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return weights [K, N] and cotangents [K, N, O] whose weighted squares are the Fisher matrix.

    Categorical: π(a) and the scores by the logits; Gaussian: 1/σ² and the unit vectors.
    """
    samples, width = outputs.shape
    units = torch.eye(width, dtype=outputs.dtype, device=outputs.device)[:, None, :]
    if distribution == "gaussian":
        weights = torch.exp(-2 * log_std)[:, None].expand(width, samples)
        return weights, units.expand(width, samples, width)
    chances = outputs.softmax(-1)
    return chances.T, units - chances


def output_product(
    moved: torch.Tensor,
    chances: torch.Tensor,
    log_std: torch.Tensor,
    distribution: str,
) -> torch.Tensor:
    """Return the outputs' own Fisher matrix times a move of the outputs, [N, O]."""
    if distribution == "gaussian":
        return moved * torch.exp(-2 * log_std)
    mean = (chances * moved).sum(-1, keepdim=True)
    return chances * (moved - mean)


def kl_of_outputs(
    old: torch.Tensor,
    old_log_std: torch.Tensor,
    new: torch.Tensor,
    log_std: torch.Tensor,
    distribution: str,
) -> torch.Tensor:
    """Return KL(old ‖ new) of every sample, [N]."""
    if distribution == "categorical":
        before, after = old.log_softmax(-1), new.log_softmax(-1)
        return (before.exp() * (before - after)).sum(-1)
    spread = torch.exp(2 * old_log_std) + (new - old).square()
    return (log_std - old_log_std + spread / (2 * torch.exp(2 * log_std)) - 0.5).sum(-1)


def balance(inner: torch.Tensor, outer: torch.Tensor) -> torch.Tensor:
    """Return π, which shares the damping out between both factors; 1 where G is 0."""
    ratio = inner.diagonal().mean() / outer.diagonal().mean()
    return torch.where(outer.diagonal().sum() > 0, ratio.sqrt(), 1)


def solved(matrix: torch.Tensor, shift: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Return (matrix + shift I)⁻¹ right."""
    damped = matrix.clone()
    damped.diagonal().add_(shift)
    return torch.cholesky_solve(right, torch.linalg.cholesky(damped))
