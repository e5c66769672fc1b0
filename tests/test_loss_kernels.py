"""The compiled losses: as the formulas have them, whatever the length, the mask, the numbers."""

import itertools
import math

import mpmath
import numpy as np
import pytest
import torch

from rlverify.fast import _losses, grpo, ppo
from rlverify.fast.kernels import loading
from rlverify.fast.kernels.calling import REALS

DTYPES = [torch.float32, torch.float64]
dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=["float32", "float64"])
compiled = pytest.mark.skipif(
    loading.kernel("clipped", "float32") is None, reason="no kernels on this machine"
)
LENGTHS = (1, 7, 1024, 1025, 2500)  # below, at and beyond a piece, and with a rest


def drawn(shape, dtype, *, spread=0.5):
    generator = torch.Generator().manual_seed(sum(shape))
    now, old, other = (torch.randn(shape, generator=generator, dtype=dtype) for _ in range(3))
    mask = torch.rand(shape, generator=generator) < 0.75
    mask[..., 0] = True
    if mask.dim() == 2 and len(mask) > 2:
        mask[2] = False
    return now, now + spread * old, other, mask


def both(loss, moving, monkeypatch):
    """Return loss and gradient by the kernel and by the formula, of a function of an array."""
    found = []
    for applies in (True, False):
        with monkeypatch.context() as patch:
            if not applies:
                patch.setattr(_losses, "_swept", lambda *_: None)
            leaf = moving.clone().requires_grad_()
            value = loss(leaf)
            found.append((value.detach(), *torch.autograd.grad(value, leaf)))
    return found


def agree(got, wanted, size, dtype):
    """Whether both sides are within sixteen roundings of numbers of that size."""
    return bool(((got - wanted).abs() <= 16 * torch.finfo(dtype).eps * size).all())


@compiled
@dtypes
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("length", LENGTHS)
def test_losses_of_ppo_are_those_of_the_formula(length, masked, dtype, monkeypatch):
    now, old, gains, mask = drawn((length,), dtype)
    mask = mask if masked else None
    for loss in (
        lambda x: ppo.ppo_clip_loss(x, old, gains, mask, clip_range=(0.25, 0.5)),
        lambda x: ppo.clipped_value_loss(x, old, gains, mask, clip_range=0.25),
    ):
        (value, slope), (wanted, slopes) = both(loss, now, monkeypatch)
        # terms may cancel in the loss, and are below e³ each
        assert agree(value, wanted, math.e**3, dtype)
        assert agree(slope, slopes, slopes.abs().max(), dtype)
        assert torch.equal(slope == 0, slopes == 0)


@compiled
@dtypes
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("shape", [(1, 1), (4, 7), (3, 1025)])
def test_tokens_are_those_of_the_formula(shape, masked, dtype, monkeypatch):
    now, old, reference, mask = drawn(shape, dtype)
    mask, gains = mask if masked else None, torch.linspace(-2, 2, shape[0], dtype=dtype)
    words = itertools.product(
        (0.0, 0.5), ("k1", "k2", "k3"), ("token_mean", "sequence_mean", "constant")
    )
    for beta, estimator, aggregation in words:
        knobs = {"clip_range": 0.25, "beta": beta, "kl_estimator": estimator, "ratio": "token",
                 "aggregation": aggregation, "normalizer": 3.0}  # fmt: skip

        def loss(x, knobs=knobs):
            return grpo.grpo_loss(x, old, reference, gains, mask, **knobs)

        (value, slope), (wanted, slopes) = both(loss, now, monkeypatch)
        size = math.e**4 * (mask if masked else torch.ones(shape)).sum()
        assert agree(value, wanted, size, dtype)
        assert agree(slope, slopes, slopes.abs().max(), dtype)


@compiled
@dtypes
def test_the_exponential_is_within_two_roundings(dtype):
    """From below the least number to beyond the greatest, by way of ρ = exp(now − 0)."""
    info = torch.finfo(dtype)
    least, most = math.log(info.tiny) - 20, math.log(info.max) + 1
    x = torch.linspace(least, most, 2001, dtype=dtype)
    x = torch.cat([x, torch.tensor([math.inf, -math.inf, math.nan, 0.0], dtype=dtype)])
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    slopes, _ = _losses._swept("clipped", (x, zero, -one), None, None, (0.0, 1.0))
    for number, power in zip(x.tolist(), (-slopes).tolist(), strict=True):
        if math.isnan(number):
            assert math.isnan(power)
            continue
        with mpmath.workdps(50):
            truth = mpmath.exp(number)
        if truth > info.max * (1 + info.eps):
            assert power == math.inf
        elif truth < info.max:
            # a subnormal is rounded to the spacing of its kind
            assert abs(power - truth) <= info.eps * truth + info.smallest_normal * info.eps


@compiled
@dtypes
def test_k3_keeps_its_digits_near_zero(dtype):
    """It is d²/2 (1 + d/3 + …) where d is small, and eᵈ − 1 − d would be all rounding."""
    d = torch.logspace(-6, 0, 200, dtype=torch.float64).to(dtype)[:, None]
    d = torch.cat([d, -d])
    for row in d[::7]:
        knobs = {"clip_range": 0.25, "beta": 1.0, "kl_estimator": "k3", "ratio": "token",
                 "aggregation": "constant", "normalizer": 1.0}  # fmt: skip
        zero = torch.zeros((1, 1), dtype=dtype)
        found = grpo.grpo_loss(zero, zero, row[None], zero[0], None, **knobs)
        with mpmath.workdps(50):
            number = mpmath.mpf(row.item())
            truth = mpmath.expm1(number) - number
        share = 4 if abs(number) < math.log(2) / 2 else 16  # e − 1 − d cancels beyond
        assert abs(found.item() - truth) <= share * torch.finfo(dtype).eps * truth


def test_second_derivatives_and_transforms_take_the_formula():
    old, gains = torch.zeros(6, dtype=torch.float64), torch.linspace(-1, 1, 6).double()
    x = torch.linspace(-1, 1, 6, dtype=torch.float64, requires_grad=True)

    def loss(x):
        return ppo.ppo_clip_loss(x, old, gains, None, clip_range=0.25)

    assert torch.autograd.gradcheck(loss, x)
    assert torch.autograd.gradgradcheck(loss, x)
    mapped = torch.func.grad(loss)(x.detach())
    assert agree(mapped, torch.autograd.grad(loss(x), x)[0], 1, torch.float64)


def test_without_kernels_the_formula_takes_over(monkeypatch):
    now, old, gains, mask = drawn((50,), torch.float32)
    found = ppo.ppo_clip_loss(now, old, gains, mask, clip_range=0.25)
    monkeypatch.setattr(loading, "kernel", lambda *_: None)
    wanted = ppo.ppo_clip_loss(now, old, gains, mask, clip_range=0.25)
    assert agree(found, wanted, math.e**3, torch.float32)


@compiled
def test_what_is_clipped_is_flat_however_large_the_ratio():
    """An infinite ratio times 0 would be NaN, and times A ≥ 0 it is clipped away."""
    now = torch.tensor([1e4, 1e4, -1e4, 0.0], requires_grad=True)
    gains = torch.tensor([0.0, 1.0, -1.0, np.float32(2)])
    loss = ppo.ppo_clip_loss(now, torch.zeros(4), gains, None, clip_range=0.5)
    assert loss.item() == -(0 + 1.5 - 0.5 + 2) / 4
    assert torch.autograd.grad(loss, now)[0].tolist() == [0, 0, 0, -0.5]
    assert set(REALS) == set(DTYPES)
