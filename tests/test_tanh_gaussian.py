"""The topic `tanh_gaussian`: the contract tests, and what only the squashed Gaussian has."""

import math

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Normal, TanhTransform, TransformedDistribution
from torch.nn.functional import softplus

import rlverify
from rlverify.checking import truth
from rlverify.comparison import ratios
from rlverify.contract import Case
from rlverify.contracts import find
from rlverify.fast import tanh_gaussian as fast
from rlverify.reference import tanh_gaussian as reference
from rlverify.rounding import PRECISIONS, Tracked, lifted
from support import *  # noqa: F403 - the contract tests, spread over TOPIC
from support import SPREADS, assert_rows_are_as_alone, broadcast_policy

TOPIC = "tanh_gaussian"
HALF = math.log(2 * math.pi) / 2


def digits(case):
    """Return the log-density to 60 digits, row by row, from cosh as it is defined."""
    u = case["pre_tanh"]
    spread = np.broadcast_to(case["log_std"], u.shape)
    rows = []
    for b in range(u.shape[0]):
        total = mpmath.mpf(0)
        for d in range(u.shape[1]):
            x, s = mpmath.mpf(float(u[b, d])), mpmath.mpf(float(spread[b, d]))
            z = (x - mpmath.mpf(float(case["mean"][b, d]))) * mpmath.exp(-s)
            total -= z**2 / 2 + s + mpmath.log(2 * mpmath.pi) / 2 - 2 * mpmath.log(mpmath.cosh(x))
        rows.append(total)
    return rows


@given(data=st.data())
def test_reference_equals_many_digits(data):
    """The reference lies within the bound that anybody is held to of the answer to 60 digits."""
    case = data.draw(find("tanh_gaussian_log_prob").inputs)
    u = PRECISIONS["float64"].unit
    got = reference.tanh_gaussian_log_prob(**case.arguments)
    tracked = reference.tanh_gaussian_log_prob(
        **lifted(dict(case.arguments), lambda x: Tracked(x, u))
    )
    with mpmath.workdps(60):
        for b, wanted in enumerate(digits(case)):
            assert abs(mpmath.mpf(float(got[b])) - wanted) <= tracked[b].free_bound()


def test_density_worked_by_hand():
    """tanh(log 2) = 3/5, so a density of 1/√2π at u becomes 25/16 of that."""
    u = np.array([[math.log(2)]])
    case = Case({"mean": u, "log_std": np.zeros(1), "pre_tanh": u})
    known = truth(find("tanh_gaussian_log_prob"), case, "float64")
    wanted = np.array([-HALF - math.log(16 / 25)])
    got = fast.tanh_gaussian_log_prob(*(torch.tensor(v) for v in case.arguments.values()))
    for value in (known.value["log_prob"], got.numpy()):
        assert (ratios(value, wanted, known.allowed["log_prob"]) <= 1).all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("size", [20.0, 50.0, 1000.0])
def test_far_out_the_slope_of_the_log_density_is_two(size, dtype):
    """At u = μ far from 0 only −log(1 − tanh² u) is left: 2|u| − log 4, of slope ±2."""
    u = torch.tensor([[size, -size]], dtype=dtype, requires_grad=True)
    mean = u.detach().clone().requires_grad_()
    log_std = torch.zeros(2, dtype=dtype, requires_grad=True)
    log_prob = fast.tanh_gaussian_log_prob(mean, log_std, u)
    case = Case({"mean": np.array([[size, -size]]), "log_std": np.zeros(2),
                 "pre_tanh": np.array([[size, -size]])})  # fmt: skip
    known = truth(find("tanh_gaussian_log_prob"), case, str(dtype).removeprefix("torch."))
    away = ratios(
        log_prob.detach().double().numpy(), known.value["log_prob"], known.allowed["log_prob"]
    )
    assert (away <= 1).all()
    gradients = torch.autograd.grad(log_prob.sum(), [u, mean, log_std])
    wanted = 2 * np.tanh([[size, -size]])
    assert torch.equal(gradients[0], torch.tensor(wanted, dtype=dtype))
    assert (gradients[1] == 0).all()
    assert (gradients[2] == -1).all()


