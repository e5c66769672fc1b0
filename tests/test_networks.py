"""The topic `networks`: the contract tests, and what only perceptrons have."""

import warnings
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import rlverify
from rlverify.contracts import find
from rlverify.contracts._network_cases import layers_of
from rlverify.differentiation import Dual
from rlverify.fast import networks as fast
from rlverify.reference import networks as reference
from rlverify.rounding import PRECISIONS, Tracked, exactly, lifted
from rlverify.twinning import as_torch
from support import *  # noqa: F403 - the contract tests, spread over TOPIC

TOPIC = "networks"
U = PRECISIONS["float64"].unit
STEP = 2.0**-500  # of the complex step: its square underflows against 1


def knobs(case):
    return {"sizes": case["sizes"], "activation": case["activation"]}


def tracked(function, case, **changes):
    """Run a reference on numbers that carry their errors."""
    arguments = lifted({**case.arguments, **changes}, lambda value: Tracked(value, U))
    return function(**arguments)


def bounds(array):
    return np.vectorize(lambda item: item.free_bound(), otypes=[float])(array)


class Imaginary:
    """A complex number that is ordered by its real part, for the complex step."""

    def __init__(self, value):
        self.value = complex(value)

    def __add__(self, other):
        return Imaginary(self.value + plain(other))

    def __sub__(self, other):
        return Imaginary(self.value - plain(other))

    def __rsub__(self, other):
        return Imaginary(plain(other) - self.value)

    def __mul__(self, other):
        return Imaginary(self.value * plain(other))

    __radd__, __rmul__ = __add__, __mul__

    def tanh(self):
        return Imaginary(np.tanh(self.value))

    def __ge__(self, other):
        return self.value.real >= plain(other).real

    def __le__(self, other):
        return self.value.real <= plain(other).real


def plain(number):
    return number.value if isinstance(number, Imaginary) else complex(number)


def complex_step(case, direction):
    """Return the derivative of the outputs along a direction, without a formula for it."""
    parameters = np.array(
        [
            Imaginary(complex(x, STEP * t))
            for x, t in zip(case["parameters"], direction, strict=True)
        ],
        dtype=object,
    )
    inputs = np.vectorize(Imaginary, otypes=[object])(case["inputs"])
    outputs = reference.mlp_forward(parameters, inputs, **knobs(case))
    return np.vectorize(lambda item: item.value.imag / STEP, otypes=[float])(outputs)


def dual_bounds(case, direction):
    """Return what rounding allows on anybody's derivative of the forward pass."""
    parameters = np.array(
        [Dual(Tracked(x, U), Tracked(t, U))
         for x, t in zip(case["parameters"], direction, strict=True)],
        dtype=object,
    )  # fmt: skip
    inputs = lifted({"inputs": case["inputs"]}, lambda x: Dual(Tracked(x, U), Tracked(0.0, U)))
    outputs = reference.mlp_forward(parameters, **inputs, **knobs(case))
    return np.vectorize(lambda item: item.slope.free_bound(), otypes=[float])(outputs)


def away_from_kinks(case):
    """Whether no rectifier stands at exactly 0, where it has no derivative."""
    if case["activation"] == "tanh":
        return True
    values = case["inputs"]
    for weight, bias in layers_of(case["parameters"], case["sizes"])[:-1]:
        before = values @ weight.T + bias
        if (before == 0).any():
            return False
        values = before.clip(0)
    return True


@given(data=st.data())
def test_jvp_is_the_complex_step_of_the_forward_pass(data):
    case = data.draw(find("mlp_jvp").inputs.filter(away_from_kinks))
    wanted = complex_step(case, case["tangents"])
    allowed = bounds(tracked(reference.mlp_jvp, case)) + dual_bounds(case, case["tangents"])
    assert (np.abs(reference.mlp_jvp(**case.arguments) - wanted) <= allowed).all()


@settings(max_examples=25)
@given(data=st.data())
def test_backward_is_the_complex_step_of_the_forward_pass(data):
    case = data.draw(find("mlp_backward").inputs.filter(away_from_kinks))
    got, allowed = (
        reference.mlp_backward(**case.arguments),
        bounds(tracked(reference.mlp_backward, case)),
    )
    for i, direction in enumerate(np.eye(len(got))):
        weighed = [Fraction(x) for x in (case["cotangents"] * complex_step(case, direction)).flat]
        room = np.abs(case["cotangents"]) * (
            dual_bounds(case, direction) + U * np.abs(complex_step(case, direction))
        )
        assert abs(Fraction(got[i]) - sum(weighed)) <= allowed[i] + room.sum()


