"""The categorical policy: one probability an action, as a softmax of logits; ε-greedy, Boltzmann.

Logits xₐ stand on the last axis, `[..., A]`; every leading index is an independent policy.
`legal` marks the actions that may be taken; None means all. An illegal action has
probability 0, and what stands at its place in the logits is never read:

    log π(a) = xₐ − log Σ_b exp x_b        the sum over legal b
    ∇ₓ log π(a) = eₐ − π                   the score, of mean 0 under π itself

That mean of 0 is the identity to remember: every baseline rests on it. The covariance of the
score is the Fisher matrix, and that is the second derivative of the KL where both policies
are the same one.
"""

import numpy as np
from jaxtyping import Bool, Float, Int

from rlverify.errors import Arguments
from rlverify.reference._functions import log_sum, reached, settled


def _log_probs(
    logits: Float[np.ndarray, "... A"], legal: Bool[np.ndarray, "... A"] | None
) -> Float[np.ndarray, "... A"]:
    """Return log π of every action, −∞ for the illegal ones."""
    log_probs = np.full_like(logits, -np.inf)
    for i in np.ndindex(logits.shape[:-1]):
        allowed = [a for a in range(logits.shape[-1]) if legal is None or legal[*i, a]]
        highest = max(logits[*i, a] for a in allowed)
        # no term exceeds 1, so the sum cannot overflow
        total = sum(np.exp(logits[*i, a] - highest) for a in allowed)
        normalizer = highest + np.log(total)
        normalizer = log_sum(normalizer, [logits[*i, a] for a in allowed])
        for a in allowed:
            log_probs[*i, a] = settled(logits[*i, a] - normalizer)
    return log_probs


def categorical_log_prob(
    logits: Float[np.ndarray, "... A"],
    actions: Int[np.ndarray, "..."],
    legal: Bool[np.ndarray, "... A"] | None,
) -> Float[np.ndarray, "..."]:
    """Log-probability of the actions taken.

        log π(a) = xₐ − log Σ_b exp x_b

    Source: Sutton & Barto 2018, eq. 13.2 (softmax in action preferences).
    Ours: the sum runs over legal actions; an illegal action has log-probability −∞, so that
    padding with arbitrary actions can be selected away later.

    Args:
        logits: x, any finite numbers.
        actions: a, in [0, A).
        legal: True where an action may be taken; None when all may. Illegal logits are ignored.

    Returns:
        log π(a), the shape of `actions`; −∞ where a is illegal.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, an action lies outside [0, A), or none is legal.

    Example:
        >>> categorical_log_prob(np.log([1.0, 3.0]), np.array(1), None)
        array(-0.28768207)
    """
    check = Arguments("categorical_log_prob", np.ndarray, exact=True)
    check.floats("... A", logits=logits)
    check.actions("...", below=logits.shape[-1], actions=actions)
    check.legal("... A", legal)

    log_probs = _log_probs(logits, legal)
    taken = np.empty(actions.shape, dtype=logits.dtype)
    for i in np.ndindex(actions.shape):
        taken[i] = log_probs[*i, actions[i]]
    return taken


def categorical_score(
    logits: Float[np.ndarray, "... A"],
    actions: Int[np.ndarray, "..."],
    legal: Bool[np.ndarray, "... A"] | None,
) -> Float[np.ndarray, "... A"]:
    """Gradient of the log-probability of the actions taken with respect to the logits.

        ∂ log π(a) / ∂x_b = [a = b] − π(b)

    Source: Sutton & Barto 2018, eq. 13.9 with one feature an action.
    Ours: 0 at illegal b, and 0 altogether where a is illegal.

    Args:
        logits: x, any finite numbers.
        actions: a, in [0, A).
        legal: True where an action may be taken; None when all may. Illegal logits are ignored.

    Returns:
        The score, the shape of `logits`.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, an action lies outside [0, A), or none is legal.

    Example:
        >>> categorical_score(np.log([1.0, 3.0]), np.array(1), None)
        array([-0.25,  0.25])
    """
    check = Arguments("categorical_score", np.ndarray, exact=True)
    check.floats("... A", logits=logits)
    check.actions("...", below=logits.shape[-1], actions=actions)
    check.legal("... A", legal)

    log_probs = _log_probs(logits, legal)
    score = np.zeros_like(logits)
    for i in np.ndindex(actions.shape):
        if legal is not None and not legal[*i, actions[i]]:
            continue
        for b in range(logits.shape[-1]):
            score[*i, b] = (1 if b == actions[i] else 0) - np.exp(log_probs[*i, b])
    return score


