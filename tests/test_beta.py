"""The topic `beta`: the contract tests, and what only Beta policies have."""

import math

import mpmath
import numpy as np
import pytest
import torch
from scipy import special

from rlverify.checking import drawn_cases, judge_case, truth
from rlverify.contract import Case
from rlverify.contracts import find
from rlverify.differentiation import Dual
from rlverify.fast import beta as fast
from rlverify.reference import beta as reference
from rlverify.rounding import PRECISIONS, Tracked, lifted
from rlverify.twinning import Canonical
from support import *  # noqa: F403 - the contract tests, spread over TOPIC

TOPIC = "beta"
U = PRECISIONS["float64"].unit
ALARM = 1e-6  # how often a right sampler fails a test, over all seeds


# --- the reference against mpmath ----------------------------------------------------------------


def log_beta(a, b):
    return mpmath.loggamma(a) + mpmath.loggamma(b) - mpmath.loggamma(a + b)


def slopes(a, b):
    shared = mpmath.digamma(a + b)
    return mpmath.digamma(a) - shared, mpmath.digamma(b) - shared


def exact_log_prob(alpha, beta, actions):
    a, b, x = alpha, beta, actions
    return (a - 1) * mpmath.log(x) + (b - 1) * mpmath.log(1 - x) - log_beta(a, b)


def exact_entropy(alpha, beta):
    of_a, of_b = slopes(alpha, beta)
    return log_beta(alpha, beta) - (alpha - 1) * of_a - (beta - 1) * of_b


def exact_kl(alpha_p, beta_p, alpha_q, beta_q):
    of_a, of_b = slopes(alpha_p, beta_p)
    linear = (alpha_q - alpha_p) * of_a + (beta_q - beta_p) * of_b
    return log_beta(alpha_q, beta_q) - log_beta(alpha_p, beta_p) - linear


SUMS = {"beta_log_prob": exact_log_prob, "beta_entropy": exact_entropy, "beta_kl": exact_kl}


def assert_within(name, case):
    """The float64 reference lies within its own running bound of 80 digits."""
    contract = find(name)
    with np.errstate(all="ignore"):
        got = contract.named(contract.reference(**case.arguments))
        tracked = contract.named(
            contract.reference(**lifted(dict(case.arguments), lambda value: Tracked(value, U)))
        )
    with mpmath.workdps(80):
        rows = [
            [mpmath.mpf(float(array[i])) for array in case.arguments.values()]
            for i in np.ndindex(case[contract.first.name].shape)
        ]
        if name in SUMS:
            shape = case[contract.first.name].shape
            each = np.array([SUMS[name](*row) for row in rows], dtype=object).reshape(shape)
            wanted = {contract.outputs[0]: each.sum(-1)}
        elif name == "beta_score":
            means = [(slopes(a, b), x) for a, b, x in rows]
            wanted = {
                "alpha": [mpmath.log(x) - of_a for (of_a, _), x in means],
                "beta": [mpmath.log(1 - x) - of_b for (_, of_b), x in means],
            }
        else:
            second = [(mpmath.psi(1, a), mpmath.psi(1, b), mpmath.psi(1, a + b)) for a, b in rows]
            wanted = {"fisher": [v for a, b, n in second for v in (a - n, -n, -n, b - n)]}
        for output, values in wanted.items():
            pairs = zip(got[output].flat, tracked[output].flat, np.ravel(values), strict=True)
            for found, bounded, right in pairs:
                assert abs(mpmath.mpf(float(found)) - right) <= bounded.running_bound()


NAMES = ["beta_log_prob", "beta_score", "beta_entropy", "beta_kl", "beta_fisher"]


@pytest.mark.parametrize("name", NAMES)
def test_reference_lies_within_its_bound_of_mpmath(name):
    for case in drawn_cases(find(name), 60, 1):
        assert_within(name, case)


