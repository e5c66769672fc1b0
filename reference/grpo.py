"""Group-relative policy optimisation: advantages without a critic, and the loss over tokens.

Several answers to one prompt form a group; an answer is worth what it earned beyond its group.
`group_ids` tell the groups, in any order, so nothing depends on where an answer stands in the
batch. The losses take `[B, L]` token log-probabilities with a mask: True where the policy wrote
the token. The distance to a reference policy π_ref enters in one of two places, never in both:
in the rewards (`kl_penalized_rewards`) or in the loss (`grpo_loss` with beta above 0).
"""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from rlverify.errors import Arguments
from rlverify.reference._reductions import scalar
from rlverify.refusals import kl_term, token_loss


def group_advantages(
    rewards: Float[np.ndarray, "N"],
    group_ids: Int[np.ndarray, "N"],
    *,
    scale: str,
    ddof: int,
    eps: float,
) -> Float[np.ndarray, "N"]:
    """Rewards relative to the mean of their group, over a standard deviation.

        Aᵢ = (rᵢ − mean of the group) / (σ + ε)        σ = √( Σ (r − mean r)² / (n − ddof) )

    σ is that of the group (`scale="group"`) or of the whole batch (`"batch"`); with `"none"`
    nothing is divided.

    Source: Shao et al. 2024, arXiv:2402.03300, section 4.1.2; Liu et al. 2025,
    arXiv:2503.20783, section 3.2 (`"none"`: dividing by σ weighs easy and hard prompts more).
    Ours: a group whose rewards are all equal, of one member too, gets exactly 0; the paper says
    neither ddof nor ε (which is added to the deviation here).

    Args:
        rewards: rᵢ, one a sample; constant: no gradient comes back.
        group_ids: number of the group (the prompt) of each sample, in any order.
        scale: whose deviation divides: `"group"`, `"batch"` or `"none"`.
        ddof: what is taken off n: 0 (population) or 1 (sample, torch's default).
        eps: ε above 0, in units of r; not read with `scale="none"`.

    Returns:
        A, shape [N]. The mean of each group is 0.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, a group is negative, scale is unknown, ε is not above 0,
            or ddof leaves a group of several (or the batch) no degree of freedom.

    Example:
        >>> rewards, groups = np.array([4.0, 0.0, 8.0, 0.0]), np.array([1, 0, 1, 0])
        >>> group_advantages(rewards, groups, scale="group", ddof=0, eps=2.0)
        array([-0.5,  0. ,  0.5,  0. ])
    """
    check = Arguments("group_advantages", np.ndarray, exact=True)
    check.floats("N", rewards=rewards)
    check.integers("N", least=0, group_ids=group_ids)
    check.choice("scale", scale, ("group", "batch", "none"))
    check.count("ddof", ddof, least=0)
    check.positive("eps", eps)
    samples = len(rewards)
    groups = [[j for j in range(samples) if group_ids[j] == group_ids[i]] for i in range(samples)]
    if scale != "none":
        divided = groups if scale == "group" else [list(range(samples))]
        fewest = min((len(members) for members in divided if len(members) > 1), default=ddof + 1)
        check.degrees_of_freedom(fewest, ddof)

    advantages = np.empty_like(rewards)
    for i in range(samples):
        group = groups[i]
        if all(rewards[j] == rewards[i] for j in group):
            advantages[i] = 0
            continue
        mean = sum(rewards[j] for j in group) / len(group)
        advantages[i] = rewards[i] - mean
        if scale != "none":
            spread = group if scale == "group" else list(range(samples))
            advantages[i] = advantages[i] / (_deviation(rewards[spread], ddof) + eps)
    return advantages


