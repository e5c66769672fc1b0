"""Elementary functions of tracked numbers: what a rounded argument and a rounded result cost.

A computed f(x̂) of a computed x̂ lies from f(x) by at most

    max |f′| · |x̂ − x|   over the interval that x̂ may lie in, by a closed formula for each f
    + the error of f's own evaluation, k·u·|f|  (k·u·max(|f|, 1) where f has zeros that libraries
      do not resolve)

Nothing promises k: NumPy's, SciPy's and PyTorch's evaluations differ, between devices too. So
the constants here are measured: `tests/test_elementary.py` holds every library that is there
against mpmath, and docs/elementary.md says what was found.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from scipy import special


@dataclass(frozen=True)
class Function:
    """One elementary function.

    Attributes:
        value: the function of a float.
        spread: greatest |f(x̂) − f(x)| for |x̂ − x| ≤ e, from x and e.
        slope: f′(x), to first order.
        units: k, in units of u.
        floor: the size below which |f| does not make the error smaller; 0 where it always does.
    """

    value: Callable[[float], float]
    spread: Callable[[float, float], float]
    slope: Callable[[float], float]
    units: int
    floor: float = 0.0


def _steepest(slope: Callable[[float], float], least: float = -math.inf) -> Callable[..., float]:
    """Return the spread of a function whose |f′| is largest at an end of the interval."""

    def spread(x: float, e: float) -> float:
        if x - e <= least:
            return math.inf
        return max(abs(slope(x - e)), abs(slope(x + e))) * e

    return spread


def _exp(x: float) -> float:
    return math.inf if x >= 709.78 else math.exp(x)  # NaN stays NaN


def _expm1(x: float) -> float:
    return math.inf if x >= 709.78 else math.expm1(x)


def _log(x: float) -> float:
    return math.log(x) if x > 0 else (-math.inf if x == 0 else math.nan)


def _log1p(x: float) -> float:
    return math.log1p(x) if x > -1 else (-math.inf if x == -1 else math.nan)


def _inverse(x: float) -> float:
    return 1 / x if x else math.inf


def _trigamma(x: float) -> float:
    return float(special.polygamma(1, x))


def _tetragamma(x: float) -> float:
    return float(special.polygamma(2, x))


def _sech2(x: float) -> float:
    # 1 − tanh² without its cancellation
    decay = math.exp(-2 * abs(x))
    return 4 * decay / (1 + decay) ** 2


def _log_spread(x: float, e: float) -> float:
    return -math.log1p(-e / x) if 0 <= e < x else (0.0 if e == 0 else math.inf)


def _exp_spread(x: float, e: float) -> float:
    # the second form neither multiplies 0 by an infinity nor loses much
    return _exp(x) * _expm1(e) if e < 1 else _exp(x + e)


FUNCTIONS = {
    "exp": Function(_exp, _exp_spread, _exp, 4),
    "expm1": Function(_expm1, _exp_spread, _exp, 4),
    "log": Function(_log, _log_spread, _inverse, 6),
    "log1p": Function(
        _log1p, lambda x, e: _log_spread(1 + x, e), lambda x: _inverse(1 + x), 4
    ),
    "tanh": Function(
        math.tanh, lambda x, e: _sech2(max(abs(x) - e, 0.0)) * e, _sech2, 4
    ),
    "sin": Function(math.sin, lambda x, e: e, math.cos, 4),
    "cos": Function(math.cos, lambda x, e: e, lambda x: -math.sin(x), 4),
    "lgamma": Function(
        lambda x: float(special.gammaln(x)), _steepest(lambda x: float(special.digamma(x)), 0.0),
        lambda x: float(special.digamma(x)), 8, 1.0,
    ),
    "digamma": Function(
        lambda x: float(special.digamma(x)), _steepest(_trigamma, 0.0), _trigamma, 16, 1.0
    ),
    "trigamma": Function(_trigamma, _steepest(_tetragamma, 0.0), _tetragamma, 16),
}  # fmt: skip


class Elementary:
    """The elementary functions of `rounding.Tracked`; NumPy's call them by name."""

    __slots__ = ()

    def _applied(self: Any, name: str) -> Any:
        function = FUNCTIONS[name]
        a = self._closed()
        try:
            value = function.value(a.value)
        except (ValueError, OverflowError):  # no number, as for log of a negative one
            value = math.nan
        own = function.units * max(abs(value), function.floor)

        def error(units: float) -> float:
            spread: float = function.spread(a.value, a.u * units) if units else 0.0
            return spread / float(a.u) + own

        if not math.isfinite(a.value):  # exp(−∞) = 0 exactly; anything else is told by its value
            return type(self)(value, a.u)
        slope = function.slope(a.value) if a.variance else 0.0
        return type(self)(
            value,
            a.u,
            abs(value),
            1,
            error(a.weight),
            0,
            error(a.running),
            slope * slope * a.variance + own * own if math.isfinite(slope) else math.inf,
        )

    def exp(self) -> Any:
        """Return e^x."""
        return self._applied("exp")

    def expm1(self) -> Any:
        """Return e^x − 1."""
        return self._applied("expm1")

    def log(self) -> Any:
        """Return log x."""
        return self._applied("log")

    def log1p(self) -> Any:
        """Return log(1 + x)."""
        return self._applied("log1p")

    def tanh(self) -> Any:
        """Return tanh x."""
        return self._applied("tanh")

    def sin(self) -> Any:
        """Return sin x."""
        return self._applied("sin")

    def cos(self) -> Any:
        """Return cos x."""
        return self._applied("cos")

    def lgamma(self) -> Any:
        """Return log Γ(x)."""
        return self._applied("lgamma")

    def digamma(self) -> Any:
        """Return ψ(x)."""
        return self._applied("digamma")

    def trigamma(self) -> Any:
        """Return ψ′(x)."""
        return self._applied("trigamma")

    def reached(self: Any, number: Any) -> Any:
        """Return 1 where this number is at most another, else 0, with what rounding leaves open.

        Where the two lie closer together than their errors, either answer is right: the error
        of the answer is then 1.
        """
        other = self._lift(number)
        answer = 1.0 if self.value <= other.value else 0.0
        gap = abs(other.value - self.value)

        def error(units: float) -> float:
            # the comparison is open also at no gap at all: ≤ and < are both met with
            return 1 / self.u if self.u * units > gap or (units and gap == 0) else 0.0

        weight, running = error(self._free() + other._free()), error(self.running + other.running)
        return type(self)(answer, self.u, answer, 1, weight, 0, running, running * running)

    def reaches(self: Any, threshold: Any) -> Any:
        """Return 1 where a threshold is at most this number; see `reached`."""
        return self._lift(threshold).reached(self)

    @property
    def open(self: Any) -> bool:
        """Whether this decision, 0 or 1, may have been the other one."""
        return bool(self.u * max(self.weight, self.running) > 0.5)

    def chooses(self: Any, one: Any, other: Any) -> Any:
        """Return one number where this decision is 1, the other where it is 0.

        Where the decision is open, either is right: the error of the answer reaches to both.
        """
        picked, left = (one, other) if self.value > 0.5 else (other, one)
        if not self.open:
            return picked
        a, b = self._lift(picked)._closed(), self._lift(left)._closed()
        apart = abs(a.value - b.value) / self.u
        weight, running = apart + a.weight + b.weight, apart + a.running + b.running
        return type(self)(a.value, self.u, abs(a.value), 1, weight, 0, running, running * running)

    def slackens(self: Any, number: Any, roundings: Any) -> Any:
        """Return a number that a right answer may miss by this one, and by some roundings."""
        a = self._lift(number)._closed()
        more = (abs(self.value) + self.free_bound()) / self.u + float(roundings)
        weight, running = a.weight + more, a.running + more
        return type(self)(
            a.value, self.u, abs(a.value), 1, weight, 0, running, a.variance + more * more
        )

    def limited(self: Any, low: Any, high: Any) -> Any:
        """Return this number, or the limit that it lies beyond.

        Limiting brings no two numbers further apart, so this number's own errors hold; where it
        lies beyond a limit by more than they are, the answer is the limit itself.
        """
        a = self._closed()
        for limit, beyond in ((a._lift(low), a.value < low), (a._lift(high), a.value > high)):
            if beyond:
                if a.u * max(a.weight, a.running) < abs(a.value - limit.value):
                    return limit
                errors = (a.weight + limit.weight, 0, a.running + limit.running)
                return type(self)(
                    limit.value, a.u, abs(limit.value), 1, *errors, a.variance + limit.variance
                )
        return self
