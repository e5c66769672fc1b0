"""Comparison: right answers in any order pass, wrong ones do not, whatever the dtype."""

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

import rlverify
from rlverify.checking import truth
from rlverify.comparison import (
    DECOYS,
    Truth,
    agrees,
    distance,
    effective_unit,
    passing_decoys,
    ratios,
    round_to,
    rounded,
)
from rlverify.contract import Case
from rlverify.contracts import find

GAE = find("gae")
DTYPES = ["float64", "float32"]
KNOBS = [(1.0, 1.0), (0.99, 0.95), (1.0, 0.9), (0.5, 0.5)]


def recording(steps, gamma, lam, dtype):
    rng = np.random.default_rng(steps)
    terminated, truncated = np.zeros((2, steps, 1), dtype=bool)
    terminated[steps // 3] = truncated[steps // 2] = True
    case = Case({
        "rewards": rng.standard_normal((steps, 1)), "values": rng.standard_normal((steps, 1)),
        "next_values": rng.standard_normal((steps, 1)), "terminated": terminated,
        "truncated": truncated, "gamma": gamma, "lam": lam,
    })  # fmt: skip
    return rounded(case, dtype)


def parts(case, dtype):
    """Return δ and the decay (0 at a cut) in the arithmetic of a dtype."""
    kind = np.dtype(dtype).type
    r, v, nv = (case[k].astype(dtype) for k in ("rewards", "values", "next_values"))
    delta = r + kind(case["gamma"]) * np.where(case["terminated"], kind(0), nv) - v
    decay = np.where(
        case["terminated"] | case["truncated"], kind(0), kind(case["gamma"]) * kind(case["lam"])
    )
    return delta, decay


def doubling(delta, decay):
    delta, decay, reach = delta.copy(), decay.copy(), 1
    while reach < len(delta):
        delta[:-reach] += decay[:-reach] * delta[reach:]
        decay[:-reach] *= decay[reach:]
        decay[-reach:] = 0
        reach *= 2
    return delta


def blocked(delta, decay, block=64):
    out, weight = delta.copy(), decay.copy()
    for start in range(0, len(delta), block):
        stop = min(start + block, len(delta))
        for t in range(stop - 2, start - 1, -1):
            out[t] += decay[t] * out[t + 1]
            weight[t] *= weight[t + 1]
    for start in reversed(range(0, len(delta) - block, block)):
        out[start : start + block] += weight[start : start + block] * out[start + block]
    return out


def weighted_sums(delta, decay):
    """Form every product of decays, then add each row's terms from the first to the last."""
    steps, out = len(delta), np.empty_like(delta)
    for t in range(steps):
        weights = np.concatenate([np.ones((1, 1), delta.dtype), decay[t:-1]])
        products = np.multiply.accumulate(weights, axis=0)
        live = products[:, 0] != 0
        out[t] = np.add.accumulate((products * delta[t:])[live], axis=0)[-1]
    return out


@pytest.mark.parametrize("order", [doubling, blocked, weighted_sums])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("gamma", "lam"), KNOBS)
def test_another_order_of_summation_passes(order, dtype, gamma, lam):
    case = recording(4096, gamma, lam, dtype)
    advantages = order(*parts(case, dtype)).astype(float)
    known = truth(GAE, case, dtype)
    assert agrees({"advantages": advantages}, known)
    assert passing_decoys([known]) == []


@pytest.mark.parametrize(("gamma", "lam"), KNOBS)
def test_float32_inside_is_caught_in_float64_with_its_precision(gamma, lam):
    case = recording(512, gamma, lam, "float64")
    advantages = doubling(*parts(case, "float32")).astype(float)
    known = truth(GAE, case, "float64")
    assert not agrees({"advantages": advantages}, known)
    assert 2**-30 < effective_unit({"advantages": advantages}, known) < 2**-20


def test_dropping_small_weights_is_caught_with_its_precision():
    case = recording(1024, 0.99, 0.95, "float64")
    delta, decay = parts(case, "float64")
    out = np.empty_like(delta)
    for t in range(len(delta)):
        weights = np.cumprod(np.concatenate([np.ones((1, 1)), decay[t:-1]]), axis=0)
        out[t] = np.where(weights < 1e-7, 0, weights * delta[t:]).sum()
    known = truth(GAE, case, "float64")
    assert not agrees({"advantages": out}, known)
    assert 2**-45 < effective_unit({"advantages": out}, known) < 2**-20