def leave_one_out_advantages(
    rewards: Float[np.ndarray, "N"], group_ids: Int[np.ndarray, "N"]
) -> Float[np.ndarray, "N"]:
    """Rewards relative to the mean of the others in their group (RLOO).

        Aᵢ = rᵢ − (Σⱼ rⱼ − rᵢ)/(n − 1)        sum over the n members of the group

    Source: Kool et al. 2019, "Buy 4 REINFORCE samples, get a baseline for free!"; Ahmadian et
    al. 2024, arXiv:2402.14740, eq. 7.
    Ours: groups of any sizes of at least two. A = n/(n − 1) (r − mean), n/(n − 1) times
    `group_advantages` with `scale="none"`, which is therefore biased by (n − 1)/n.

    Args:
        rewards: rᵢ, one a sample; constant: no gradient comes back.
        group_ids: number of the group (the prompt) of each sample, in any order.

    Returns:
        A, shape [N]; rᵢ has no influence on what is taken off it.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, a group is negative, or has one member.

    Example:
        >>> leave_one_out_advantages(np.array([1.0, 5.0, 2.0, 6.0]), np.array([3, 0, 3, 0]))
        array([-1., -1.,  1.,  1.])
    """
    check = Arguments("leave_one_out_advantages", np.ndarray, exact=True)
    check.floats("N", rewards=rewards)
    check.integers("N", least=0, group_ids=group_ids)
    for group in sorted(set(group_ids.tolist())):
        check.others(f"group {group}", rewards[group_ids == group])

    samples = len(rewards)
    advantages = np.empty_like(rewards)
    for i in range(samples):
        group = [j for j in range(samples) if group_ids[j] == group_ids[i]]
        total = sum(rewards[j] for j in group)
        advantages[i] = rewards[i] - (total - rewards[i]) / (len(group) - 1)
    return advantages


def kl_penalized_rewards(
    rewards: Float[np.ndarray, "B"],
    log_probs: Float[np.ndarray, "B L"],
    reference_log_probs: Float[np.ndarray, "B L"],
    mask: Bool[np.ndarray, "B L"] | None,
    *,
    beta: float,
    kl_estimator: str,
) -> Float[np.ndarray, "B L"]:
    """Rewards of tokens: the answer's at its last token, less a KL penalty at every token.

        r_t = −β k_t + { R  at the last real token of the sequence, 0 elsewhere

    with k_t an estimate of KL(π ‖ π_ref) from the one token that π drew, d = log π_ref − log π:

        k1 = −d        k2 = d²/2        k3 = exp(d) − d − 1

    Source: Ziegler et al. 2019, arXiv:1909.08593, eq. 2 (k1); Schulman 2020, "Approximating KL
    divergence" (k2, k3); Ouyang et al. 2022, arXiv:2203.02155, eq. 2.
    Ours: the penalty is a token's own, so that it can be discounted and bootstrapped like a
    reward; masked tokens inside a sequence have none.

    Args:
        rewards: R, one a sequence; ignored where no token is real.
        log_probs: log π of each token; constant here: it is a reward.
        reference_log_probs: log π_ref of each token; not read where beta is 0.
        mask: True where a token is real; None when all are. What stands elsewhere is ignored.
        beta: β, 0 or above.
        kl_estimator: `"k1"`, `"k2"` or `"k3"`.

    Returns:
        r, shape [B, L]; 0 where masked.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, nothing is real, beta is negative or not finite, or the
            estimator is unknown.

    Example:
        >>> one, mask = np.ones((1, 3)), np.array([[True, True, False]])
        >>> rewards, knobs = np.array([4.0]), {"beta": 0.5, "kl_estimator": "k1"}
        >>> kl_penalized_rewards(rewards, 0 * one, -one, mask, **knobs)
        array([[-0.5,  3.5,  0. ]])
    """
    check = Arguments("kl_penalized_rewards", np.ndarray, exact=True)
    check.floats("B L", log_probs=log_probs, reference_log_probs=reference_log_probs)
    check.floats("B", rewards=rewards)
    check.mask("B L", mask)
    kl_term(check, beta, kl_estimator)

    token_rewards = np.zeros_like(log_probs)
    batch, length = log_probs.shape
    for b in range(batch):
        real = [t for t in range(length) if mask is None or mask[b, t]]
        for t in real:
            earned = rewards[b] if t == real[-1] else 0
            kl = 0
            if beta != 0:
                kl = _kl_estimate(log_probs[b, t], reference_log_probs[b, t], kl_estimator)
            token_rewards[b, t] = earned - beta * kl
    return token_rewards


