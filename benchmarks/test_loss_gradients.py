"""Losses with their gradients, beside what people write and autograd differentiates.

The races of `bench_ppo` and `bench_grpo` time values; training needs gradients.
"""

from collections.abc import Callable

import pytest
import torch
from bench_grpo import textbook_loss
from bench_ppo import textbook_clip
from bench_token_log_probs import log_softmax_gathered

from racing import clocked
from rlverify.contracts import find
from rlverify.twinning import as_torch

Tensor = torch.Tensor
TEXTBOOK = {
    "ppo_clip_loss": ((65536,), textbook_clip),
    "grpo_loss": ((1024, 1024), textbook_loss),
    "selected_log_probs": ((4, 256, 8192), log_softmax_gathered),
}
names = pytest.mark.parametrize("name", TEXTBOOK)


def slope(function: Callable[..., Tensor], arguments: dict, first: str) -> Tensor:
    """Return the gradient of a sum in the first argument."""
    moving = arguments[first].detach().requires_grad_()
    (found,) = torch.autograd.grad(function(**{**arguments, first: moving}).sum(), moving)
    return found


@clocked
@names
@pytest.mark.parametrize("runner", ["fast", "textbook"])
def test_value_and_gradient(name: str, runner: str, benchmark: Callable) -> None:
    """Time a forward and a backward pass; both runners must agree to half their digits."""
    shape, textbook = TEXTBOOK[name]
    contract = find(name)
    arguments = as_torch(dict(contract.sized(shape).arguments), "float32")
    functions = {"fast": contract.fast, "textbook": textbook}
    first = contract.first.name
    got, wanted = (slope(function, arguments, first) for function in functions.values())
    assert (got - wanted).norm() <= 2.0**-12 * wanted.norm()
    benchmark.group = f"{name} with gradient {'x'.join(map(str, shape))}"
    benchmark(lambda: slope(functions[runner], arguments, first))
