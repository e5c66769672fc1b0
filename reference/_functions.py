"""Functions of one number that NumPy has not, for floats and for numbers that know better.

`np.exp(x)` on an object calls `x.exp()`; these do likewise, so that a reference can be run on
numbers that carry their rounding errors or their derivatives. On floats they are SciPy's.
"""

from typing import Any

from scipy import special


def lgamma(x: Any) -> Any:
    """Return log Γ(x) for x > 0."""
    return x.lgamma() if hasattr(x, "lgamma") else special.gammaln(x)


def digamma(x: Any) -> Any:
    """Return ψ(x) = d/dx log Γ(x) for x > 0."""
    return x.digamma() if hasattr(x, "digamma") else special.digamma(x)


def trigamma(x: Any) -> Any:
    """Return ψ′(x) for x > 0."""
    return x.trigamma() if hasattr(x, "trigamma") else special.polygamma(1, x)[()]


def reached(threshold: Any, number: Any) -> Any:
    """Return 1 where threshold ≤ number, else 0; where rounding decides, both are right."""
    if hasattr(threshold, "reached"):
        return threshold.reached(number)
    return number.reaches(threshold) if hasattr(number, "reaches") else int(threshold <= number)


def decided(decision: Any) -> bool:
    """Whether a decision, 0 or 1, is what it is whatever rounding did."""
    return not getattr(decision, "open", False)


def chosen(decision: Any, one: Any, other: Any) -> Any:
    """Return one number where the decision is 1, the other where it is 0.

    Where rounding leaves the decision open, both are right.
    """
    if hasattr(decision, "chooses"):
        return decision.chooses(one, other)
    return one if decision else other


def loosened(number: Any, slack: Any, roundings: Any) -> Any:
    """Return the number itself, as one that a right answer may miss by that much.

    Args:
        number: any.
        slack: how far a right answer may lie away, beside what rounding does to it.
        roundings: the same in units of u.
    """
    return slack.slackens(number, roundings) if hasattr(slack, "slackens") else number


def settled(number: Any) -> Any:
    """Return the number itself, as one that is computed before it is used.

    Bounds on the error for any order of evaluation then leave out the orders in which a product
    is distributed over the terms that the number is the sum of.
    """
    return number.settled() if hasattr(number, "settled") else number


def log_sum(result: Any, exponents: Any) -> Any:
    """Return log Σ exp x, the result itself, with a derivative that is computed from it.

    That derivative is Σ exp(x − result) ẋ. What rounding does to a result of the size of the
    exponents it does to the probabilities too, as it does in most libraries' own backward pass.
    """
    return result.log_sum(exponents) if hasattr(result, "log_sum") else result


def limited(number: Any, low: Any, high: Any) -> Any:
    """Return the number, or the limit that it lies beyond; near a limit, rounding decides."""
    if hasattr(number, "limited"):
        return number.limited(low, high)
    return low if number < low else high if number > high else number
