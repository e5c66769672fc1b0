"""Contract of `conjugate_gradient`: judged by energy and residual, never by iterates."""

import functools
from collections.abc import Callable

import numpy as np

from rlverify.contract import (
    Argument,
    Case,
    Contract,
    Convention,
    Equivalent,
    Example,
    KnownBug,
    Law,
)
from rlverify.contracts import _solver as solver
from rlverify.contracts._refusals import instead
from rlverify.fast import natural_gradient as fast
from rlverify.objectives import SymmetricMatrix
from rlverify.reference import natural_gradient as reference

Matvec = Callable[[np.ndarray], np.ndarray]

# --- refusals ------------------------------------------------------------------------------------

GOOD = Case(
    {
        "matvec": SymmetricMatrix(((4, 1), (1, 3))),
        "b": np.array([1.0, 2.0]),
        "max_iterations": 5,
        "tolerance": 0.125,
    },
    "definite",
)


bad = functools.partial(instead, "conjugate_gradient")

BAD_INPUTS = (
    bad("matvec", "a number", 3, TypeError,
        "matvec came as int, wanted a function."),
    bad("matvec", "one number too few", lambda v: v[:1], ValueError,
        "matvec returned shape (1,), wanted shape (2,)."),
    bad("matvec", "returns nothing", lambda v: None, ValueError,
        "matvec returned NoneType, wanted shape (2,)."),
    bad("b", "a matrix", np.ones((1, 2)), ValueError, "b came with shape (1, 2), wanted [P]."),
    bad("b", "integers", np.ones(2, dtype=np.int64), TypeError,
        "b came as dtype int64, wanted a floating-point dtype."),
    bad("b", "NaN", np.array([1.0, np.nan]), ValueError,
        "b came with an element that is not finite."),
    bad("b", "infinite", np.array([np.inf, 0.0]), ValueError,
        "b came with an element that is not finite."),
    bad("max_iterations", "none", 0, ValueError,
        "max_iterations came as 0, wanted an integer of at least 1."),
    bad("max_iterations", "a float", 2.0, TypeError,
        "max_iterations came as float, wanted an integer."),
    bad("tolerance", "negative", -0.5, ValueError,
        "tolerance came as -0.5, wanted a finite number of at least 0."),
    bad("tolerance", "NaN", float("nan"), ValueError,
        "tolerance came as nan, wanted a finite number of at least 0."),
    bad("tolerance", "text", "0.5", TypeError, "tolerance came as str, wanted a number."),
)  # fmt: skip

# --- known bugs and equivalents ------------------------------------------------------------------

ENOUGH = "max(tolerance, smallest) ** 2 * squared"
BREAKDOWN = "if not curvature > smallest * steepest * (p @ p):"
KNOWN_BUGS = (
    KnownBug(
        "F8a", "if not any(b):", "if False:",
        also=((BREAKDOWN, "if False:"), ("if following <= enough:", "if False:")),
    ),
    KnownBug(
        "F8b", "alpha = squared / curvature", "alpha = squared / (curvature + 1e-8)",
        also=(("unit = power_of_two(b)", "unit = 1"),),
    ),
    KnownBug("F8c", "if not any(b):", "if False:", also=((BREAKDOWN, "if False:"),)),
    KnownBug(  # an ε keeps the first division whole, not the next
        "F8d", "if not any(b):", "if False:",
        also=(
            (BREAKDOWN, "if False:"), ("if following <= enough:", "if False:"),
            ("alpha = squared / curvature", "alpha = squared / (curvature + 1e-8)"),
            ("unit = power_of_two(b)", "unit = 1"),
        ),
    ),
    KnownBug("F9a", "beta = following / squared", "beta = squared / following"),
    KnownBug("F9b", "r = r - alpha * product", "pass"),
    KnownBug("F9c", "p = r + beta * p", "p = r"),
    KnownBug("F9d", "max(tolerance, smallest) ** 2", "max(tolerance, smallest)"),
    KnownBug("F9e", "x = np.zeros_like(b)", "x = b / unit"),
)  # fmt: skip


