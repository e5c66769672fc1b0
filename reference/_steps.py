"""What the references of several topics share."""

import numpy as np
from jaxtyping import Float


def per_step(gamma: float | Float[np.ndarray, "T B"], like: np.ndarray) -> np.ndarray:
    """Return the discount of every step, γₜ, as an array of the shape and dtype of `like`."""
    return np.broadcast_to(np.asarray(gamma, dtype=like.dtype), like.shape)
