"""Descent: right solutions by conjugate gradients pass, in any rounding; others do not."""

from fractions import Fraction

import numpy as np
import pytest

from rlverify.direction import SLACK, descended, energy, krylov_minimisers
from rlverify.rounding import PRECISIONS

DTYPES = ["float64", "float32"]


def system(size, condition, seed=0):
    """Return a symmetric positive definite matrix of a condition number, and a right side."""
    rng = np.random.default_rng(seed)
    basis, _ = np.linalg.qr(rng.normal(size=(size, size)))
    values = np.geomspace(1 / condition, 1, size)
    matrix = (basis * values) @ basis.T
    return (matrix + matrix.T) / 2, rng.normal(size=size)


def iterated(matrix, right, iterations, dtype="float64", tolerance=0.0):
    """Return conjugate gradients' iterate, all of it in one dtype."""
    kind = np.dtype(dtype).type
    a, r = matrix.astype(dtype), right.astype(dtype)
    x, p, rho = np.zeros_like(r), r.copy(), r @ r
    for _ in range(iterations):
        if rho <= kind(tolerance) ** 2 * (right.astype(dtype) @ right.astype(dtype)):
            break
        product = a @ p
        alpha = rho / (p @ product)
        x, r = x + alpha * p, r - alpha * product
        rho, before = r @ r, rho
        p = r + rho / before * p
    return x.astype(np.float64)


def measured(matrix, right, x, iterations, dtype="float64", tolerance=0.0):
    unit = PRECISIONS[dtype].unit
    # the candidate multiplies by the matrix rounded to its dtype, in sums of as many terms as rows
    blur = float(np.linalg.norm((len(right) + 1) * unit * (np.abs(matrix) @ np.abs(x))))
    knobs = {"iterations": iterations, "tolerance": tolerance, "dtype": dtype, "blur": blur}
    return descended(matrix, right, x, **knobs)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("condition", [1.0, 1e2, 1e4, 1e6])
@pytest.mark.parametrize("iterations", [1, 2, 5, 10, 20, 40])
def test_conjugate_gradients_pass(condition, iterations, dtype):
    matrix, right = system(20, condition)
    x = iterated(matrix, right, iterations, dtype)
    assert measured(matrix, right, x, iterations, dtype).worst <= 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_residual_within_the_tolerance_passes(dtype):
    matrix, right = system(20, 1e2)
    x = iterated(matrix, right, 20, dtype, tolerance=2.0**-3)
    found = measured(matrix, right, x, 20, dtype, tolerance=2.0**-3)
    assert found.energy > found.least  # it has stopped early
    assert found.worst <= 1
    assert measured(matrix, right, x, 20, dtype, tolerance=2.0**-6).worst > 1


WRONG = {
    "nothing": lambda a, b: 0 * b,
    "the right side": lambda a, b: b,
    "against it": lambda a, b: -iterated(a, b, 8),
    "too few iterations": lambda a, b: iterated(a, b, 5),
    "twice": lambda a, b: 2 * iterated(a, b, 8),
    "more damping": lambda a, b: iterated(a + np.eye(len(b)), b, 8),
    "other matrix": lambda a, b: iterated(a[::-1, ::-1], b, 8),
    "other right side": lambda a, b: iterated(a, b[::-1], 8),
    "residual not updated": lambda a, b: b * (b @ b) / (b @ a @ b),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_other_directions_do_not(mistake):
    matrix, right = system(20, 1e2)
    assert measured(matrix, right, iterated(matrix, right, 8), 8).worst <= 1
    assert measured(matrix, right, WRONG[mistake](matrix, right), 8).worst > 1


def test_more_than_was_asked_passes():
    matrix, right = system(20, 1e6)
    assert measured(matrix, right, np.linalg.solve(matrix, right), 3).worst <= 1


def test_the_minimisers_are_those_of_exact_conjugate_gradients():
    rng = np.random.default_rng(1)
    square = rng.integers(-3, 4, (6, 6))
    matrix, right = square @ square.T + np.eye(6, dtype=int), rng.integers(-3, 4, 6)
    exact = np.vectorize(Fraction, otypes=[object])
    a, r = exact(matrix), exact(right)
    x, p, points = 0 * r, r, krylov_minimisers(matrix.astype(float), right.astype(float), 6)
    assert len(points) == 7
    for k in range(6):
        product = a @ p
        alpha = (r @ r) / (p @ product)
        x, new = x + alpha * p, r - alpha * product
        p, r = new + (new @ new) / (r @ r) * p, new
        floats = np.array(x, dtype=np.float64)
        ours, theirs = (
            energy(matrix.astype(float), right.astype(float), each)
            for each in (points[k + 1], floats)
        )
        # rounding x by 2⁻⁵³ moves the energy by its square, times the condition number
        floor = np.linalg.cond(matrix.astype(float)) * 36 * 2.0**-106 * 4
        assert ours <= theirs * (1 + SLACK) + floor
        assert theirs <= ours * (1 + SLACK) + floor


def test_a_space_that_stops_growing_ends_the_list():
    matrix = np.diag([1.0, 1.0, 2.0, 2.0, 2.0])
    points = krylov_minimisers(matrix, np.ones(5), 5)
    assert len(points) == 3
    assert (
        np.array_equal(matrix @ points[-1], np.ones(5))
        or energy(matrix, np.ones(5), points[-1]) < 2.0**-100
    )
    assert len(krylov_minimisers(matrix, np.zeros(5), 5)) == 1


def test_no_right_side_is_solved_by_nothing_alone():
    matrix, _ = system(5, 10.0)
    assert measured(matrix, np.zeros(5), np.zeros(5), 3).worst == 0
    assert measured(matrix, np.zeros(5), np.ones(5), 3).worst > 1
    assert measured(matrix, np.ones(5), np.full(5, np.nan), 3).worst > 1
