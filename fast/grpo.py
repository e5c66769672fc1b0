"""Group-relative policy optimisation: advantages without a critic, and the loss over tokens.

Several answers to one prompt form a group; an answer is worth what it earned beyond its group.
`group_ids` tell the groups, in any order, so nothing depends on where an answer stands in the
batch. The losses take `[B, L]` token log-probabilities with a mask: True where the policy wrote
the token. The distance to a reference policy π_ref enters in one of two places, never in both:
in the rewards (`kl_penalized_rewards`) or in the loss (`grpo_loss` with beta above 0).
"""

import torch
from jaxtyping import Bool, Float, Int

from rlverify.errors import Arguments
from rlverify.fast._losses import kl_estimates, tokens_loss
from rlverify.fast._reductions import real
from rlverify.fast._steps import widened
from rlverify.fast.scan import rounded
from rlverify.refusals import kl_term, token_loss


def group_advantages(
    rewards: Float[torch.Tensor, "N"],
    group_ids: Int[torch.Tensor, "N"],
    *,
    scale: str,
    ddof: int,
    eps: float,
) -> Float[torch.Tensor, "N"]:
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
        >>> rewards, groups = torch.tensor([4.0, 0.0, 8.0, 0.0]), torch.tensor([1, 0, 1, 0])
        >>> group_advantages(rewards, groups, scale="group", ddof=0, eps=2.0)
        tensor([-0.5000,  0.0000,  0.5000,  0.0000])
    """
    check = Arguments("group_advantages", torch.Tensor)
    check.floats("N", rewards=rewards)
    check.integers("N", least=0, group_ids=group_ids)
    check.choice("scale", scale, ("group", "batch", "none"))
    check.count("ddof", ddof, least=0)
    check.positive("eps", eps)
    samples = len(rewards)
    earned = widened(rewards.detach())[0]
    place: torch.Tensor
    _, place = group_ids.unique(return_inverse=True)  # type: ignore[no-untyped-call]
    counts = place.bincount()
    if scale != "none":
        divided = counts if scale == "group" else counts.new_tensor([samples])
        fewest = divided[divided > 1].min() if bool((divided > 1).any()) else ddof + 1
        check.degrees_of_freedom(int(fewest), ddof)

    centred = earned - _group_sums(earned, place)[place] / counts[place]
    if scale == "none":
        advantages = centred
    else:
        if scale == "group":
            free = (counts - ddof).clamp(min=1)  # of a group of one: its deviation is 0
            variance = (_group_sums(centred.square(), place) / free)[place]
        else:
            around = earned - earned.mean()
            variance = around.square().sum() / max(samples - ddof, 1)
        advantages = centred / (variance.sqrt() + rounded(eps, rewards.dtype))
    # the mean of equal numbers may be rounded, and ε need not hide that
    low = earned.new_empty(len(counts)).scatter_reduce(0, place, earned, "amin", include_self=False)
    high = torch.empty_like(low).scatter_reduce(0, place, earned, "amax", include_self=False)
    return advantages.masked_fill((low == high)[place], 0).to(rewards.dtype)


def leave_one_out_advantages(
    rewards: Float[torch.Tensor, "N"], group_ids: Int[torch.Tensor, "N"]
) -> Float[torch.Tensor, "N"]:
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
        >>> leave_one_out_advantages(torch.tensor([1.0, 5.0, 2.0, 6.0]), torch.tensor([3, 0, 3, 0]))
        tensor([-1., -1.,  1.,  1.])
    """
    check = Arguments("leave_one_out_advantages", torch.Tensor)
    check.floats("N", rewards=rewards)
    check.integers("N", least=0, group_ids=group_ids)
    found: torch.Tensor
    place: torch.Tensor
    counts: torch.Tensor
    found, place, counts = group_ids.unique(  # type: ignore[no-untyped-call]
        return_inverse=True, return_counts=True
    )
    for group in found[counts == 1].tolist():
        check.others(f"group {group}", rewards[group_ids == group])

    (earned,) = widened(rewards.detach())
    others = _group_sums(earned, place)[place] - earned
    return (earned - others / (counts - 1)[place]).to(rewards.dtype)


