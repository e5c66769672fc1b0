"""Numbers as fractions: policies of a finite process in exact arithmetic.

A policy is an array [S, A] of float64 or of `fractions.Fraction` objects. Which of the two it
is decides how everything that is computed from it is computed: with fractions nothing is
rounded, and the float64 entries of the process are taken as the fractions that they are.

The one identity to remember: a softmax whose logits are logarithms of integers is a quotient.
"""

from collections.abc import Sequence
from fractions import Fraction
from numbers import Rational
from typing import Any

import numpy as np
from jaxtyping import Float

from rlverify.errors import Arguments, dtype_name
from rlverify.tabular_envs.finite_mdp import FiniteMDP, require_distributions, require_float64


def lifted_entries(array: Any, exact: bool) -> Any:
    """Return an array of float64 as it is or, for exact arithmetic, as `Fraction` objects."""
    if not exact:
        return array
    entries = np.empty(array.shape, dtype=object)
    entries.reshape(-1)[:] = [Fraction(x) for x in array.ravel().tolist()]
    return entries


def require_policy(function: str, mdp: Any, **policies: Any) -> bool:
    """Refuse what is no policy of the process; return whether the policies are exact.

    Exact are arrays of `Fraction`: their rows, and those of the process, must then sum to
    exactly 1; else they may miss it by rounding.
    """
    if not isinstance(mdp, FiniteMDP):
        raise TypeError(f"{function}: mdp came as {type(mdp).__name__}, wanted a FiniteMDP.")
    arguments = Arguments(function, np.ndarray, exact=True)
    for name, policy in policies.items():
        arguments.floats("S A", **{name: policy})
        if policy.shape != (mdp.states, mdp.actions):
            raise ValueError(
                f"{function}: {name} has shape {policy.shape}, but mdp has {mdp.states} states "
                f"and {mdp.actions} actions; they must agree."
            )
        if policy.dtype == np.float64:
            require_float64(function, **{name: policy})
            require_distributions(function, name, policy)
        else:
            require_exact(function, name, policy)
            _require_exact_rows(function, name, policy)
    exact = any(policy.dtype == object for policy in policies.values())
    if exact:
        _require_exact_rows(function, "mdp.start", lifted_entries(mdp.start, True))
        _require_exact_rows(function, "mdp.transition", lifted_entries(mdp.transition, True))
    return exact


def require_exact(function: str, name: str, array: Any) -> None:
    """Refuse an array of objects that are not all rational numbers."""
    if dtype_name(array) != "object":
        raise TypeError(
            f"{function}: {name} came as dtype {dtype_name(array)}, wanted Fraction objects."
        )
    for item in array.flat:
        if isinstance(item, bool) or not isinstance(item, Rational):
            raise TypeError(
                f"{function}: {name} came with a {type(item).__name__} in it, "
                f"wanted Fraction objects only."
            )


def require_numbers(function: str, name: str, array: Any, *, exact: bool) -> None:
    """Refuse an array that is not of the arithmetic that is computed in."""
    if exact:
        require_exact(function, name, array)
    else:
        require_float64(function, **{name: array})


def _require_exact_rows(function: str, name: str, array: Any) -> None:
    rows = array.reshape(-1, array.shape[-1]).tolist()
    for row, where in zip(rows, np.ndindex(array.shape[:-1]), strict=True):
        place = name + (str(list(where)) if where else "")
        if min(row) < 0:
            raise ValueError(f"{function}: {place} came with {min(row)}, wanted a probability.")
        if sum(row) != 1:
            raise ValueError(
                f"{function}: {place} came with sum 1 + ({sum(row) - 1}), wanted exactly 1 for "
                f"exact arithmetic; pass float64 policies or a process of dyadic numbers."
            )


def rational_policy(weights: Sequence[Sequence[int]]) -> Float[np.ndarray, "S A"]:
    """Softmax of logits that are logarithms of integers, as fractions.

        π(a|s) = w(s,a) / Σ_b w(s,b)        θ(s,a) = log w(s,a)

    Source: none; a softmax of logarithms is a quotient.

    Args:
        weights: integers of at least 0, one row a state, each row with one above 0.

    Returns:
        [S, A] of `Fraction` objects, whose rows sum to exactly 1.

    Raises:
        ValueError: a weight is no such integer, a row is all 0, or rows differ in length.

    Example:
        >>> rational_policy([[1, 3]]).tolist()
        [[Fraction(1, 4), Fraction(3, 4)]]
    """
    rows = [list(row) for row in weights]
    if not rows or not rows[0] or len({len(row) for row in rows}) > 1:
        raise ValueError(
            f"rational_policy: weights came with rows of length {[len(row) for row in rows]}, "
            f"wanted rows of one length of at least 1."
        )
    for row in rows:
        whole = all(isinstance(w, int) and not isinstance(w, bool) and w >= 0 for w in row)
        if not whole or sum(row) == 0:
            raise ValueError(
                f"rational_policy: weights came with the row {row}, wanted integers of at least "
                f"0, not all of them 0."
            )
    policy = np.empty((len(rows), len(rows[0])), dtype=object)
    policy.reshape(-1)[:] = [Fraction(w, sum(row)) for row in rows for w in row]
    return policy
