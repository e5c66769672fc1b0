"""Finite differences in PyTorch: the gradient of an objective that can only be evaluated.

    forward   (f(θ + h eᵢ) − f(θ)) / h                 error  f″ h / 2 + …      P + 1 evaluations
    central   (f(θ + h eᵢ) − f(θ − h eᵢ)) / (2h)       error  f‴ h² / 6 + …     2P evaluations

The objective is a function of the parameters alone, called once an evaluation: it may simulate,
so nothing is batched behind its back. One that simulates must fix its random numbers inside, by
seeding a generator of its own at every call (common random numbers):

    def objective(parameters):
        generator = torch.Generator().manual_seed(0)
        return average_return(parameters, generator)

Half precision is computed in float32 and rounded once: the objective is then given float32.
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float

from rlverify.errors import Arguments
from rlverify.fast._steps import widened
from rlverify.fast.scan import rounded

Objective = Callable[[torch.Tensor], Any]


def _moved(parameters: torch.Tensor, i: int, step: float) -> torch.Tensor:
    """Return the parameters with a step added to the i-th."""
    moved = parameters.clone()
    moved[i] = parameters[i] + step
    return moved


def _stacked(values: list[Any], like: torch.Tensor) -> torch.Tensor:
    """Return numbers, as tensors or as Python has them, as one vector like the parameters."""
    return torch.stack([torch.as_tensor(v, dtype=like.dtype, device=like.device) for v in values])


def forward_difference(
    objective: Objective,
    parameters: Float[torch.Tensor, "P"],
    *,
    step: float,
) -> Float[torch.Tensor, "P"]:
    """Forward differences of an objective, by P + 1 evaluations.

        gᵢ = (f(θ + h eᵢ) − f(θ)) / h

    Source: Nocedal and Wright 2006, Numerical Optimization, eq. 8.1; for policies, Peters and
    Schaal 2008, Reinforcement learning of motor skills with policy gradients, section 3.1.
    Ours: one step for all parameters; the objective fixes its own random numbers.

    Args:
        objective: f, from parameters [P] to a number; the same at every call.
        parameters: θ.
        step: h above 0.

    Returns:
        The differences, [P]; wrong by f″ h / 2 to first order. Gradients flow to the
        parameters, as far as the objective lets them.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: the step is not above 0, or the objective returned no single number.

    Example:
        >>> forward_difference(lambda x: x[0] * x[0], torch.tensor([3.0]), step=0.5)
        tensor([6.5000])
    """
    check = Arguments("forward_difference", torch.Tensor)
    check.callable(objective=objective)
    check.floats("P", parameters=parameters)
    check.positive("step", step)

    flat, h = widened(parameters)[0], rounded(step, parameters.dtype)
    values = [check.result("objective", objective(flat.clone()))]
    for i in range(len(flat)):
        values.append(check.result("objective", objective(_moved(flat, i, h))))
    base, ahead = _stacked(values, flat).tensor_split([1])
    return ((ahead - base) / h).to(parameters.dtype)


def central_difference(
    objective: Objective,
    parameters: Float[torch.Tensor, "P"],
    *,
    step: float,
) -> Float[torch.Tensor, "P"]:
    """Central differences of an objective, by 2P evaluations.

        gᵢ = (f(θ + h eᵢ) − f(θ − h eᵢ)) / (2h)

    Source: Nocedal and Wright 2006, Numerical Optimization, eq. 8.7; for policies, Peters and
    Schaal 2008, Reinforcement learning of motor skills with policy gradients, section 3.1.
    Ours: one step for all parameters; the objective fixes its own random numbers.

    Args:
        objective: f, from parameters [P] to a number; the same at every call.
        parameters: θ.
        step: h above 0.

    Returns:
        The differences, [P]; wrong by f‴ h² / 6 to first order. Gradients flow to the
        parameters, as far as the objective lets them.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: the step is not above 0, or the objective returned no single number.

    Example:
        >>> central_difference(lambda x: x[0] * x[0], torch.tensor([3.0]), step=0.5)
        tensor([6.])
    """
    check = Arguments("central_difference", torch.Tensor)
    check.callable(objective=objective)
    check.floats("P", parameters=parameters)
    check.positive("step", step)

    flat, h = widened(parameters)[0], rounded(step, parameters.dtype)
    ahead, behind = [], []
    for i in range(len(flat)):
        ahead.append(check.result("objective", objective(_moved(flat, i, h))))
        behind.append(check.result("objective", objective(_moved(flat, i, -h))))
    return ((_stacked(ahead, flat) - _stacked(behind, flat)) / (2 * h)).to(parameters.dtype)