def kl_penalized_rewards(
    rewards: Float[torch.Tensor, "B"],
    log_probs: Float[torch.Tensor, "B L"],
    reference_log_probs: Float[torch.Tensor, "B L"],
    mask: Bool[torch.Tensor, "B L"] | None,
    *,
    beta: float,
    kl_estimator: str,
) -> Float[torch.Tensor, "B L"]:
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
        >>> one, mask = torch.ones((1, 3)), torch.tensor([[True, True, False]])
        >>> rewards, knobs = torch.tensor([4.0]), {"beta": 0.5, "kl_estimator": "k1"}
        >>> kl_penalized_rewards(rewards, 0 * one, -one, mask, **knobs)
        tensor([[-0.5000,  3.5000,  0.0000]])
    """
    check = Arguments("kl_penalized_rewards", torch.Tensor)
    check.floats("B L", log_probs=log_probs, reference_log_probs=reference_log_probs)
    check.floats("B", rewards=rewards)
    check.mask("B L", mask)
    kl_term(check, beta, kl_estimator)

    earned, policy, reference = widened(
        rewards.detach(), log_probs.detach(), reference_log_probs.detach()
    )
    batch, length = log_probs.shape
    token_rewards = torch.zeros_like(policy)
    if beta != 0:  # a difference of 0 costs nothing, so that selecting once is enough
        kl = kl_estimates(real(reference - policy, mask), kl_estimator)
        token_rewards = -rounded(beta, log_probs.dtype) * kl
    last = log_probs.new_full((batch,), length - 1, dtype=torch.int64)
    if mask is not None:
        places = torch.arange(length, dtype=torch.int32, device=log_probs.device)
        last = torch.where(mask, places, 0).amax(1).long()
        earned = real(earned, mask.any(1))
    token_rewards[torch.arange(batch, device=log_probs.device), last] += earned
    return token_rewards.to(log_probs.dtype)


def grpo_loss(
    log_probs: Float[torch.Tensor, "B L"],
    old_log_probs: Float[torch.Tensor, "B L"],
    reference_log_probs: Float[torch.Tensor, "B L"],
    advantages: Float[torch.Tensor, "B"],
    mask: Bool[torch.Tensor, "B L"] | None,
    *,
    clip_range: float,
    beta: float,
    kl_estimator: str,
    ratio: str,
    aggregation: str,
    normalizer: float,
) -> Float[torch.Tensor, ""]:
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
        >>> behaviour = torch.tensor([[-1.0, -2.0], [-1.0, -9.0]])
        >>> advantages = torch.tensor([4.0, -1.0])
        >>> mask = torch.tensor([[True, True], [True, False]])
        >>> knobs = {"clip_range": 0.5, "beta": 0.0, "kl_estimator": "k3", "ratio": "token"}
        >>> knobs |= {"aggregation": "sequence_mean", "normalizer": 1.0}
        >>> twice = behaviour + torch.log(torch.tensor(2.0))  # clipped at 1.5 if lesser
        >>> grpo_loss(twice, behaviour, behaviour, advantages, mask, **knobs)
        tensor(-2.)
    """
    check = Arguments("grpo_loss", torch.Tensor)
    check.floats("B L", log_probs=log_probs, old_log_probs=old_log_probs)
    check.floats("B L", reference_log_probs=reference_log_probs)
    check.floats("B", advantages=advantages)
    check.mask("B L", mask)
    kl_term(check, beta, kl_estimator)
    token_loss(check, clip_range, ratio, aggregation, normalizer)

    policy, old, reference, gains = widened(
        log_probs, old_log_probs.detach(), reference_log_probs.detach(), advantages.detach()
    )
    dtype = log_probs.dtype
    edge = rounded(clip_range, dtype)
    loss = tokens_loss(
        policy, old, reference, gains, mask, low=rounded(1 - edge, dtype),
        high=rounded(1 + edge, dtype), beta=rounded(beta, dtype), estimator=kl_estimator,
        ratio=ratio, aggregation=aggregation, normalizer=rounded(normalizer, dtype),
    )  # fmt: skip
    return loss.to(dtype)


def _group_sums(numbers: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
    """Return the sum of the numbers of each group, `place` being the group of each."""
    return numbers.new_zeros(int(place.max()) + 1).index_add(0, place, numbers)
