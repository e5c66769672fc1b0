"""The topic `gaussian`: the contract tests, and what only the diagonal Gaussian has."""

import math

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Independent, MultivariateNormal, Normal, kl_divergence

import rlverify
from rlverify.checking import truth
from rlverify.comparison import ratios, truth_of
from rlverify.contract import Case
from rlverify.contracts import find
from rlverify.fast import gaussian as fast
from rlverify.fast._components import exponential_rest
from rlverify.reference import gaussian as reference
from rlverify.rounding import PRECISIONS, Tracked, lifted
from rlverify.twinning import Canonical
from support import *  # noqa: F403 - the contract tests, spread over TOPIC
from support import SPREADS, assert_rows_are_as_alone, broadcast_policy

TOPIC = "gaussian"
HALF = math.log(2 * math.pi) / 2
ARRAYS = {"reference": "numpy", "fast": "torch"}
# torch's forward mode loads decompositions that are written with its own deprecated compiler
forward_mode = pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")


def within(name, case, outputs, dtype="float64"):
    """Whether outputs lie within the contract's bounds on a case."""
    known = truth(find(name), case, dtype)
    return all((ratios(np.asarray(outputs[k]), known.value[k], known.allowed[k]) <= 1).all()
               for k in outputs)  # fmt: skip


# --- numbers worked by hand ----------------------------------------------------------------------


@pytest.mark.parametrize("twin", ["reference", "fast"])
def test_numbers_worked_by_hand(twin):
    """σ = 2 and ½, distances 4 and −1: z = 2 and −2, and log σ adds up to 0."""
    case = Case({"mean": np.array([[1.0, 5.0]]), "log_std": np.log([2.0, 0.5]),
                 "actions": np.array([[5.0, 4.0]])})  # fmt: skip
    spread = Case({"log_std": case["log_std"][None]})
    answers = {
        "gaussian_log_prob": (case, {"log_prob": [-4 - 2 * HALF]}),
        "gaussian_score": (case, {"mean": [[1, -4]], "log_std": [[3, 3]]}),
        "gaussian_entropy": (spread, {"entropy": [1 + 2 * HALF]}),
        "gaussian_fisher": (spread, {"mean": [[0.25, 4]], "log_std": [[2, 2]]}),
    }
    for name, (inputs, wanted) in answers.items():
        function = Canonical(getattr(find(name), twin), find(name), ARRAYS[twin])
        got = function.run([inputs], "float64")[0].outputs
        known = truth(find(name), inputs, "float64")
        for output, answer in wanted.items():
            # log 2 is rounded before it is an input: its last bit counts once more
            slack = 2 * known.allowed[output]
            assert (ratios(got[output], np.array(answer, dtype=float), slack) <= 1).all(), output


def test_divergence_worked_by_hand():
    """From σ = 1 to σ = 2, means 2 apart: log 2 + (1 + 4)/8 − ½."""
    zero = np.zeros((1, 1))
    arguments = {"mean_p": zero, "log_std_p": zero, "mean_q": zero + 2,
                 "log_std_q": zero + math.log(2)}  # fmt: skip
    wanted = np.array([math.log(2) + 5 / 8 - 1 / 2])
    assert within("gaussian_kl", Case(arguments), {"kl": wanted})
    assert within("gaussian_kl", Case(arguments), {"kl": reference.gaussian_kl(**arguments)})


# --- against many digits -------------------------------------------------------------------------


def digits(name, case):
    """Return the answer of a log-density, entropy or divergence to 60 digits, row by row."""
    with mpmath.workdps(60):
        shape = next(iter(case.arguments.values())).shape
        arrays = {k: np.broadcast_to(v, shape) for k, v in case.arguments.items()}
        rows = []
        for b in range(shape[0]):
            total = mpmath.mpf(0)
            for d in range(shape[1]):
                x = {k: mpmath.mpf(float(v[b, d])) for k, v in arrays.items()}
                if name == "gaussian_log_prob":
                    z = (x["actions"] - x["mean"]) * mpmath.exp(-x["log_std"])
                    total -= z**2 / 2 + x["log_std"] + mpmath.log(2 * mpmath.pi) / 2
                elif name == "gaussian_entropy":
                    total += x["log_std"] + (1 + mpmath.log(2 * mpmath.pi)) / 2
                else:
                    ratio = mpmath.exp(2 * (x["log_std_p"] - x["log_std_q"]))
                    apart = (x["mean_p"] - x["mean_q"]) * mpmath.exp(-x["log_std_q"])
                    total += (ratio - 1 - mpmath.log(ratio) + apart**2) / 2
            rows.append(total)
        return rows


