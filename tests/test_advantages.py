"""The topic `advantages`: the contract tests, and what only advantages have."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rlverify.contracts import find
from rlverify.fast import advantages as fast
from rlverify.reference import advantages as reference
from rlverify.reference.returns import td_error
from rlverify.rounding import PRECISIONS, Tracked, lifted
from support import *  # noqa: F403 - the contract tests, spread over TOPIC

TOPIC = "advantages"
OFF = np.zeros((4, 1), dtype=bool)
COLUMN = np.array([[1.0], [2.0], [4.0], [8.0]])


@pytest.mark.claim("C29")
def test_gae_weights_the_n_step_errors_as_stated():
    """With three errors the weights are (1−λ), (1−λ)λ, λ² on Ψ₁, Ψ₂, Ψ₃: in fractions."""
    numbers = np.array([[Fraction(3)], [Fraction(5)], [Fraction(7)]], dtype=object)
    off = np.zeros((3, 1), dtype=bool)
    gamma, lam = Fraction(2, 3), Fraction(1, 5)
    deltas = td_error(numbers, 2 * numbers, 9 * numbers, off, gamma=gamma)[:, 0]
    psi = [sum(gamma**k * deltas[k] for k in range(n)) for n in (1, 2, 3)]
    wanted = (1 - lam) * psi[0] + (1 - lam) * lam * psi[1] + lam**2 * psi[2]
    got = reference.gae(numbers, 2 * numbers, 9 * numbers, off, off, gamma=gamma, lam=lam)
    assert got.advantages[0, 0] == wanted


@pytest.mark.claim("C14")
def test_shaping_terms_telescope():
    """Σ γᵗ(γVₜ₊₁ − Vₜ) = γᵀ V_T − V_0, in fractions."""
    values = np.array([[Fraction(v)] for v in (3, 1, 4, 1, 5)], dtype=object)
    zero, off = 0 * values[:-1], np.zeros((4, 1), dtype=bool)
    gamma = Fraction(3, 4)
    got = reference.gae(
        zero, values[:-1], values[1:], off, off, gamma=gamma, lam=Fraction(1)
    ).advantages
    assert got[0, 0] == gamma**4 * values[4, 0] - values[0, 0]


@pytest.mark.claim("C28")
@pytest.mark.claim("C29")
@given(
    numbers=st.lists(st.tuples(*[st.integers(-24, 24)] * 2), min_size=1, max_size=5),
    gamma=st.sampled_from([Fraction(1, 2), Fraction(7, 8), Fraction(1)]),
    lam=st.sampled_from([Fraction(0), Fraction(1, 2), Fraction(7, 8)]),
)
def test_offline_sum_of_errors_is_the_mixture_of_n_step_errors(numbers, gamma, lam):
    """Σ (γλ)ᵗ δₜ = (1 − λ) Σ λᴺ⁻¹ Ψ_N with the last weight λᵏ, of the suite's own, in fractions."""
    table = np.array([[Fraction(x, 8) for x in pair] for pair in numbers], dtype=object)
    rewards, values = table[:, :1], table[:, 1:]
    following = np.concatenate([values[1:], 3 + 0 * values[:1]])
    off = np.zeros(rewards.shape, dtype=bool)
    given_all = (rewards, values, following, off, off)
    last = len(rewards)
    psi = [reference.n_step_advantage(*given_all, gamma=gamma, n=n + 1) for n in range(last)]
    psi = [each.advantages[0, 0] for each in psi]
    weights = [(1 - lam) * lam**n for n in range(last - 1)] + [lam ** (last - 1)]
    forward = sum(weight * error for weight, error in zip(weights, psi, strict=True))
    deltas = td_error(*given_all[:4], gamma=gamma)[:, 0]
    assert forward == sum((gamma * lam) ** t * delta for t, delta in enumerate(deltas))
    assert forward == reference.gae(*given_all, gamma=gamma, lam=lam).advantages[0, 0]


