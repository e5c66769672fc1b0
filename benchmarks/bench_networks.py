"""How long perceptrons take: this library, torch.nn with autograd, torch.func, a copy."""

import warnings
from functools import partial
from itertools import pairwise

import torch

from racing import test_copy, test_fast, test_peer  # noqa: F401
from rlverify.fast import networks as fast

TOPIC = "networks"


MODULES: dict[tuple, torch.nn.Module] = {}


def module(
    parameters: torch.Tensor, sizes: tuple[int, ...], activation: str
) -> torch.nn.Sequential:
    """Return a module with these parameters; made once, as training code does.

    A benchmark's case is drawn from its sizes, so equal sizes have equal parameters.
    """
    key = (sizes, activation)
    if key not in MODULES:
        layers: list[torch.nn.Module] = []
        for width, following in pairwise(sizes):
            layers.append(torch.nn.Linear(width, following, dtype=parameters.dtype))
            layers.append(torch.nn.Tanh() if activation == "tanh" else torch.nn.ReLU())
        made = torch.nn.Sequential(*layers[:-1])
        torch.nn.utils.vector_to_parameters(parameters, made.parameters())
        MODULES[key] = made
    return MODULES[key]


def torch_nn(
    parameters: torch.Tensor, inputs: torch.Tensor, *, sizes: tuple[int, ...], activation: str
) -> torch.Tensor:
    with torch.no_grad():
        return module(parameters, sizes, activation)(inputs)


def torch_autograd(
    parameters: torch.Tensor,
    inputs: torch.Tensor,
    cotangents: torch.Tensor,
    *,
    sizes: tuple[int, ...],
    activation: str,
) -> torch.Tensor:
    network = module(parameters, sizes, activation)
    gradients = torch.autograd.grad(network(inputs), list(network.parameters()), cotangents)
    return torch.cat([gradient.reshape(-1) for gradient in gradients])


def torch_vjp(
    parameters: torch.Tensor,
    inputs: torch.Tensor,
    cotangents: torch.Tensor,
    *,
    sizes: tuple[int, ...],
    activation: str,
) -> torch.Tensor:
    forward = partial(fast.mlp_forward, inputs=inputs, sizes=sizes, activation=activation)
    (gradient,) = torch.func.vjp(forward, parameters)[1](cotangents)
    return gradient


def torch_jvp(
    parameters: torch.Tensor,
    inputs: torch.Tensor,
    tangents: torch.Tensor,
    *,
    sizes: tuple[int, ...],
    activation: str,
) -> torch.Tensor:
    forward = partial(fast.mlp_forward, inputs=inputs, sizes=sizes, activation=activation)
    with warnings.catch_warnings():  # it compiles formulas the deprecated way
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.func.jvp(forward, (parameters,), (tangents,))[1]


PEERS = {
    "mlp_forward": torch_nn,
    "mlp_backward": (torch_autograd, torch_vjp),
    "mlp_jvp": torch_jvp,
}