@pytest.mark.parametrize("name", ["gaussian_log_prob", "gaussian_entropy", "gaussian_kl"])
@given(data=st.data())
def test_reference_equals_many_digits(name, data):
    """The reference lies within the bound that anybody is held to of the answer to 60 digits."""
    contract = find(name)
    case = data.draw(contract.inputs)
    u = PRECISIONS["float64"].unit
    got = contract.reference(**case.arguments)
    tracked = contract.reference(**lifted(dict(case.arguments), lambda x: Tracked(x, u)))
    with mpmath.workdps(60):
        for b, wanted in enumerate(digits(name, case)):
            assert abs(mpmath.mpf(float(got[b])) - wanted) <= tracked[b].free_bound()


# --- shapes --------------------------------------------------------------------------------------

LEADING = [(), (1,), (4,), (2, 3), (2, 1, 2)]


@pytest.mark.parametrize("leading", LEADING, ids=str)
@pytest.mark.parametrize("spread", SPREADS, ids=str)
def test_any_leading_axes_and_any_log_std_that_broadcasts(leading, spread):
    mean, log_std, third = broadcast_policy(leading, spread)
    full = np.broadcast_to(log_std, mean.shape).copy()
    calls = {
        "gaussian_log_prob": {"mean": mean, "log_std": log_std, "actions": third},
        "gaussian_score": {"mean": mean, "log_std": log_std, "actions": third},
        "gaussian_sample": {"mean": mean, "log_std": log_std, "normals": third},
        "gaussian_kl": {"mean_p": mean, "log_std_p": log_std, "mean_q": third, "log_std_q": full},
    }
    for name, arguments in calls.items():
        assert_rows_are_as_alone(name, arguments, leading)


def test_a_row_of_nan_stays_in_its_row():
    mean = torch.zeros(3, 2, requires_grad=True)
    actions = torch.ones(3, 2)
    actions[1] = math.nan
    log_prob = fast.gaussian_log_prob(mean, torch.zeros(2), actions)
    assert torch.isfinite(log_prob[[0, 2]]).all()
    assert log_prob[1].isnan()
    (gradient,) = torch.autograd.grad(log_prob[[0, 2]].sum(), mean)
    assert torch.equal(gradient[[0, 2]], torch.ones(2, 2))


# --- the divergence near 0 -----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_small_divergence_keeps_its_digits_where_the_textbook_loses_them(dtype):
    """A step of 2⁻¹⁰ in log σ: the bound lies below the answer's last 12 bits; torch's is off."""
    kind = getattr(torch, dtype)
    zero, step = np.zeros((1, 1)), np.full((1, 1), 2.0**-10)
    case = Case({"mean_p": zero, "log_std_p": step, "mean_q": zero, "log_std_q": zero})
    known = truth(find("gaussian_kl"), case, dtype)
    assert known.allowed["kl"][0] < known.value["kl"][0] * PRECISIONS[dtype].unit * 2**6
    ours = fast.gaussian_kl(*(torch.tensor(v, dtype=kind) for v in case.arguments.values()))
    assert within("gaussian_kl", case, {"kl": ours.double().numpy()}, dtype)
    p, q = (Normal(torch.zeros(1, dtype=kind), torch.tensor(s[0], dtype=kind).exp())
            for s in (step, zero))  # fmt: skip
    assert not within("gaussian_kl", case, {"kl": kl_divergence(p, q).double().numpy()}, dtype)


