"""What whole updates share in PyTorch: their stages, and a policy and a critic in one vector.

An update runs through named stages and hands what each made to its `trace`, which may look at
it and gives back what the update goes on with. So two implementations can be compared stage by
stage, each fed with what the other made.

The parameters are one flat vector: the policy's network, then log σ [D] where the distribution
is Gaussian, then the critic's network, where there is one. A loss of log-probabilities,
entropies and values has the gradient  Σₙ (∂L/∂log πₙ ∇log πₙ + ∂L/∂Hₙ ∇Hₙ + ∂L/∂Vₙ ∇Vₙ),
in closed form here too: a graph would have to be recorded for every mini-batch. Everything runs
in the dtype of its arrays, so an update widens them first.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int

from rlverify.errors import layer_parameters
from rlverify.fast._curvature import Pass, forward_pass
from rlverify.fast._steps import widened
from rlverify.fast.categorical import _log_probs
from rlverify.fast.gaussian import gaussian_entropy, gaussian_log_prob, gaussian_score

Trace = Callable[[str, dict[str, Any]], dict[str, Any]]


def untraced(stage: str, outputs: dict[str, Any]) -> dict[str, Any]:
    """Go on with what the stage made."""
    return outputs


def constants(*arrays: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Return arrays in the dtype they are computed in, without their history."""
    return widened(*(array.detach() for array in arrays))


def mini_batches(
    permutations: Int[torch.Tensor, "E N"], size: int
) -> Iterator[tuple[str, Int[torch.Tensor, "M"]]]:
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


class Passes(NamedTuple):
    """What the forward passes of a policy and a critic left for the gradient.

    Attributes:
        policy: of the policy's network.
        log_std: log σ, [D]; None where the distribution has none.
        log_probs: log π of every action; None where actions are continuous.
        critic: of the critic's network; None where there is none.
    """

    policy: Pass
    log_std: Float[torch.Tensor, "D"] | None
    log_probs: Float[torch.Tensor, "N A"] | None
    critic: Pass | None


def passes_of(
    parameters: torch.Tensor,
    inputs: torch.Tensor,
    *,
    sizes: tuple[int, ...],
    critic_sizes: tuple[int, ...] | None,
    activation: str,
    distribution: str,
) -> Passes:
    """Run policy and critic, and keep what their layers were given."""
    network, log_std, rest = split(parameters, sizes, critic_sizes, distribution)
    policy = forward_pass(network, inputs, sizes, activation)
    log_probs = _log_probs(policy.outputs) if log_std is None else None
    critic = None if critic_sizes is None else forward_pass(rest, inputs, critic_sizes, activation)
    return Passes(policy, log_std, log_probs, critic)


def told(passes: Passes, actions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return log π of the actions and the entropy in each state."""
    outputs = passes.policy.outputs
    if passes.log_probs is not None:
        taken = passes.log_probs.gather(-1, actions.unsqueeze(-1)).squeeze(-1)
        return taken, 0 - (passes.log_probs.exp() * passes.log_probs).sum(-1)
    assert passes.log_std is not None
    log_probs = gaussian_log_prob(outputs, passes.log_std, actions)
    return log_probs, gaussian_entropy(passes.log_std).expand(len(outputs))


def pulled(
    passes: Passes,
    actions: torch.Tensor,
    d_log_probs: Float[torch.Tensor, "N"],
    d_entropies: Float[torch.Tensor, "N"] | None,
    d_values: Float[torch.Tensor, "N"] | None,
) -> Float[torch.Tensor, "P"]:
    """Return the gradient in all parameters of a loss with these derivatives.

        ∂log π(a)/∂x_b = [a = b] − π(b)           ∂H/∂x_b = −π(b) (log π(b) + H)
        ∂log π(a)/∂μ = z/σ                        ∂log π(a)/∂(log σ) = z² − 1,  ∂H/∂(log σ) = 1

    Derivatives in the entropies are 0 where they are None, as is a critic's share.
    """
    weights, parts = d_log_probs[:, None], []
    if passes.log_probs is not None:
        probabilities = passes.log_probs.exp()
        cotangents = (-weights * probabilities).scatter_add(-1, actions.unsqueeze(-1), weights)
        if d_entropies is not None:
            below = probabilities * passes.log_probs
            # π (log π + H), with H = −Σ π log π
            slopes = below - probabilities * below.sum(-1, keepdim=True)
            cotangents -= d_entropies[:, None] * slopes
        parts.append(passes.policy.pulled(cotangents))
    else:
        assert passes.log_std is not None
        score = gaussian_score(passes.policy.outputs, passes.log_std, actions)
        of_log_std = d_log_probs @ score.log_std
        if d_entropies is not None:
            of_log_std += d_entropies.sum()
        parts += [passes.policy.pulled(weights * score.mean), of_log_std]
    if passes.critic is not None and d_values is not None:
        parts.append(passes.critic.pulled(d_values[:, None]))
    return torch.cat(parts)


def evaluation(passes: Passes, actions: torch.Tensor) -> Evaluation:
    """Return log π of the actions, the entropy and the value of each state."""
    assert passes.critic is not None
    return Evaluation(*told(passes, actions), passes.critic.outputs[:, 0])


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
    network: dict[str, Any] = {"activation": activation, "distribution": distribution}
    return told(passes_of(parameters, inputs, sizes=sizes, critic_sizes=None, **network), actions)


def evaluate(
    parameters: torch.Tensor, inputs: torch.Tensor, actions: torch.Tensor, **network: Any
) -> Evaluation:
    """Return log π of the actions, the entropy and the value of each state."""
    return evaluation(passes_of(parameters, inputs, **network), actions)


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
    """Return the gradient in the policy's parameters, log σ included; a critic is not read."""
    network: dict[str, Any] = {"activation": activation, "distribution": distribution}
    passes = passes_of(parameters, inputs, sizes=sizes, critic_sizes=None, **network)
    return pulled(passes, actions, d_log_probs, d_entropies, None)


def gradient(
    parameters: torch.Tensor,
    inputs: torch.Tensor,
    actions: torch.Tensor,
    d_log_probs: Float[torch.Tensor, "N"],
    d_entropies: Float[torch.Tensor, "N"] | None,
    d_values: Float[torch.Tensor, "N"],
    **network: Any,
) -> Float[torch.Tensor, "P"]:
    """Return the gradient in all parameters of a loss with these derivatives."""
    passes = passes_of(parameters, inputs, **network)
    return pulled(passes, actions, d_log_probs, d_entropies, d_values)
