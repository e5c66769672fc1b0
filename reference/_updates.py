"""What whole updates share: their stages, and a policy and a critic in one vector.

An update runs through named stages and hands what each made to its `trace`, which may look at
it and gives back what the update goes on with. So two implementations can be compared stage by
stage, each fed with what the other made.

The parameters are one flat vector: the policy's network, then log σ [D] where the distribution
is Gaussian, then the critic's network, where there is one. A loss of log-probabilities,
entropies and values has the gradient  Σₙ (∂L/∂log πₙ ∇log πₙ + ∂L/∂Hₙ ∇Hₙ + ∂L/∂Vₙ ∇Vₙ),
which `gradient` computes from the three derivatives without any automatic differentiation.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from rlverify.errors import layer_parameters
from rlverify.reference.categorical import (
    categorical_entropy,
    categorical_log_prob,
    categorical_score,
)
from rlverify.reference.gaussian import gaussian_entropy, gaussian_log_prob, gaussian_score
from rlverify.reference.networks import mlp_backward, mlp_forward

Trace = Callable[[str, dict[str, Any]], dict[str, Any]]


def untraced(stage: str, outputs: dict[str, Any]) -> dict[str, Any]:
    """Go on with what the stage made."""
    return outputs


def mini_batches(
    permutations: Int[np.ndarray, "E N"], size: int
) -> Iterator[tuple[str, Int[np.ndarray, "M"]]]:
    """Yield name and samples of every mini-batch; the last of an epoch may be smaller."""
    for epoch, order in enumerate(permutations, start=1):
        for batch, start in enumerate(range(0, len(order), size), start=1):
            yield f"epoch {epoch}, mini-batch {batch}: ", order[start : start + size]


class Parts(NamedTuple):
    """A vector of parameters, cut up.

    Attributes:
        policy: of the policy's network.
        log_std: log σ, [D]; None where the distribution has none.
        critic: of the critic's network; empty where there is none.
    """

    policy: Float[np.ndarray, "P"]
    log_std: Float[np.ndarray, "D"] | None
    critic: Float[np.ndarray, "C"]


class Evaluation(NamedTuple):
    """What a policy and a critic say about N samples.

    Attributes:
        log_probs: log π of the actions taken.
        entropies: of the policy in each state.
        values: of the critic.
    """

    log_probs: Float[np.ndarray, "N"]
    entropies: Float[np.ndarray, "N"]
    values: Float[np.ndarray, "N"]


def split(
    parameters: np.ndarray,
    sizes: tuple[int, ...],
    critic_sizes: tuple[int, ...] | None,
    distribution: str,
) -> Parts:
    """Return the parts of a vector of parameters, as views; without a critic the rest is empty."""
    middle = layer_parameters(sizes)
    end = middle + (sizes[-1] if distribution == "gaussian" else 0)
    log_std = parameters[middle:end] if distribution == "gaussian" else None
    return Parts(parameters[:middle], log_std, parameters[end:])


def evaluate_policy(
    parameters: np.ndarray,
    inputs: np.ndarray,
    actions: np.ndarray,
    *,
    sizes: tuple[int, ...],
    activation: str,
    distribution: str,
) -> tuple[Float[np.ndarray, "N"], Float[np.ndarray, "N"]]:
    """Return log π of the actions and the entropy in each state; a critic is not read."""
    policy, log_std, _ = split(parameters, sizes, None, distribution)
    outputs = mlp_forward(policy, inputs, sizes=sizes, activation=activation)
    if log_std is None:
        log_probs = categorical_log_prob(outputs, actions, None)
        return log_probs, categorical_entropy(outputs, None)
    log_probs = gaussian_log_prob(outputs, log_std, actions)
    return log_probs, gaussian_entropy(np.broadcast_to(log_std, outputs.shape))


def evaluate(
    parameters: np.ndarray,
    inputs: np.ndarray,
    actions: np.ndarray,
    *,
    sizes: tuple[int, ...],
    critic_sizes: tuple[int, ...],
    activation: str,
    distribution: str,
) -> Evaluation:
    """Return log π of the actions, the entropy and the value of each state."""
    log_probs, entropies = evaluate_policy(
        parameters, inputs, actions, sizes=sizes, activation=activation, distribution=distribution
    )
    critic = split(parameters, sizes, critic_sizes, distribution).critic
    values = mlp_forward(critic, inputs, sizes=critic_sizes, activation=activation)[:, 0]
    return Evaluation(log_probs, entropies, values)


def policy_gradient(
    parameters: np.ndarray,
    inputs: np.ndarray,
    actions: np.ndarray,
    d_log_probs: Float[np.ndarray, "N"],
    d_entropies: Float[np.ndarray, "N"] | None,
    *,
    sizes: tuple[int, ...],
    activation: str,
    distribution: str,
) -> Float[np.ndarray, "P"]:
    """Return the gradient in the policy's parameters, log σ included; a critic is not read.

        ∂log π(a)/∂x_b = [a = b] − π(b)           ∂H/∂x_b = −π(b) (log π(b) + H)
        ∂log π(a)/∂μ = z/σ                        ∂log π(a)/∂(log σ) = z² − 1,  ∂H/∂(log σ) = 1

    Derivatives in the entropies are 0 where they are None.
    """
    policy, log_std, _ = split(parameters, sizes, None, distribution)
    outputs = mlp_forward(policy, inputs, sizes=sizes, activation=activation)
    cotangents = np.empty_like(outputs)
    if log_std is None:
        scores = categorical_score(outputs, actions, None)
        for n, o in np.ndindex(outputs.shape):
            cotangents[n, o] = d_log_probs[n] * scores[n, o]
        if d_entropies is not None:
            slopes = _entropy_slopes(outputs)
            for n, o in np.ndindex(outputs.shape):
                cotangents[n, o] = cotangents[n, o] + d_entropies[n] * slopes[n, o]
        return mlp_backward(policy, inputs, cotangents, sizes=sizes, activation=activation)
    score, of_log_std = gaussian_score(outputs, log_std, actions), np.empty_like(log_std)
    for d in range(len(log_std)):
        total: Any = 0
        for n in range(len(outputs)):
            cotangents[n, d] = d_log_probs[n] * score.mean[n, d]
            total = total + d_log_probs[n] * score.log_std[n, d]
            if d_entropies is not None:
                total = total + d_entropies[n]
        of_log_std[d] = total
    of_network = mlp_backward(policy, inputs, cotangents, sizes=sizes, activation=activation)
    return np.concatenate([of_network, of_log_std])


def _entropy_slopes(logits: np.ndarray) -> np.ndarray:
    """Return ∂H/∂x_b = −π(b) (log π(b) + H) for every state and action."""
    slopes, entropies = np.empty_like(logits), categorical_entropy(logits, None)
    for b in range(logits.shape[1]):
        log_probs = categorical_log_prob(logits, np.full(len(logits), b), None)
        for n in range(len(logits)):
            slopes[n, b] = -np.exp(log_probs[n]) * (log_probs[n] + entropies[n])
    return slopes


def gradient(
    parameters: np.ndarray,
    inputs: np.ndarray,
    actions: np.ndarray,
    d_log_probs: Float[np.ndarray, "N"],
    d_entropies: Float[np.ndarray, "N"] | None,
    d_values: Float[np.ndarray, "N"],
    *,
    sizes: tuple[int, ...],
    critic_sizes: tuple[int, ...],
    activation: str,
    distribution: str,
) -> Float[np.ndarray, "P"]:
    """Return the gradient in all parameters of a loss with these derivatives."""
    of_policy = policy_gradient(
        parameters,
        inputs,
        actions,
        d_log_probs,
        d_entropies,
        sizes=sizes,
        activation=activation,
        distribution=distribution,
    )
    critic = split(parameters, sizes, critic_sizes, distribution).critic
    cotangents = d_values[:, np.newaxis]
    of_critic = mlp_backward(critic, inputs, cotangents, sizes=critic_sizes, activation=activation)
    return np.concatenate([of_policy, of_critic])
