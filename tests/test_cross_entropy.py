"""Cross-entropy method: the contract tests, and what only these functions have."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rlverify.fast import cross_entropy as fast
from rlverify.reference.cross_entropy import elite_episodes, elite_steps
from support import *  # noqa: F403

TOPIC = "cross_entropy"

numbers = st.lists(st.integers(-6, 6), min_size=1, max_size=9).map(np.array)
shares = st.sampled_from((0.1, 0.25, 0.5, 0.9, 1.0))


@given(returns=numbers, fraction=shares)
def test_only_ranks_count(returns, fraction):
    """Increasing functions elect the same: a cube, an exponential, a step of its own."""
    wanted = elite_episodes(returns.astype(float), fraction=fraction).tolist()
    for rise in (lambda x: x**3, lambda x: 2.0**x, lambda x: x + 100 * (x > 0)):
        assert elite_episodes(rise(returns.astype(float)), fraction=fraction).tolist() == wanted


@given(returns=numbers, fraction=shares, data=st.data())
def test_order_of_episodes_does_not_matter(returns, fraction, data):
    """Episodes in another order are elite or not as before."""
    order = np.array(data.draw(st.permutations(range(len(returns)))))
    wanted = elite_episodes(returns.astype(float), fraction=fraction)[order]
    assert (elite_episodes(returns[order].astype(float), fraction=fraction) == wanted).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_decimal_shares_mean_what_they_say(dtype):
    """A share k/N elects k of N, whatever the dtype: 0.1 of 30 is 3, 0.07 of 100 is 7."""
    for samples in (1, 3, 7, 10, 30, 49, 100):
        returns = torch.arange(samples).to(dtype)
        for k in range(1, samples + 1):
            for share in (k / samples, float(np.float32(k / samples)), Fraction(k, samples)):
                assert int(fast.elite_episodes(returns, fraction=share).sum()) == k
                assert elite_episodes(np.arange(float(samples)), fraction=share).sum() == k
    assert math.ceil(0.07 * 100) == 8  # what a product in float64 would say


def test_share_below_one_sample_elects_the_best():
    """However small the share, somebody is elite."""
    assert elite_episodes(np.array([1.0, 2.0]), fraction=1e-12).tolist() == [False, True]
    assert fast.elite_episodes(torch.tensor([1.0, 2.0]), fraction=1e-12).tolist() == [False, True]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_infinite_returns_have_ranks(dtype):
    """−∞ marks an episode that failed; +∞ is the best."""
    returns = torch.tensor([-math.inf, 1.0, math.inf, -math.inf], dtype=dtype)
    found = [fast.elite_episodes(returns, fraction=share).tolist() for share in (0.25, 0.5, 0.75)]
    assert found == [
        [False, False, True, False],
        [False, True, True, False],
        [True, True, True, True],  # a tie at the threshold
    ]


def test_nan_where_masked_is_no_return():
    """NaN is refused where it is real, and ignored where it is not."""
    returns, mask = np.array([[math.nan, 1.0]]), np.array([[False, True]])
    assert elite_steps(returns, mask, fraction=0.5).tolist() == [[False, True]]
    assert fast.elite_steps(torch.tensor(returns), torch.tensor(mask), fraction=0.5).tolist() == [
        [False, True]
    ]
    with pytest.raises(ValueError, match="NaN in it, which has no rank"):
        elite_steps(returns, None, fraction=0.5)


@given(returns=numbers, fraction=shares)
def test_one_column_of_steps_is_a_batch_of_episodes(returns, fraction):
    """Both functions rank alike."""
    array = returns.astype(float)
    steps = elite_steps(array[:, None], None, fraction=fraction)[:, 0]
    assert (steps == elite_episodes(array, fraction=fraction)).all()
