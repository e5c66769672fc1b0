"""Functions that are data: they can be printed, compared, differentiated and sent.

A function that takes an objective is judged on polynomials, a solver on symmetric matrices. They
are exact on fractions, carry rounding bounds on tracked numbers, and run on whatever else has
+ and ·: NumPy arrays, PyTorch tensors, JAX arrays.
"""

import functools
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

Term = tuple[int, tuple[int, ...]]


@dataclass(frozen=True)
class Polynomial:
    """A polynomial with integer coefficients, a function of one vector.

        f(θ) = Σ c Π θᵢ^eᵢ

    Attributes:
        terms: (c, (e₀, e₁, …)) of every term; a θᵢ that the vector has not counts as 1.
    """

    terms: tuple[Term, ...]

    def __call__(self, parameters: Any) -> Any:
        """Return the value at a vector, a number of the vector's kind."""
        total = 0 * parameters[0]
        for coefficient, exponents in self.terms:
            product: Any = coefficient
            for i, exponent in enumerate(exponents[: len(parameters)]):
                for _ in range(exponent):
                    product = product * parameters[i]
            total = total + product
        return total

    def __repr__(self) -> str:
        return f"rlverify.Polynomial({self.terms!r})"

    def derivative(self, i: int) -> "Polynomial":
        """Return ∂f/∂θᵢ."""
        terms = []
        for coefficient, exponents in self.terms:
            if i < len(exponents) and exponents[i] > 0:
                lowered = (*exponents[:i], exponents[i] - 1, *exponents[i + 1 :])
                terms.append((coefficient * exponents[i], lowered))
        return Polynomial(tuple(terms))

    def mirrored(self) -> "Polynomial":
        """Return θ ↦ f(−θ)."""
        terms = tuple((c * (-1) ** sum(exponents), exponents) for c, exponents in self.terms)
        return Polynomial(terms)


@dataclass(frozen=True)
class SymmetricMatrix:
    """A symmetric matrix with integer entries, as the function v ↦ A v.

    Attributes:
        rows: the entries; a vector that is shorter meets the first rows and columns alone.
    """

    rows: tuple[tuple[int, ...], ...]

    def __call__(self, vector: Any) -> Any:
        """Return the product with a vector, an array of the vector's kind."""
        rows = self.array(len(vector))
        library = type(vector).__module__.split(".")[0]
        if library == "torch":
            torch = importlib.import_module("torch")
            return torch.from_numpy(rows).to(vector.device, vector.dtype) @ vector
        if library in ("jax", "jaxlib"):
            jnp = importlib.import_module("jax.numpy")
            return jnp.asarray(rows, dtype=vector.dtype) @ vector
        if vector.dtype == object:  # Python's integers, so that exact numbers stay exact
            return rows.astype(int).astype(object) @ vector
        return rows.astype(vector.dtype) @ vector

    def __repr__(self) -> str:
        return f"rlverify.SymmetricMatrix({self.rows!r})"

    def array(self, size: int) -> np.ndarray:
        """Return the first rows and columns as floats."""
        return self._whole[:size, :size]

    @functools.cached_property
    def _whole(self) -> np.ndarray:
        return np.array(self.rows, dtype=float)


class Counted:
    """An objective that counts its evaluations.

    Attributes:
        objective: what is evaluated.
        count: how often it was.
    """

    def __init__(self, objective: Callable[[Any], Any]) -> None:
        self.objective = objective
        self.count = 0

    def __call__(self, parameters: Any) -> Any:
        """Return the objective's value and count one evaluation."""
        self.count += 1
        return self.objective(parameters)


def taylor(objective: Polynomial, parameters: Any, i: int, step: Fraction, odd: bool) -> Fraction:
    """Return the difference quotient of a polynomial along θᵢ from its exact derivatives.

        Σ f⁽ᵏ⁾ hᵏ⁻¹ / k!        over k = 1, 2, 3, … (forward), over odd k alone (central)

    Args:
        objective: f.
        parameters: θ, fractions.
        i: the direction.
        step: h.
        odd: whether the even derivatives cancel, as they do in a central difference.
    """
    total, power, derivative, k = Fraction(0), Fraction(1), objective.derivative(i), 1
    while derivative.terms:
        if not odd or k % 2:
            total += Fraction(derivative(parameters)) * power
        k += 1
        power = power * step / k
        derivative = derivative.derivative(i)
    return total
