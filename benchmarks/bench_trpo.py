"""Trust region updates, beside the usual way and a copy of the bytes.

The usual way differentiates the KL twice in every product of the conjugate gradients.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import pytest
import torch

from rlverify.contracts import find

Tensor = torch.Tensor
NAMES = ("surrogate", "step_length", "line_search")
RUNS = [(name, shape) for name in NAMES for shape in find(name).sizes[1:]]
UPDATES = find("trpo_update").sizes[1:]


def named(runs: Sequence[tuple[str, tuple[int, ...]]]) -> list[str]:
    """Return ids of runs."""
    return [f"{name}-{'x'.join(map(str, shape))}" for name, shape in runs]


runs = pytest.mark.parametrize(("name", "shape"), RUNS, ids=named(RUNS))
updates = pytest.mark.parametrize("shape", UPDATES, ids=["x".join(map(str, s)) for s in UPDATES])


def textbook_surrogate(log_probs: Tensor, old_log_probs: Tensor, advantages: Tensor,
                       mask: Tensor | None) -> Tensor:  # fmt: skip
    """Weigh by the mask."""
    ratio = (log_probs - old_log_probs).exp() * advantages
    return ratio.mean() if mask is None else (ratio * mask).sum() / mask.sum()


def textbook_length(direction: Tensor, curvature_product: Tensor, *, delta: float) -> Tensor:
    """Write it down."""
    return (2 * delta / (direction * curvature_product).sum()).sqrt()


class Updated:
    """Results by name."""

    _fields = ()

    def __init__(self, **results: Tensor) -> None:
        vars(self).update(results)


def textbook_search(objective: Callable, constraint: Callable, parameters: Tensor, step: Tensor, *,
                    delta: float, backtrack: float, max_backtracks: int) -> Updated:  # fmt: skip
    """Try one after the other."""
    for j in range(max_backtracks):
        place = parameters + backtrack**j * step
        if objective(place) > 0 and constraint(place) <= delta:
            return Updated(
                parameters=place, accepted=torch.tensor(True), tries=torch.tensor(j + 1)
            )  # fmt: skip
    raise AssertionError("the benchmark's search accepts")


PEERS = {
    "surrogate": textbook_surrogate,
    "step_length": textbook_length,
    "line_search": textbook_search,
}


def double_backward(parameters: Tensor, inputs: Tensor, actions: Tensor, log_probs: Tensor,
                    advantages: Tensor, **knobs: Any) -> Updated:  # fmt: skip
    """Differentiate the KL twice in each product, as Spinning Up and sb3-contrib do."""

    def policy(theta: Tensor) -> torch.distributions.Distribution:
        x, start = inputs, 0
        widths = list(pairwise(knobs["sizes"]))
        for k, (i, o) in enumerate(widths):
            weight, start = theta[start : start + i * o].reshape(o, i), start + i * o
            x, start = x @ weight.T + theta[start : start + o], start + o
            x = x.tanh() if k < len(widths) - 1 else x
        normal = torch.distributions.Normal(x, theta[start:].exp(), validate_args=False)
        return torch.distributions.Independent(normal, 1, validate_args=False)

    def surrogate(theta: Tensor) -> Tensor:
        return ((policy(theta).log_prob(actions) - log_probs).exp() * advantages).mean()

    theta, old = parameters.clone().requires_grad_(), policy(parameters)

    def kl(theta: Tensor) -> Tensor:
        return torch.distributions.kl_divergence(old, policy(theta)).mean()

    (g,) = torch.autograd.grad(surrogate(theta), theta)
    (slope,) = torch.autograd.grad(kl(theta), theta, create_graph=True)

    def product(v: Tensor) -> Tensor:
        return torch.autograd.grad(slope @ v, theta, retain_graph=True)[0] + knobs["damping"] * v

    x, r, p = torch.zeros_like(g), g.clone(), g.clone()
    squared = enough = r @ r
    for _ in range(knobs["cg_iterations"]):
        if squared <= knobs["cg_tolerance"] ** 2 * enough:
            break
        curved = product(p)
        alpha = squared / (p @ curved)
        x, r = x + alpha * p, r - alpha * curved
        squared, last = r @ r, squared
        p = r + squared / last * p
    step = (2 * knobs["delta"] / (x @ product(x))).sqrt() * x
    with torch.no_grad():
        start = surrogate(parameters)
        for j in range(knobs["max_backtracks"]):
            place = parameters + knobs["backtrack"] ** j * step
            gain, away = surrogate(place) - start, kl(place)
            if gain > 0 and away <= knobs["delta"]:
                return Updated(
                    parameters=place, accepted=torch.tensor(True), tries=torch.tensor(j + 1),
                    surrogate=gain, kl=away,
                )  # fmt: skip
    raise AssertionError("the benchmark's update accepts")


@runs
def test_fast(race: Callable, name: str, shape: tuple[int, ...]):
    race(name, shape)


@runs
def test_textbook(race: Callable, name: str, shape: tuple[int, ...]):
    race(name, shape, PEERS[name])


@runs
def test_copy(race_copy: Callable, name: str, shape: tuple[int, ...]):
    race_copy(name, shape)


@updates
def test_fast_update(race: Callable, shape: tuple[int, ...]):
    race("trpo_update", shape)


@updates
def test_double_backward_update(race: Callable, shape: tuple[int, ...]):
    race("trpo_update", shape, double_backward)


@updates
def test_copy_update(race_copy: Callable, shape: tuple[int, ...]):
    race_copy("trpo_update", shape)