@forward_mode
def test_the_rest_of_the_exponential_series_and_its_derivatives():
    """On both sides of where the series ends, and where its powers would overflow."""
    x = torch.tensor([-80.0, -0.51, -0.5, -0.4, 0.0, 2**-20, 0.49, 0.5, 3.0],
                     dtype=torch.float64, requires_grad=True)  # fmt: skip
    assert torch.autograd.gradcheck(exponential_rest, x, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(exponential_rest, x)
    assert torch.equal(torch.func.vmap(exponential_rest)(x), exponential_rest(x))
    for dtype in (torch.float32, torch.float64):
        u = torch.finfo(dtype).eps / 2
        for value in (-2.0, -0.499, -(2.0**-12), 2.0**-12, 0.499, 0.501, 2.0):
            got = exponential_rest(torch.tensor(value, dtype=dtype))
            x64 = Tracked(float(torch.tensor(value, dtype=dtype)), u)
            bound = reference._exponential_rest(x64).running_bound()
            with mpmath.workdps(60):
                exact = mpmath.expm1(x64.value) - mpmath.mpf(x64.value)
            assert abs(float(got) - float(exact)) <= bound


@forward_mode
def test_curvature_of_the_divergence_is_the_information():
    """At p = q the second derivative of KL(p ‖ ·) is the Fisher information: 1/σ² and 2."""
    log_std = torch.tensor([0.0, 0.0], dtype=torch.float64)  # σ = 1: every number is exact
    mean = torch.tensor([3.0, -1.0], dtype=torch.float64)

    def divergence(parameters):
        return fast.gaussian_kl(mean, log_std, parameters[:2], parameters[2:])

    curvature = torch.func.hessian(divergence)(torch.cat([mean, log_std]))
    information = fast.gaussian_fisher(log_std)
    wanted = torch.diag(torch.cat([information.mean, information.log_std]))
    assert torch.equal(curvature, wanted)


def test_kl_does_not_overflow_where_its_terms_do_not():
    """Deviations e⁴⁰ apart: the powers of the series that is not used would be infinite."""
    far = [torch.tensor([[v]], requires_grad=True) for v in (0.0, -40.0, 0.0, 0.0)]
    kl = fast.gaussian_kl(*far)
    assert kl.item() == 39.5  # ½(−1 + 80); e⁻⁸⁰ is lost beside it
    for gradient in torch.autograd.grad(kl.sum(), far):
        assert torch.isfinite(gradient).all()


# --- samples -------------------------------------------------------------------------------------


def test_pathwise_derivative_of_a_sample():
    """∂a/∂μ = 1 and ∂a/∂(log σ) = σξ."""
    mean, log_std = torch.zeros(1, 2, requires_grad=True), torch.zeros(2, requires_grad=True)
    actions = fast.gaussian_sample(mean, log_std, torch.tensor([[3.0, -0.5]]))
    of_mean, of_log_std = torch.autograd.grad(actions.sum(), [mean, log_std])
    assert torch.equal(of_mean, torch.ones(1, 2))
    assert torch.equal(of_log_std, torch.tensor([3.0, -0.5]))


# --- what strangers write ------------------------------------------------------------------------


def plain(mean, log_std, actions):
    return Normal(mean, log_std.exp()).log_prob(actions).sum(-1)


def independent(mean, std, action):
    return Independent(Normal(mean, std), 1).log_prob(action)


def one_table(action_mean, action_logstd, action):  # as in CleanRL
    action_std = torch.exp(action_logstd.expand_as(action_mean))
    return Normal(action_mean, action_std).log_prob(action).sum(1)


def summed_over_the_second_axis(mu, std, a):  # as in Stable-Baselines3
    log_prob = Normal(mu, torch.ones_like(mu) * std).log_prob(a)
    return log_prob.sum(dim=1) if len(log_prob.shape) > 1 else log_prob.sum()


def likelihood(x, mu, log_std):  # as in Spinning Up
    terms = ((x - mu) / torch.exp(log_std)) ** 2 + 2 * log_std + np.log(2 * np.pi)
    return (-0.5 * terms).sum(dim=1)


def covariance(mean, sigma, actions):
    return MultivariateNormal(mean, torch.diag_embed(sigma.expand_as(mean) ** 2)).log_prob(actions)


def numpy_with_variance(mean, std, x):
    terms = (x - mean) ** 2 / std**2 + 2 * HALF + 2 * np.log(std)
    return -0.5 * np.sum(terms, axis=-1)


def noisy(mu, std, eps):
    return mu + std * eps


def table_entropy(std):
    return Normal(torch.zeros_like(std), std).entropy().sum(-1)


RIGHT = {
    plain: "gaussian_log_prob",
    independent: "gaussian_log_prob",
    one_table: "gaussian_log_prob",
    summed_over_the_second_axis: "gaussian_log_prob",
    likelihood: "gaussian_log_prob",
    covariance: "gaussian_log_prob",
    numpy_with_variance: "gaussian_log_prob",
    noisy: "gaussian_sample",
    table_entropy: "gaussian_entropy",
}


def test_a_deviation_stored_in_half_precision_is_allowed_for():
    """σ in bfloat16 knows log σ to 2⁻⁸ only; whoever is given it may not be held to more."""

    def in_float32(mean, std, actions):
        log_prob = Normal(mean.float(), std.float()).log_prob(actions.float())
        return log_prob.sum(-1).to(mean.dtype)

    verdict = rlverify.check(in_float32, "gaussian_log_prob", budget=60, dtype="bfloat16")
    assert verdict.ok, (verdict.title, verdict.diagnosis)
    assert "log_std is handed over as a rounded function of it" in " ".join(verdict.notes)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("function", RIGHT, ids=lambda f: f.__name__)
def test_right_forms_pass(function, dtype):
    verdict = rlverify.check(function, RIGHT[function], budget=60, dtype=dtype)
    assert verdict.ok, (verdict.title, verdict.diagnosis)


def averaged(mean, std, action):
    return Normal(mean, std).log_prob(action).mean(-1)


def log_variance(mean, log_std, action):
    return Normal(mean, (log_std / 2).exp()).log_prob(action).sum(-1)


def clipped(mean, std, action):
    return Normal(mean, std).log_prob(action.clamp(-1, 1)).sum(-1)


def averaged_entropy(std):
    return Normal(torch.zeros_like(std), std).entropy().mean(-1)


def parenthesis(mean_p, std_p, mean_q, std_q):
    terms = torch.log(std_q / std_p) + std_p**2 + (mean_p - mean_q) ** 2 / (2 * std_q**2) - 0.5
    return terms.sum(-1)


WRONG = {
    averaged: ("gaussian_log_prob", "D1a"),
    log_variance: ("gaussian_log_prob", "D2a"),
    clipped: ("gaussian_log_prob", "D3"),
    averaged_entropy: ("gaussian_entropy", "D10a"),
    parenthesis: ("gaussian_kl", "F4"),
}


@pytest.mark.parametrize("function", WRONG, ids=lambda f: f.__name__)
def test_wrong_forms_are_named(function):
    name, bug = WRONG[function]
    verdict = rlverify.check(function, name, budget=60)
    assert (verdict.grade, verdict.qualifier) == ("WRONG", bug)


def textbook(mean_p, log_std_p, mean_q, log_std_q):
    p, q = Normal(mean_p, log_std_p.exp()), Normal(mean_q, log_std_q.exp())
    return kl_divergence(p, q).sum(-1)


def spinning_up_kl(mu_p, std_p, mu_q, std_q):
    terms = ((mu_q - mu_p) ** 2 + std_p**2) / std_q**2 - 1
    return (0.5 * terms + std_q.log() - std_p.log()).sum(-1)


@pytest.mark.parametrize("function", [textbook, spinning_up_kl], ids=lambda f: f.__name__)
def test_the_textbook_divergence_is_a_convention_and_right_where_it_is_declared(function):
    name = "evaluation=textbook"
    verdict = rlverify.check(function, "gaussian_kl", budget=80)
    assert (verdict.title, verdict.ok) == (f"CONVENTION({name})", False)
    assert rlverify.check(function, "gaussian_kl", budget=80, conventions=[name]).ok


def test_bounds_are_no_wider_than_the_form_needs():
    """σ = 10⁻⁶, a hundred of them from the mean: the difference a − μ rounds once, as itself."""
    mean, actions = np.array([[2.0**-8]]), np.array([[2.0**-8 + 2.0**-14]])
    case = Case({"mean": mean, "log_std": np.array([-13.75]), "actions": actions})
    known = truth_of(find("gaussian_log_prob"), case, PRECISIONS["float32"])
    assert known.allowed["log_prob"][0] <= abs(known.value["log_prob"][0]) * 2.0**-19
