"""The topic `natural_gradient`: the contract tests, curvature, operators, any module."""

import math
from itertools import pairwise

import mpmath
import numpy as np
import pytest
import torch

from rlverify.checking import drawn_cases, truth
from rlverify.comparison import ratios
from rlverify.contract import Case
from rlverify.contracts import find
from rlverify.errors import layer_parameters
from rlverify.fast import natural_gradient as fast
from rlverify.fast._curvature import kl_of_outputs
from rlverify.fast.networks import flat_parameters, mlp_forward, mlp_module
from rlverify.reference import _curvature
from rlverify.reference import natural_gradient as reference
from rlverify.rounding import PRECISIONS, Tracked, lifted
from support import *  # noqa: F403 - the contract tests, spread over TOPIC

TOPIC = "natural_gradient"
UNIT = PRECISIONS["float64"].unit


def tracked(array):
    return lifted({"array": array}, lambda value: Tracked(value, UNIT))["array"]


def equals_tracked(got, wanted, *, roundings=2):
    """Whether floats lie within the bounds of tracked numbers, each side's own rounding counted."""
    for index in np.ndindex(got.shape):
        allowed = roundings * wanted[index].free_bound() if hasattr(wanted[index], "u") else 0.0
        assert abs(got[index] - float(wanted[index])) <= allowed, index


# --- the Hessian, the Fisher matrix and the KL (C19, C20) ---------------------------------------


def policy(distribution, seed=0):
    """Return parameters, inputs and knobs of a policy with a hidden layer."""
    rng, sizes = np.random.default_rng(seed), (2, 3, 2)
    count = layer_parameters(sizes) + (2 if distribution == "gaussian" else 0)
    knobs = {"sizes": sizes, "activation": "tanh", "distribution": distribution}
    return rng.normal(size=count) / 2, rng.normal(size=(2, 2)), knobs


def curved(parameters, direction, inputs, knobs, pull):
    sizes, activation = knobs["sizes"], knobs["activation"]
    network = parameters[: layer_parameters(sizes)]
    run = _curvature.forward_pass(network, inputs, sizes, activation)
    return _curvature.hessian_product(
        parameters, direction, run, sizes, activation, knobs["distribution"], pull
    )


@pytest.mark.claim("C19")
@pytest.mark.parametrize("distribution", ["categorical", "gaussian"])
def test_the_gradient_of_the_kl_is_zero_at_the_old_policy(distribution):
    """Its pull at the outputs and at log σ is 0 to the bit; halfway to another policy it is not."""
    parameters, inputs, knobs = policy(distribution)
    flat = torch.tensor(parameters, requires_grad=True)
    count = layer_parameters(knobs["sizes"])
    log_std = flat[count:]

    def gradient(old):
        outputs = mlp_forward(flat[:count], torch.tensor(inputs), sizes=(2, 3, 2),
                              activation="tanh")  # fmt: skip
        before = (outputs.detach() + old, log_std.detach())
        kl = kl_of_outputs(*before, outputs, log_std, distribution).mean()
        return torch.autograd.grad(kl, flat)[0]

    still = tracked(parameters)
    ones = tracked(np.ones_like(parameters))
    rest = curved(still, ones, tracked(inputs), knobs, _curvature.kl_rest)
    assert all(float(number) == 0 for number in rest)
    # autograd sums what cancels: π − π_old is left as rounding, times what the network adds
    loss = [number.free_bound() for number in rest if isinstance(number, Tracked)]
    assert max(loss) < math.sqrt(UNIT)
    assert gradient(0.0).abs().max() < math.sqrt(UNIT)
    moved = torch.tensor([0.5, 0.0], dtype=torch.float64)
    assert gradient(moved).abs().max() > math.sqrt(UNIT)


