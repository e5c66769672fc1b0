"""What references share that reduce an array to one number."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Bool, Float


def real_places(
    array: Float[np.ndarray, "..."], mask: Bool[np.ndarray, "..."] | None
) -> Iterator[tuple[int, ...]]:
    """Yield the index of every real element."""
    return (i for i in np.ndindex(array.shape) if mask is None or mask[i])


def scalar(number: Any, like: np.ndarray) -> Float[np.ndarray, ""]:
    """Return one number as an array of shape () and of the dtype of `like`."""
    array = np.empty((), dtype=like.dtype)
    array[()] = number
    return array
