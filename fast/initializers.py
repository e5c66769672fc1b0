"""Initialisation: weights that keep lengths, in PyTorch.

A matrix of independent normal numbers is as likely as any rotation of itself, so the orthogonal
factor of its QR factorisation is distributed uniformly over all orthogonal matrices (Haar),
provided that the factorisation is made unique: with a positive diagonal in R. What a library
returns has whatever signs its algorithm left there.

The identity to remember: W Wᵀ = gain² I where W has no more rows than columns, else
Wᵀ W = gain² I.  Half precision is computed in float32 and rounded once.
"""

import torch
from jaxtyping import Float

from rlverify.errors import Arguments
from rlverify.fast._steps import widened
from rlverify.fast.scan import rounded


def orthogonal(normals: Float[torch.Tensor, "R C"], *, gain: float) -> Float[torch.Tensor, "R C"]:
    """Orthogonal weights from normal numbers: gain times the Q of their QR factorisation.

        A = normals, or its transpose if R < C        A = Q R,  R upper triangular, Rⱼⱼ > 0
        W = gain · Q, or its transpose if R < C

    Source: Saxe et al. 2014, arXiv:1312.6120, section 3 (the initialisation); Mezzadri 2007,
    arXiv:math-ph/0609050, section 5 (the signs, without which Q is not uniform).
    Ours: numbers are given, none are drawn; no gradient flows. Normal numbers have full rank
    with probability one; for numbers that have not, Q is not unique and nothing is promised.

    Args:
        normals: independent standard normal numbers, in the shape of the weight [out, in].
        gain: length of each row, or of each column if there are more rows than columns.

    Returns:
        W, of the same shape.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: normals has another number of axes, or is empty.

    Example:
        >>> orthogonal(torch.tensor([[3.0, 4.0]]), gain=5.0).round(decimals=4)
        tensor([[3., 4.]])
    """
    check = Arguments("orthogonal", torch.Tensor)
    check.floats("R C", normals=normals)
    check.number("gain", gain)

    wide = normals.shape[0] < normals.shape[1]
    (tall,) = widened(normals.detach().T if wide else normals.detach())
    basis, triangle = torch.linalg.qr(tall)
    # a column of Q and a row of R change their signs together
    factors = torch.full_like(triangle.diagonal(), rounded(gain, normals.dtype))
    weights: torch.Tensor = basis * torch.where(triangle.diagonal() < 0, -factors, factors)
    return (weights.T if wide else weights).contiguous().to(normals.dtype)
