"""How much rounding may a right answer carry: numbers that count their own roundings.

A reference is generic over the numbers it is given. Run on `Tracked` numbers it computes
its usual result and, beside it, three bounds on the error of *anybody's* evaluation of the
same formula at unit roundoff u. With every computed operation obeying fl(x∘y) = (x∘y)(1+e),
|e| ≤ u (Higham 2002, eq. 2.4):

    running     for evaluation in the reference's own order (Higham 2002, section 3.3)
    free        for any order of multiplication and any summation tree: expand the formula
                into N terms; a term passes its own products, and at most N − 1 additions,
                so  |error| ≤ u Σ (products of the term + N − 1) |term|
    deviation   root of the summed squares of the roundings, as if they were independent

What makes `free` order-free: any tree over N terms has N − 1 additions, and the relative
error of each touches only terms below it; a factor taken out of a sum still is one product
for each term in it. So `free` counts every product but those with an exact zero, while
`running` knows that multiplication by an exact power of two rounds nothing. Addition of an
exact zero is counted by neither. A product of two sums is not expanded: each factor is first
closed into one number with its own bound.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from numbers import Rational, Real
from typing import Any

import numpy as np

from rlverify.elementary import FUNCTIONS, Elementary


@dataclass(frozen=True)
class Precision:
    """A dtype as arithmetic sees it.

    Attributes:
        dtype: name of the storage dtype.
        unit: unit roundoff u of the arithmetic (half precision computes in float32).
        storage: unit roundoff of the stored result; 0 where storing rounds nothing.
        tiny: smallest normal number of the arithmetic: what an underflow may lose.
        storage_tiny: the same of the storage.
    """

    dtype: str
    unit: float
    storage: float
    tiny: float
    storage_tiny: float


PRECISIONS = {
    "float64": Precision("float64", 2.0**-53, 0.0, 2.0**-1022, 0.0),
    "float32": Precision("float32", 2.0**-24, 0.0, 2.0**-126, 0.0),
    "float16": Precision("float16", 2.0**-24, 2.0**-11, 2.0**-126, 2.0**-14),
    "bfloat16": Precision("bfloat16", 2.0**-24, 2.0**-8, 2.0**-126, 2.0**-126),
}


class Tracked(Elementary):
    """A number together with what rounding may have done to it (see the module).

    All bounds are kept in units of u, to first order, and closed by `free_bound` and
    `running_bound`; `u` is needed where an error enters non-linearly (division, root).
    """

    __slots__ = ("depth", "magnitude", "running", "terms", "u", "value", "variance", "weight")

    def __init__(
        self,
        value: float,
        u: float,
        magnitude: float | None = None,
        terms: int | None = None,
        weight: float = 0.0,
        depth: int = 0,
        running: float = 0.0,
        variance: float = 0.0,
    ) -> None:
        self.value = value
        self.u = u
        # Σ |term| of the expanded formula, and how many terms; zero is the empty sum
        self.magnitude = abs(value) if magnitude is None else magnitude
        self.terms = (0 if value == 0 else 1) if terms is None else terms
        self.weight = weight  # Σ (products of the term) |term|
        self.depth = depth  # greatest number of products of one term
        self.running = running
        self.variance = variance

    def __repr__(self) -> str:
        return f"Tracked({self.value!r}, ±{self.free_bound():.3g})"

    # --- bounds -----------------------------------------------------------------

    def _closure(self) -> float:
        # Σ γ_n |term| ≤ u n |term| / (1 − n u); doubled for the roundings of the bound itself
        count = 2 * (self.depth + self.terms) * self.u
        return math.inf if count >= 1 else 1 / (1 - count)

    def _free(self) -> float:
        # two terms have one tree, whose one addition rounds their sum, however they cancel
        added = abs(self.value) if self.terms == 2 else max(self.terms - 1, 0) * self.magnitude
        return (self.weight + added) * self._closure()

    def free_bound(self) -> float:
        """Return the worst-case error of any order of evaluation."""
        return self.u * self._free()

    def running_bound(self) -> float:
        """Return the worst-case error of the reference's own order of evaluation."""
        return self.u * self.running * self._closure()

    def deviation(self) -> float:
        """Return the root of the summed squares of the roundings."""
        return self.u * math.sqrt(self.variance)

    def roundings(self) -> int:
        """Return how many operations may have underflowed."""
        return self.depth + self.terms

    # --- arithmetic ---------------------------------------------------------------

    def _lift(self, other: Any) -> "Tracked":
        if isinstance(other, Tracked):
            return other
        if isinstance(other, np.ndarray):  # `float` would take one element and drop its error
            raise TypeError(f"Tracked: an array of shape {other.shape} came, wanted a number.")
        return Tracked(float(other), self.u)

    def _exact(self) -> bool:
        return self.running == 0 and self.weight == 0 and self.terms <= 1

    def _rounds_nothing(self) -> bool:
        """Whether multiplying by this number is exact: zero or a power of two, unrounded."""
        return self._exact() and (self.value == 0 or abs(math.frexp(self.value)[0]) == 0.5)

    def _closed(self) -> "Tracked":
        """Return the same number as one term, its error so far kept as weight."""
        if self.terms <= 1:
            return self
        return Tracked(
            self.value, self.u, abs(self.value), 1, self._free(), 0, self.running, self.variance
        )

    def settled(self) -> "Tracked":
        """Return the same number as one that nobody takes apart again."""
        return self._closed()

    def __add__(self, addend: Any) -> "Tracked":
        other = self._lift(addend)
        if other.magnitude == 0 and other._exact():
            return self
        if self.magnitude == 0 and self._exact():
            return other
        value = self.value + other.value
        return Tracked(
            value,
            self.u,
            self.magnitude + other.magnitude,
            self.terms + other.terms,
            self.weight + other.weight,
            max(self.depth, other.depth),
            self.running + other.running + abs(value),
            self.variance + other.variance + value * value,
        )

    __radd__ = __add__

    def __neg__(self) -> "Tracked":
        return Tracked(
            -self.value,
            self.u,
            self.magnitude,
            self.terms,
            self.weight,
            self.depth,
            self.running,
            self.variance,
        )

    def __pos__(self) -> "Tracked":
        return self

    def __sub__(self, other: Any) -> "Tracked":
        return self + (-self._lift(other))

    def __rsub__(self, other: Any) -> "Tracked":
        return self._lift(other) + (-self)

    def __mul__(self, other: Any) -> "Tracked":
        a, b = self, self._lift(other)
        if a.terms > 1 and b.terms > 1:
            a, b = a._closed(), b._closed()
        left, right = a.value, b.value
        value = left * right
        magnitude = a.magnitude * b.magnitude
        rounded = product = 1
        for factor in (a, b):
            if factor.running == 0 and factor.weight == 0 and factor.terms <= 1:  # exact
                if factor.value == 0:
                    rounded = product = 0
                elif abs(math.frexp(factor.value)[0]) == 0.5:
                    # not the product: in another order the other factor, which rounds, may be
                    # applied to a sum that this one is part of
                    rounded = 0
        return Tracked(
            value,
            a.u,
            magnitude,
            a.terms * b.terms,
            a.weight * b.magnitude
            + a.magnitude * b.weight
            + a.u * a.weight * b.weight
            + product * magnitude,
            a.depth + b.depth + product,
            abs(left) * b.running
            + abs(right) * a.running
            + a.u * a.running * b.running
            + rounded * abs(value),
            # as products: a power that is too large would raise instead of being infinite
            right * right * a.variance + left * left * b.variance + rounded * value * value,
        )

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> "Tracked":
        b = self._lift(other)._closed()
        if b.value == 0:  # as IEEE arithmetic has it: NaN for 0/0, else an infinity
            with np.errstate(all="ignore"):
                return Tracked(float(np.float64(self.value) / np.float64(b.value)), self.u)
        if b._exact():  # a constant divisor is one more rounding of every term
            scale = 1 / abs(b.value)
            rounded = 0 if b._rounds_nothing() else 1
            value = self.value / b.value
            return Tracked(
                value,
                self.u,
                self.magnitude * scale,
                self.terms,
                self.weight * scale + self.magnitude * scale,
                self.depth + 1,
                self.running * scale + rounded * abs(value),
                self.variance * scale * scale + rounded * value * value,
            )
        a = self._closed()
        value = a.value / b.value

        def quotient_error(above: float, below: float) -> float:
            least = abs(b.value) - a.u * below  # the smallest divisor that may have been used
            return math.inf if least <= 0 else (above + abs(value) * below) / least + abs(value)

        return Tracked(
            value,
            a.u,
            abs(value),
            1,
            quotient_error(a.weight, b.weight),
            0,
            quotient_error(a.running, b.running),
            (a.variance + value * value * b.variance) / b.value / b.value + value * value,
        )

    def __rtruediv__(self, other: Any) -> "Tracked":
        return self._lift(other) / self

    def __pow__(self, exponent: int) -> "Tracked":
        if exponent != 2:
            return NotImplemented
        a = self._closed()
        value = a.value * a.value
        return Tracked(
            value,
            a.u,
            value,
            1,
            2 * abs(a.value) * a.weight + a.u * a.weight * a.weight + value,
            0,
            2 * abs(a.value) * a.running + a.u * a.running * a.running + value,
            4 * value * a.variance + value * value,
        )

    def sqrt(self) -> "Tracked":
        """Return the root; NumPy calls this for `np.sqrt` of an object."""
        a = self._closed()
        value = math.sqrt(a.value) if a.value >= 0 else math.nan

        def root_error(error: float) -> float:
            absolute = a.u * error
            if absolute == 0:
                return value
            if not absolute <= a.value:  # nothing is known but the sign
                return math.sqrt(abs(a.value) + absolute) / a.u + value
            return error / (value + math.sqrt(a.value - absolute)) + value

        variance = a.variance / (4 * a.value) if a.value else 0.0
        return Tracked(
            value, a.u, value, 1, root_error(a.weight), 0, root_error(a.running), variance + a.value
        )

    def __abs__(self) -> "Tracked":
        return -self if self.value < 0 else self

    # --- comparison, by value -------------------------------------------------------

    def __float__(self) -> float:
        return self.value

    def __eq__(self, other: object) -> bool:
        return bool(self.value == float(other))  # type: ignore[arg-type]

    def __lt__(self, other: Any) -> bool:
        return self.value < float(other)

    def __le__(self, other: Any) -> bool:
        return self.value <= float(other)

    def __gt__(self, other: Any) -> bool:
        return self.value > float(other)

    def __ge__(self, other: Any) -> bool:
        return self.value >= float(other)

    def __bool__(self) -> bool:
        return self.value != 0

    def __hash__(self) -> int:
        return hash(self.value)