LEADING = [(), (1,), (4,), (2, 3)]


@pytest.mark.parametrize("leading", LEADING, ids=str)
@pytest.mark.parametrize("spread", SPREADS, ids=str)
def test_any_leading_axes_and_any_log_std_that_broadcasts(leading, spread):
    mean, log_std, third = broadcast_policy(leading, spread)
    for name, last in (("tanh_gaussian_log_prob", "pre_tanh"), ("tanh_gaussian_sample", "normals")):
        arguments = {"mean": mean, "log_std": log_std, last: third}
        assert_rows_are_as_alone(name, arguments, leading)


def test_density_of_what_was_drawn_is_finite_where_the_action_is_one():
    """artanh of a rounded action is infinite; u itself is not."""
    arguments = [torch.tensor([[30.0]]), torch.zeros(1), torch.tensor([[1.0]])]
    sample = fast.tanh_gaussian_sample(*arguments)
    assert sample.actions.item() == 1
    assert torch.atanh(sample.actions).isinf().all()
    log_prob = fast.tanh_gaussian_log_prob(*arguments[:2], sample.pre_tanh)
    assert torch.isfinite(log_prob).all()


# --- entropy -------------------------------------------------------------------------------------


def entropy_of(mean, log_std):
    """Return the entropy to 25 digits, by a rule that knows where the integrand bends."""
    std = mpmath.exp(mpmath.mpf(log_std))

    def integrand(u):
        slope = 2 * (mpmath.log(2) - abs(u) - mpmath.log1p(mpmath.exp(-2 * abs(u))))
        return mpmath.npdf(u, mean, std) * slope

    bends = {mean + k * std for k in range(-12, 13)} | {mpmath.mpf(k) for k in (-20, -4, 0, 4, 20)}
    constant = mpmath.mpf(log_std) + (1 + mpmath.log(2 * mpmath.pi)) / 2
    return constant + mpmath.quad(integrand, sorted(bends))


@pytest.mark.parametrize(
    ("mean", "log_std"),
    [(0.0, 0.0), (0.5, -13.0), (-3.0, -1.0), (64.0, 0.5), (-4.0, 2.0), (3.0, 6.0), (2.0, 13.75)],
)
def test_entropy_lies_within_its_stated_error(mean, log_std):
    """Rounding and the error that comes with the result leave nothing open, for every σ."""
    arrays = {"mean": np.array([[mean]]), "log_std": np.array([log_std])}
    got = reference.tanh_gaussian_entropy(**arrays)
    u = PRECISIONS["float64"].unit
    tracked = reference.tanh_gaussian_entropy(**lifted(arrays, lambda x: Tracked(x, u)))
    with mpmath.workdps(25):
        away = abs(mpmath.mpf(float(got.entropy[0])) - entropy_of(mean, log_std))
        assert away <= got.error[0] + tracked.entropy[0].free_bound()
    if log_std < 4:  # σ < 107: there the stated error is below the rounding
        assert got.error[0] <= tracked.entropy[0].free_bound()
    else:
        assert got.error[0] <= abs(got.entropy[0]) * 2.0**-16


def test_entropy_is_that_of_the_gaussian_where_tanh_is_straight():
    """σ = e⁻⁷: H lies below the Gaussian's by −E log(1 − tanh²), between σ² − σ⁴ and σ²."""
    arrays = {"mean": np.zeros((1, 1)), "log_std": np.array([-7.0])}
    u = PRECISIONS["float64"].unit
    tracked = reference.tanh_gaussian_entropy(**lifted(arrays, lambda x: Tracked(x, u)))
    below = Tracked(-7 + 0.5 + HALF, u) - tracked.entropy[0]
    slack = below.free_bound()
    assert math.exp(-14) - math.exp(-28) - slack <= float(below) <= math.exp(-14) + slack
    assert slack < math.exp(-28)  # so that it can tell one from the other


