"""Schedules: how a coefficient moves over the updates of a run.

The one thing to settle is what is counted. Here `step` is the number of updates that are done,
so the first update of U runs at step 0, with `start`, and the last one at step U − 1, with
start + (end − start) (U − 1)/U: what is annealed to 0 is still start/U in the last update.
A schedule that is counted in epochs is this one, given epochs.
"""

from typing import Any

import numpy as np
from jaxtyping import Float

from rlverify.errors import Arguments


def linear_schedule(
    step: Float[np.ndarray, "..."] | float, *, start: float, end: float, steps: float
) -> Float[np.ndarray, "..."] | float:
    """Line from start to end, then end for ever.

        value = end + (start − end) · (1 − f)        f = min(max(step/steps, 0), 1)

    Source: Mnih et al. 2015, "Human-level control through deep reinforcement learning", methods
    (ε from 1 to 0.1 over a million frames, fixed thereafter); Schulman et al. 2017,
    arXiv:1707.06347, table 5 (step size and clip range of PPO times α, from 1 to 0).
    Ours: counts from 0; before step 0 it is start. In the form that counts down what remains,
    as Stable-Baselines3 does, which costs digits where the value is small beside both ends; the
    bound allows for it.

    Args:
        step: how many updates are done, a number or an array of any shape.
        start: value at step 0.
        end: value at `steps` and after it.
        steps: where the end is reached.

    Returns:
        The value: a number for a number, an array of the same shape for an array.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: steps is not a finite number above 0.

    Example:
        >>> linear_schedule(1, start=1.0, end=0.5, steps=4)
        0.875
        >>> linear_schedule(np.array([0.0, 4.0, 9.0]), start=1.0, end=0.5, steps=4)
        array([1. , 0.5, 0.5])
    """
    check = Arguments("linear_schedule", np.ndarray, exact=True)
    if isinstance(step, np.ndarray):
        check.floats("...", step=step)
    else:
        check.number("step", step)
    check.number("start", start)
    check.number("end", end)
    check.positive("steps", steps)

    if not isinstance(step, np.ndarray):
        value: float = _on_the_line(step, start, end, steps)
        return value
    values = np.empty_like(step)  # keeps Fraction objects exact
    for i in np.ndindex(step.shape):
        values[i] = _on_the_line(step[i], start, end, steps)
    return values


def _on_the_line(step: Any, start: Any, end: Any, steps: Any) -> Any:
    """Return the value at one step."""
    if step >= steps:
        fraction = 1
    elif step <= 0:
        fraction = 0
    else:
        fraction = step / steps  # NaN too
    return end + (start - end) * (1 - fraction)
