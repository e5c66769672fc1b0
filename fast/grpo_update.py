"""Whole updates of GRPO in PyTorch: epochs of mini-batches, each a gradient and a step of Adam.

A batch is M answers of at most L tokens, padded: inputs [M, L, I] (what the policy sees before it
writes a token), the tokens taken, their log-probabilities under the policy that wrote them and
under a reference policy, and one advantage an answer, as `group_advantages` makes it. All of it is
constant during the update; what moves is the vector of the policy's parameters, and Adam's
moments. There is no critic. The randomness comes in as permutations of the answers, one an epoch.

The identity to remember: in the first mini-batch of the first epoch every ratio is 1, so nothing
is clipped and the gradient is −mean A ∇log π; only later steps need old log-probabilities.
The gradient is in closed form, over the real tokens alone; half precision is widened once, and
the results are rounded once, at the end.
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int

from rlverify.errors import Arguments, layer_parameters
from rlverify.fast._reductions import real
from rlverify.fast._updates import (
    Trace,
    constants,
    mini_batches,
    passes_of,
    pulled,
    told,
    untraced,
)
from rlverify.fast.optimizers import adam, clip_grad_norm
from rlverify.fast.scan import rounded
from rlverify.refusals import adam_step, kl_term, mini_batched, token_loss


class GrpoUpdate(NamedTuple):
    """What an update made of the policy's parameters and Adam's state.

    Attributes:
        parameters: of the policy.
        first: Adam's first moment.
        second: Adam's second moment.
        count: steps of Adam ever taken, these included.
    """

    parameters: Float[torch.Tensor, "P"]
    first: Float[torch.Tensor, "P"]
    second: Float[torch.Tensor, "P"]
    # shadows `tuple.count`; the field is named as the argument that it is passed on to
    count: Float[torch.Tensor, ""]  # type: ignore[assignment]


def grpo_update(
    parameters: Float[torch.Tensor, "P"],
    inputs: Float[torch.Tensor, "M L I"],
    actions: Int[torch.Tensor, "M L"],
    old_log_probs: Float[torch.Tensor, "M L"],
    reference_log_probs: Float[torch.Tensor, "M L"],
    advantages: Float[torch.Tensor, "M"],
    mask: Bool[torch.Tensor, "M L"] | None,
    permutations: Int[torch.Tensor, "E M"],
    first: Float[torch.Tensor, "P"],
    second: Float[torch.Tensor, "P"],
    *,
    count: int,
    sizes: tuple[int, ...],
    activation: str,
    minibatch_size: int,
    clip_range: float,
    beta: float,
    kl_estimator: str,
    ratio: str,
    aggregation: str,
    normalizer: float,
    max_norm: float | None,
    learning_rate: float,
    beta1: float,
    beta2: float,
    eps: float,
    trace: Trace | None = None,
) -> GrpoUpdate:
    """One update of GRPO, from a batch of answers to the next policy.

        for every epoch, for every mini-batch of its permutation:
            L = grpo_loss(log π_θ, …)        g = ∇L, made no longer than max_norm
            θ ← Adam(θ, g)

    Source: Shao et al. 2024, arXiv:2402.03300, algorithm 1 (its inner loop) and eq. 3.
    Ours: aggregation is over the mini-batch; what is left over at the end of a permutation is a
    smaller mini-batch, not dropped; one without a real token takes no step.

    Args:
        parameters: of the policy's network.
        inputs: what the policy sees before each token; ignored where masked.
        actions: the tokens taken, each one of the vocabulary, also where masked.
        old_log_probs: log π_old, under the policy that wrote the answers.
        reference_log_probs: log π_ref; not read where beta is 0.
        advantages: A, one an answer.
        mask: True where a token is real; None when all are.
        permutations: of the numbers 0 to M − 1, one an epoch.
        first: Adam's first moment; 0 before the first update.
        second: Adam's second moment; 0 before the first update.
        count: steps of Adam ever taken before.
        sizes: widths of the layers; the last is the size of the vocabulary.
        activation: `"tanh"` or `"relu"`.
        minibatch_size: answers of a step.
        clip_range: as of `grpo_loss`.
        beta: as of `grpo_loss`.
        kl_estimator: as of `grpo_loss`.
        ratio: as of `grpo_loss`.
        aggregation: as of `grpo_loss`, over the mini-batch.
        normalizer: as of `grpo_loss`.
        max_norm: greatest norm of a gradient; None: any.
        learning_rate: as of `adam`.
        beta1: as of `adam`.
        beta2: as of `adam`.
        eps: as of `adam`.
        trace: what looks at the stages: evaluate, gradient, clip, optimize.

    Returns:
        `parameters`, `first`, `second` and `count`. None carries a gradient.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree or do not fit the sizes, nothing is real, a number is out of
            its range, a word is unknown, or a row of permutations is none.

    Example:
        >>> knobs = dict(count=0, sizes=(1, 2), activation="tanh", minibatch_size=1,
        ...     clip_range=0.5, beta=0.0, kl_estimator="k3", ratio="token",
        ...     aggregation="token_mean", normalizer=1.0, max_norm=None, learning_rate=0.5,
        ...     beta1=0.5, beta2=0.5, eps=1.0)
        >>> zeros, token = torch.zeros(4), torch.tensor([[0]])
        >>> half = torch.log(torch.tensor([[0.5]]))  # so that the ratio is 1
        >>> # a gradient of ∓1 in the logits (A = 2), and Adam's first step is g/(|g| + 1)
        >>> grpo_update(zeros, torch.zeros(1, 1, 1), token, half, half, torch.tensor([2.0]), None,
        ...     token, zeros, zeros, **knobs).parameters
        tensor([ 0.0000,  0.0000,  0.2500, -0.2500])
    """
    check = Arguments("grpo_update", torch.Tensor)
    check.sizes(sizes)
    check.choice("activation", activation, ("tanh", "relu"))
    check.floats("P", parameters=parameters)
    check.width(sizes, layer_parameters(sizes), parameters=parameters)
    check.floats("M L I", inputs=inputs)
    check.width(sizes, sizes[0], inputs=inputs)
    check.actions("M L", below=sizes[-1], actions=actions)
    check.floats("M L", old_log_probs=old_log_probs, reference_log_probs=reference_log_probs)
    check.floats("M", advantages=advantages)
    check.mask("M L", mask)
    mini_batched(check, permutations, minibatch_size, len(inputs))
    kl_term(check, beta, kl_estimator)
    token_loss(check, clip_range, ratio, aggregation, normalizer)
    if max_norm is not None:
        check.positive("max_norm", max_norm)
    adam_step(
        check, first, second, count=count, least=0,
        learning_rate=learning_rate, beta1=beta1, beta2=beta2, eps=eps,
    )  # fmt: skip

    trace, dtype = untraced if trace is None else trace, parameters.dtype
    parameters, inputs, old_log_probs, reference_log_probs, advantages, first, second = constants(
        parameters, inputs, old_log_probs, reference_log_probs, advantages, first, second
    )
    network: dict[str, Any] = {
        "sizes": sizes,
        "critic_sizes": None,
        "activation": activation,
        "distribution": "categorical",
    }
    mask = torch.ones_like(actions, dtype=torch.bool) if mask is None else mask
    for stage, rows in mini_batches(permutations, minibatch_size):
        written = mask[rows]
        samples = inputs[rows][written], actions[rows][written]
        if len(samples[1]) == 0:
            continue
        passes = passes_of(parameters, samples[0], **network)
        log_probs = torch.zeros_like(old_log_probs[rows])
        log_probs[written] = told(passes, samples[1])[0]
        log_probs = trace(stage + "evaluate", {"log_probs": log_probs})["log_probs"]

        # selected before anything is multiplied: 0 times NaN is NaN
        log_ratios = real(log_probs - old_log_probs[rows], written)
        counts = written.sum(1)
        if ratio == "sequence":
            log_ratios = (log_ratios.sum(1) / counts.clamp(min=1))[:, None]
        slopes = _surrogate_slopes(log_ratios, advantages[rows][:, None], clip_range)
        if beta != 0:
            differences = real(reference_log_probs[rows] - log_probs, written)
            slopes = slopes + rounded(beta, slopes.dtype) * _kl_slopes(differences, kl_estimator)
        slopes = slopes.expand_as(log_probs) / _divisors(counts, aggregation, normalizer, slopes)
        gradient = pulled(passes, samples[1], slopes[written], None, None)
        gradient = trace(stage + "gradient", {"gradient": gradient})["gradient"]
        if max_norm is not None:
            clipped = clip_grad_norm(gradient, max_norm=max_norm)
            gradient = trace(stage + "clip", clipped._asdict())["gradients"]

        count = count + 1
        moved = adam(
            parameters,
            gradient,
            first,
            second,
            count=count,
            learning_rate=learning_rate,
            beta1=beta1,
            beta2=beta2,
            eps=eps,
        )
        state = trace(stage + "optimize", moved._asdict())
        parameters, first, second = state["parameters"], state["first"], state["second"]
    made = GrpoUpdate(parameters, first, second, torch.full_like(parameters[0], count))
    return GrpoUpdate(*(array.to(dtype) for array in made))


def _divisors(
    counts: Int[torch.Tensor, "M"], aggregation: str, normalizer: float, like: torch.Tensor
) -> torch.Tensor:
    """Return what divides a token's part of the loss, of every answer, [M, 1]."""
    if aggregation == "token_mean":
        return counts.sum().to(like.dtype)
    if aggregation == "sequence_mean":
        answers = (counts > 0).sum()
        return (answers * counts.clamp(min=1)).to(like.dtype)[:, None]
    return like.new_full((), rounded(normalizer, like.dtype))


def _surrogate_slopes(
    log_ratios: torch.Tensor, advantages: torch.Tensor, clip_range: float
) -> torch.Tensor:
    """Return ∂/∂log π of −min(ρA, clip(ρ)A): −ρA, and 0 where it is flat.

    That of a sequence's ratio is the same: each token moves it by 1/n, and n tokens feel it.
    """
    edge, ratios = rounded(clip_range, log_ratios.dtype), log_ratios.exp()
    free = torch.where(advantages >= 0, ratios <= 1 + edge, ratios >= 1 - edge)
    return torch.where(free, -ratios * advantages, 0)


def _kl_slopes(differences: torch.Tensor, estimator: str) -> torch.Tensor:
    """Return ∂/∂log π of k1, k2 or k3: 1, −d or 1 − exp d, with d = log π_ref − log π."""
    if estimator == "k1":
        return torch.ones_like(differences)
    if estimator == "k2":
        return -differences
    return -differences.expm1()