@pytest.mark.claim("C19")
def test_the_fisher_matrix_is_the_mean_of_minus_the_hessian_of_log_pi():
    """−Σ π(a) ∇² log π(a), its network's second derivatives included, in every direction."""
    parameters, inputs, knobs = policy("categorical")
    still, rows = tracked(parameters), tracked(inputs)

    def pulls_of(action):
        def pull(outputs, moves, _log_std, _log_std_move, _distribution):
            chances = _curvature.probabilities(outputs)
            mean = (chances * moves).sum(axis=1, keepdims=True)
            taken = np.zeros_like(outputs)
            taken[:, action] = 1
            weight = chances[:, action : action + 1]
            none = np.empty_like(outputs, shape=(len(outputs), 0))
            # −π(a) times the pull of log π(a) and its derivative; π(a) is a constant weight
            return -weight * (taken - chances), weight * (chances * (moves - mean)), none

        return pull

    fisher = reference.fisher_matrix(still, rows, **knobs)
    for i in range(len(parameters)):
        unit = tracked(np.eye(len(parameters))[i])
        total = sum(curved(still, unit, rows, knobs, pulls_of(a)) for a in range(2))
        for got, wanted in zip(total, fisher[:, i], strict=True):
            away = got - wanted
            assert abs(float(away)) <= away.running_bound()


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_second_derivatives_of_the_network_are_those_of_autograd(activation):
    """The pass that the Hessian is made of, on a function that is not stationary: Σ c · outputs."""
    parameters, inputs, knobs = policy("categorical", seed=3)
    knobs = {**knobs, "activation": activation}
    weights = np.array([[1.0, -2.0], [3.0, 0.5]])

    def pull(outputs, moves, _log_std, _log_std_move, _distribution):
        none = np.empty_like(outputs, shape=(len(outputs), 0))
        return 0 * outputs + weights, 0 * moves, none

    flat = torch.tensor(parameters, requires_grad=True)
    outputs = mlp_forward(flat, torch.tensor(inputs), sizes=(2, 3, 2), activation=activation)
    total = (outputs * torch.tensor(weights)).sum() / 2
    (gradient,) = torch.autograd.grad(total, flat, create_graph=True)
    for i in range(len(parameters)):
        unit = tracked(np.eye(len(parameters))[i])
        wanted = curved(tracked(parameters), unit, tracked(inputs), knobs, pull)
        (row,) = torch.autograd.grad(gradient[i], flat, retain_graph=True)
        equals_tracked(row.numpy(), wanted)


def mp_outputs(parameters, inputs, sizes):
    """Return a tanh network's outputs in mpmath's arithmetic."""
    hidden, start = inputs, 0
    tanh = np.vectorize(mpmath.tanh, otypes=[object])
    for i, o in pairwise(sizes):
        weight = parameters[start : start + i * o].reshape(o, i)
        hidden = hidden @ weight.T + parameters[start + i * o : start + i * o + o]
        start += i * o + o
        hidden = tanh(hidden) if start < layer_parameters(sizes) else hidden
    return hidden


def mp_kl(old, new, inputs, knobs):
    """Return the mean KL divergence in mpmath's arithmetic."""
    sizes, count = knobs["sizes"], layer_parameters(knobs["sizes"])
    before, after = (mp_outputs(p[:count], inputs, sizes) for p in (old, new))
    exp = np.vectorize(mpmath.exp, otypes=[object])
    if knobs["distribution"] == "gaussian":
        width, narrow = old[count:], new[count:]
        spread = (exp(2 * width) + (after - before) ** 2) / (2 * exp(2 * narrow))
        return (narrow - width + spread - mpmath.mpf(1) / 2).sum() / len(inputs)
    total = 0
    for p, q in zip(before, after, strict=True):
        grown, other = exp(p), exp(q)
        shift = mpmath.log(other.sum()) - mpmath.log(grown.sum())
        total += (grown / grown.sum() * (p - q + shift)).sum()
    return total / len(inputs)


