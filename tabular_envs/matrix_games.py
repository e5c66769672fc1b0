"""Two-player zero-sum games in matrix form, beside the processes and not one of them.

The row player picks i with probability x, the column player j with probability y, and the
row player receives payoff[i, j] from the column player. A mixed strategy is worth what it
earns against the opponent's best answer, and the best answer can always be taken pure.

The one identity to remember: max_x min_j (xᵀM)_j = min_y max_i (My)_i (von Neumann 1928). In
an MDP some deterministic policy is always optimal; here, every deterministic strategy can
be the worst, so a game must not be dressed as an MDP.
"""

from typing import Any

import numpy as np
from jaxtyping import Float

from rlverify.errors import Arguments
from rlverify.tabular_envs.finite_mdp import require_distributions, require_float64


def rock_paper_scissors() -> Float[np.ndarray, "3 3"]:
    """Payoff of rock (0), paper (1), scissors (2): 1 for a win, −1 for a loss, 0 for a draw.

    Source: worth max_x min_j (xᵀM)_j = 0, attained by (1/3, 1/3, 1/3) alone.

    Example:
        >>> rock_paper_scissors()
        array([[ 0., -1.,  1.],
               [ 1.,  0., -1.],
               [-1.,  1.,  0.]])
    """
    return np.array([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]])


def expected_payoff(
    payoff: Float[np.ndarray, "M N"], row: Float[np.ndarray, "M"], column: Float[np.ndarray, "N"]
) -> float:
    """What the row player earns on average, xᵀ M y.

    Source: von Neumann 1928, Mathematische Annalen 100, §2.

    Args:
        payoff: what the row player receives, float64 [M, N].
        row: the row player's mixed strategy x, [M].
        column: the column player's mixed strategy y, [N].

    Raises:
        TypeError: an argument is no float64 array.
        ValueError: shapes disagree, a number is not finite, or a strategy is no distribution.
    """
    _check("expected_payoff", payoff, row=row, column=column)
    return float(row @ payoff @ column)


def guaranteed_payoff(payoff: Float[np.ndarray, "M N"], row: Float[np.ndarray, "M"]) -> float:
    """What a strategy of the row player earns against the best response, min_j (xᵀM)_j.

    Source: von Neumann 1928, Mathematische Annalen 100, §2.
    Args, Raises: those of `expected_payoff`.

    Example:
        >>> guaranteed_payoff(rock_paper_scissors(), np.array([0.5, 0.25, 0.25]))
        -0.25
    """
    _check("guaranteed_payoff", payoff, row=row)
    return float((row @ payoff).min())


def best_response(payoff: Float[np.ndarray, "M N"], row: Float[np.ndarray, "M"]) -> int:
    """The column player's pure best response, the smallest j that attains min_j (xᵀM)_j.

    Source: von Neumann 1928, Mathematische Annalen 100, §2.
    Args, Raises: those of `expected_payoff`.

    Example:
        >>> best_response(rock_paper_scissors(), np.array([1.0, 0.0, 0.0]))  # paper beats rock
        1
    """
    _check("best_response", payoff, row=row)
    return int((row @ payoff).argmin())


def _check(function: str, payoff: Any, **strategies: Any) -> None:
    arguments = Arguments(function, np.ndarray)
    arguments.floats("M N", payoff=payoff)
    require_float64(function, payoff=payoff)
    for axis, (name, strategy) in enumerate(strategies.items()):
        arguments.floats("MN"[axis], **{name: strategy})
        if strategy.shape != payoff.shape[axis : axis + 1]:
            raise ValueError(
                f"{function}: {name} has shape {strategy.shape}, but payoff has shape "
                f"{payoff.shape}; they must agree."
            )
        require_float64(function, **{name: strategy})
        require_distributions(function, name, strategy)
