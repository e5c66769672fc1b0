"""What a right answer of a conjugate-gradient solver is: a set, not a list of iterates.

Two right solvers may differ in every iterate beyond the first few (rounding destroys the
conjugacy of the directions), so an answer x is judged by its energy ‖x* − x‖_A: it may exceed
that of the exact Krylov minimiser after as many steps as the solver was to take by what the
constants below say. All exact quantities are computed in fractions.
"""

import functools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from hypothesis import strategies as st

from rlverify.contract import Case, Claim, Outputs, Subject
from rlverify.contracts._recordings import exact
from rlverify.objectives import SymmetricMatrix

# energy above the exact minimiser's: what inner products of float32 cost (tolerances, 1.5)
ENERGY_SLACK = 1e-3
# of the solution: half the digits. Rounding costs u times the condition number, which is below
# 2^12 on all cases drawn here, and √u is 2^12 u in float32
SPARE_ROOT = 0.5
# a residual this close to the tolerance may be found on either side of it
NEARLY = Fraction(1025, 1024)

Vector = np.ndarray


# --- exact solutions -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Path:
    """The exact minimisers over growing Krylov subspaces.

    Attributes:
        steps: x₀ = 0, x₁, …, the last of them the solution; fractions.
        energies: ‖x* − xⱼ‖_A of each.
        residuals: ‖b − A xⱼ‖² of each.
        spread: the square root of (A⁻¹)ᵢᵢ, elementwise; of the pseudo-inverse, where A is singular.
    """

    steps: tuple[Vector, ...]
    energies: tuple[float, ...]
    residuals: tuple[Fraction, ...]
    spread: Vector

    def stop(self, tolerance: float, max_iterations: int) -> int:
        """Return after how many steps a solver may stop."""
        enough = (NEARLY * Fraction(tolerance)) ** 2 * self.residuals[0]
        within = (j for j, squared in enumerate(self.residuals) if squared <= enough)
        return min(next(within, len(self.steps) - 1), max_iterations)


def path(case: Case) -> Path:
    """Return the exact path of a case."""
    return _path(case["matvec"], tuple(case["b"]))


@functools.lru_cache(maxsize=2048)
def _path(matvec: SymmetricMatrix, right: tuple[float, ...]) -> Path:
    b, matrix = exact(np.array(right)), exact(matvec.array(len(right)))
    basis: list[Vector] = []
    steps, power = [0 * b], b
    for _ in range(len(b)):
        if not any(b - matrix @ steps[-1]):
            break
        basis.append(power)
        columns = np.array(basis).T
        weights = _solved(columns.T @ matrix @ columns, columns.T @ b)
        if weights is None:  # no longer independent: the last step is the solution there is
            break
        steps.append(columns @ weights)
        power = matrix @ power
    best = b @ steps[-1]
    energies = [math.sqrt(max(best - b @ x, Fraction(0))) for x in steps]
    squares = [(b - matrix @ x) @ (b - matrix @ x) for x in steps]
    spread = np.sqrt(np.diag(np.linalg.pinv(matrix.astype(float), hermitian=True)).clip(0))
    return Path(tuple(steps), tuple(energies), tuple(squares), spread)


def _solved(matrix: Vector, right: Vector) -> Vector | None:
    """Return matrix⁻¹ right by elimination in fractions; None where the matrix is singular."""
    rows = [[*row, number] for row, number in zip(matrix, right, strict=True)]
    for i in range(len(rows)):
        pivot = next((k for k in range(i, len(rows)) if rows[k][i]), None)
        if pivot is None:
            return None
        rows[i], rows[pivot] = rows[pivot], rows[i]
        rows[i] = [number / rows[i][i] for number in rows[i]]
        for k in range(len(rows)):
            if k != i:
                rows[k] = [x - rows[k][i] * y for x, y in zip(rows[k], rows[i], strict=True)]
    return np.array([row[-1] for row in rows], dtype=object)


def excess(path: Path, tolerance: float, max_iterations: int) -> float:
    """Return the energy that an answer may have, but for rounding."""
    return (1 + ENERGY_SLACK) * path.energies[path.stop(tolerance, max_iterations)]


def truth(
    case: Case, unit: float, function: Callable[..., Any] | None = None
) -> tuple[Outputs, Outputs]:
    """Return the solution and the smallest box around all right answers (see `Contract.truth`)."""
    if function is not None:  # an edited solver: what it answers, to half the digits
        answer = np.asarray(function(**case.arguments).x)
        finite = np.abs(answer[np.isfinite(answer)]).max(initial=0.0)
        return {"x": answer}, {"x": np.full(answer.shape, unit**SPARE_ROOT * finite)}
    known = path(case)
    solution = known.steps[-1].astype(float)
    spare = unit**SPARE_ROOT
    allowed = excess(known, case["tolerance"], case["max_iterations"]) + spare * known.energies[0]
    # |xᵢ| ≤ √(A⁻¹)ᵢᵢ ‖x‖_A; where A is singular, rounding may add what A does not see
    return {"x": solution}, {"x": known.spread * allowed + spare * np.abs(solution).max()}


# --- inputs --------------------------------------------------------------------------------------

