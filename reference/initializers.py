"""Initialisation: weights that keep lengths.

A matrix of independent normal numbers is as likely as any rotation of itself, so the orthogonal
factor of its QR factorisation is distributed uniformly over all orthogonal matrices (Haar),
provided that the factorisation is made unique: with a positive diagonal in R. What a library
returns has whatever signs its algorithm left there.

The identity to remember: W Wᵀ = gain² I where W has no more rows than columns, else
Wᵀ W = gain² I.
"""

from typing import Any

import numpy as np
from jaxtyping import Float

from rlverify.errors import Arguments


def orthogonal(normals: Float[np.ndarray, "R C"], *, gain: float) -> Float[np.ndarray, "R C"]:
    """Orthogonal weights from normal numbers: gain times the Q of their QR factorisation.

        A = normals, or its transpose if R < C        A = Q R,  R upper triangular, Rⱼⱼ > 0
        W = gain · Q, or its transpose if R < C

    Source: Saxe et al. 2014, arXiv:1312.6120, section 3 (the initialisation); Mezzadri 2007,
    arXiv:math-ph/0609050, section 5 (the signs, without which Q is not uniform).
    Ours: Householder reflections (Golub and Van Loan 2013, algorithm 5.2.1). Normal numbers have
    full rank with probability one; for numbers that have not, Q is not unique and nothing is
    promised.

    Args:
        normals: independent standard normal numbers, in the shape of the weight [out, in].
        gain: length of each row, or of each column if there are more rows than columns.

    Returns:
        W, of the same shape.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: normals has another number of axes, or is empty.

    Example:
        >>> orthogonal(np.array([[3.0, 4.0]]), gain=5.0)
        array([[3., 4.]])
    """
    check = Arguments("orthogonal", np.ndarray, exact=True)
    check.floats("R C", normals=normals)
    check.number("gain", gain)

    rows, columns = normals.shape
    tall = normals.T if rows < columns else normals
    basis, diagonal = _factorised(tall)
    for j in range(len(diagonal)):
        if diagonal[j] < 0:  # a column of Q and a row of R change their signs together
            basis[:, j] = -basis[:, j]
    weights = basis * gain
    return weights.T.copy() if rows < columns else weights


def _factorised(tall: Float[np.ndarray, "M N"]) -> tuple[np.ndarray, list[Any]]:
    """Return the first N columns of Q, and the diagonal of R, of M ≥ N rows."""
    size, count = tall.shape
    left, reflectors, diagonal = tall.copy(), [], []
    for j in range(count):
        direction = left[j:, j].copy()
        towards = direction[0]
        if any(number != 0 for number in direction[1:]):
            length = np.sqrt(_product(direction, direction))
            towards = -length if direction[0] >= 0 else length  # the side where no digits cancel
        direction[0] = direction[0] - towards
        diagonal.append(towards)
        reflectors.append(direction)
        for k in range(j, count):
            left[j:, k] = _reflected(left[j:, k], direction)
    basis = np.empty_like(tall)  # keeps tracked numbers
    for k in range(count):
        column = np.zeros(size) + 0 * tall[:, 0]
        column[k] = column[k] + 1
        for j in reversed(range(count)):
            column[j:] = _reflected(column[j:], reflectors[j])
        basis[:, k] = column
    return basis, diagonal


def _product(x: np.ndarray, y: np.ndarray) -> Any:
    total = 0
    for i in range(len(x)):
        total = total + x[i] * y[i]
    return total


def _reflected(x: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Return x mirrored at the plane across a direction; as it is, if there is none."""
    square = _product(direction, direction)
    return x if square == 0 else x - direction * (2 * _product(direction, x) / square)
