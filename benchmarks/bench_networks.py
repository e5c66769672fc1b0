"""How long perceptrons take: this library, torch.nn with autograd, torch.func, a copy."""

import warnings
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch

from rlverify.contracts import find
from rlverify.fast import networks as fast

pytestmark = pytest.mark.benchmark(max_time=0.2, min_rounds=5, warmup=True, warmup_iterations=2)

NAMES = ["mlp_forward", "mlp_backward", "mlp_jvp"]
SHAPES = find("mlp_forward").sizes[1:]
ids = ["x".join(map(str, shape)) for shape in SHAPES]


@pytest.mark.parametrize("shape", SHAPES, ids=ids)
@pytest.mark.parametrize("name", NAMES)
def test_fast(name: str, shape: tuple[int, ...], race: Callable) -> None:
    race(name, shape)


@pytest.mark.parametrize("shape", SHAPES, ids=ids)
@pytest.mark.parametrize("name", NAMES)
def test_copy(name: str, shape: tuple[int, ...], race_copy: Callable) -> None:
    race_copy(name, shape)


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
    def forward(vector: torch.Tensor) -> torch.Tensor:
        return fast.mlp_forward(vector, inputs, sizes=sizes, activation=activation)

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
    def forward(vector: torch.Tensor) -> torch.Tensor:
        return fast.mlp_forward(vector, inputs, sizes=sizes, activation=activation)

    with warnings.catch_warnings():  # it compiles formulas the deprecated way
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.func.jvp(forward, (parameters,), (tangents,))[1]


PEERS = [
    ("mlp_forward", torch_nn),
    ("mlp_backward", torch_autograd),
    ("mlp_backward", torch_vjp),
    ("mlp_jvp", torch_jvp),
]


@pytest.mark.parametrize("shape", SHAPES, ids=ids)
@pytest.mark.parametrize(("name", "peer"), PEERS, ids=[peer.__name__ for _, peer in PEERS])
def test_peer(name: str, peer: Callable, shape: tuple[int, ...], race: Callable) -> None:
    race(name, shape, peer)