Real.register(Tracked)  # so that argument checks take it for the number it is


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool | int)


def blurred(array: np.ndarray, u: float, stored: float) -> np.ndarray:
    """Return tracked numbers known only to the rounding of a function e^x of them, both ways.

    Whoever is given σ = e^x has it rounded once where it was computed and once where it was
    stored, with unit roundoff `stored` (0: with u); x is then known to that absolute error.
    """
    numbers = np.empty(array.shape, dtype=object)
    units = FUNCTIONS["exp"].units + max(1.0, stored / u)
    for i in np.ndindex(array.shape):
        value = float(array[i])
        numbers[i] = Tracked(value, u, abs(value), 1, units, 0, units, units * units)
    return numbers


def lifted(arguments: dict[str, Any], number: Callable[[float], Any]) -> dict[str, Any]:
    """Return arguments with every float replaced by `number(float)`; the rest unchanged.

    Integers (counts) and flags stay what they are; float arrays become object arrays.
    """
    result: dict[str, Any] = {}
    for name, value in arguments.items():
        if isinstance(value, np.ndarray) and value.dtype.kind == "f":
            lifted_array = np.empty(value.shape, dtype=object)
            for i in np.ndindex(value.shape):
                lifted_array[i] = number(float(value[i]))
            result[name] = lifted_array
        elif _is_number(value):
            result[name] = number(float(value))
        else:
            result[name] = value
    return result


def exactly(value: float) -> Any:
    """Return the `Fraction` a finite float is; NaN and infinities stay floats."""
    return Fraction(value) if math.isfinite(value) else value


def is_exact_number(value: Any) -> bool:
    """Whether arithmetic with this object is exact."""
    return isinstance(value, Rational)
