"""Whole updates of GRPO: epochs of mini-batches of answers, each a gradient and a step of Adam.

A batch is M answers of at most L tokens, padded: inputs [M, L, I] (what the policy sees before it
writes a token), the tokens taken, their log-probabilities under the policy that wrote them and
under a reference policy, and one advantage an answer, as `group_advantages` makes it. All of it is
constant during the update; what moves is the vector of the policy's parameters, and Adam's
moments. There is no critic. The randomness comes in as permutations of the answers, one an epoch.

The identity to remember: in the first mini-batch of the first epoch every ratio is 1, so nothing
is clipped and the gradient is −mean A ∇log π; only later steps need old log-probabilities.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from rlverify.errors import Arguments, layer_parameters
from rlverify.reference._functions import reached
from rlverify.reference._reductions import scalar
from rlverify.reference._updates import Trace, mini_batches, policy_gradient, untraced
from rlverify.reference.categorical import categorical_log_prob
from rlverify.reference.networks import mlp_forward
from rlverify.reference.optimizers import adam, clip_grad_norm
from rlverify.refusals import adam_step, kl_term, mini_batched, token_loss


class GrpoUpdate(NamedTuple):
    """What an update made of the policy's parameters and Adam's state.

    Attributes:
        parameters: of the policy.
        first: Adam's first moment.
        second: Adam's second moment.
        count: steps of Adam ever taken, these included.
    """

    parameters: Float[np.ndarray, "P"]
    first: Float[np.ndarray, "P"]
    second: Float[np.ndarray, "P"]
    # shadows `tuple.count`; the field is named as the argument that it is passed on to
    count: Float[np.ndarray, ""]  # type: ignore[assignment]


def grpo_update(
    parameters: Float[np.ndarray, "P"],
    inputs: Float[np.ndarray, "M L I"],
    actions: Int[np.ndarray, "M L"],
    old_log_probs: Float[np.ndarray, "M L"],
    reference_log_probs: Float[np.ndarray, "M L"],
    advantages: Float[np.ndarray, "M"],
    mask: Bool[np.ndarray, "M L"] | None,
    permutations: Int[np.ndarray, "E M"],
    first: Float[np.ndarray, "P"],
    second: Float[np.ndarray, "P"],
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
        >>> zeros, token = np.zeros(4), np.array([[0]])
        >>> half = np.log(np.array([[0.5]]))  # so that the ratio is 1
        >>> # a gradient of ∓1 in the logits (A = 2), and Adam's first step is g/(|g| + 1)
        >>> grpo_update(zeros, np.array([[[0.0]]]), token, half, half, np.array([2.0]), None,
        ...     token, zeros, zeros, **knobs).parameters
        array([ 0.  ,  0.  ,  0.25, -0.25])
    """
    check = Arguments("grpo_update", np.ndarray, exact=True)
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

    trace = untraced if trace is None else trace
    network: dict[str, Any] = {"sizes": sizes, "activation": activation}
    mask = np.ones(actions.shape, dtype=bool) if mask is None else mask
    for stage, rows in mini_batches(permutations, minibatch_size):
        real, samples = mask[rows], (inputs[rows][mask[rows]], actions[rows][mask[rows]])
        if not real.any():
            continue
        log_probs = np.zeros_like(old_log_probs[rows])
        log_probs[real] = categorical_log_prob(
            mlp_forward(parameters, samples[0], **network), samples[1], None
        )
        log_probs = trace(stage + "evaluate", {"log_probs": log_probs})["log_probs"]

        slopes = np.zeros_like(log_probs)
        divisors = _divisors(real, aggregation, normalizer)
        for b in range(len(rows)):
            tokens = [t for t in range(real.shape[1]) if real[b, t]]
            now, old = log_probs[b], old_log_probs[rows[b]]
            log_ratios = [now[t] - old[t] for t in tokens]
            if ratio == "sequence" and tokens:
                log_ratios = [sum(log_ratios) / len(tokens)] * len(tokens)
            for t, log_ratio in zip(tokens, log_ratios, strict=True):
                slope = _surrogate_slope(log_ratio, advantages[rows[b]], clip_range)
                if beta != 0:
                    against = reference_log_probs[rows[b], t]
                    slope = slope + beta * _kl_slope(now[t], against, kl_estimator)
                slopes[b, t] = slope / divisors[b]
        gradient = policy_gradient(
            parameters, *samples, slopes[real], None, **network, distribution="categorical"
        )
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
    return GrpoUpdate(parameters, first, second, scalar(count, parameters))


def _divisors(real: Bool[np.ndarray, "M L"], aggregation: str, normalizer: float) -> list[Any]:
    """Return what divides a token's part of the loss, for every answer."""
    counts = [int(row.sum()) for row in real]
    if aggregation == "token_mean":
        return [sum(counts)] * len(counts)
    if aggregation == "sequence_mean":
        answers = sum(1 for tokens in counts if tokens > 0)
        return [answers * tokens for tokens in counts]
    return [normalizer] * len(counts)


def _surrogate_slope(log_ratio: Any, advantage: Any, clip_range: Any) -> Any:
    """Return ∂/∂log π of −min(ρA, clip(ρ)A): −ρA, and 0 where it is flat.

    That of a sequence's ratio is the same: each token moves it by 1/n, and n tokens feel it.
    """
    rho, gains = np.exp(log_ratio), reached(0, advantage)
    # as numbers, so that where rounding decides both answers are known to be right
    free = gains * reached(rho, 1 + clip_range) + (1 - gains) * reached(1 - clip_range, rho)
    return -rho * advantage * free


def _kl_slope(log_prob: Any, reference_log_prob: Any, estimator: str) -> Any:
    """Return ∂/∂log π of k1, k2 or k3: 1, −d or 1 − exp d, with d = log π_ref − log π."""
    difference = reference_log_prob - log_prob
    if estimator == "k1":
        return 1
    if estimator == "k2":
        return -difference
    return 1 - np.exp(difference)