LEAST = {"float64": 2.0**-1022, "float32": 2.0**-126}
MOST = {"float64": 1 - 2.0**-53, "float32": 1 - 2.0**-24}
SIZES = (1e-28, 1e-6, 0.25, 1.0, 3.0, 11.5, 13.0, 1e3, 1e6, 1e9)


def grid(name, dtype):
    """Return a case of every pair of sizes, with actions at both bounds and inside."""
    a, b, x = np.meshgrid(SIZES, SIZES, [LEAST[dtype], 1e-3, 0.5005, MOST[dtype]])
    arrays = [np.asarray(array.reshape(-1, 1), dtype=dtype).astype(float) for array in (a, b, x)]
    if name == "beta_kl":
        step = np.float32(1.25)
        return Case(dict(zip(("alpha_p", "beta_p", "alpha_q", "beta_q"),
                             (*arrays[:2], arrays[0] * step, arrays[1]), strict=True)))  # fmt: skip
    names = [item.name for item in find(name).arguments]
    return Case(dict(zip(names, arrays, strict=False)))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", NAMES)
def test_bounds_of_the_range(name, dtype, device):
    """The smallest and largest actions of each precision, parameters from 10⁻²⁸ to 10⁹."""
    case = grid(name, dtype)
    if name == "beta_fisher" and dtype == "float32":  # ψ′(10⁻²⁸) is beyond float32
        case = Case({key: np.maximum(array, 2.0**-20) for key, array in case.arguments.items()})
    if dtype == "float64":
        assert_within(name, case)
    contract = find(name)
    result = Canonical(contract.fast, contract, "torch", device).run([case], dtype)[0]
    found, worst = judge_case(case, result, truth(contract, case, dtype), "reference")
    assert found is None, (worst, found)


def test_a_large_entropy_keeps_its_digits_in_float32(device):
    """At α = β = 10⁶ PyTorch's own form answers −6.0; right is −6.5285."""
    contract = find("beta_entropy")
    case = Case({"alpha": np.full((1, 1), 1e6), "beta": np.full((1, 1), 1e6)})
    known = truth(contract, case, "float32")
    million = torch.full((1, 1), 1e6, device=device)
    ours = fast.beta_entropy(million, million).cpu().numpy()
    theirs = torch.distributions.Beta(million, million).entropy().cpu().numpy()
    assert abs(ours - known.value["entropy"]) <= known.allowed["entropy"]
    assert abs(theirs - known.value["entropy"]) > known.allowed["entropy"]


# --- derivatives ---------------------------------------------------------------------------------


def dual(value, slope):
    return np.array([[Dual(Tracked(value, U), Tracked(slope, U))]], dtype=object)