@pytest.mark.claim("C20")
@pytest.mark.parametrize("distribution", ["categorical", "gaussian"])
def test_the_rest_of_the_kl_is_of_third_order(distribution):
    """KL(θ, θ + d) − ½ dᵀF d falls eightfold as d halves; the KL itself fourfold."""
    parameters, inputs, knobs = policy(distribution, seed=1)
    fisher = np.array(reference.fisher_matrix(parameters, inputs, **knobs))
    fisher = (fisher + fisher.T) / 2
    lift = np.vectorize(mpmath.mpf, otypes=[object])
    direction = lift(np.random.default_rng(2).normal(size=len(parameters)))
    old, rows = lift(parameters), lift(inputs)
    with mpmath.workdps(60):
        quadratic = direction @ lift(fisher) @ direction / 2
        rests, divergences = [], []
        for k in range(4, 9):  # F is known to 2⁻⁵³, so d must not be so small that it shows
            step = mpmath.mpf(2) ** -k
            divergence = mp_kl(old, old + step * direction, rows, knobs)
            divergences.append(divergence)
            rests.append(divergence - step**2 * quadratic)
        orders = [[mpmath.log(a / b, 2) for a, b in pairwise(x)] for x in (rests, divergences)]
    for order, found in zip((3, 2), orders, strict=True):
        away = [abs(x - order) for x in found]
        assert all(after < before for before, after in pairwise(away))  # ever closer
        assert round(found[-1]) == order


@pytest.mark.parametrize("distribution", ["categorical", "gaussian"])
def test_every_parameter_has_curvature(distribution):
    """No parameter of a policy in general position is left out, log σ included."""
    parameters, inputs, knobs = policy(distribution)
    fisher = reference.fisher_matrix(parameters, inputs, **knobs)
    assert (np.diag(fisher) > 0).all()
    for i, unit in enumerate(np.eye(len(parameters))):
        product = fast.fisher_vector_product(
            torch.tensor(parameters), torch.tensor(inputs), torch.tensor(unit),
            damping=0.0, **knobs,
        )  # fmt: skip
        assert product[i] > 0


# --- operators ----------------------------------------------------------------------------------


class GaussianPolicy(torch.nn.Module):
    """A policy with a log σ of its own, or one that depends on the state."""

    def __init__(self, body, log_std, head=None):
        super().__init__()
        self.body, self.log_std, self.head = body, torch.nn.Parameter(log_std), head
        self.unused = torch.nn.Linear(2, 1, dtype=torch.float64)

    def forward(self, inputs):
        spread = self.log_std if self.head is None else self.log_std + self.head(inputs)
        return self.body(inputs), spread


