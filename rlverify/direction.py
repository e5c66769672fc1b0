"""Descent directions: the solution of A x = b by conjugate gradients, judged by what it is for.

Two right implementations of conjugate gradients, in different roundings, agree neither in their
iterates nor in the step at which they stop, and still both are right. So a direction is judged by
what the method promises, in float64 against the matrix itself:

    backward error      η = ‖b − A x‖ / (‖A‖ ‖x‖ + ‖b‖)         (Rigal and Gaches 1967)
    energy              E = ‖x* − x‖²_A / ‖x*‖²_A                 A x* = b

After k iterations x is the point of least energy in the Krylov space of k dimensions (Hestenes
and Stiefel 1952). Rounding delays that, by nothing on systems like those of trust regions and by
several iterations where the method comes near its end on a system of bad condition. How much, our
own conjugate gradients tell, in the candidate's arithmetic and in several orders of summation.
A direction is right where its energy is that of the exact minimiser or of one of ours, an
iteration or so before; where its residual is as small as the tolerance asks; or where it solves
the system as well as rounding lets anybody.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rlverify.contract import Outputs
from rlverify.instruction import Stage
from rlverify.lockstepping import Judge, Judgement, judged
from rlverify.multiplication import accounted
from rlverify.reference._trust_region import Policy
from rlverify.reference.natural_gradient import kl_hessian
from rlverify.rounding import PRECISIONS, Tracked, lifted

# policy, each with its reason
SLACK = 1e-3  # of the energy: neither norms nor the exact minimiser are computed exactly
DELAY = 10  # one iteration in so many may be lost, beside those that our own runs lose
ORDERS = 3  # of summation, in which these run
BACKWARD = 4  # roundings of an iteration that stay: a product, two updates, a division


@dataclass(frozen=True)
class Descent:
    """How well a direction solves a system.

    Attributes:
        energy: E of the direction.
        least: the greatest E that counts as minimal after so many iterations.
        backward: η.
        attainable: the η that rounding leaves.
        residual: ‖b − A x‖.
        tolerance: what that was to become, rounding included.
    """

    energy: float
    least: float
    backward: float
    attainable: float
    residual: float
    tolerance: float

    @property
    def worst(self) -> float:
        """Return the least of the three in units of its bound; at most 1 for a right direction."""
        pairs = (
            (self.energy, self.least),
            (self.backward, self.attainable),
            (self.residual, self.tolerance),
        )
        shares = [0.0 if a == 0 else a / b if b and a < math.inf else math.inf for a, b in pairs]
        return min((share for share in shares if not math.isnan(share)), default=math.inf)


def krylov_minimisers(matrix: np.ndarray, right: np.ndarray, iterations: int) -> list[np.ndarray]:
    """Return the points of least energy in the Krylov spaces of 0, 1, …, `iterations` dimensions.

        xₖ = Qₖ (Qₖᵀ A Qₖ)⁻¹ Qₖᵀ b        Qₖ an orthonormal basis of b, A b, …, Aᵏ⁻¹ b

    The basis is orthogonalised twice in every step, so it is orthonormal to rounding however
    many there are. The list is shorter where the space stops growing: there the last is A⁻¹ b.
    """
    points, basis = [np.zeros_like(right)], np.zeros((len(right), 0))
    new = right
    scale = float(np.linalg.norm(matrix, 2)) or 1.0
    for _ in range(min(iterations, len(right))):
        before = float(np.linalg.norm(new))
        for _ in range(2):
            new = new - basis @ (basis.T @ new)
        length = float(np.linalg.norm(new))
        # what is left is rounding: the space has stopped growing
        if length <= len(right) * 2.0**-53 * max(before, scale if basis.size else 0.0):
            break
        basis = np.column_stack([basis, new / length])
        inner = np.linalg.solve(basis.T @ matrix @ basis, basis.T @ right)
        points.append(basis @ inner)
        new = matrix @ basis[:, -1]
    return points


def energy(matrix: np.ndarray, right: np.ndarray, x: np.ndarray) -> float:
    """Return ‖x* − x‖²_A / ‖x*‖²_A, from the residual, so that nothing cancels near x*."""
    residual = right - matrix @ x
    whole = float(right @ np.linalg.solve(matrix, right))
    left = float(residual @ np.linalg.solve(matrix, residual))
    return left / whole if whole else (math.inf if left else 0.0)


def delayed(matrix: np.ndarray, right: np.ndarray, iterations: int, dtype: str) -> float:
    """Return the energy that our own conjugate gradients reach in some arithmetic, at worst."""
    worst = 0.0
    for order in range(ORDERS):
        turn = np.random.default_rng(order).permutation(len(right))
        a, r = matrix[np.ix_(turn, turn)].astype(dtype), right[turn].astype(dtype)
        x, p, square = np.zeros_like(r), r.copy(), r @ r
        for _ in range(iterations):
            product = a @ p
            curvature = p @ product
            if not curvature > 0:  # the residual is 0, or rounding is all that is left of it
                break
            x = x + square / curvature * p
            r = r - square / curvature * product
            square, before = r @ r, square
            p = r + square / before * p
        found = np.empty(len(right))
        found[turn] = x
        worst = max(worst, energy(matrix, right, found))
    return worst


def descended(
    matrix: np.ndarray,
    right: np.ndarray,
    x: np.ndarray,
    *,
    iterations: int,
    tolerance: float,
    dtype: str,
    blur: float,
) -> Descent:
    """Measure a direction.

    Args:
        matrix: A, symmetric and positive definite.
        right: b.
        x: the direction.
        iterations: how many were allowed.
        tolerance: residual, relative to that of 0, at which the method may stop.
        dtype: what the direction was computed in: float64 or float32.
        blur: how far A x may be off for whoever multiplies in that arithmetic: a norm.

    Returns:
        What was measured, each beside what is allowed.
    """
    norm, size, goal = (float(np.linalg.norm(item)) for item in (matrix, x, right))
    residual = float(np.linalg.norm(right - matrix @ x))
    points = krylov_minimisers(matrix, right, iterations)
    delay = math.ceil(iterations / DELAY)
    behind = max(0, iterations - delay)
    least = max(
        energy(matrix, right, points[min(len(points) - 1, behind)]),
        delayed(matrix, right, behind, dtype),
    )
    grown = max(float(np.linalg.norm(point)) for point in points) / size if size else 1.0
    scale = norm * size + goal
    # whoever multiplies with errors solves another system
    unit = PRECISIONS[dtype].unit
    rounding = BACKWARD * iterations * (unit * scale + blur) * (1 + grown)
    return Descent(
        energy(matrix, right, x),
        least * (1 + SLACK),
        residual / scale if scale else 0.0,
        rounding / scale if scale else 0.0,
        residual,
        tolerance * goal + rounding,
    )


def judged_direction(
    stage: Stage, outputs: Outputs, known: Mapping[str, Any], dtype: str
) -> Judgement:
    """Judge the stage `direction` of a natural gradient step; see the module.

    The system is (H + μI) x = g: g the gradient that an earlier stage handed on, H the exact
    Hessian of the KL.
    """
    x = outputs.get("direction")
    if x is None or x.shape != stage.handed["direction"].shape:
        return judged(stage, outputs, known, dtype)  # tells what is the matter
    policy = {name: known[name] for name in ("sizes", "activation", "distribution")}
    arrays = {"parameters": known["parameters"], "inputs": known["inputs"], "vector": x}
    matrix = kl_hessian(arrays["parameters"], arrays["inputs"], **policy)
    matrix = matrix + known["damping"] * np.eye(len(x))
    unit = PRECISIONS[dtype].unit
    numbers = lifted(arrays, lambda value: Tracked(value, unit))
    numbers = {name: accounted(array) for name, array in numbers.items()}
    product = Policy(numbers["inputs"], **policy).product(
        numbers["parameters"], numbers["vector"], known["damping"]
    )
    found = descended(
        matrix,
        known["gradient"],
        x,
        iterations=known["cg_iterations"],
        tolerance=known["cg_tolerance"],
        dtype=dtype,
        blur=float(np.linalg.norm([number.free_bound() for number in product])),
    )
    if found.worst <= 1:
        return Judgement(stage.name, "BOUND", found.worst, "direction")
    problem = f"is wrong: energy {found.energy:.2g}, wanted at most {found.least:.2g}; "
    problem += f"backward error {found.backward:.2g}, wanted at most {found.attainable:.2g}"
    return Judgement(stage.name, "WRONG", found.worst, "direction", problem)


JUDGES: dict[str, Judge] = {"direction": judged_direction}
