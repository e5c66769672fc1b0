"""How long whole updates of PPO take: this library, autograd with torch.optim.Adam, a copy."""

from collections.abc import Callable
from typing import Any

import torch

from racing import test_copy, test_fast, test_peer  # noqa: F401
from rlverify.contracts import _update_forms as forms
from rlverify.fast.ppo_update import PpoUpdate, ValueUpdate

TOPIC = "ppo_update"
Tensor = torch.Tensor


def as_named(form: Callable[..., tuple[Any, ...]], names: type) -> Callable[..., Any]:
    """Return a form that takes and returns NumPy arrays as one that is raced."""

    def run(**arguments: Any) -> Any:
        like = next(v for v in arguments.values() if isinstance(v, Tensor))
        arrays = {k: v.numpy() if isinstance(v, Tensor) else v for k, v in arguments.items()}
        return names(*(torch.tensor(array, dtype=like.dtype) for array in form(**arrays)))

    run.__name__ = form.__name__
    return run


PEERS = {
    "ppo_update": as_named(forms.autograd_ppo, PpoUpdate),
    "value_update": as_named(forms.autograd_value, ValueUpdate),
}
