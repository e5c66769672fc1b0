"""Initialisation: the contract tests, and what only these functions have."""

import numpy as np
import pytest
import torch

import rlverify
from rlverify.fast import initializers as fast
from support import *  # noqa: F403

TOPIC = "initializers"


@pytest.mark.parametrize("shape", [(2, 5), (5, 2), (4, 4)])
def test_as_torch_initialises(shape):
    """From the same normal numbers the weights are those of torch.nn.init.orthogonal_."""
    weight = torch.empty(shape, dtype=torch.float64)
    torch.nn.init.orthogonal_(weight, gain=1.5, generator=torch.Generator().manual_seed(0))
    normals = torch.empty(shape, dtype=torch.float64)
    normals.normal_(0, 1, generator=torch.Generator().manual_seed(0))
    assert torch.equal(fast.orthogonal(normals, gain=1.5), weight)


def test_no_column_is_lost():
    """A diagonal element of 0 has no sign; its column is kept all the same."""
    found = fast.orthogonal(torch.zeros(3, 2), gain=1.0)
    assert (found.norm(dim=0) == 1).all()


# how strangers write it


def positive(normals, gain):
    """Correct the signs by those of the diagonal."""
    wide = normals.shape[0] < normals.shape[1]
    q, r = np.linalg.qr(normals.T if wide else normals)
    q = q * np.sign(np.diag(r))
    return gain * (q.T if wide else q)


def raw(normals, gain):
    """Take Q as it comes."""
    wide = normals.shape[0] < normals.shape[1]
    q = np.linalg.qr(normals.T if wide else normals)[0]
    return gain * (q.T if wide else q)


def through_svd(normals, gain):
    """Take the factor of the singular value decomposition that has the shape (Lasagne)."""
    u, _, v = np.linalg.svd(normals, full_matrices=False)
    return gain * (u if u.shape == normals.shape else v)


@pytest.mark.parametrize(
    ("function", "title"),
    [
        (positive, None),
        (raw, "CONVENTION(signs=as-factorised)"),
        (through_svd, "WRONG"),
    ],
)
def test_orthogonal_of_a_stranger(function, title):
    """LAPACK's signs are a convention; another orthogonal matrix is another function."""
    verdict = rlverify.check(function, "orthogonal", budget=80)
    assert verdict.ok == (title is None), verdict.title
    assert verdict.title.startswith(title or "")
