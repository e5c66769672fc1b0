"""The topic `finite_difference`: the contract tests, orders of convergence, and noise."""

import itertools
import pickle
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import rlverify
from rlverify.contracts import find
from rlverify.fast import finite_difference as fast
from rlverify.objectives import Counted, Polynomial, taylor
from rlverify.reference import finite_difference as reference
from support import *  # noqa: F403 - the contract tests, spread over TOPIC

TOPIC = "finite_difference"
# x⁴ − 3x²y + 2y³ − 5xy + 7: every derivative up to the fourth is there
QUARTIC = Polynomial(((1, (4,)), (-3, (2, 1)), (2, (0, 3)), (-5, (1, 1)), (7, ())))
POINT = np.array([Fraction(2), Fraction(-3)], dtype=object)
DIFFERENCES = {"forward": reference.forward_difference, "central": reference.central_difference}


def true_gradient(objective, point):
    return [objective.derivative(i)(point) for i in range(len(point))]


def errors(name, step):
    got = DIFFERENCES[name](QUARTIC, POINT, step=step)
    return [g - t for g, t in zip(got, true_gradient(QUARTIC, POINT), strict=True)]


@pytest.mark.claim("C3")
def test_the_error_is_an_exact_polynomial_in_the_step():
    """By hand at (2, −3): fₓₓ = 12x² − 6y = 66, fₓₓₓ = 48, fₓₓₓₓ = 24; f_yy = −36, f_yyy = 12.

    Forward: f″h/2 + f‴h²/6 + f⁗h³/24; central: f‴h²/6 alone (the next is of fifth order).
    """
    for h in (Fraction(1), Fraction(1, 3), Fraction(1, 1024)):
        assert errors("forward", h) == [33 * h + 8 * h**2 + h**3, -18 * h + 2 * h**2]
        assert errors("central", h) == [8 * h**2, 2 * h**2]


@pytest.mark.claim("C3")
@given(
    coefficients=st.lists(st.integers(-9, 9), min_size=2, max_size=6),
    point=st.fractions(max_denominator=20),
    step=st.fractions(min_value=Fraction(1, 50), max_value=2, max_denominator=50),
)
def test_forward_differences_have_order_one_and_central_ones_order_two(coefficients, point, step):
    """Error / h and error / h² tend to f″/2 and f‴/6: exactly, with a rest of one order more."""
    polynomial = Polynomial(tuple((c, (k,)) for k, c in enumerate(coefficients)))
    derivatives = [polynomial]
    for _ in range(6):
        derivatives.append(derivatives[-1].derivative(0))
    at = np.array([point], dtype=object)
    slope, second, third = (Fraction(d(at)) for d in derivatives[1:4])
    for name, order, leading in (("forward", 1, second / 2), ("central", 2, third / 6)):
        rests = []
        for h in (step, step / 2):
            (got,) = DIFFERENCES[name](polynomial, at, step=h)
            rests.append((Fraction(got) - slope) / h**order - leading)
        # what is left is c₁h + c₂h² + …: halving h halves its first term, so the rest of the
        # rest is bounded by the next derivatives, which a polynomial of degree 5 has in full
        fourth, fifth = (Fraction(d(at)) for d in derivatives[4:6])
        if name == "forward":
            wanted = [third * h / 6 + fourth * h**2 / 24 + fifth * h**3 / 120
                      for h in (step, step / 2)]  # fmt: skip
        else:
            wanted = [fifth * h**2 / 120 for h in (step, step / 2)]
        assert rests == wanted


@pytest.mark.claim("C3")
@pytest.mark.parametrize("count", [1, 2, 5])
def test_evaluations_are_counted(count):
    point = np.arange(1.0, count + 1)
    objective = Polynomial(tuple((1, (0,) * i + (2,)) for i in range(count)))
    for module, array in ((reference, point), (fast, torch.tensor(point))):
        for name, wanted in (("forward_difference", count + 1), ("central_difference", 2 * count)):
            counted = Counted(objective)
            getattr(module, name)(counted, array, step=0.5)
            assert counted.count == wanted