def test_nan_where_nothing_is_read_reaches_neither_results_nor_gradients():
    ended = OFF.copy()
    ended[1] = True
    arrays = [COLUMN.copy() for _ in range(3)]
    for array in arrays:
        array[2:] = np.nan
    arrays[2][1] = np.nan  # the value after a termination
    tensors = [torch.tensor(array, requires_grad=True) for array in arrays]
    flags = [torch.from_numpy(ended), torch.from_numpy(OFF)]
    for name, knobs in (
        ("gae", {"lam": 0.5}), ("monte_carlo_advantage", {}), ("n_step_advantage", {"n": 3}),
    ):  # fmt: skip
        got = getattr(reference, name)(*arrays, ended, OFF, gamma=0.5, **knobs)
        theirs = getattr(fast, name)(*tensors, *flags, gamma=0.5, **knobs)
        assert np.isfinite(got.advantages[:2]).all()
        np.testing.assert_array_equal(theirs.advantages[:2].detach().numpy(), got.advantages[:2])
        gradients = torch.autograd.grad(theirs.advantages[:2].sum(), tensors, allow_unused=True)
        for gradient in gradients:
            assert torch.isfinite(gradient).all()
            assert (gradient[2:] == 0).all()


@given(st.data())
def test_masked_tokens_get_no_gradient_whatever_stands_there(data):
    contract = find("sequence_gae")
    case = data.draw(contract.inputs)
    if case["mask"] is None:
        return
    rewards, values = (torch.tensor(case[k], requires_grad=True) for k in ("rewards", "values"))
    mask = torch.from_numpy(case["mask"])
    gamma = case["gamma"]
    gamma = torch.from_numpy(gamma) if isinstance(gamma, np.ndarray) else gamma
    result = fast.sequence_gae(rewards, values, mask, gamma=gamma, lam=case["lam"])
    assert (result.advantages[~mask] == 0).all()
    assert (result.returns[~mask] == 0).all()
    (result.advantages.sum() + result.returns.sum()).backward()
    for tensor in (rewards, values):
        assert torch.isfinite(tensor.grad).all()
        assert (tensor.grad[~mask] == 0).all()


def root(value):
    """Return the root of a fraction to 200 bits below its own size."""
    scale = 1 << 400
    return Fraction(math.isqrt(value.numerator * value.denominator * scale)) / (
        value.denominator * (1 << 200)
    )


@given(st.data())
def test_normalisation_equals_exact_arithmetic(data):
    """The reference is not rational; its root is taken to 200 bits instead."""
    contract = find("normalize_advantages")
    case = data.draw(contract.inputs)
    mask = case["mask"]
    array = case["advantages"]
    real = [i for i in np.ndindex(array.shape) if mask is None or mask[i]]
    numbers = [Fraction(float(array[i])) for i in real]
    mean = sum(numbers) / len(numbers)
    variance = sum((x - mean) ** 2 for x in numbers) / (len(numbers) - case["ddof"])
    deviation = root(variance) + Fraction(case["eps"])
    got = reference.normalize_advantages(**case.arguments)
    u = PRECISIONS["float64"].unit
    tracked = reference.normalize_advantages(
        **lifted(dict(case.arguments), lambda value: Tracked(value, u))
    )
    for index, number in zip(real, numbers, strict=True):
        bound = tracked[index].running_bound()
        if math.isfinite(bound):
            error = abs(Fraction(float(got[index])) - (number - mean) / deviation)
            assert error <= Fraction(bound)


def test_one_element_has_no_sample_deviation():
    one = np.ones((1, 1))
    with pytest.raises(ValueError, match="leave no degree of freedom"):
        reference.normalize_advantages(one, None, ddof=1, eps=1.0)
    assert reference.normalize_advantages(one, None, ddof=0, eps=1.0).tolist() == [[0.0]]
    assert fast.normalize_advantages(torch.ones(1, 1), None, ddof=0, eps=1.0).tolist() == [[0.0]]
