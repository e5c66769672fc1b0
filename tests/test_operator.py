"""The recurrence as an operator: what PyTorch asks of one, and what compilers make of it."""

import pytest
import torch
from torch import Tensor

from exact_recurrences import Case, gradients, recurrence, within
from rlverify.fast import advantages, returns, traces
from rlverify.fast.kernels.operator import recurrence as operator

DISCOUNTS = {"gamma": 0.9, "lam": 0.8}


def arrays(shape: tuple[int, int] = (6, 3)) -> tuple[Tensor, Tensor, Tensor]:
    """Return x, decay and cut."""
    generator = torch.Generator().manual_seed(0)
    x, decay = torch.rand(2, *shape, generator=generator).unbind(0)
    return x, decay, torch.rand(shape, generator=generator) < 0.3


@pytest.mark.parametrize("forwards", [False, True])
@pytest.mark.parametrize("number", [False, True])
@pytest.mark.parametrize("steps", [1, 6])
def test_operator_is_what_pytorch_asks_of_one(number: bool, forwards: bool, steps: int) -> None:
    x, decay, cut = arrays((steps, 3))
    weight = None if number else decay.double().requires_grad_()
    given = (x.double().requires_grad_(), weight, 0.5, cut, forwards)
    passed = torch.library.opcheck(torch.ops.rlverify.recurrence.default, given)
    assert set(passed.values()) == {"SUCCESS"}


@pytest.mark.parametrize("number", [False, True])
def test_forwards_is_backwards_in_a_mirror(number: bool) -> None:
    x, decay, cut = arrays()
    weight = None if number else decay
    gaps = None if number else decay[:-1].flip(0)
    y = operator(x, weight, 0.5, cut, True)
    last = torch.zeros_like(x[:1])
    mirrored = operator(
        x.flip(0),
        None if gaps is None else torch.cat([gaps, last]),
        0.5,
        torch.cat([cut[:-1].flip(0), last > 0]),
        False,
    )
    assert torch.equal(y, mirrored.flip(0))


@pytest.mark.parametrize("forwards", [False, True])
def test_operator_has_a_right_adjoint(forwards: bool) -> None:
    x, decay, cut = arrays()
    inputs = tuple(array.double().requires_grad_() for array in (x, decay))

    def function(x: Tensor, decay: Tensor) -> Tensor:
        return operator(x, decay, 0.0, cut, forwards)

    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs)


def test_operator_is_the_recurrence() -> None:
    x, decay, cut = arrays()
    case = Case(x.requires_grad_(), decay.requires_grad_(), cut, torch.ones_like(x))
    y = operator(x, decay, 0.0, cut, False)
    within(y, recurrence(case))
    for slope, exact in zip(
        torch.autograd.grad(y, (x, decay), case.other), gradients(case), strict=True
    ):
        within(slope, exact)
    many = torch.vmap(operator, in_dims=(0, None, None, None, None))(
        torch.stack([x, 2 * x]), decay, 0.0, cut, False
    )
    assert torch.equal(many[0], y)
    assert torch.equal(many[1], 2 * y)


def test_public_functions_compile_whole() -> None:
    """One graph without a break, the same answer and slope as without a compiler.

    Without a mask and with one γ: whether a mask is empty, or an array within [0, 1], is asked of
    values that a graph does not have.
    """
    rewards, values, _ = arrays()
    logs, following, cut = arrays()

    def function(rewards: Tensor) -> Tensor:
        steps = (rewards, values, following, cut, ~cut)
        off_policy = (rewards, values, following, logs, cut, ~cut)
        levels = {"rho_bar": 1.0, "c_bar": 1.0, "rho_bar_advantage": 1.0}
        parts = (
            *advantages.gae(*steps, **DISCOUNTS),
            *advantages.sequence_gae(rewards, values, None, **DISCOUNTS),
            returns.lambda_return(rewards, following, cut, ~cut, **DISCOUNTS),
            returns.discounted_return(rewards, following, cut, ~cut, gamma=0.9),
            traces.retrace(*off_policy, **DISCOUNTS),
            *traces.vtrace(*off_policy, **DISCOUNTS, **levels),
        )
        return torch.stack(parts).square().sum()

    torch.compiler.reset()
    compiled = torch.compile(function, backend="aot_eager", fullgraph=True)
    plain = rewards.clone().requires_grad_()
    traced = rewards.clone().requires_grad_()
    assert torch.equal(compiled(traced), function(plain))
    (wanted,) = torch.autograd.grad(function(plain), plain)
    (got,) = torch.autograd.grad(compiled(traced), traced)
    assert torch.equal(got, wanted)
