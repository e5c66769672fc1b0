"""The topic `returns`: the contract tests, and what only returns have."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from rlverify.fast import returns as fast
from rlverify.reference import returns as reference
from support import *  # noqa: F403 - the contract tests, spread over TOPIC

TOPIC = "returns"
OFF = np.zeros((4, 1), dtype=bool)
COLUMN = np.array([[1.0], [2.0], [4.0], [8.0]])
TWINS = [reference, fast]


def both(name, *arrays, **knobs):
    """Run both twins on NumPy arrays; they must agree bitwise on these dyadic numbers."""
    ours = getattr(reference, name)(*arrays, **knobs)
    tensors = [torch.from_numpy(np.array(array)) for array in arrays]
    theirs = getattr(fast, name)(*tensors, **knobs).numpy()
    np.testing.assert_array_equal(ours, theirs)
    return ours


def test_return_of_one_reward_is_its_discounted_value():
    rewards = np.array([[0.0], [0.0], [0.0], [1.0]])
    ended = OFF.copy()
    ended[3] = True
    got = both("discounted_return", rewards, COLUMN, ended, OFF, gamma=0.5)
    assert got[:, 0].tolist() == [0.125, 0.25, 0.5, 1.0]


@pytest.mark.claim("C36")
def test_dropping_the_bootstrap_at_a_time_limit_costs_exactly_its_value():
    """With V(s') = 8 at a time limit after k steps the bias is γᵏ · 8; at a true end likewise."""
    limit, ended = OFF.copy(), OFF.copy()
    limit[2] = ended[2] = True
    right = both("discounted_return", COLUMN, 8 + 0 * COLUMN, OFF, limit, gamma=0.5)
    wrong = both("discounted_return", COLUMN, 8 + 0 * COLUMN, ended, OFF, gamma=0.5)
    assert (right - wrong)[:3, 0].tolist() == [8 / 8, 8 / 4, 8 / 2]
    assert (right - wrong)[3, 0] == 0


def test_n_steps_beyond_the_end_are_the_discounted_return():
    for n in (4, 5, 10**6):
        whole = both("discounted_return", COLUMN, 3 * COLUMN, OFF, OFF, gamma=0.5)
        got = both("n_step_return", COLUMN, 3 * COLUMN, OFF, OFF, gamma=0.5, n=n)
        np.testing.assert_array_equal(got, whole)


def test_lambda_return_runs_from_one_step_to_the_whole():
    one = both("n_step_return", COLUMN, 3 * COLUMN, OFF, OFF, gamma=0.5, n=1)
    whole = both("discounted_return", COLUMN, 3 * COLUMN, OFF, OFF, gamma=0.5)
    for lam, wanted in ((0.0, one), (1.0, whole)):
        got = both("lambda_return", COLUMN, 3 * COLUMN, OFF, OFF, gamma=0.5, lam=lam)
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("name", ["discounted_return", "n_step_return", "lambda_return"])
def test_nan_beyond_an_end_reaches_neither_results_nor_gradients(name):
    """Rewards and values after an end, and the value after a termination, may be NaN."""
    knobs = {"gamma": 0.5, "n": 3, "lam": 0.5}
    knobs = {k: v for k, v in knobs.items() if k in ("gamma", {"n_step_return": "n",
             "lambda_return": "lam"}.get(name))}  # fmt: skip
    ended = OFF.copy()
    ended[1] = True
    rewards, next_values = COLUMN.copy(), COLUMN.copy()
    rewards[2:] = np.nan
    next_values[1:] = np.nan
    got = getattr(reference, name)(rewards, next_values, ended, OFF, **knobs)
    tensors = [torch.tensor(array, requires_grad=True) for array in (rewards, next_values)]
    flags = [torch.from_numpy(ended), torch.from_numpy(OFF)]
    theirs = getattr(fast, name)(*tensors, *flags, **knobs)
    assert np.isfinite(got[:2]).all()
    assert torch.isfinite(theirs[:2]).all()
    theirs[:2].sum().backward()
    for tensor in tensors:
        assert torch.isfinite(tensor.grad).all()
        assert (tensor.grad[2:] == 0).all()


def test_references_refuse_what_would_round():
    with pytest.raises(TypeError, match="wanted float64 or Fraction objects"):
        reference.td_error(*[COLUMN.astype(np.float32)] * 3, OFF, gamma=0.5)
    exact = np.vectorize(Fraction, otypes=[object])(COLUMN)
    with pytest.raises(TypeError, match=r"gamma came as float among Fraction objects, wanted Fr"):
        reference.td_error(exact, exact, exact, OFF, gamma=0.5)


def test_twins_refuse_each_others_arrays():
    with pytest.raises(TypeError, match=r"rewards came as torch.Tensor, wanted numpy.ndarray"):
        reference.td_error(*[torch.from_numpy(COLUMN)] * 3, torch.from_numpy(OFF), gamma=0.5)
    with pytest.raises(TypeError, match=r"rewards came as numpy.ndarray, wanted torch.Tensor"):
        fast.td_error(*[COLUMN] * 3, OFF, gamma=0.5)