def kl_product(module, inputs, vector, distribution):
    """Differentiate the KL of a module from its detached copy twice."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    out = module(inputs)
    if distribution == "categorical":
        old, new = out.detach().log_softmax(-1), out.log_softmax(-1)
        kl = (old.exp() * (old - new)).sum(-1).mean()
    else:
        mean, log_std = torch.broadcast_tensors(*out)
        old = torch.distributions.Normal(mean.detach(), log_std.detach().exp())
        new = torch.distributions.Normal(mean, log_std.exp())
        kl = torch.distributions.kl_divergence(old, new).sum(-1).mean()
    first = torch.autograd.grad(kl, parameters, create_graph=True, materialize_grads=True)
    flat = torch.cat([g.reshape(-1) for g in first])
    second = torch.autograd.grad(flat @ vector, parameters, materialize_grads=True)
    return torch.cat([g.reshape(-1) for g in second])


@pytest.mark.parametrize("kind", ["categorical", "gaussian", "state-dependent σ"])
def test_a_module_has_the_curvature_of_its_kl(kind):
    """Parameters without effect included; as far as half the digits go, which no slip survives."""
    torch.manual_seed(0)
    body = mlp_module(sizes=(2, 3, 2), activation="tanh").double()
    inputs = torch.randn(5, 2, dtype=torch.float64)
    module, distribution = body, "categorical"
    if kind != "categorical":
        head = torch.nn.Linear(2, 2, dtype=torch.float64) if "state" in kind else None
        module = GaussianPolicy(body, torch.tensor([0.25, -0.5], dtype=torch.float64), head)
        distribution = "gaussian"
    operator = fast.module_fisher_operator(
        module, inputs, distribution=distribution, damping=0.0
    )  # fmt: skip
    size = len(flat_parameters(module))
    matrix = torch.stack([operator(unit) for unit in torch.eye(size, dtype=torch.float64)])
    for _ in range(3):
        vector = torch.randn(size, dtype=torch.float64)
        wanted = kl_product(module, inputs, vector, distribution)
        assert (operator(vector) - wanted).abs().max() < math.sqrt(UNIT) * wanted.abs().max()
    moved = matrix.diagonal() > 0
    unused = sum(p.numel() for n, p in module.named_parameters() if n.startswith("unused"))
    assert int((~moved).sum()) == unused
    assert not operator(torch.ones(size, dtype=torch.float64)).requires_grad


@pytest.mark.parametrize("distribution", ["categorical", "gaussian"])
def test_flat_and_module_operators_are_the_product(distribution):
    """Within the bound of the explicit matrix, on every drawn policy."""
    contract = find("fisher_vector_product")
    cases = drawn_cases(contract, 60, 0)
    for case in [c for c in cases if c.kind == distribution][:20]:
        known, knobs = truth(contract, case, "float64"), dict(case.arguments)
        flat, vector = torch.tensor(knobs.pop("parameters")), torch.tensor(knobs.pop("vector"))
        inputs = torch.tensor(knobs.pop("inputs"))
        count = layer_parameters(knobs["sizes"])
        got = [fast.fisher_operator(flat, inputs, **knobs)(vector)]
        module = mlp_module(sizes=knobs["sizes"], activation=knobs["activation"]).double()
        torch.nn.utils.vector_to_parameters(flat[:count], module.parameters())
        settings = {"distribution": distribution, "damping": knobs["damping"]}
        if distribution == "categorical":
            got.append(fast.module_fisher_operator(module, inputs, **settings)(vector))
        else:
            whole = GaussianPolicy(module, flat[count:].clone())
            whole.unused.requires_grad_(False)
            turned = torch.cat([vector[count:], vector[:count]])  # log_std comes first there
            product = fast.module_fisher_operator(whole, inputs, **settings)(turned)
            width = len(vector) - count
            got.append(torch.cat([product[width:], product[:width]]))
        for product in got:
            away = ratios(product.numpy(), known.value["product"], known.allowed["product"])
            assert (away <= 1).all()


def test_a_module_without_anything_to_train_is_refused():
    frozen = torch.nn.Linear(2, 2).requires_grad_(False)
    with pytest.raises(ValueError, match="module came without parameters that require a gradient"):
        fast.module_fisher_operator(
            frozen, torch.ones(1, 2), distribution="categorical", damping=0.0
        )
    with pytest.raises(ValueError, match="distribution came as 'beta'"):
        fast.module_fisher_operator(
            torch.nn.Linear(2, 2), torch.ones(1, 2), distribution="beta", damping=0.0
        )


# --- ACKTR's step -------------------------------------------------------------------------------


def test_one_layer_of_one_input_is_the_whole_fisher_matrix():
    """With one sample, A ⊗ G is exact: undamped but for little, the step is F⁻¹∇J by a solve."""
    parameters, inputs = np.array([0.5, -0.25, 0.125]), np.array([[2.0]])
    knobs = {"sizes": (1, 1), "activation": "tanh", "distribution": "gaussian"}
    gradient = np.array([1.0, 0.5, 3.0])  # ∇J along x̄ = (2, 1), where F is not singular
    case = Case(
        {
            "parameters": parameters, "inputs": inputs, "gradient": gradient, **knobs,
            "damping": 2.0**-40, "delta": 2.0**40, "learning_rate": 1.0,
        }
    )  # fmt: skip
    step = reference.kronecker_factored_step(**case.arguments)
    fisher = reference.fisher_matrix(parameters, inputs, **knobs)
    back = fisher @ step
    # the damping moves the answer by √μ = 2⁻²⁰ relative to each factor
    assert (np.abs(back - gradient) < 2.0**-18 * np.abs(gradient)).all()


def test_the_predicted_divergence_is_delta_where_it_limits():
    """½ stepᵀF̂ step = δ, from the step that nothing limits: F̂⁻¹∇J."""
    for case in drawn_cases(find("kronecker_factored_step"), 40, 0):
        free = case.but(delta=2.0**60, learning_rate=1.0)
        direction = reference.kronecker_factored_step(**free.arguments)
        step = reference.kronecker_factored_step(**case.but(delta=2.0**-30).arguments)
        # step = η F̂⁻¹∇J, so stepᵀF̂ step = η stepᵀ∇J
        eta = (step @ direction) / (direction @ direction)
        predicted = eta * (step @ case["gradient"]) / 2
        assert round(predicted * 2.0**30 * 2**20) == 2**20