def residual_recomputed(
    matvec: Matvec, b: np.ndarray, *, max_iterations: int, tolerance: float
) -> np.ndarray:
    """Take r = b − A x afresh in every step, which costs a second product."""
    x, size = np.zeros_like(b), np.linalg.norm(b)
    r, p = b.copy(), b.copy()
    for _ in range(max_iterations):
        if np.linalg.norm(r) <= max(tolerance, 2.0**-50) * size:
            break
        product, before = matvec(p), r @ r
        x = x + before / (p @ product) * p
        r = b - matvec(x)
        p = r + (r @ r) / before * p
    return x


def direct_solution(
    matvec: Matvec, b: np.ndarray, *, max_iterations: int, tolerance: float
) -> np.ndarray:
    """Form the matrix and apply its pseudo-inverse: better than any number of steps."""
    matrix = np.stack([matvec(unit) for unit in np.eye(len(b))])
    return np.asarray(np.linalg.pinv(matrix, hermitian=True) @ b)


CONTRACT = Contract(
    name="conjugate_gradient",
    topic="natural_gradient",
    summary="solution of a symmetric positive definite system by products alone",
    source="Hestenes and Stiefel 1952, eqs. 3:1; Nocedal and Wright 2006, algorithm 5.2",
    reference=reference.conjugate_gradient,
    fast=fast.conjugate_gradient,
    arguments=(
        Argument("matvec", "function"),
        Argument("b", "float", "P"),
        Argument("max_iterations", "count"),
        Argument("tolerance", "number"),
    ),
    outputs=("x",),
    inputs=solver.systems(),
    # A = [[4, 1], [1, 3]]: α₀ = 5/20 = 1/4, r₁ = (−1/2, 1/4), β₀ = 1/16; x = (1/11, 7/11)
    examples=(
        Example("solved in two steps", GOOD.but(tolerance=0.0), {"x": ["1/11", "7/11"]}),
        Example("nothing to solve", GOOD.but(b=np.zeros(2)), {"x": ["0", "0"]}),
    ),
    laws=(
        Law(
            "energy", "the error in the norm of A is that of the exact Krylov minimiser",
            solver.check_energy, claim="C22",
        ),
        Law(
            "residual", "with a step to spare the residual is within the tolerance",
            solver.check_residual,
        ),
        Law("power-of-two", "2⁻³⁰ b gives 2⁻³⁰ x, to the bit", solver.check_scaled),
    ),
    gradients=(),
    known_bugs=KNOWN_BUGS,
    conventions=(
        Convention(
            "tolerance", "squared-absolute",
            "it ends where rᵀr is below the tolerance, whatever the size of b, and does not begin "
            "where it is so at the start, as in OpenAI's baselines",
            edits=(
                (ENOUGH, "tolerance / unit / unit"),
                ("if following <= enough:", "if following < enough:"),
                ("while iterations < max_iterations:",
                 "while iterations < max_iterations and not squared < enough:"),
            ),
        ),
        Convention(
            "tolerance", "squared-absolute-after",
            "it ends where rᵀr is below the tolerance, whatever the size of b, after one step at "
            "least, as in ikostrikov/pytorch-trpo",
            edits=(
                (ENOUGH, "tolerance / unit / unit"),
                ("if following <= enough:", "if following < enough:"),
            ),
        ),
    ),
    equivalents=(
        Equivalent("residual recomputed", "r = b − A x in every step", residual_recomputed),
        Equivalent("direct solution", "the pseudo-inverse of the matrix", direct_solution,
                   holds_on=("definite", "singular")),
    ),
    bad_inputs=BAD_INPUTS,
    sizes=((4,), (64,), (512,)),
    exact=False,
    good=GOOD,
    sized=solver.sized,
    truth=solver.truth,
)  # fmt: skip
