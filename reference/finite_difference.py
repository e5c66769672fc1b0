"""Finite differences: the gradient of an objective that can only be evaluated.

    forward   (f(θ + h eᵢ) − f(θ)) / h                 error  f″ h / 2 + …      P + 1 evaluations
    central   (f(θ + h eᵢ) − f(θ − h eᵢ)) / (2h)       error  f‴ h² / 6 + …     2P evaluations

with eᵢ the i-th unit vector and derivatives in its direction. The objective is a function of
the parameters alone. One that simulates must fix its random numbers inside, by seeding a
generator of its own at every call (common random numbers):

    def objective(parameters):
        rng = np.random.default_rng(0)
        return average_return(parameters, rng)

Otherwise the noise of two evaluations does not cancel. With independent noise of variance v an
element's variance is 2v/h² (forward) and v/(2h²) (central): the smaller the step, the worse. The
identity to remember: mean squared error = (error above)² + variance.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

from rlverify.errors import Arguments

Objective = Callable[[np.ndarray], Any]


def _moved(parameters: np.ndarray, i: int, step: Any) -> np.ndarray:
    """Return the parameters with a step added to the i-th."""
    moved = parameters.copy()
    moved[i] = parameters[i] + step
    return moved


def forward_difference(
    objective: Objective,
    parameters: Float[np.ndarray, "P"],
    *,
    step: float,
) -> Float[np.ndarray, "P"]:
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
        The differences, [P]; wrong by f″ h / 2 to first order.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: the step is not above 0, or the objective returned no single number.

    Example:
        >>> forward_difference(lambda x: x[0] * x[0], np.array([3.0]), step=0.5)
        array([6.5])
    """
    check = Arguments("forward_difference", np.ndarray, exact=True)
    check.callable(objective=objective)
    check.floats("P", parameters=parameters)
    check.positive("step", step)

    gradient = np.empty_like(parameters)
    base = check.result("objective", objective(parameters.copy()))
    for i in range(parameters.size):
        ahead = check.result("objective", objective(_moved(parameters, i, step)))
        gradient[i] = (ahead - base) / step
    return gradient


def central_difference(
    objective: Objective,
    parameters: Float[np.ndarray, "P"],
    *,
    step: float,
) -> Float[np.ndarray, "P"]:
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
        The differences, [P]; wrong by f‴ h² / 6 to first order.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: the step is not above 0, or the objective returned no single number.

    Example:
        >>> central_difference(lambda x: x[0] * x[0], np.array([3.0]), step=0.5)
        array([6.])
    """
    check = Arguments("central_difference", np.ndarray, exact=True)
    check.callable(objective=objective)
    check.floats("P", parameters=parameters)
    check.positive("step", step)

    gradient = np.empty_like(parameters)
    for i in range(parameters.size):
        ahead = check.result("objective", objective(_moved(parameters, i, step)))
        behind = check.result("objective", objective(_moved(parameters, i, -step)))
        gradient[i] = (ahead - behind) / (2 * step)
    return gradient