def test_a_sum_from_the_large_end_exceeds_the_bound_of_the_backward_order():
    """Why the free bound counts N − 1 additions: adding 1000 small terms to a large one loses
    them all. Σ (3k + 4) |term| is not order-free; this sum is 200 times beyond it."""
    steps, u = 1000, 2.0**-24
    rewards = np.full((steps, 1), np.float32(0.9 * u), dtype=float)
    rewards[0] = 1
    zero, off = np.zeros((steps, 1)), np.zeros((steps, 1), dtype=bool)
    case = Case({"rewards": rewards, "next_values": zero, "terminated": off, "truncated": off,
                 "gamma": 1.0})  # fmt: skip
    known = truth(find("discounted_return"), case, "float32")
    forwards = np.add.accumulate(rewards.astype(np.float32), axis=0)[-1]
    error = abs(float(forwards[0]) - known.value["returns"][0, 0])
    backward_order = u * (4 + sum((3 * k + 4) * 0.9 * u for k in range(1, steps)))
    assert error > 100 * backward_order
    assert error <= known.allowed["returns"][0, 0]


@given(st.lists(st.floats(-1e30, 1e30), min_size=1, max_size=9))
@example([1 + 2.0**-8, 1 + 3 * 2.0**-8, 1 + 2.0**-11, 1 + 3 * 2.0**-24])  # ties go to even
def test_rounding_is_torchs(values):
    array = np.array(values)
    for dtype in ("float16", "bfloat16", "float32", "float64"):
        wanted = torch.tensor(array).to(torch.float32 if dtype == "bfloat16" else torch.float64)
        wanted = wanted.to(getattr(torch, dtype)).double().numpy()
        np.testing.assert_array_equal(round_to(dtype, array), wanted)


def test_patterns_of_nan_and_inf_come_first():
    nan, inf = np.nan, np.inf
    got = np.array([nan, nan, 1.0, inf, -inf, 1.0])
    wanted = np.array([nan, 1.0, nan, inf, inf, 1.0])
    allowed = np.array([1.0, inf, inf, 1.0, 1.0, 0.0])
    assert ratios(got, wanted, allowed).tolist() == [0, inf, inf, 0, inf, 0]


def test_distance_names_the_worst_element():
    got, wanted = np.array([[1.0, 2.0], [3.0, 9.0]]), np.array([[1.0, 2.5], [3.0, 4.0]])
    away = distance(got, wanted, np.full((2, 2), 0.5))
    assert (away.index, away.ratio, away.wrong, away.size) == ((1, 1), 10.0, 1, 4)
    assert (away.got, away.wanted) == (9.0, 4.0)


def test_a_tolerance_wider_than_the_answer_lets_nonsense_pass_and_says_so():
    known = truth(GAE, recording(8, 0.9, 0.9, "float64"), "float64")
    wide = {name: 100 + array for name, array in known.allowed.items()}
    vacuous = type(known)(known.value, wide, wide, known.running)
    assert set(DECOYS) <= set(passing_decoys([vacuous]))
    assert passing_decoys([known]) == []


def test_a_run_whose_tolerances_are_mostly_wide_is_vacuous_whatever_the_decoys_do():
    """One narrow case rejects every decoy; nine wide ones still say nothing."""
    known = truth(GAE, recording(8, 0.9, 0.9, "float64"), "float64")
    half = {name: 0.5 * np.abs(array).max() + 0 * array for name, array in known.value.items()}
    wide = type(known)(known.value, half, half, known.running)
    assert passing_decoys([known]) == []
    (told,) = passing_decoys([known, *[wide] * 9])
    assert "a tenth of the answer" in told


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
def test_scalars_are_rounded_to_what_the_dtype_computes_in(dtype):
    case = rounded(Case({"rewards": np.ones((1, 1)), "gamma": 0.99, "n": 3}), dtype)
    wide = 0.99 if dtype == "float64" else float(np.float32(0.99))
    assert (case["gamma"], case["n"]) == (wide, 3)


def test_check_is_reachable_from_the_package():
    assert rlverify.check(GAE.reference, "gae", budget=20).ok


def test_a_bound_that_is_not_known_allows_everything_and_is_vacuous():
    """0 · ∞ in a bound must not turn into a silent yes of the comparison alone."""
    got, wanted = np.array([1.0, 2.0]), np.array([1.0, 3.0])
    assert ratios(got, wanted, np.array([np.nan, np.nan])).tolist() == [0.0, 0.0]
    known = Truth({"x": wanted}, {"x": np.full(2, np.nan)}, {}, {})
    assert "anything (the tolerance exceeds a tenth of the answer)" in passing_decoys([known])


def test_a_single_number_is_held_against_the_answer_to_another_case():
    """A loss cannot be shuffled; a tolerance that passes another case's loss decides nothing."""

    def truths(allowed):
        zeros = {"loss": np.zeros(())}
        return [
            Truth({"loss": np.array(value)}, {"loss": np.array(allowed)}, zeros, zeros)
            for value in (1.0, 1.5, 3.0)
        ]

    assert passing_decoys(truths(1e-3)) == []
    assert "exchanged" in passing_decoys(truths(1.75))