LENGTHS = (1, 2, 3, 4, 5, 5, 5)
SHAPES = (
    "dense", "dense", "dense", "spread", "spread", "chain", "two values", "multiple", "singular",
)  # fmt: skip
RIGHT = ("plain", "plain", "plain", "plain", "zero", "tiny", "tiny", "one direction")
TOLERANCES = (2.0**-20, 2.0**-12, 2.0**-10, 2.0**-8, 2.0**-6, 2.0**-4)
TINY = 2.0**-40


@st.composite
def systems(draw: st.DrawFn) -> Case:
    """Draw a symmetric system that has a solution, and when to stop."""
    n, shape = draw(st.sampled_from(LENGTHS)), draw(st.sampled_from(SHAPES))
    kind, tolerance = draw(st.sampled_from(RIGHT)), draw(st.sampled_from(TOLERANCES))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    matrix = _matrix(rng, n, shape)
    b = rng.choice(np.concatenate([np.arange(-40, 0), np.arange(1, 41)]), n) / 8
    if shape == "singular":
        b = matrix @ rng.integers(1, 4, n) / 8
        tolerance = max(tolerance, 2.0**-10)  # below, rounding is taken for a residual
    if kind == "zero":
        b = 0 * b
    if kind == "one direction":  # of the first unit vector: solved in one step where A is diagonal
        b[1:] = 0
        b = matrix @ b if shape == "singular" else b
    if kind == "tiny":
        b = b * TINY
    steps = draw(st.sampled_from((1, 2, n, n + 1, n + 1, 2 * n + 1, 10)))
    rows = tuple(tuple(int(number) for number in row) for row in matrix)
    return Case(
        {
            "matvec": SymmetricMatrix(rows),
            "b": b,
            "max_iterations": steps,
            "tolerance": tolerance,
        },
        "singular" if shape == "singular" else "definite",
    )


def _matrix(rng: np.random.Generator, n: int, shape: str) -> Vector:
    if shape == "spread":
        return np.diag(rng.permutation([1, 3, 9, 27, 81])[:n])
    if shape == "chain":
        return 3 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)
    if shape == "multiple":
        return rng.integers(1, 6) * np.eye(n)
    if shape == "two values":
        vector = rng.integers(1, 4, n)
        return 2 * np.eye(n) + np.outer(vector, vector)
    rank = max(n - 1, 1) if shape == "singular" else n
    factor = rng.integers(-2, 3, (rank, n))
    factor[0, 0] = 1
    return factor.T @ factor + (0 if shape == "singular" else 2) * np.eye(n)


def sized(shape: tuple[int, ...]) -> Case:
    """Return a system of a benchmark size."""
    (n,) = shape
    chain = 3 * np.eye(n, dtype=int) - np.eye(n, k=1, dtype=int) - np.eye(n, k=-1, dtype=int)
    arguments = {
        "matvec": SymmetricMatrix(tuple(map(tuple, chain.tolist()))),
        "b": np.random.default_rng(0).integers(1, 64, n) / 8,
        "max_iterations": 10,
        "tolerance": 2.0**-20,
    }
    return Case(arguments, "definite", "sized")


# --- laws ----------------------------------------------------------------------------------------

# 1 · x = 1, of which only rounding is left: what a subject's arithmetic may spare
UNIT = Case(
    {
        "matvec": SymmetricMatrix(((1,),)),
        "b": np.ones(1),
        "max_iterations": 2,
        "tolerance": 0.0,
    },
    "definite",
)


def _spare(subject: Subject) -> float:
    return float(subject.bound(UNIT)["x"][0])


def check_energy(subject: Subject, case: Case) -> Iterable[Claim]:
    """Compare the energy of the answer with that of the exact Krylov minimiser."""
    known, got = path(case), subject(case)["x"]
    limit = excess(known, case["tolerance"], case["max_iterations"])
    matrix = case["matvec"].array(len(got))
    solution = np.abs(known.steps[-1].astype(float))
    scale = known.energies[0] + math.sqrt(solution @ np.abs(matrix) @ solution)
    yield Claim(
        np.array([_energy(case, known.steps[-1], got)]),
        np.zeros(1),
        np.array([limit + _spare(subject) * scale]),
    )


def _energy(case: Case, solution: Vector, got: Vector) -> float:
    if not np.isfinite(got).all():
        return math.nan
    away = solution - exact(got)
    return math.sqrt(away @ exact(case["matvec"].array(len(got))) @ away)


def check_residual(subject: Subject, case: Case) -> Iterable[Claim]:
    """With a step to spare, the residual is within the tolerance, whatever the iterates were."""
    known = path(case)
    if case["max_iterations"] < len(known.steps):
        return
    got, matrix = subject(case)["x"], case["matvec"].array(len(case["b"]))
    size = np.linalg.norm(matrix) * np.linalg.norm(got) + np.linalg.norm(case["b"])
    if np.isfinite(got).all():
        left = exact(case["b"]) - exact(matrix) @ exact(got)
        residual = math.sqrt(left @ left)
    else:
        residual = math.nan
    wanted = float(NEARLY) * case["tolerance"] * np.linalg.norm(case["b"])
    allowed = wanted + _spare(subject) * size
    yield Claim(np.array([residual]), np.zeros(1), np.array([allowed]))


def check_scaled(subject: Subject, case: Case) -> Iterable[Claim]:
    """Divide b by 2³⁰: x is divided by it too, to the bit."""
    small = case.but(b=case["b"] * 2.0**-30)
    wanted = subject(case)["x"] * 2.0**-30
    yield Claim(subject(small)["x"], wanted, np.zeros(wanted.shape))