@pytest.mark.parametrize("alpha", [0.125, 1.0, 3.5, 40.0, 1e6])
@pytest.mark.parametrize("beta", [0.125, 2.0, 1e3])
def test_fisher_is_minus_the_derivative_of_the_score(alpha, beta):
    """The score is log x and a constant, so every action's Hessian is −F."""
    fisher = reference.beta_fisher(*(np.array([[Tracked(v, U)]], dtype=object)
                                     for v in (alpha, beta)))[0, 0]  # fmt: skip
    for column, (of_a, of_b) in enumerate(((1.0, 0.0), (0.0, 1.0))):
        score = reference.beta_score(dual(alpha, of_a), dual(beta, of_b), dual(0.25, 0.0))
        for row, part in enumerate(score):
            total = part[0, 0].slope + fisher[row, column]
            assert abs(float(total)) <= total.free_bound()


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
def test_derivatives_of_every_order_and_mode(device):
    rng = np.random.default_rng(0)
    a, b = (torch.tensor(rng.uniform(0.2, 30, (4, 2)), device=device, requires_grad=True)
            for _ in range(2))  # fmt: skip
    x = torch.tensor(rng.uniform(0.1, 0.9, (4, 2)), device=device, requires_grad=True)
    assert torch.autograd.gradcheck(fast.beta_log_prob, (a, b, x), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(fast.beta_log_prob, (a, b, x))
    score = fast.beta_score(a, b, x)
    found = torch.autograd.grad(fast.beta_log_prob(a, b, x).sum(), (a, b))
    assert torch.equal(found[0], score.alpha)
    assert torch.equal(found[1], score.beta)

    def density(a, b, x):
        return fast._Density.apply(a, b, x).sum()

    mapped = torch.func.vmap(torch.func.grad(density))(a, b, x)
    assert torch.equal(mapped, score.alpha)


# --- sampling ------------------------------------------------------------------------------------


def distance(draws, alpha, beta):
    """Return how far the empirical distribution function lies outside what rounding allows.

    A draw v was anything between its neighbours before it was rounded; one at the end of the
    range was anything up to the bound.
    """
    values, counts = np.unique(draws, return_counts=True)
    above, below = np.nextafter(values, 1), np.nextafter(values, 0)
    below[values == np.finfo(float).tiny] = 0
    share = np.cumsum(counts) / len(draws)
    too_many = share - special.betainc(alpha, beta, above)
    too_few = special.betainc(alpha, beta, below) - np.concatenate([[0], share[:-1]])
    return max(too_many.max(), too_few.max())


def critical(count):
    """Return what a right sampler exceeds with probability ALARM (Massart 1990).

    P(distance > ε) ≤ 2 exp(−2nε²) for every n; a sampler whose distribution function is wrong by
    2ε somewhere is caught with the same probability less one.
    """
    return math.sqrt(math.log(2 / ALARM) / (2 * count))


SHAPES = [(1.0, 1.0), (2.0, 5.0), (0.3, 0.7), (50.0, 3.0), (1e-3, 2e-3), (1e-6, 1e-6)]


def drawn(twin, count, alpha, beta, dtype="float64"):
    if twin is reference:
        shape = np.full((count, 1), alpha), np.full((count, 1), beta)
        return reference.beta_sample(*shape, np.random.default_rng(1))[:, 0]
    parameters = (torch.full((count, 1), v, dtype=getattr(torch, dtype)) for v in (alpha, beta))
    generator = torch.Generator().manual_seed(1)
    return fast.beta_sample(*parameters, generator)[:, 0].double().numpy()


@pytest.mark.parametrize(("alpha", "beta"), SHAPES)
@pytest.mark.parametrize("twin", [reference, fast], ids=["reference", "fast"])
def test_samples_are_beta_distributed(twin, alpha, beta):
    """Fixed n: false alarms 10⁻⁶; visible for certain from 0.038 (fast), 0.12 (reference)."""
    count = 2000 if twin is reference else 20000
    draws = drawn(twin, count, alpha, beta)
    assert ((draws > 0) & (draws < 1)).all()
    assert distance(draws, alpha, beta) <= critical(count)


def test_a_wrong_sampler_is_caught():
    """Exchanged parameters, and Gamma(α + 1) taken for Gamma(α)."""
    draws = drawn(fast, 20000, 2.0, 5.0)
    assert distance(draws, 5.0, 2.0) > critical(20000)
    assert distance(drawn(fast, 20000, 3.0, 5.0), 2.0, 5.0) > critical(20000)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_samples_stay_inside_in_every_precision(dtype):
    for alpha, beta in ((1e-6, 1e-6), (1e-3, 1e3), (1e3, 1e-3)):
        draws = drawn(fast, 500, alpha, beta, dtype)
        assert ((draws > 0) & (draws < 1)).all()


def test_a_sample_is_a_constant_and_needs_a_generator():
    one = torch.ones(2, 1, requires_grad=True)
    assert not fast.beta_sample(one, one, torch.Generator()).requires_grad
    for twin, ones in ((reference, np.ones((2, 1))), (fast, torch.ones(2, 1))):
        with pytest.raises(TypeError, match="beta_sample: generator came as int, wanted "):
            twin.beta_sample(ones, ones, 3)
        with pytest.raises(ValueError, match="alpha came with an element that is not above 0"):
            twin.beta_sample(0 * ones, ones, 3)
