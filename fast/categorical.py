"""The categorical policy in PyTorch: a softmax of logits, ε-greedy and Boltzmann choice.

Logits xₐ stand on the last axis, `[..., A]`; every leading index is an independent policy.
`legal` marks the actions that may be taken; None means all. An illegal action has
probability 0, and neither its logit nor a gradient through it is ever read:

    log π(a) = xₐ − log Σ_b exp x_b        the sum over legal b
    ∇ₓ log π(a) = eₐ − π                   the score, of mean 0 under π itself

Differences to the greatest logit are formed first, so a common offset of the logits costs no
digits. A logarithm of −∞ is replaced before it meets a product, not after: behind a `where`,
0 · ∞ still is NaN in the backward pass. Half precision is computed in float32 and rounded once.
"""

import math

import torch
from jaxtyping import Bool, Float, Int

from rlverify.errors import Arguments
from rlverify.fast._steps import widened
from rlverify.fast.scan import compute_dtype, rounded

# torch's CPU kernels take five to ten times as long where a row is shorter than a vector (measured)
FEW_ACTIONS = 16


def _readable(
    logits: Float[torch.Tensor, "... A"], legal: Bool[torch.Tensor, "... A"] | None
) -> Float[torch.Tensor, "... A"]:
    """Return logits in the dtype of the arithmetic, −∞ at illegal actions, without gradient."""
    # once for all that is made of them: what each sent back would else be rounded by itself
    (read,) = widened(logits)
    # `where` runs in vectors; `masked_fill` branches at every element (measured)
    return read if legal is None else torch.where(legal, read, -math.inf)


def _by_hand(read: torch.Tensor) -> bool:
    return read.device.type == "cpu" and read.shape[-1] <= FEW_ACTIONS


def _below(read: Float[torch.Tensor, "... A"]) -> Float[torch.Tensor, "... A"]:
    """Return how far each logit lies below the greatest."""
    return read - read.detach().amax(-1, keepdim=True)


def _log_probs(read: Float[torch.Tensor, "... A"]) -> Float[torch.Tensor, "... A"]:
    """Return log π of every action, −∞ for the illegal ones."""
    if not _by_hand(read):
        return torch.log_softmax(read, dim=-1)
    below = _below(read)
    return below - below.exp().sum(-1, keepdim=True).log()


def _probabilities(read: Float[torch.Tensor, "... A"]) -> Float[torch.Tensor, "... A"]:
    """Return π of every action."""
    if not _by_hand(read):
        return torch.softmax(read, dim=-1)
    powers = _below(read).exp()
    return powers / powers.sum(-1, keepdim=True)


