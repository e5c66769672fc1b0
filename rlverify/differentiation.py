"""Differentiation: the gradient of a fast version against exact derivatives of the reference.

Run on dual numbers (value, slope) the reference yields its own derivative; with tracked
numbers inside, that derivative comes with the bound on anybody's rounding. One run a
direction, so this is for small cases: gradients do not depend on size.
"""

import itertools
from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np

from rlverify.comparison import ratios, stored_value
from rlverify.contract import Case, Contract
from rlverify.reference._functions import digamma, lgamma, limited, reached, settled, trigamma
from rlverify.rounding import PRECISIONS, Tracked, blurred, lifted
from rlverify.twinning import as_numpy, as_torch

GRADIENT_CASES = 6
GRADIENT_SIZES = range(4, 13)  # elements: enough for a step before and after an end


class Dual:
    """A number and its derivative in one direction; generic over the numbers it holds.

    Run on `Dual(Fraction, Fraction)` a reference yields exact derivatives; on
    `Dual(Tracked, Tracked)` it yields them with their rounding bounds.
    """

    __slots__ = ("slope", "value")

    def __init__(self, value: Any, slope: Any = 0) -> None:
        self.value = value
        self.slope = slope

    def __repr__(self) -> str:
        return f"Dual({self.value!r}, {self.slope!r})"

    @staticmethod
    def _lift(other: Any) -> "Dual":
        return other if isinstance(other, Dual) else Dual(other)

    def __add__(self, other: Any) -> "Dual":
        other = self._lift(other)
        return Dual(self.value + other.value, self.slope + other.slope)

    __radd__ = __add__

    def __neg__(self) -> "Dual":
        return Dual(-self.value, -self.slope)

    def __sub__(self, other: Any) -> "Dual":
        return self + (-self._lift(other))

    def __rsub__(self, other: Any) -> "Dual":
        return self._lift(other) + (-self)

    def __mul__(self, other: Any) -> "Dual":
        other = self._lift(other)
        return Dual(self.value * other.value, self.slope * other.value + self.value * other.slope)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> "Dual":
        other = self._lift(other)
        quotient = self.value / other.value
        return Dual(quotient, (self.slope - quotient * other.slope) / other.value)

    def __rtruediv__(self, other: Any) -> "Dual":
        return self._lift(other) / self

    def __pow__(self, exponent: int) -> "Dual":
        if exponent != 2:
            return NotImplemented
        return Dual(self.value**2, 2 * self.value * self.slope)

    def log_sum(self, exponents: Sequence[Any]) -> "Dual":
        """Return log Σ exp x, which this is, with the derivative that follows from its value."""
        lifted = [self._lift(x) for x in exponents]
        return Dual(self.value, sum(np.exp(x.value - self.value) * x.slope for x in lifted))

    def sqrt(self) -> "Dual":
        """Return the root; NumPy calls this for `np.sqrt` of an object."""
        root = np.sqrt(self.value)
        if root == 0 and self.slope == 0:  # a root of squares: no direction is preferred
            return Dual(root, 0 * self.slope)
        return Dual(root, self.slope / (2 * root))

    def exp(self) -> "Dual":
        """Return e^x; NumPy calls this and the following for objects."""
        value = np.exp(self.value)
        return Dual(value, self.slope * value)

    def expm1(self) -> "Dual":
        """Return e^x − 1."""
        return Dual(np.expm1(self.value), self.slope * np.exp(self.value))

    def log(self) -> "Dual":
        """Return log x."""
        return Dual(np.log(self.value), self.slope / self.value)

    def log1p(self) -> "Dual":
        """Return log(1 + x)."""
        return Dual(np.log1p(self.value), self.slope / (1 + self.value))

    def tanh(self) -> "Dual":
        """Return tanh x."""
        value = np.tanh(self.value)
        # in this form, cancellation and all: it is how everybody's backward pass computes it
        return Dual(value, self.slope * (1 - value * value))

    def sin(self) -> "Dual":
        """Return sin x."""
        return Dual(np.sin(self.value), self.slope * np.cos(self.value))

    def cos(self) -> "Dual":
        """Return cos x."""
        return Dual(np.cos(self.value), -(self.slope * np.sin(self.value)))

    def lgamma(self) -> "Dual":
        """Return log Γ(x)."""
        return Dual(lgamma(self.value), self.slope * digamma(self.value))

    def digamma(self) -> "Dual":
        """Return ψ(x)."""
        return Dual(digamma(self.value), self.slope * trigamma(self.value))

    def settled(self) -> "Dual":
        """Return the same number as one that nobody takes apart again."""
        return Dual(settled(self.value), settled(self.slope))

    def reached(self, number: Any) -> "Dual":
        """Return 1 where this number is at most another: a constant almost everywhere."""
        return Dual(reached(self.value, self._lift(number).value))

    def reaches(self, threshold: Any) -> "Dual":
        """Return 1 where a threshold is at most this number."""
        return self._lift(threshold).reached(self)

    def limited(self, low: Any, high: Any) -> "Dual":
        """Return this number, or the limit that it lies beyond, which does not move with it."""
        low, high = self._lift(low).value, self._lift(high).value
        inside = reached(low, self.value) * reached(self.value, high)
        return Dual(limited(self.value, low, high), inside * self.slope)

    def __abs__(self) -> "Dual":
        return -self if self.value < 0 else self

    def __float__(self) -> float:
        return float(self.value)

    def __eq__(self, other: object) -> bool:
        return bool(self.value == (other.value if isinstance(other, Dual) else other))

    def __lt__(self, other: Any) -> bool:
        return bool(self.value < self._lift(other).value)

    def __le__(self, other: Any) -> bool:
        return bool(self.value <= self._lift(other).value)

    def __gt__(self, other: Any) -> bool:
        return bool(self.value > self._lift(other).value)

    def __ge__(self, other: Any) -> bool:
        return bool(self.value >= self._lift(other).value)

    def __hash__(self) -> int:
        return hash(self.value)


