"""Conjugate gradients: in fractions, the ends that a solve can have, and strangers' solvers."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import rlverify
from rlverify.checking import drawn_cases
from rlverify.contracts import _solver, find
from rlverify.fast import natural_gradient as fast
from rlverify.objectives import SymmetricMatrix
from rlverify.reference import natural_gradient as reference

# --- conjugate gradients in exact arithmetic (C22) ----------------------------------------------


def integers(n, least=-3, most=3):
    return st.lists(st.integers(least, most), min_size=n, max_size=n)


@st.composite
def rational_systems(draw):
    n = draw(st.integers(1, 6))
    factor = np.array(draw(st.lists(integers(n), min_size=n, max_size=n)), dtype=object)
    right = draw(integers(n, -9, 9).filter(any))
    weight = Fraction(draw(st.integers(1, 9)), draw(st.integers(1, 9)))
    matrix = factor.T @ factor + weight * np.diag([Fraction(1)] * n)
    return matrix, np.array([Fraction(x, 7) for x in right], dtype=object)


@pytest.mark.claim("C22")
@given(system=rational_systems())
def test_conjugate_gradients_are_exact_after_dim_steps(system):
    matrix, b = system
    found = reference.conjugate_gradient(
        lambda v: matrix @ v, b, max_iterations=len(b), tolerance=Fraction(0)
    )
    assert found.status == "converged"
    assert found.iterations <= len(b)
    assert found.residual == 0
    assert all(isinstance(number, Fraction) for number in found.x)
    assert (matrix @ found.x == b).all()


@pytest.mark.claim("C22")
@pytest.mark.parametrize("values", [(3, 3, 3, 3), (1, 4, 4, 1, 4), (2, 5, 7, 5)])
def test_as_many_steps_as_there_are_distinct_eigenvalues(values):
    b = np.array([Fraction(k + 1) for k in range(len(values))], dtype=object)
    found = reference.conjugate_gradient(
        lambda v: np.array(values, dtype=object) * v, b, max_iterations=9, tolerance=Fraction(0)
    )
    assert (found.status, found.iterations) == ("converged", len(set(values)))


@pytest.mark.claim("C22")
def test_every_iterate_is_the_minimiser_over_its_krylov_space():
    """The path that the laws measure against is found by elimination, not by the recursion."""
    for case in drawn_cases(find("conjugate_gradient"), 40, 0):
        matrix = case["matvec"]
        b = np.array([Fraction(x) for x in case["b"]], dtype=object)
        steps = _solver.path(case).steps
        for k, wanted in list(enumerate(steps))[1:]:
            got = reference.conjugate_gradient(matrix, b, max_iterations=k, tolerance=Fraction(0))
            assert (got.x == wanted).all()


# --- named ends ---------------------------------------------------------------------------------

SYSTEMS = {
    "nothing to solve": ([[2, 0], [0, 1]], [0.0, 0.0], "zero"),
    "tiny": ([[2, 0], [0, 1]], [2.0**-1000, 2.0**-1001], "converged"),
    "subnormal": ([[2, 0], [0, 1]], [2.0**-1070, 2.0**-1071], "converged"),
    "huge": ([[2, 0], [0, 1]], [2.0**1000, 2.0**999], "converged"),
    "one eigenvalue": ([[3, 0], [0, 3]], [1.0, 2.0], "converged"),
    "indefinite": ([[1, 0], [0, -1]], [2.0, 1.0], "not_positive_definite"),
    "negative": ([[-1, 0], [0, -2]], [2.0, 1.0], "not_positive_definite"),
    "zero matrix": ([[0, 0], [0, 0]], [2.0, 1.0], "not_positive_definite"),
    "singular with a solution": ([[1, 1], [1, 1]], [2.0, 2.0], "converged"),
    "singular without": ([[1, 0], [0, 0]], [1.0, 1.0], "not_positive_definite"),
    "too few steps": ([[1, 0, 0], [0, 4, 0], [0, 0, 9]], [1.0, 1.0, 1.0], "max_iterations"),
}


def both(matrix, b, **knobs):
    """Return the reference's and the fast version's solution, the latter as NumPy."""
    b = np.array(b)
    ours = reference.conjugate_gradient(matrix, b, **knobs)
    theirs = fast.conjugate_gradient(matrix, torch.from_numpy(b), **knobs)
    return ours, theirs._replace(x=theirs.x.numpy())


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_end_has_a_name(name):
    rows, b, status = SYSTEMS[name]
    matrix = SymmetricMatrix(tuple(map(tuple, rows)))
    for found in both(matrix, b, max_iterations=2, tolerance=2.0**-40):
        assert found.status == status
        assert np.isfinite(found.x).all()
        assert 0 <= found.iterations <= 2
        left = np.array(b) - np.array(rows) @ found.x
        if status == "converged":  # with numbers that small integers solve without rounding
            assert not left.any()
            assert found.residual <= 2.0**-40


def test_a_product_that_is_no_number_ends_the_solve():
    for found in both(lambda v: v * float("nan"), [1.0, 2.0], max_iterations=3, tolerance=0.5):
        assert (found.status, found.iterations) == ("not_positive_definite", 0)
        assert not found.x.any()


@pytest.mark.parametrize("power", [-900, -80, -1, 3, 700])
def test_a_power_of_two_passes_through_to_the_bit(power):
    case = next(c for c in drawn_cases(find("conjugate_gradient"), 99, 0) if len(c["b"]) == 5)
    knobs = {"max_iterations": 3, "tolerance": 0.0}
    plain = both(case["matvec"], case["b"], **knobs)
    scaled = both(case["matvec"], case["b"] * 2.0**power, **knobs)
    for one, other in zip(plain, scaled, strict=True):
        assert (other.x == one.x * 2.0**power).all()
        assert other[1:] == one[1:]


def test_the_loop_of_the_fast_version_goes_on_unharmed_where_it_may_not_look():
    """On a GPU nothing is read back, so steps after the end are computed and thrown away."""

    class Elsewhere(torch.Tensor):
        @property
        def device(self):
            return torch.device("meta")

    for rows, b, status in SYSTEMS.values():
        matrix = torch.tensor(rows, dtype=torch.float64)
        plain = fast.conjugate_gradient(
            lambda v, m=matrix: m @ v, torch.tensor(b, dtype=torch.float64),
            max_iterations=9, tolerance=2.0**-40,
        )  # fmt: skip
        products = []
        blind = fast.conjugate_gradient(
            lambda v, m=matrix, seen=products: seen.append(m @ v) or seen[-1],
            torch.tensor(b, dtype=torch.float64).as_subclass(Elsewhere),
            max_iterations=9, tolerance=2.0**-40,
        )  # fmt: skip
        assert len(products) == 9
        assert torch.equal(plain.x, blind.x.as_subclass(torch.Tensor))
        assert plain[1:] == blind[1:]
        assert status in (plain.status, "max_iterations")


# --- strangers ----------------------------------------------------------------------------------


def textbook(hvp, g, cg_iters=10, residual_tol=1e-10):
    """Return x alone; relative tolerance."""
    x, r, p = np.zeros_like(g), g.copy(), g.copy()
    squared = r @ r
    enough = residual_tol**2 * squared
    for _ in range(cg_iters):
        if squared <= enough:
            break
        product = hvp(p)
        alpha = squared / (p @ product)
        x, r = x + alpha * p, r - alpha * product
        following = r @ r
        p, squared = r + following / squared * p, following
    return x


def of_baselines(f_Ax, b, cg_iters=10, callback=None, verbose=False, residual_tol=1e-10):
    """Stop at an absolute rᵀr, before the first step too."""
    x, r, p = np.zeros_like(b), b.copy(), b.copy()
    squared = r @ r
    for _ in range(cg_iters):
        if squared < residual_tol:
            break
        product = f_Ax(p)
        alpha = squared / (p @ product)
        x, r = x + alpha * p, r - alpha * product
        following = r @ r
        p, squared = r + following / squared * p, following
    return x


def of_pytorch_trpo(Avp, b, nsteps, residual_tol=1e-10):
    """Divide before looking: 0/0 for a gradient of 0."""
    x, r, p = torch.zeros_like(b), b.clone(), b.clone()
    squared = r @ r
    for _ in range(nsteps):
        product = Avp(p)
        alpha = squared / (p @ product)
        x, r = x + alpha * p, r - alpha * product
        following = r @ r
        p, squared = r + following / squared * p, following
        if squared < residual_tol:
            break
    return x


def test_strangers_solvers_are_judged_under_their_usual_names():
    assert rlverify.check(textbook, "conjugate_gradient", budget=120).ok
    verdict = rlverify.check(of_baselines, "conjugate_gradient", budget=120)
    assert verdict.title == "CONVENTION(tolerance=squared-absolute)"
    verdict = rlverify.check(of_pytorch_trpo, "conjugate_gradient", budget=120)
    assert verdict.title == "WRONG(F8c)"
    assert verdict.convention == "tolerance=squared-absolute-after"


def test_a_solver_with_its_settings_built_in_is_asked_for_them():
    def built_in(Ax, b):
        return textbook(Ax, b, 10, 1e-12)

    with pytest.raises(rlverify.CallError, match="where max_iterations=10, tolerance=1e-10"):
        rlverify.check(built_in, "conjugate_gradient")
    call = "built_in(matvec, b) where max_iterations=10, tolerance=1e-10"
    assert rlverify.check(built_in, "conjugate_gradient", call=call, budget=120).ok
