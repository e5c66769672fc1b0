"""Optimisers, beside torch.optim's functions and a copy of the bytes."""

import torch
from torch.optim.adam import adam as torch_adam
from torch.optim.rmsprop import rmsprop as torch_rmsprop
from torch.optim.sgd import sgd as torch_sgd

from racing import test_copy, test_fast, test_peer  # noqa: F401

TOPIC = "optimizers"
Tensor = torch.Tensor


class Updated:
    """Results by name."""

    _fields = ()

    def __init__(self, **results: Tensor) -> None:
        vars(self).update(results)


def torchs_sgd(parameters: Tensor, gradients: Tensor, velocity: Tensor, **knobs: float) -> Updated:
    """Clone what torch writes to."""
    place, speed = parameters.clone(), velocity.clone()
    torch_sgd(
        [place], [gradients], [speed], weight_decay=0.0, momentum=knobs["momentum"],
        lr=knobs["learning_rate"], dampening=0.0, nesterov=False, maximize=False,
    )  # fmt: skip
    return Updated(parameters=place, velocity=speed)


def torchs_adam(
    parameters: Tensor, gradients: Tensor, first: Tensor, second: Tensor, **knobs: float
) -> Updated:
    """Clone what torch writes to."""
    place, mean, spread = parameters.clone(), first.clone(), second.clone()
    torch_adam(
        [place], [gradients], [mean], [spread], [], [torch.tensor(knobs["count"] - 1.0)],
        amsgrad=False, beta1=knobs["beta1"], beta2=knobs["beta2"], lr=knobs["learning_rate"],
        weight_decay=0.0, eps=knobs["eps"], maximize=False,
    )  # fmt: skip
    return Updated(parameters=place, first=mean, second=spread)


def torchs_rmsprop(
    parameters: Tensor, gradients: Tensor, squares: Tensor, **knobs: float
) -> Updated:
    """Clone what torch writes to."""
    assert not knobs["eps_inside"]
    place, average = parameters.clone(), squares.clone()
    torch_rmsprop(
        [place], [gradients], [average], [], [], [torch.tensor(1.0)], lr=knobs["learning_rate"],
        alpha=knobs["decay"], eps=knobs["eps"], weight_decay=0.0, momentum=0.0, centered=False,
    )  # fmt: skip
    return Updated(parameters=place, squares=average)


def textbook_clip(gradients: Tensor, *, max_norm: float) -> Updated:
    """Multiply by the smaller factor."""
    norm = torch.linalg.vector_norm(gradients)
    return Updated(gradients=gradients * (max_norm / norm).clamp(max=1), norm=norm)


PEERS = {
    "sgd": torchs_sgd,
    "adam": torchs_adam,
    "rmsprop": torchs_rmsprop,
    "clip_grad_norm": textbook_clip,
}
