"""Both versions of a TRPO function on a case, and what a module's update is told."""

import numpy as np
import pytest
import torch

from rlverify.fast import trpo as fast
from rlverify.reference import trpo as reference
from rlverify.twinning import as_torch

both = pytest.mark.parametrize("topic", [reference, fast], ids=["reference", "fast"])
MODULE_KNOBS = ("distribution", "delta", "damping", "cg_iterations", "cg_tolerance", "backtrack",
                "max_backtracks")  # fmt: skip


def run(topic, name, case):
    """Run one version on a case in float64."""
    arguments = dict(case.arguments)
    return getattr(topic, name)(
        **(arguments if topic is reference else as_torch(arguments, "float64"))
    )


def bits(array):
    """Return the bytes of an array of either kind."""
    return np.asarray(array.detach() if isinstance(array, torch.Tensor) else array).tobytes()


def knobs_of(case, **changes):
    """Return what a module's update is told."""
    return {**{name: case[name] for name in MODULE_KNOBS}, **changes}


def samples_of(case):
    """Return inputs, actions, log-probabilities and advantages as float64 tensors."""
    tensors = as_torch(dict(case.arguments), "float64")
    return [tensors[name] for name in ("inputs", "actions", "log_probs", "advantages")]