def categorical_log_prob(
    logits: Float[torch.Tensor, "... A"],
    actions: Int[torch.Tensor, "..."],
    legal: Bool[torch.Tensor, "... A"] | None,
) -> Float[torch.Tensor, "..."]:
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
        log π(a), the shape of `actions`; −∞ where a is illegal. Gradients flow to legal logits,
        none from an illegal action.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, an action lies outside [0, A), or none is legal.

    Example:
        >>> categorical_log_prob(torch.tensor([1.0, 3.0]).log(), torch.tensor(1), None)
        tensor(-0.2877)
    """
    check = Arguments("categorical_log_prob", torch.Tensor)
    check.floats("... A", logits=logits)
    check.actions("...", below=logits.shape[-1], actions=actions)
    check.legal("... A", legal)

    log_probs = _log_probs(_readable(logits, legal))
    taken = log_probs.gather(-1, actions.unsqueeze(-1)).squeeze(-1)
    if legal is not None:  # an action that cannot be taken hands no gradient to the others
        taken = taken.masked_fill(~legal.gather(-1, actions.unsqueeze(-1)).squeeze(-1), -math.inf)
    return taken.to(logits.dtype)


def categorical_score(
    logits: Float[torch.Tensor, "... A"],
    actions: Int[torch.Tensor, "..."],
    legal: Bool[torch.Tensor, "... A"] | None,
) -> Float[torch.Tensor, "... A"]:
    """Gradient of the log-probability of the actions taken with respect to the logits.

        ∂ log π(a) / ∂x_b = [a = b] − π(b)

    Source: Sutton & Barto 2018, eq. 13.9 with one feature an action.
    Ours: 0 at illegal b, and 0 altogether where a is illegal.

    Args:
        logits: x, any finite numbers.
        actions: a, in [0, A).
        legal: True where an action may be taken; None when all may. Illegal logits are ignored.

    Returns:
        The score, the shape of `logits`. Gradients flow to legal logits.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, an action lies outside [0, A), or none is legal.

    Example:
        >>> categorical_score(torch.tensor([1.0, 3.0]).log(), torch.tensor(1), None)
        tensor([-0.2500,  0.2500])
    """
    check = Arguments("categorical_score", torch.Tensor)
    check.floats("... A", logits=logits)
    check.actions("...", below=logits.shape[-1], actions=actions)
    check.legal("... A", legal)

    place = actions.unsqueeze(-1)
    probabilities = _probabilities(_readable(logits, legal))
    score = (-probabilities).scatter_add(-1, place, torch.ones_like(probabilities[..., :1]))
    if legal is not None:
        score = score.masked_fill(~legal.gather(-1, place), 0)
    return score.to(logits.dtype)


def categorical_entropy(
    logits: Float[torch.Tensor, "... A"], legal: Bool[torch.Tensor, "... A"] | None
) -> Float[torch.Tensor, "..."]:
    """Entropy of the policy, in nats.

        H = −Σ_b π(b) log π(b)        0 log 0 = 0

    Source: Shannon 1948, section 6; Williams & Peng 1991 (as a bonus).
    Ours: the sum runs over all legal actions, not over those that happened to be taken.

    Args:
        logits: x, any finite numbers.
        legal: True where an action may be taken; None when all may. Illegal logits are ignored.

    Returns:
        H, from 0 (one action) to log K (K equally likely ones), the leading shape. Gradients
        flow to legal logits.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, or no action is legal.

    Example:
        >>> categorical_entropy(torch.full((3,), 7.0), torch.tensor([True, False, True]))
        tensor(0.6931)
    """
    check = Arguments("categorical_entropy", torch.Tensor)
    check.floats("... A", logits=logits)
    check.legal("... A", legal)

    read = _readable(logits, legal)
    log_probs = _log_probs(read)
    finite = torch.where(log_probs == -math.inf, 0, log_probs)
    # 0 − Σ, because −Σ would be −0 for a single action
    return (0 - (_probabilities(read) * finite).sum(-1)).to(logits.dtype)


def categorical_kl(
    logits_p: Float[torch.Tensor, "... A"],
    logits_q: Float[torch.Tensor, "... A"],
    legal: Bool[torch.Tensor, "... A"] | None,
) -> Float[torch.Tensor, "..."]:
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
        KL(p ‖ q), the leading shape. Gradients flow to the legal logits of both.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, or no action is legal.

    Example:
        >>> p, q = torch.tensor([1.0, 1.0]).log(), torch.tensor([1.0, 3.0]).log()
        >>> categorical_kl(p, q, None)
        tensor(0.1438)
    """
    check = Arguments("categorical_kl", torch.Tensor)
    check.floats("... A", logits_p=logits_p, logits_q=logits_q)
    check.legal("... A", legal)

    read_p, read_q = _readable(logits_p, legal), _readable(logits_q, legal)
    log_p, log_q = _log_probs(read_p), _log_probs(read_q)
    p, q = _probabilities(read_p), _probabilities(read_q)
    if legal is not None:
        log_p, log_q = torch.where(legal, log_p, 0), torch.where(legal, log_q, 0)
    d = log_q - log_p
    # for d > 0 the same in terms of q = p eᵈ, so that only e⁻ᵈ is needed, which cannot overflow
    size = d.abs()
    lost = -torch.expm1(-size)  # 1 − e^−|d|
    terms = torch.where(d > 0, q * (lost - size * (1 - lost)), p * (size - lost))
    return terms.sum(-1).to(logits_p.dtype)


def categorical_fisher(
    logits: Float[torch.Tensor, "... A"], legal: Bool[torch.Tensor, "... A"] | None
) -> Float[torch.Tensor, "... A A"]:
    """Fisher information of the policy with respect to its logits.

        F = E_π[ ∇ log π ∇ log πᵀ ] = diag(π) − π πᵀ

    Source: Amari 1998 (as a metric); Kakade 2001, section 2 (of a policy).
    Ours: rows and columns of illegal actions are 0. F is singular: F·1 = 0, for a shift of all
    logits changes nothing. The diagonal is formed from the rest of its row, p(1 − p) as
    p Σ of the others, which loses no digits where p is near 1.

    Args:
        logits: x, any finite numbers.
        legal: True where an action may be taken; None when all may. Illegal logits are ignored.

    Returns:
        F, the leading shape with [A, A] behind it. Gradients flow to legal logits.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, or no action is legal.

    Example:
        >>> categorical_fisher(torch.tensor([1.0, 3.0]).log(), None)
        tensor([[ 0.1875, -0.1875],
                [-0.1875,  0.1875]])
    """
    check = Arguments("categorical_fisher", torch.Tensor)
    check.floats("... A", logits=logits)
    check.legal("... A", legal)

    probabilities = _probabilities(_readable(logits, legal))
    own = torch.eye(logits.shape[-1], dtype=torch.bool, device=logits.device)
    others = (probabilities.unsqueeze(-1) * probabilities.unsqueeze(-2)).masked_fill(own, 0)
    return (torch.diag_embed(others.sum(-1)) - others).to(logits.dtype)


