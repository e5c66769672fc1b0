"""What fast versions share that reduce an array to one number."""

import torch

from rlverify.fast._steps import widened


def real(array: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Return the array in the dtype it is computed in, 0 where masked whatever stood there."""
    (wide,) = widened(array)
    return wide if mask is None else torch.where(mask, wide, 0)


def real_dot(one: torch.Tensor, other: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Return the sum of products over the real elements, not rounded back."""
    # both sides are selected, for 0 times NaN is NaN, in the product's gradient too
    return torch.dot(real(one, mask).flatten(), real(other, mask).flatten())


def real_mean(array: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Return the mean over the real elements, not rounded back."""
    if mask is None:
        return real(array, mask).mean()
    return real(array, mask).sum() / mask.sum()
