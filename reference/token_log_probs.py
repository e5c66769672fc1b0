"""Log-probabilities of the tokens of answers, from the logits over a vocabulary.

A language model is a categorical policy with one state a position: logits `[B, L, V]`, of which
the tokens `[B, L]` that were written are wanted, at the temperature that they were written with:

    log π(a) = x_a/T − log Σ_b exp(x_b/T)

Softmax and temperature belong together: the logits are divided, never the log-probabilities, and
the sum over the vocabulary of exp log π is 1 at every T.
"""

import numpy as np
from jaxtyping import Bool, Float, Int

from rlverify.errors import Arguments
from rlverify.reference._functions import settled


def selected_log_probs(
    logits: Float[np.ndarray, "B L V"],
    tokens: Int[np.ndarray, "B L"],
    mask: Bool[np.ndarray, "B L"] | None,
    *,
    temperature: float,
) -> Float[np.ndarray, "B L"]:
    """Log-probability of every token that was written.

        log π(a_bt) = x_bt(a_bt)/T − log Σ_v exp(x_bt(v)/T)

    Source: Ouyang et al. 2022, arXiv:2203.02155, section 3.5 (π(y | x) of a language model);
    Sutton & Barto 1998, eq. 2.2 (softmax with a temperature).
    Ours: token t is scored by the logits at t; what predicts it stands one position earlier in
    a model's output, and the caller has shifted. The greatest logit is subtracted before the
    division, so nothing overflows however small T is.

    Args:
        logits: x, of the policy at each position.
        tokens: a, in [0, V) where real; anything elsewhere, such as −100.
        mask: True where a token is real; None when all are. What stands elsewhere is ignored.
        temperature: T above 0.

    Returns:
        log π, [B, L]; 0 where masked. Gradients flow to the logits at real tokens.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, a real token lies outside [0, V), nothing is real, or the
            temperature is not a finite number above 0.

    Example:
        >>> logits = np.log([[[1.0, 3.0], [1.0, 1.0]]])
        >>> selected_log_probs(logits, np.array([[1, -100]]), np.array([[True, False]]),
        ...     temperature=1.0)
        array([[-0.28768207,  0.        ]])
    """
    check = Arguments("selected_log_probs", np.ndarray, exact=True)
    check.floats("B L V", logits=logits)
    check.integers("B L", least=np.iinfo(np.int64).min, tokens=tokens)
    check.mask("B L", mask)
    real = np.ones(tokens.shape, dtype=bool) if mask is None else mask
    check.actions("B L", below=logits.shape[-1], tokens=np.where(real, tokens, 0))
    check.positive("temperature", temperature)

    log_probs = np.zeros_like(logits, shape=tokens.shape)
    for b, t in np.argwhere(real):
        highest = max(logits[b, t])
        # no term exceeds 1, so the sum cannot overflow
        below = [(logit - highest) / temperature for logit in logits[b, t]]
        normalizer = np.log(sum(np.exp(number) for number in below))
        log_probs[b, t] = settled(below[tokens[b, t]] - normalizer)
    return log_probs