def categorical_sample(
    logits: Float[torch.Tensor, "... A"],
    uniforms: Float[torch.Tensor, "..."],
    legal: Bool[torch.Tensor, "... A"] | None,
) -> Int[torch.Tensor, "..."]:
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
        partial sum either neighbour is right. No gradient.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, a uniform lies outside [0, 1], or no action is legal.

    Example:
        >>> logits = torch.tensor([[1.0, 3.0], [1.0, 3.0]]).log()
        >>> categorical_sample(logits, torch.tensor([0.2, 0.3]), None)
        tensor([0, 1])
    """
    check = Arguments("categorical_sample", torch.Tensor)
    check.floats("... A", logits=logits)
    check.within("...", 0, 1, uniforms=uniforms)
    check.legal("... A", legal)

    count = logits.shape[-1]
    below = _probabilities(_readable(logits.detach(), legal)).cumsum(-1)
    last = torch.full_like(uniforms, count - 1, dtype=torch.int64)
    if legal is not None:
        # a parallel sum may differ by a rounding where it should stand still: an illegal action
        # gets the very sum of the legal one before it, so that no u falls between the two
        below = torch.where(legal, below, 0).cummax(-1).values
        places = torch.arange(count, device=logits.device)
        last = places.masked_fill(~legal, 0).amax(-1)
    wanted = uniforms.detach().to(below.dtype).unsqueeze(-1).contiguous()
    drawn = torch.searchsorted(below, wanted, right=True)
    return torch.minimum(drawn.squeeze(-1), last)


def epsilon_greedy_probabilities(
    q_values: Float[torch.Tensor, "... A"], *, epsilon: float
) -> Float[torch.Tensor, "... A"]:
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
        >>> epsilon_greedy_probabilities(torch.tensor([2.0, 1.0, 2.0, 0.0]), epsilon=0.5)
        tensor([0.3750, 0.1250, 0.3750, 0.1250])
    """
    check = Arguments("epsilon_greedy_probabilities", torch.Tensor)
    check.floats("... A", q_values=q_values)
    check.unit(epsilon=epsilon)

    explore = rounded(epsilon, q_values.dtype)
    values = q_values.detach()
    greedy = (values == values.amax(-1, keepdim=True)).to(compute_dtype(q_values.dtype))
    shared = greedy * ((1 - explore) / greedy.sum(-1, keepdim=True))
    return shared.add_(explore / q_values.shape[-1]).to(q_values.dtype)


def boltzmann_probabilities(
    q_values: Float[torch.Tensor, "... A"], *, temperature: float
) -> Float[torch.Tensor, "... A"]:
    """Probabilities of the policy that prefers an action the more, the greater its value.

        π(a) = exp(Q(a) / τ) / Σ_b exp(Q(b) / τ)

    Source: Sutton & Barto 1998, eq. 2.2 (softmax action selection).
    Ours: the greatest value is subtracted before the division, so nothing overflows however
    small τ is; ties share.

    Args:
        q_values: Q, one an action.
        temperature: τ above 0, in units of Q; towards 0 the policy becomes greedy.

    Returns:
        π, the shape of `q_values`. Gradients flow to all values.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: the temperature is not a finite number above 0.

    Example:
        >>> boltzmann_probabilities(torch.tensor([0.0, 2 * math.log(3)]), temperature=2.0)
        tensor([0.2500, 0.7500])
    """
    check = Arguments("boltzmann_probabilities", torch.Tensor)
    check.floats("... A", q_values=q_values)
    check.positive("temperature", temperature)

    scaled = _below(_readable(q_values, None)) / rounded(temperature, q_values.dtype)
    return _probabilities(scaled).to(q_values.dtype)