@given(data=st.data())
def test_a_rectifier_network_is_exact_on_fractions(data):
    """Away from the kinks its derivative is a dual number's, in fractions: nothing is rounded."""
    case = data.draw(
        find("mlp_backward").inputs.filter(
            lambda c: c["activation"] == "relu" and away_from_kinks(c)
        )
    )
    exact = lifted(dict(case.arguments), exactly)
    gradient = reference.mlp_backward(**exact)
    outputs = {key: value for key, value in exact.items() if key != "cotangents"}
    for i in range(len(gradient)):
        moved = np.array([Dual(x, Fraction(int(i == j)))
                          for j, x in enumerate(exact["parameters"])], dtype=object)  # fmt: skip
        slopes = reference.mlp_forward(**{**outputs, "parameters": moved})
        total = sum(
            weight * item.slope
            for weight, item in zip(exact["cotangents"].flat, slopes.flat, strict=True)
        )
        assert gradient[i] == total


@given(data=st.data())
def test_the_two_products_are_adjoint(data):
    """⟨cotangents, J t⟩ = ⟨Jᵀ cotangents, t⟩, at the kinks too."""
    case = data.draw(find("mlp_backward").inputs)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    tangents = rng.integers(-32, 33, len(case["parameters"])) / 8
    forward = case.but(tangents=tangents)
    forward = type(case)({k: v for k, v in forward.arguments.items() if k != "cotangents"})
    for jvp, backward in (
        (reference.mlp_jvp(**forward.arguments), reference.mlp_backward(**case.arguments)),
        (
            fast.mlp_jvp(**as_torch(dict(forward.arguments), "float64")).numpy(),
            fast.mlp_backward(**as_torch(dict(case.arguments), "float64")).numpy(),
        ),
    ):
        ahead = sum(Fraction(c) * Fraction(y)
                    for c, y in zip(case["cotangents"].flat, jvp.flat, strict=True))  # fmt: skip
        back = sum(Fraction(t) * Fraction(g) for t, g in zip(tangents, backward, strict=True))
        room = (np.abs(case["cotangents"]) * bounds(tracked(reference.mlp_jvp, forward))).sum()
        room += (np.abs(tangents) * bounds(tracked(reference.mlp_backward, case))).sum()
        assert abs(ahead - back) <= 2 * room  # either side's own rounding and the reference's


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("sizes", [(4, 8, 2), (3, 2), (2, 5, 3, 1)])
def test_the_vector_of_a_torch_module_is_the_vector_of_this_topic(sizes, activation):
    torch.manual_seed(0)
    module = fast.mlp_module(sizes=sizes, activation=activation).double()
    inputs = torch.randn(6, sizes[0], dtype=torch.float64)
    vector = fast.flat_parameters(module)
    assert torch.equal(vector, torch.nn.utils.parameters_to_vector(module.parameters()))
    kinds = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU}
    layers = [torch.nn.Linear(i, o).double() for i, o in pairwise(sizes)]
    theirs = [part for layer in layers for part in (layer, kinds[activation]())][:-1]
    theirs = torch.nn.Sequential(*theirs)
    torch.nn.utils.vector_to_parameters(vector.detach(), theirs.parameters())
    outputs = theirs(inputs)
    assert torch.equal(
        fast.mlp_forward(vector, inputs, sizes=sizes, activation=activation), outputs
    )
    assert torch.equal(module(inputs), outputs)
    cotangents = torch.randn_like(outputs)
    wanted = torch.autograd.grad(outputs, list(theirs.parameters()), cotangents)
    case = find("mlp_backward").good.but(
        parameters=vector.detach().numpy(), inputs=inputs.numpy(),
        cotangents=cotangents.numpy(), sizes=sizes, activation=activation,
    )  # fmt: skip
    got = fast.mlp_backward(vector.detach(), inputs, cotangents, sizes=sizes, activation=activation)
    allowed = 2 * bounds(tracked(reference.mlp_backward, case))
    wanted = torch.cat([part.reshape(-1) for part in wanted])
    assert ((got - wanted).abs().numpy() <= allowed).all()


