"""Cross-entropy method: imitate the best of what was tried.

One round samples N episodes, keeps the elite and makes its actions more likely
(`log_likelihood_loss` on them). The elite are the k samples with the greatest return, and
whoever ties with the last of them; k is the smallest number with k/N ≥ fraction. Returns are
only ranked, so any increasing function of them elects the same.  The identity to remember: the
update is the policy gradient with weight 1 on the elite and 0 elsewhere.
"""

import numpy as np
from jaxtyping import Bool, Float

from rlverify.errors import Arguments
from rlverify.reference._reductions import real_places


def elite_episodes(returns: Float[np.ndarray, "N"], *, fraction: float) -> Bool[np.ndarray, "N"]:
    """Episodes whose return is among the best.

        eᵢ = Rᵢ ≥ R₍ₖ₎        R₍ₖ₎ the k-th greatest return, k the least with k/N ≥ fraction

    Source: de Boer et al. 2005, section 2 (the sample quantile at ⌈(1 − ρ) N⌉); Mannor et
    al. 2003 (for policies).
    Ours: k/N and `fraction` are compared as float32 numbers, so that 0.1 of 30 is 3 whatever
    the dtype; ⌈0.07 · 100⌉ is 8 in float64. The threshold is a return that was earned; a
    percentile interpolated between two of them may elect one fewer.

    Args:
        returns: Rᵢ of every episode; may be infinite.
        fraction: ρ in (0, 1], the share that is elite.

    Returns:
        Whether each episode is elite, shape [N]: at least one is, more than k where there are
        ties at the threshold.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: returns is not [N], is empty or has NaN in it, or fraction lies outside (0, 1].

    Example:
        >>> elite_episodes(np.array([3.0, 1.0, 3.0, 2.0]), fraction=0.25)
        array([ True, False,  True, False])
    """
    check = Arguments("elite_episodes", np.ndarray, exact=True)
    check.floats("N", returns=returns)
    check.fraction(fraction=fraction)
    check.ranked(None, returns=returns)

    ordered = sorted(returns, reverse=True)
    threshold = ordered[_elites(len(ordered), fraction) - 1]
    elite = np.zeros(returns.shape, dtype=bool)
    for i in range(len(returns)):
        elite[i] = returns[i] >= threshold
    return elite


def elite_steps(
    returns_to_go: Float[np.ndarray, "T B"],
    mask: Bool[np.ndarray, "T B"] | None,
    *,
    fraction: float,
) -> Bool[np.ndarray, "T B"]:
    """Steps whose return-to-go is among the best: elite by state and action.

        eₜ = Gₜ ≥ G₍ₖ₎        the k-th greatest of the M real steps, k the least with k/M ≥ fraction

    Source: the temporal-difference form of the cross-entropy method; ranks as in de Boer et al.
    2005, section 2.
    Ours: all real steps of all columns are ranked together; good steps of bad episodes count.

    Args:
        returns_to_go: Gₜ of every step; may be infinite.
        mask: True where a step is real; None when all are. What stands elsewhere is ignored.
        fraction: ρ in (0, 1], the share that is elite.

    Returns:
        Whether each step is elite, shape [T, B]; False where masked.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, nothing is real, a real return is NaN, or fraction lies
            outside (0, 1].

    Example:
        >>> returns, mask = np.array([[3.0, 1.0, 9.0]]), np.array([[True, True, False]])
        >>> elite_steps(returns, mask, fraction=0.5)
        array([[ True, False, False]])
    """
    check = Arguments("elite_steps", np.ndarray, exact=True)
    check.floats("T B", returns_to_go=returns_to_go)
    check.mask("T B", mask)
    check.fraction(fraction=fraction)
    check.ranked(mask, returns_to_go=returns_to_go)

    ordered = sorted((returns_to_go[i] for i in real_places(returns_to_go, mask)), reverse=True)
    threshold = ordered[_elites(len(ordered), fraction) - 1]
    elite = np.zeros(returns_to_go.shape, dtype=bool)
    for i in real_places(returns_to_go, mask):
        elite[i] = returns_to_go[i] >= threshold
    return elite


def _elites(samples: int, fraction: float) -> int:
    """Return the least k from 1 on with k/N ≥ fraction, in float32."""
    share = np.float32(float(fraction))
    count = max(int((1 - 2**-22) * float(fraction) * samples), 1)  # not above it
    while np.float32(count / samples) < share:
        count += 1
    return count