def categorical_entropy(
    logits: Float[np.ndarray, "... A"], legal: Bool[np.ndarray, "... A"] | None
) -> Float[np.ndarray, "..."]:
    """Entropy of the policy, in nats.

        H = −Σ_b π(b) log π(b)        0 log 0 = 0

    Source: Shannon 1948, section 6; Williams & Peng 1991 (as a bonus).
    Ours: the sum runs over all legal actions, not over those that happened to be taken.

    Args:
        logits: x, any finite numbers.
        legal: True where an action may be taken; None when all may. Illegal logits are ignored.

    Returns:
        H, from 0 (one action) to log K (K equally likely ones), the leading shape.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, or no action is legal.

    Example:
        >>> categorical_entropy(np.array([7.0, 7.0, 7.0]), np.array([True, False, True]))
        array(0.69314718)
    """
    check = Arguments("categorical_entropy", np.ndarray, exact=True)
    check.floats("... A", logits=logits)
    check.legal("... A", legal)

    log_probs = _log_probs(logits, legal)
    entropy = np.zeros(logits.shape[:-1], dtype=logits.dtype)
    for i in np.ndindex(entropy.shape):
        for b in range(logits.shape[-1]):
            probability = np.exp(log_probs[*i, b])
            if probability > 0:
                entropy[i] = entropy[i] - probability * log_probs[*i, b]
    return entropy


def categorical_kl(
    logits_p: Float[np.ndarray, "... A"],
    logits_q: Float[np.ndarray, "... A"],
    legal: Bool[np.ndarray, "... A"] | None,
) -> Float[np.ndarray, "..."]:
    """Kullback-Leibler divergence of two policies, in nats.

        KL(p ‖ q) = Σ_b p(b) (log p(b) − log q(b)) = Σ_b p(b) k(d_b)
        d_b = log q(b) − log p(b)          k(d) = eᵈ − 1 − d

    Source: Kullback & Leibler 1951; k: Schulman 2020, "Approximating KL divergence".
    Ours: the second sum, because Σ p k exceeds the first by Σ q − Σ p = 0 and none of its terms
    is negative, so nothing cancels where p is near q. The first one is right too, but knows
    the result only to within one rounding of 1.

    Args:
        logits_p: logits of p, the policy that the mean is taken under.
        logits_q: logits of q.
        legal: True where an action may be taken; None when all may. Illegal logits are ignored.

    Returns:
        KL(p ‖ q), the leading shape.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, or no action is legal.

    Example:
        >>> categorical_kl(np.log([1.0, 1.0]), np.log([1.0, 3.0]), None)
        array(0.14384104)
    """
    check = Arguments("categorical_kl", np.ndarray, exact=True)
    check.floats("... A", logits_p=logits_p, logits_q=logits_q)
    check.legal("... A", legal)

    log_p, log_q = _log_probs(logits_p, legal), _log_probs(logits_q, legal)
    divergence = np.zeros(logits_p.shape[:-1], dtype=logits_p.dtype)
    for i in np.ndindex(divergence.shape):
        for b in range(logits_p.shape[-1]):
            if legal is not None and not legal[*i, b]:
                continue
            d = log_q[*i, b] - log_p[*i, b]
            if d <= 0:
                term = np.exp(log_p[*i, b]) * (np.expm1(d) - d)
            else:  # the same in terms of q = p eᵈ, which cannot overflow
                term = np.exp(log_q[*i, b]) * (-np.expm1(-d) - d * np.exp(-d))
            divergence[i] = divergence[i] + term
    return divergence


def categorical_fisher(
    logits: Float[np.ndarray, "... A"], legal: Bool[np.ndarray, "... A"] | None
) -> Float[np.ndarray, "... A A"]:
    """Fisher information of the policy with respect to its logits.

        F = E_π[ ∇ log π ∇ log πᵀ ] = diag(π) − π πᵀ

    Source: Amari 1998 (as a metric); Kakade 2001, section 2 (of a policy).
    Ours: rows and columns of illegal actions are 0. F is singular: F·1 = 0, for a shift of all
    logits changes nothing.

    Args:
        logits: x, any finite numbers.
        legal: True where an action may be taken; None when all may. Illegal logits are ignored.

    Returns:
        F, the leading shape with [A, A] behind it.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, or no action is legal.

    Example:
        >>> categorical_fisher(np.log([1.0, 3.0]), None)
        array([[ 0.1875, -0.1875],
               [-0.1875,  0.1875]])
    """
    check = Arguments("categorical_fisher", np.ndarray, exact=True)
    check.floats("... A", logits=logits)
    check.legal("... A", legal)

    log_probs = _log_probs(logits, legal)
    count = logits.shape[-1]
    fisher = np.empty((*logits.shape, count), dtype=logits.dtype)
    for i in np.ndindex(logits.shape[:-1]):
        for a in range(count):
            for b in range(count):
                p, q = np.exp(log_probs[*i, a]), np.exp(log_probs[*i, b])
                fisher[*i, a, b] = (p if a == b else 0) - p * q
    return fisher