def grpo_loss(
    log_probs: Float[np.ndarray, "B L"],
    old_log_probs: Float[np.ndarray, "B L"],
    reference_log_probs: Float[np.ndarray, "B L"],
    advantages: Float[np.ndarray, "B"],
    mask: Bool[np.ndarray, "B L"] | None,
    *,
    clip_range: float,
    beta: float,
    kl_estimator: str,
    ratio: str,
    aggregation: str,
    normalizer: float,
) -> Float[np.ndarray, ""]:
    """Clipped surrogate over the tokens of answers, with a KL term to a reference policy.

        l_bt = −min( ρ_bt A_b, clip(ρ_bt, 1 − ε, 1 + ε) A_b ) + β k_bt

        token:     ρ_bt = π/π_old of the token
        sequence:  ρ_bt = exp( mean over the sequence's tokens of log π − log π_old )

        token_mean:     L = Σ_bt l_bt / number of real tokens
        sequence_mean:  L = mean over sequences of the mean of l over the sequence's tokens
        constant:       L = Σ_bt l_bt / normalizer

    Source: Shao et al. 2024, arXiv:2402.03300, eq. 3 and 4 (`sequence_mean`, k3); Yu et al.
    2025, arXiv:2503.14476, eq. 8 (`token_mean`); Liu et al. 2025, arXiv:2503.20783
    (`constant`); Zheng et al. 2025, arXiv:2507.18071, eq. 5-7 (`sequence`).
    Ours: masked tokens count nowhere, and a sequence without a real token is no sequence. The
    value of k estimates the KL divergence, its gradient on π's own samples need not: that of k1
    is 0 in the mean, that of k3 belongs to KL(π_ref ‖ π).

    Args:
        log_probs: log π of each token under the policy that learns.
        old_log_probs: log π_old under the policy that wrote the answers; constant.
        reference_log_probs: log π_ref; constant; not read where beta is 0.
        advantages: A, one a sequence; constant.
        mask: True where a token is real; None when all are. What stands elsewhere is ignored.
        clip_range: ε above 0.
        beta: β, 0 or above.
        kl_estimator: `"k1"`, `"k2"` or `"k3"`, as in `kl_penalized_rewards`.
        ratio: `"token"` or `"sequence"`.
        aggregation: `"token_mean"`, `"sequence_mean"` or `"constant"`.
        normalizer: what divides the sum with `"constant"`, above 0; else not read.

    Returns:
        L, shape (), to be minimised.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, nothing is real, a number is out of range, or a word is
            unknown.

    Example:
        >>> behaviour = np.array([[-1.0, -2.0], [-1.0, -9.0]])
        >>> advantages = np.array([4.0, -1.0])
        >>> mask = np.array([[True, True], [True, False]])
        >>> knobs = {"clip_range": 0.5, "beta": 0.0, "kl_estimator": "k3", "ratio": "token"}
        >>> knobs |= {"aggregation": "sequence_mean", "normalizer": 1.0}
        >>> twice = behaviour + np.log(2)  # clipped at 1.5 where that is the lesser
        >>> grpo_loss(twice, behaviour, behaviour, advantages, mask, **knobs)
        array(-2.)
    """
    check = Arguments("grpo_loss", np.ndarray, exact=True)
    check.floats("B L", log_probs=log_probs, old_log_probs=old_log_probs)
    check.floats("B L", reference_log_probs=reference_log_probs)
    check.floats("B", advantages=advantages)
    check.mask("B L", mask)
    kl_term(check, beta, kl_estimator)
    token_loss(check, clip_range, ratio, aggregation, normalizer)

    total: Any = 0
    tokens, sequences = 0, 0
    batch, length = log_probs.shape
    for b in range(batch):
        real = [t for t in range(length) if mask is None or mask[b, t]]
        if not real:
            continue
        log_ratios = [log_probs[b, t] - old_log_probs[b, t] for t in real]
        if ratio == "sequence":
            log_ratios = [sum(log_ratios) / len(real)] * len(real)
        loss = 0
        for t, log_ratio in zip(real, log_ratios, strict=True):
            rho = np.exp(log_ratio)
            clipped = min(max(rho, 1 - clip_range), 1 + clip_range)
            loss = loss - min(rho * advantages[b], clipped * advantages[b])
            if beta != 0:
                kl = _kl_estimate(log_probs[b, t], reference_log_probs[b, t], kl_estimator)
                loss = loss + beta * kl
        total = total + (loss / len(real) if aggregation == "sequence_mean" else loss)
        tokens, sequences = tokens + len(real), sequences + 1
    divisors = {"token_mean": tokens, "sequence_mean": sequences, "constant": normalizer}
    return scalar(total / divisors[aggregation], log_probs)


def _deviation(rewards: np.ndarray, ddof: int) -> Any:
    """Return the standard deviation of some rewards."""
    mean = sum(rewards) / len(rewards)
    return np.sqrt(sum((reward - mean) ** 2 for reward in rewards) / (len(rewards) - ddof))


def _kl_estimate(log_prob: Any, reference_log_prob: Any, estimator: str) -> Any:
    """Return k1, k2 or k3 of KL(π ‖ π_ref) at a token that π drew."""
    difference = reference_log_prob - log_prob
    if estimator == "k1":
        return -difference
    if estimator == "k2":
        return difference**2 / 2
    return np.exp(difference) - difference - 1  # as printed: everybody's bound is this one's