# --- what strangers write ------------------------------------------------------------------------


def stable(mean, log_std, u):
    normal = Normal(mean, log_std.exp()).log_prob(u).sum(-1)
    zero = torch.zeros((), dtype=u.dtype)
    return normal - (2 * (math.log(2) - u - torch.logaddexp(zero, -2 * u))).sum(-1)


def from_cosh(mean, std, pre_tanh):
    size = pre_tanh.abs()
    correction = size + torch.log1p(torch.exp(-2 * size)) - math.log(2)
    return (Normal(mean, std).log_prob(pre_tanh) + 2 * correction).sum(-1)


def squashed(mu, std, eps):
    u = mu + std * eps
    return torch.tanh(u), u


RIGHT = {stable: "tanh_gaussian_log_prob", from_cosh: "tanh_gaussian_log_prob",
         squashed: "tanh_gaussian_sample"}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("function", RIGHT, ids=lambda f: f.__name__)
def test_right_forms_pass(function, dtype):
    verdict = rlverify.check(function, RIGHT[function], budget=60, dtype=dtype)
    assert verdict.ok, (verdict.title, verdict.diagnosis)


def spinning_up(mean, log_std, pi_action):
    normal = Normal(mean, torch.exp(log_std)).log_prob(pi_action).sum(axis=-1)
    return normal - (2 * (np.log(2) - pi_action - softplus(-2 * pi_action))).sum(axis=1)


def torch_transform(mean, log_std, x_t):
    normal = Normal(mean, log_std.exp())
    return (normal.log_prob(x_t) - TanhTransform().log_abs_det_jacobian(x_t, x_t.tanh())).sum(-1)


def cached_transform(mean, log_std, pre_tanh):
    squash = TanhTransform(cache_size=1)
    policy = TransformedDistribution(Normal(mean, log_std.exp()), [squash])
    return policy.log_prob(squash(pre_tanh)).sum(-1)


@pytest.mark.parametrize("function", [spinning_up, torch_transform, cached_transform],
                         ids=lambda f: f.__name__)  # fmt: skip
def test_torch_softplus_is_right_in_float32_and_a_convention_in_float64(function):
    """Above 20 torch's softplus(x) is x: what is lost is 2·10⁻⁹."""
    call = f"{function.__name__}(mean, log_std, pre_tanh)"
    told = {"call": call, "budget": 80}
    assert rlverify.check(function, "tanh_gaussian_log_prob", dtype="float32", **told).ok
    verdict = rlverify.check(function, "tanh_gaussian_log_prob", **told)
    assert verdict.title == "CONVENTION(softplus=linear-above-20)"
    declared = ["softplus=linear-above-20"]
    assert rlverify.check(function, "tanh_gaussian_log_prob", conventions=declared, **told).ok


def with_epsilon(mean, std, x_t):
    action = torch.tanh(x_t)
    return (Normal(mean, std).log_prob(x_t) - torch.log(1 - action.pow(2) + 1e-6)).sum(1)


def naive(mean, std, x_t):
    return (Normal(mean, std).log_prob(x_t) - torch.log(1 - torch.tanh(x_t) ** 2)).sum(1)


def uncorrected(mean, std, raw_actions):
    return Normal(mean, std).log_prob(raw_actions).sum(-1)


def recovered(mean, std, raw_actions):
    action = torch.tanh(raw_actions).clamp(-1 + 1e-6, 1 - 1e-6)
    u = 0.5 * ((1 + action) / (1 - action)).log()
    return (Normal(mean, std).log_prob(u) - 2 * (math.log(2) - u - softplus(-2 * u))).sum(-1)


WRONG = {with_epsilon: "D6b", naive: "D6a", uncorrected: "D4", recovered: "D8"}


@pytest.mark.parametrize("function", WRONG, ids=lambda f: f.__name__)
def test_wrong_forms_are_named(function):
    verdict = rlverify.check(function, "tanh_gaussian_log_prob", budget=60)
    assert (verdict.grade, verdict.qualifier) == ("WRONG", WRONG[function])