def categorical_sample(
    logits: Float[np.ndarray, "... A"],
    uniforms: Float[np.ndarray, "..."],
    legal: Bool[np.ndarray, "... A"] | None,
) -> Int[np.ndarray, "..."]:
    """Actions drawn by inversion: the first whose distribution function exceeds the uniform.

        a = min { a : u < π(0) + … + π(a) }

    Source: Devroye 1986, section III.2 (the inversion method).
    Ours: the randomness comes in as an argument; the last legal action is taken where rounding
    leaves the sum of all below u.

    Args:
        logits: x, any finite numbers.
        uniforms: u in [0, 1], one a policy.
        legal: True where an action may be taken; None when all may. Illegal logits are ignored.

    Returns:
        The actions, the shape of `uniforms`, always legal. Where u lies within rounding of a
        partial sum either neighbour is right.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, a uniform lies outside [0, 1], or no action is legal.

    Example:
        >>> categorical_sample(np.log([[1.0, 3.0], [1.0, 3.0]]), np.array([0.2, 0.3]), None)
        array([0, 1])
    """
    check = Arguments("categorical_sample", np.ndarray, exact=True)
    check.floats("... A", logits=logits)
    check.within("...", 0, 1, uniforms=uniforms)
    check.legal("... A", legal)

    log_probs = _log_probs(logits, legal)
    actions = np.empty_like(uniforms)
    for i in np.ndindex(uniforms.shape):
        allowed = [b for b in range(logits.shape[-1]) if legal is None or legal[*i, b]]
        action, below = 0, 0  # π(0) + … + π(b)
        for b in range(allowed[-1]):
            below = below + np.exp(log_probs[*i, b])
            action = action + reached(below, uniforms[i])
        actions[i] = action
    return actions if actions.dtype == object else actions.astype(np.int64)


def epsilon_greedy_probabilities(
    q_values: Float[np.ndarray, "... A"], *, epsilon: float
) -> Float[np.ndarray, "... A"]:
    """Probabilities of the policy that explores with probability ε and else is greedy.

        π(a) = ε / A + (1 − ε) / N   where Q(a) is one of the N greatest, else ε / A

    Source: Sutton & Barto 2018, section 2.2 and section 5.4 (probabilities).
    Ours: actions that share the greatest value share the greedy mass.

    Args:
        q_values: Q, one an action.
        epsilon: ε in [0, 1].

    Returns:
        π, the shape of `q_values`. No gradient: π is constant between ties.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: epsilon lies outside [0, 1].

    Example:
        >>> epsilon_greedy_probabilities(np.array([2.0, 1.0, 2.0, 0.0]), epsilon=0.5)
        array([0.375, 0.125, 0.375, 0.125])
    """
    check = Arguments("epsilon_greedy_probabilities", np.ndarray, exact=True)
    check.floats("... A", q_values=q_values)
    check.unit(epsilon=epsilon)

    count = q_values.shape[-1]
    probabilities = np.empty_like(q_values)
    for i in np.ndindex(q_values.shape[:-1]):
        greatest = max(q_values[i])
        ties = sum(1 for a in range(count) if q_values[*i, a] == greatest)
        for a in range(count):
            greedy = (1 - epsilon) / ties if q_values[*i, a] == greatest else 0
            probabilities[*i, a] = epsilon / count + greedy
    return probabilities


def boltzmann_probabilities(
    q_values: Float[np.ndarray, "... A"], *, temperature: float
) -> Float[np.ndarray, "... A"]:
    """Probabilities of the policy that prefers an action the more, the greater its value.

        π(a) = exp(Q(a) / τ) / Σ_b exp(Q(b) / τ)

    Source: Sutton & Barto 1998, eq. 2.2 (softmax action selection).
    Ours: the greatest exponent is subtracted first, so that no exponential overflows; ties share.

    Args:
        q_values: Q, one an action.
        temperature: τ above 0, in units of Q; towards 0 the policy becomes greedy.

    Returns:
        π, the shape of `q_values`.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: the temperature is not a finite number above 0.

    Example:
        >>> boltzmann_probabilities(np.array([0.0, 2 * np.log(3)]), temperature=2.0)
        array([0.25, 0.75])
    """
    check = Arguments("boltzmann_probabilities", np.ndarray, exact=True)
    check.floats("... A", q_values=q_values)
    check.positive("temperature", temperature)

    probabilities: np.ndarray = np.exp(_log_probs(q_values / temperature, None))
    return probabilities
