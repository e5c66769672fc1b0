"""Whole updates of REINFORCE: one gradient over a batch of steps, and a step of Adam.

A batch is N steps of any number of episodes, flat: inputs, actions, and one weight a step, as
`reinforce_weights` makes it (a return, to go or whole) with whatever baseline was subtracted. All
of it is constant during the update; what moves is one vector of parameters (the policy's network,
then log σ where the policy is Gaussian) and Adam's moments. There is no critic and no old policy.

The identity to remember: the gradient of −mean w log π is −mean w ∇log π, so a constant taken off
all weights changes it by a multiple of the mean score, which is 0 in expectation.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from rlverify.errors import Arguments
from rlverify.reference._reductions import scalar
from rlverify.reference._updates import Trace, policy_gradient, untraced
from rlverify.reference.optimizers import adam
from rlverify.refusals import adam_step, policy_and_critic


class ReinforceUpdate(NamedTuple):
    """What an update made of the policy's parameters and Adam's state.

    Attributes:
        parameters: of the policy.
        first: Adam's first moment.
        second: Adam's second moment.
        count: steps of Adam ever taken, this one included.
    """

    parameters: Float[np.ndarray, "P"]
    first: Float[np.ndarray, "P"]
    second: Float[np.ndarray, "P"]
    # shadows `tuple.count`; the field is named as the argument that it is passed on to
    count: Float[np.ndarray, ""]  # type: ignore[assignment]


def reinforce_update(
    parameters: Float[np.ndarray, "P"],
    inputs: Float[np.ndarray, "N I"],
    actions: Int[np.ndarray, "N"] | Float[np.ndarray, "N D"],
    weights: Float[np.ndarray, "N"],
    first: Float[np.ndarray, "P"],
    second: Float[np.ndarray, "P"],
    *,
    count: int,
    sizes: tuple[int, ...],
    activation: str,
    distribution: str,
    learning_rate: float,
    beta1: float,
    beta2: float,
    eps: float,
    trace: Trace | None = None,
) -> ReinforceUpdate:
    """One update of REINFORCE, from weighted steps to the next policy.

        g = −(1/N) Σᵢ wᵢ ∇log π(aᵢ|sᵢ)        θ ← Adam(θ, g)

    Source: Williams 1992, Machine Learning 8, eq. 11 (the gradient of an episode); Kingma and Ba
    2015, arXiv:1412.6980, algorithm 1 (the step).
    Ours: a mean over steps, not a sum over those of an episode: with episodes that differ in
    length the two differ by a factor that depends on them (`rlverify bias --family grpo`).

    Args:
        parameters: the policy's network, then log σ [D] if the distribution is Gaussian.
        inputs: one step a row.
        actions: what was done: integers [N], or [N, D] for a Gaussian policy.
        weights: w, what each log-probability is multiplied by.
        first: Adam's first moment; 0 before the first update.
        second: Adam's second moment; 0 before the first update.
        count: steps of Adam ever taken before.
        sizes: widths of the layers of the network.
        activation: `"tanh"` or `"relu"`.
        distribution: `"categorical"` or `"gaussian"` (diagonal, log σ independent of the state).
        learning_rate: as of `adam`.
        beta1: as of `adam`.
        beta2: as of `adam`.
        eps: as of `adam`.
        trace: what looks at the stages: gradient, optimize.

    Returns:
        `parameters`, `first`, `second` and `count`. None carries a gradient.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree or do not fit the sizes, or a number is out of its range.

    Example:
        >>> knobs = dict(count=0, sizes=(1, 2), activation="tanh", distribution="categorical",
        ...     learning_rate=0.5, beta1=0.5, beta2=0.5, eps=1.0)
        >>> zeros, two = np.zeros(4), np.array([2.0])
        >>> # a gradient of ∓1 in the logits, and Adam's first step is g/(|g| + 1)
        >>> reinforce_update(zeros, np.array([[0.0]]), np.array([0]), two, zeros, zeros,
        ...     **knobs).parameters
        array([ 0.  ,  0.  ,  0.25, -0.25])
    """
    check = Arguments("reinforce_update", np.ndarray, exact=True)
    network: dict[str, Any] = {
        "sizes": sizes,
        "activation": activation,
        "distribution": distribution,
    }
    policy_and_critic(check, parameters, inputs, actions, critic_sizes=None, **network)
    check.floats("N", weights=weights)
    adam_step(
        check, first, second, count=count, least=0,
        learning_rate=learning_rate, beta1=beta1, beta2=beta2, eps=eps,
    )  # fmt: skip

    trace = untraced if trace is None else trace
    slopes = np.empty_like(weights)  # of the loss −mean w log π, by log π
    for i in range(len(weights)):
        slopes[i] = -weights[i] / len(weights)
    gradient = policy_gradient(parameters, inputs, actions, slopes, None, **network)
    gradient = trace("gradient", {"gradient": gradient})["gradient"]
    moved = adam(
        parameters,
        gradient,
        first,
        second,
        count=count + 1,
        learning_rate=learning_rate,
        beta1=beta1,
        beta2=beta2,
        eps=eps,
    )
    state = trace("optimize", moved._asdict())
    return ReinforceUpdate(**state, count=scalar(count + 1, parameters))