class Noisy:
    """f(θ) + one noise of a given sequence an evaluation."""

    def __init__(self, objective, noise):
        self.objective, self.noise = objective, iter(noise)

    def __call__(self, parameters):
        return self.objective(parameters) + next(self.noise)


NOISE = {Fraction(-2): Fraction(1, 4), Fraction(0): Fraction(1, 4), Fraction(1): Fraction(1, 2)}
VARIANCE = sum(p * x**2 for x, p in NOISE.items())  # its mean is 0
SHARES = {"forward": 2, "central": Fraction(1, 2)}  # 2v/h², 2v/(2h)²


def moments(name, step, evaluations):
    """Return mean and covariance of a noisy difference over every sequence of noise."""
    total, squares = [Fraction(0)] * 2, [[Fraction(0)] * 2 for _ in range(2)]
    for sequence in itertools.product(NOISE, repeat=evaluations):
        weight = Fraction(1)
        for x in sequence:
            weight *= NOISE[x]
        got = DIFFERENCES[name](Noisy(QUARTIC, sequence), POINT, step=step)
        for i in range(2):
            total[i] += weight * got[i]
            for j in range(2):
                squares[i][j] += weight * got[i] * got[j]
    covariance = [[squares[i][j] - total[i] * total[j] for j in range(2)] for i in range(2)]
    return total, covariance


@pytest.mark.claim("C3")
@pytest.mark.parametrize("name", DIFFERENCES)
def test_noise_adds_its_variance_to_the_squared_error(name):
    """Mean squared error = (f″h/2 + …)² + 2v/h², or (f‴h²/6)² + v/(2h²): every noise summed."""
    assert sum(p * x for x, p in NOISE.items()) == 0
    for h in (Fraction(1), Fraction(1, 4)):
        mean, covariance = moments(name, h, 3 if name == "forward" else 4)
        gradient, bias = true_gradient(QUARTIC, POINT), errors(name, h)
        for i in range(2):
            assert mean[i] - gradient[i] == bias[i]
            assert covariance[i][i] == SHARES[name] * VARIANCE / h**2
        # a forward difference uses f(θ) in every element, so its elements share that noise
        assert covariance[0][1] == (VARIANCE / h**2 if name == "forward" else 0)


class Scaled:
    """ω f(θ): noise that multiplies, drawn anew at every evaluation or fixed."""

    def __init__(self, objective, factors):
        self.objective, self.factors = objective, iter(factors)

    def __call__(self, parameters):
        return next(self.factors) * self.objective(parameters)


@pytest.mark.claim("C3")
@pytest.mark.parametrize("name", DIFFERENCES)
def test_common_random_numbers_take_the_noise_away(name):
    """Additive noise cancels; a factor ω leaves Var(ω)·(difference)², bounded as h → 0.

    With ω drawn anew the variance is Var(ω)(f₊² + f₋²)/h², or a quarter of it, and diverges.
    """
    evaluations = 3 if name == "forward" else 4
    spread = Fraction(1, 9)  # ω = 1 ± 1/3
    factors = (Fraction(2, 3), Fraction(4, 3))
    for x in NOISE:
        common = DIFFERENCES[name](Noisy(QUARTIC, itertools.repeat(x)), POINT, step=Fraction(1, 8))
        assert list(common) == list(DIFFERENCES[name](QUARTIC, POINT, step=Fraction(1, 8)))
    for h in (Fraction(1, 4), Fraction(1, 64)):
        plain = DIFFERENCES[name](QUARTIC, POINT, step=h)
        same = [DIFFERENCES[name](Scaled(QUARTIC, itertools.repeat(w)), POINT, step=h)[0]
                for w in factors]  # fmt: skip
        mean = sum(same) / 2
        assert mean == plain[0]
        assert sum((x - mean) ** 2 for x in same) / 2 == spread * plain[0] ** 2
        anew = [DIFFERENCES[name](Scaled(QUARTIC, sequence), POINT, step=h)[0]
                for sequence in itertools.product(factors, repeat=evaluations)]  # fmt: skip
        assert sum(anew) / len(anew) == plain[0]
        variance = sum((x - plain[0]) ** 2 for x in anew) / len(anew)
        unit = np.array([h, 0], dtype=object)
        ahead = QUARTIC(POINT + unit)
        behind = QUARTIC(POINT) if name == "forward" else QUARTIC(POINT - unit)
        width = h if name == "forward" else 2 * h
        assert variance == spread * (ahead**2 + behind**2) / width**2