Real.register(Dual)


def cotangents(contract: Contract, case: Case) -> dict[str, np.ndarray]:
    """Return fixed weights for every output element: odd eighths, exact in every dtype."""
    shapes, weights = contract.shapes(case), {}
    for i, name in enumerate(contract.outputs):
        size = int(np.prod(shapes[name]))
        weights[name] = ((np.arange(size) * 2 + 1 + 4 * i) % 15 - 7).reshape(shapes[name]) / 8
    return weights


def differentiable(contract: Contract, case: Case) -> list[str]:
    """Return the arguments of a case that are arrays through which gradients flow."""
    return [name for name in contract.gradients if isinstance(case[name], np.ndarray)]


def gradient_cases(contract: Contract, drawn: Sequence[Case]) -> list[Case]:
    """Return the few small cases on which a gradient is judged."""
    small = [case for case in drawn if case_size(contract, case) in GRADIENT_SIZES]
    chosen = small[:: max(len(small) // GRADIENT_CASES, 1)]  # from all over: the first are plain
    # what a mask hides reaches a gradient more easily than a value: one case at least shows it
    telling = [] if any(map(hides_garbage, chosen)) else filter(hides_garbage, small)
    return [*chosen, *itertools.islice(telling, 1)]


def hides_garbage(case: Case) -> bool:
    """Return whether something that is not finite stands under a mask."""
    mask = case.arguments.get("mask")
    arrays = [value for value in case.arguments.values() if isinstance(value, np.ndarray)]
    return isinstance(mask, np.ndarray) and any(
        not np.isfinite(array[~mask]).all() for array in arrays if array.shape == mask.shape
    )


def case_size(contract: Contract, case: Case) -> int:
    """Return the number of elements of a case's first float array."""
    return int(case[contract.first.name].size)


def exact_gradient(
    contract: Contract,
    case: Case,
    argument: str,
    dtype: str,
    outputs: Sequence[str] | None = None,
    detour: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the gradient of Σ weights · outputs with respect to one argument, and its bound.

    Args:
        contract: the function.
        case: the inputs.
        argument: an array of floats.
        dtype: in whose arithmetic the bound is meant.
        outputs: those that count; None for all.
        detour: further roundings allowed to every term, in units of u.
    """
    u, weights = PRECISIONS[dtype].unit, cotangents(contract, case)
    array = case[argument]
    gradient, allowed = np.zeros(array.shape), np.zeros(array.shape)
    plain = lifted(dict(case.arguments), lambda value: Dual(Tracked(value, u), Tracked(0.0, u)))
    for name in case.blurred:
        known = blurred(case[name], u, PRECISIONS[dtype].storage)
        plain[name] = np.vectorize(lambda x: Dual(x, Tracked(0.0, u)), otypes=[object])(known)
    for index in np.ndindex(array.shape):
        moved = plain[argument].copy()
        moved[index] = Dual(Tracked(float(array[index]), u), Tracked(1.0, u))
        with np.errstate(all="ignore"):
            results = contract.named(contract.reference(**{**plain, argument: moved}))
        total = Tracked(0.0, u)
        for name, output in results.items():
            if outputs is not None and name not in outputs:
                continue
            for i in np.ndindex(np.shape(output)):
                item: Any = np.asarray(output, dtype=object)[i]
                slope = item.slope if isinstance(item, Dual) else 0
                total = total + float(weights[name][i]) * slope
        gradient[index] = total.value
        allowed[index] = total.free_bound() + PRECISIONS[dtype].tiny * total.roundings()
        allowed[index] += detour * u * total.magnitude
    precision = PRECISIONS[dtype]
    # the reference's own derivative is rounded in float64, the gradient as it is stored
    allowed = allowed * (1 + PRECISIONS["float64"].unit / precision.unit)
    allowed = allowed + precision.storage * np.abs(gradient) + precision.storage_tiny
    return stored_value(gradient, dtype), allowed


def torch_gradient(
    contract: Contract, case: Case, dtype: str, device: str
) -> dict[str, np.ndarray]:
    """Return what autograd gives for the fast version, by argument."""
    import torch

    assert contract.fast is not None
    arguments: dict[str, Any] = as_torch(dict(case.arguments), dtype, device)
    names = differentiable(contract, case)
    for name in names:
        arguments[name].requires_grad_()
    outputs = contract.named(contract.fast(**arguments))
    weights = as_torch(cotangents(contract, case), dtype, device)
    total: Any = sum((weights[name] * output).sum() for name, output in outputs.items())
    inputs = [arguments[name] for name in names]
    gradients = torch.autograd.grad(total, inputs, allow_unused=True)
    return {
        name: np.zeros(case[name].shape) if grad is None else as_numpy(grad)
        for name, grad in zip(names, gradients, strict=True)
    }


def _overflows(contract: Contract, case: Case, dtype: str) -> bool:
    """Whether a finite result lies beyond the range of a dtype."""
    with np.errstate(all="ignore"):
        results = contract.named(contract.reference(**case.arguments)).values()
    arrays = [np.asarray(result, dtype=np.float64) for result in results]
    return any(bool((np.isfinite(a) & np.isinf(stored_value(a, dtype))).any()) for a in arrays)


def worst_gradient(contract: Contract, cases: list[Case], dtype: str, device: str = "cpu") -> float:
    """Return the worst error of the fast version's gradient in units of the bound."""
    worst = 0.0
    for case in cases:
        if _overflows(contract, case, dtype):
            continue  # the derivative of what became infinite is anything
        found = torch_gradient(contract, case, dtype, device)
        for name, got in found.items():
            wanted, allowed = exact_gradient(contract, case, name, dtype)
            worst = max(worst, float(ratios(got, wanted, allowed).max(initial=0.0)))
    return worst
