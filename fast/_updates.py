"""What whole updates share in PyTorch: their stages, and a policy and a critic in one vector.

An update runs through named stages and hands what each made to its `trace`, which may look at
it and gives back what the update goes on with. So two implementations can be compared stage by
stage, each fed with what the other.

The parameters are one flat vector: the policy's network, then log σ [D] where the distribution
is Gaussian, then the critic's network, where there is one. A loss of log-probabilities,
entropies and values has the gradient  Σₙ (∂L/∂log πₙ ∇log πₙ + ∂L/∂Hₙ ∇Hₙ + ∂L/∂Vₙ ∇Vₙ),
in closed form here too: a graph would have to be recorded for every mini-batch. Everything runs
in the dtype of its arrays, so an update widens them first.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float

from rlverify.errors import layer_parameters
from rlverify.fast.categorical import (
    categorical_entropy,
    categorical_log_prob,
    categorical_score,
)
from rlverify.fast.gaussian import gaussian_entropy, gaussian_log_prob, gaussian_score
from rlverify.fast.networks import mlp_backward, mlp_forward

Trace = Callable[[str, dict[str, Any]], dict[str, Any]]


def untraced(stage: str, outputs: dict[str, Any]) -> dict[str, Any]:
    """Go on with what the stage made."""
    return outputs


class Parts(NamedTuple):
    """A vector of parameters, cut up.

    Attributes:
        policy: of the policy's network.
        log_std: log σ, [D]; None where the distribution has none.
        critic: of the critic's network; empty where there is none.
    """

    policy: Float[torch.Tensor, "P"]
    log_std: Float[torch.Tensor, "D"] | None
    critic: Float[torch.Tensor, "C"]


class Evaluation(NamedTuple):
    """What a policy and a critic say about N samples.

    Attributes:
        log_probs: log π of the actions taken.
        entropies: of the policy in each state.
        values: of the critic.
    """

    log_probs: Float[torch.Tensor, "N"]
    entropies: Float[torch.Tensor, "N"]
    values: Float[torch.Tensor, "N"]


def split(
    parameters: torch.Tensor,
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
    parameters: torch.Tensor,
    inputs: torch.Tensor,
    actions: torch.Tensor,
    *,
    sizes: tuple[int, ...],
    activation: str,
    distribution: str,
) -> tuple[Float[torch.Tensor, "N"], Float[torch.Tensor, "N"]]:
    """Return log π of the actions and the entropy in each state; a critic is not read."""
    policy, log_std, _ = split(parameters, sizes, None, distribution)
    outputs = mlp_forward(policy, inputs, sizes=sizes, activation=activation)
    if log_std is None:
        log_probs = categorical_log_prob(outputs, actions, None)
        return log_probs, categorical_entropy(outputs, None)
    log_probs = gaussian_log_prob(outputs, log_std, actions)
    return log_probs, gaussian_entropy(log_std).expand(len(outputs))


def evaluate(
    parameters: torch.Tensor,
    inputs: torch.Tensor,
    actions: torch.Tensor,
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
    parameters: torch.Tensor,
    inputs: torch.Tensor,
    actions: torch.Tensor,
    d_log_probs: Float[torch.Tensor, "N"],
    d_entropies: Float[torch.Tensor, "N"] | None,
    *,
    sizes: tuple[int, ...],
    activation: str,
    distribution: str,
) -> Float[torch.Tensor, "P"]:
    """Return the gradient in the policy's parameters, log σ included; a critic is not read.

        ∂log π(a)/∂x_b = [a = b] − π(b)           ∂H/∂x_b = −π(b) (log π(b) + H)
        ∂log π(a)/∂μ = z/σ                        ∂log π(a)/∂(log σ) = z² − 1,  ∂H/∂(log σ) = 1

    Derivatives in the entropies are 0 where they are None.
    """
    policy, log_std, _ = split(parameters, sizes, None, distribution)
    outputs = mlp_forward(policy, inputs, sizes=sizes, activation=activation)
    if log_std is None:
        cotangents = d_log_probs[:, None] * categorical_score(outputs, actions, None)
        if d_entropies is not None:
            cotangents += d_entropies[:, None] * _entropy_slopes(outputs)
        return mlp_backward(policy, inputs, cotangents, sizes=sizes, activation=activation)
    score = gaussian_score(outputs, log_std, actions)
    cotangents = d_log_probs[:, None] * score.mean
    of_log_std = d_log_probs @ score.log_std
    if d_entropies is not None:
        of_log_std += d_entropies.sum()
    of_network = mlp_backward(policy, inputs, cotangents, sizes=sizes, activation=activation)
    return torch.cat([of_network, of_log_std])


def _entropy_slopes(logits: torch.Tensor) -> torch.Tensor:
    """Return ∂H/∂x_b = −π(b) (log π(b) + H) for every state and action."""
    log_probs = torch.log_softmax(logits, dim=-1)
    return -log_probs.exp() * (log_probs + categorical_entropy(logits, None)[:, None])


def gradient(
    parameters: torch.Tensor,
    inputs: torch.Tensor,
    actions: torch.Tensor,
    d_log_probs: Float[torch.Tensor, "N"],
    d_entropies: Float[torch.Tensor, "N"] | None,
    d_values: Float[torch.Tensor, "N"],
    *,
    sizes: tuple[int, ...],
    critic_sizes: tuple[int, ...],
    activation: str,
    distribution: str,
) -> Float[torch.Tensor, "P"]:
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
    cotangents = d_values[:, None]
    of_critic = mlp_backward(critic, inputs, cotangents, sizes=critic_sizes, activation=activation)
    return torch.cat([of_policy, of_critic])
