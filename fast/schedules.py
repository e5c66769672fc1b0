"""Schedules: how a coefficient moves over the updates of a run, in PyTorch.

The one thing to settle is what is counted. Here `step` is the number of updates that are done,
so the first update of U runs at step 0, with `start`, and the last one at step U − 1, with
start + (end − start) (U − 1)/U: what is annealed to 0 is still start/U in the last update.
A schedule that is counted in epochs is this one, given epochs.

Half precision is computed in float32 and rounded once.
"""

import torch
from jaxtyping import Float

from rlverify.errors import Arguments
from rlverify.fast._steps import widened
from rlverify.fast.scan import rounded


def linear_schedule(
    step: Float[torch.Tensor, "..."] | float, *, start: float, end: float, steps: float
) -> Float[torch.Tensor, "..."] | float:
    """Line from start to end, then end for ever.

        value = end + (start − end) · (1 − f)        f = min(max(step/steps, 0), 1)

    Source: Mnih et al. 2015, "Human-level control through deep reinforcement learning", methods
    (ε from 1 to 0.1 over a million frames, fixed thereafter); Schulman et al. 2017,
    arXiv:1707.06347, table 5 (step size and clip range of PPO times α, from 1 to 0).
    Ours: counts from 0; before step 0 it is start. Both ends are met exactly. A number
    gives a number, which is what a loop hands on to its optimiser; no gradient flows.

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
        >>> linear_schedule(torch.tensor([0.0, 4.0, 9.0]), start=1.0, end=0.5, steps=4)
        tensor([1.0000, 0.5000, 0.5000])
    """
    check = Arguments("linear_schedule", torch.Tensor)
    if isinstance(step, torch.Tensor):
        check.floats("...", step=step)
    else:
        check.number("step", step)
    check.number("start", start)
    check.number("end", end)
    check.positive("steps", steps)

    if not isinstance(step, torch.Tensor):
        fraction = min(max(step / steps, 0), 1) if step == step else step  # min would hide NaN
        if fraction < 0.5:
            return start + (end - start) * fraction
        return end + (start - end) * (1 - fraction)
    (wide,) = widened(step.detach())
    fractions = (wide / rounded(steps, step.dtype)).clamp(0, 1)
    first, last = (wide.new_tensor(rounded(number, step.dtype)) for number in (start, end))
    return torch.lerp(first, last, fractions).to(step.dtype)
