"""Arrays of finite processes for planning, and how far rounding moves what is planned."""

import numpy as np
import torch

from rational_mdp import rounding
from rlverify.fast import dynamic_programming as fast

NAMES = ("transition", "reward", "terminal")
ENVIRONMENTS = ("FrozenLake-v1", "CliffWalking-v1", "Taxi-v4")
TOLERANCE = 2.0**-20


def arrays(mdp):
    """The arrays of a process, for the reference."""
    return {name: getattr(mdp, name) for name in NAMES}


def tensors(*processes, dtype=torch.float64):
    """The arrays of processes of one size, for the fast version; of one, without leading axis."""
    found = {}
    for name in NAMES:
        many = torch.from_numpy(np.stack([getattr(mdp, name) for mdp in processes]))
        many = many if name == "terminal" else many.to(dtype)
        found[name] = many if len(processes) > 1 else many[0]
    return found


def error(arguments, values, gamma):
    """How far values may lie from the best: ‖T V − V‖ / (1 − γ), its own rounding counted.

    An action value is a sum of 2S terms of at most three products, of size R + γ max|V|.
    """
    reward, states = arguments["reward"], arguments["reward"].shape[-1]
    table = fast.action_values(**arguments, values=values, gamma=gamma)
    moved = (table.amax(-1) - values).abs().amax(-1)
    size = reward.abs().amax((-3, -2, -1)) + values.abs().amax(-1)
    unit = torch.finfo(values.dtype).eps / 2
    return (moved + float(rounding(2 * states + 4)) * unit * 2.0**53 * size) / (1 - gamma)


def swept_error(arguments, values, gamma):
    """What rounding adds up to in any number of sweeps: 1/(1−γ) times that of one."""
    still = torch.zeros_like(values)
    size = arguments["reward"].abs().amax((-3, -2, -1)) + values.abs().amax(-1)
    unit = torch.finfo(values.dtype).eps / 2
    count = float(rounding(2 * values.shape[-1] + 4)) * unit * 2.0**53
    return (still.amax(-1) + 2 * count * size) / (1 - gamma)


def many(count, states, actions, seed=0):
    """Random processes, of which some steps end."""
    generator = torch.Generator().manual_seed(seed)
    shape = (count, states, actions, states)
    weights = torch.rand(shape, generator=generator)
    return {
        "transition": weights / weights.sum(-1, keepdim=True),
        "reward": torch.rand(shape, generator=generator) * 2 - 1,
        "terminal": torch.rand(shape, generator=generator) < 0.02,
    }