@given(data=st.data())
def test_the_products_are_those_of_torch_func(data):
    """Both products, whatever the regime; torch takes the same side at the kinks."""
    for name in ("mlp_backward", "mlp_jvp"):
        case = data.draw(find(name).inputs)
        given = as_torch(dict(case.arguments), "float64")

        def forward(vector, given=given, case=case):
            return fast.mlp_forward(vector, given["inputs"], **knobs(case))

        with warnings.catch_warnings():  # torch.func.jvp compiles formulas the deprecated way
            warnings.simplefilter("ignore", DeprecationWarning)
            if name == "mlp_backward":
                (wanted,) = torch.func.vjp(forward, given["parameters"])[1](given["cotangents"])
            else:
                _, wanted = torch.func.jvp(forward, (given["parameters"],), (given["tangents"],))
        got = getattr(fast, name)(**given)
        allowed = 2 * bounds(tracked(getattr(reference, name), case))
        assert ((got - wanted).abs().numpy() <= allowed).all()


def test_the_slope_at_a_kink_is_zero_in_both_twins():
    """A stated convention: torch.relu's, not torch.clamp's."""
    parameters, inputs = np.array([1.0, 0.0, 1.0, 0.0]), np.array([[0.0]])
    wide = {"sizes": (1, 1, 1), "activation": "relu"}
    backward = reference.mlp_backward(parameters, inputs, np.ones((1, 1)), **wide)
    assert backward.tolist() == [0, 0, 0, 1]
    jvp = reference.mlp_jvp(parameters, inputs, np.array([0.0, 1.0, 0.0, 0.0]), **wide)
    assert jvp.tolist() == [[0]]
    vector, rows = torch.tensor(parameters), torch.tensor(inputs)
    one = torch.ones(1, 1, dtype=torch.float64)
    assert fast.mlp_backward(vector, rows, one, **wide).tolist() == [0, 0, 0, 1]
    along = torch.tensor([0.0, 1.0, 0.0, 0.0], dtype=torch.float64)
    assert fast.mlp_jvp(vector, rows, along, **wide).tolist() == [[0]]


@pytest.mark.parametrize("name", ["mlp_forward", "mlp_backward", "mlp_jvp"])
def test_works_under_compilation_and_transforms(name):
    case = find(name).good
    given = as_torch(dict(case.arguments), "float64")
    wide = {"sizes": given.pop("sizes"), "activation": given.pop("activation")}
    function = getattr(fast, name)
    eager = function(**given, **wide)
    compiled = torch.compile(function, backend="aot_eager", fullgraph=True)
    allowed = 2 * bounds(tracked(getattr(reference, name), case))
    assert ((compiled(**given, **wide) - eager).abs().numpy() <= allowed).all()
    if name != "mlp_forward":  # a product for each of several vectors at once
        last = list(given)[-1]
        batch = torch.stack([given[last], 2 * given[last]])
        rest = {key: value for key, value in given.items() if key != last}
        many = torch.func.vmap(lambda one: function(**rest, **{last: one}, **wide))(batch)
        assert ((many[1] - 2 * many[0]).abs().numpy() <= 4 * allowed).all()


def test_modules_are_refused_alike():
    with pytest.raises(ValueError, match=r"^mlp_module: sizes came as \(3,\), wanted a tuple"):
        fast.mlp_module(sizes=(3,), activation="tanh")
    with pytest.raises(ValueError, match=r"^mlp_module: activation came as 'gelu', wanted one of"):
        fast.mlp_module(sizes=(3, 2), activation="gelu")
    with pytest.raises(ValueError, match=r"^flat_parameters: module came without parameters"):
        fast.flat_parameters(torch.nn.Tanh())


def test_a_strangers_network_is_checked():
    """Under names of its own; `x` is what `params` is not."""

    def forward(params, x, layer_sizes, act):
        return reference.mlp_forward(params, x, sizes=layer_sizes, activation=act)

    def backward(theta, obs, grad_output, *, sizes, activation):
        return reference.mlp_backward(
            theta, obs, grad_output / len(obs), sizes=sizes, activation=activation
        )

    assert rlverify.check(forward, "mlp_forward", budget=40).ok
    assert rlverify.check(backward, "mlp_backward", budget=40).qualifier == "L8"