def test_the_objective_is_given_copies():
    """An objective that spoils what it is given spoils nothing."""

    def spoiling(parameters):
        value = parameters[0] * parameters[1]
        parameters[:] = 0
        return value

    point = np.array([3.0, 5.0])
    assert reference.forward_difference(spoiling, point, step=1.0).tolist() == [5, 3]
    assert point.tolist() == [3, 5]
    vector = torch.tensor([3.0, 5.0])
    assert fast.central_difference(spoiling, vector, step=1.0).tolist() == [5, 3]
    assert vector.tolist() == [3, 5]


def test_the_objective_may_return_a_number_or_a_tensor():
    vector = torch.tensor([3.0, 5.0])
    for objective in (lambda x: float(x.sum()), lambda x: x.sum(), lambda x: int(x.sum())):
        assert fast.forward_difference(objective, vector, step=1.0).tolist() == [1, 1]
    half = vector.to(torch.bfloat16)
    seen = []

    def remembering(x):
        seen.append(x.dtype)
        return x.sum()

    assert fast.central_difference(remembering, half, step=1.0).dtype == torch.bfloat16
    assert set(seen) == {torch.float32}


def test_polynomials_are_data():
    """They can be sent, printed as a program that makes them again, and compared."""
    assert pickle.loads(pickle.dumps(QUARTIC)) == QUARTIC
    assert eval(repr(QUARTIC), {"rlverify": rlverify}) == QUARTIC
    assert QUARTIC.mirrored()(-POINT) == QUARTIC(POINT)
    assert QUARTIC(POINT) == 16 + 36 - 54 + 30 + 7
    assert QUARTIC.derivative(1) == Polynomial(((-3, (2, 0)), (6, (0, 2)), (-5, (1, 0))))
    assert QUARTIC(POINT[:1]) == 16 - 12 + 2 - 10 + 7  # what the vector has not counts as 1
    assert (
        taylor(QUARTIC, POINT, 0, Fraction(1), odd=True)
        == errors("central", Fraction(1))[0] + (true_gradient(QUARTIC, POINT)[0])
    )


def test_a_strangers_difference_is_checked():
    """Under other names, with a function for an argument."""

    def numerical_gradient(f, x, eps):
        gradient = np.zeros_like(x)
        for i in range(len(x)):
            unit = np.zeros_like(x)
            unit[i] = eps
            gradient[i] = (f(x + unit) - f(x - unit)) / (2 * eps)
        return gradient

    verdict = rlverify.check(numerical_gradient, "central_difference")
    assert verdict.ok, verdict.title
    assert verdict.call.startswith("numerical_gradient(f=objective, x=parameters, eps=step)")
    wrong = rlverify.check(
        lambda objective, parameters, step: numerical_gradient(objective, parameters, step) * 2,
        "central_difference",
    )
    assert wrong.qualifier == "FD4"
    assert "rlverify.Polynomial" in wrong.counterexample
    shown = {}
    exec(wrong.counterexample.split("print(")[0], shown)
    assert find("central_difference").reference(**shown["inputs"]).shape


STRANGER = """
import numpy as np

def central(objective, parameters, step):
    moves = step * np.eye(len(parameters))
    return np.array([(objective(parameters + m) - objective(parameters - m)) / (2 * step)
                     for m in moves])
"""


def test_a_difference_in_a_process_of_its_own_is_given_its_objective_as_data(tmp_path):
    """All but the law that counts evaluations: what is counted there is not seen here."""
    (tmp_path / "stranger.py").write_text(STRANGER)
    verdict = rlverify.check(f"{tmp_path / 'stranger.py'}:central", "central_difference", budget=40)
    assert verdict.ok, verdict.title
    assert "law: taylor" in verdict.held
    assert "law: evaluations" not in verdict.held
