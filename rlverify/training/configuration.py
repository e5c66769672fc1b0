"""Configuration: the settings of every algorithm, what they mean, and what they are by default.

The settings that the algorithms on Gymnasium environments share hold the recipe that makes PPO
work in practice (Engstrom et al. 2020, arXiv:2005.12729, section 3; Huang et al. 2022, "The 37
implementation details of PPO"): each part of it can be switched off by itself.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


def knob(default: Any, meaning: str) -> Any:
    """Return a field of settings: its default, and one line on what it means."""
    return field(default=default, metadata={"meaning": meaning})


@dataclass(frozen=True, kw_only=True)
class Common:
    """What every algorithm has."""

    steps: int = knob(100_000, "steps of the environments, all together; never more")
    hidden: tuple[int, ...] = knob((64, 64), "widths of the hidden layers, of policy and critic")
    activation: str = knob("tanh", "tanh or relu")
    orthogonal: bool = knob(True, "orthogonal initial weights; off: uniform, within 1/√inputs")
    hidden_gain: float = knob(math.sqrt(2), "gain of the orthogonal hidden layers")
    policy_gain: float = knob(0.01, "gain of the policy's orthogonal last layer")
    gamma: float = knob(0.99, "discount γ")
    dtype: str = knob("float64", "float64 or float32")


@dataclass(frozen=True, kw_only=True)
class Interactive(Common):
    """What every algorithm on Gymnasium environments has."""

    environments: int = knob(8, "how many run side by side")
    log_std: float = knob(0.0, "initial log σ of a Gaussian policy")
    normalize_observations: bool = knob(True, "by their running mean and deviation")
    observation_clip: float = knob(10.0, "normalised observations are clipped to ± this")
    scale_rewards: bool = knob(True, "by the running deviation of the discounted return")
    reward_clip: float = knob(10.0, "scaled rewards are clipped to ± this")
    moments_eps: float = knob(1e-8, "ε under the root of both deviations")
    learning_rate: float = knob(1e-3, "step size")
    anneal_learning_rate: bool = knob(True, "linearly, to 0 at the last step")


@dataclass(frozen=True, kw_only=True)
class Critical(Interactive):
    """What every algorithm with a critic and rollouts of a fixed length has."""

    horizon: int = knob(128, "steps of each environment in a rollout")
    lam: float = knob(0.95, "λ of generalised advantage estimates")
    value_gain: float = knob(1.0, "gain of the critic's orthogonal last layer")
    normalize_advantages: bool = knob(True, "to mean 0 and deviation 1")
    ddof: int = knob(0, "what the deviation's divisor lacks of the number of advantages")
    advantage_eps: float = knob(1e-8, "ε beside that deviation")


@dataclass(frozen=True, kw_only=True)
class Reinforce(Interactive):
    """REINFORCE: whole episodes, rewards to go, weights normalised in the batch."""

    steps: int = knob(400_000, "steps of the environments, all together; never more")
    environments: int = knob(16, "how many run side by side: the episodes of one update")
    normalize_weights: bool = knob(True, "returns to mean 0 and deviation 1 in the batch")
    ddof: int = knob(0, "what the deviation's divisor lacks of the number of weights")
    weight_eps: float = knob(1e-8, "ε beside that deviation")
    discount_states: bool = knob(False, "γᵗ before each step's weight, as the theorem has it")
    learning_rate: float = knob(5e-3, "step size of Adam")
    beta1: float = knob(0.9, "decay of Adam's first moments")
    beta2: float = knob(0.999, "decay of Adam's second moments")
    eps: float = knob(1e-5, "ε of Adam")


@dataclass(frozen=True, kw_only=True)
class A2c(Critical):
    """A2C: one step of RMSprop on policy and critic together for each short rollout."""

    steps: int = knob(400_000, "steps of the environments, all together; never more")
    horizon: int = knob(16, "steps of each environment in a rollout")
    value_coefficient: float = knob(0.5, "weight of the critic's loss")
    entropy_coefficient: float = knob(0.01, "weight of the entropy")
    max_norm: float | None = knob(0.5, "largest norm of a gradient, or none")
    decay: float = knob(0.99, "decay of RMSprop's squares")
    eps: float = knob(1e-5, "ε of RMSprop")
    eps_inside: bool = knob(False, "ε under RMSprop's root, as TensorFlow has it")


@dataclass(frozen=True, kw_only=True)
class Trpo(Critical):
    """TRPO: a step of bounded KL for the policy, Adam for the critic."""

    steps: int = knob(150_000, "steps of the environments, all together; never more")
    delta: float = knob(0.01, "bound δ on the mean KL of a step")
    damping: float = knob(0.1, "what is added to the Fisher matrix's diagonal")
    cg_iterations: int = knob(10, "iterations of conjugate gradients, at most")
    cg_tolerance: float = knob(1e-10, "relative residual at which they stop")
    backtrack: float = knob(0.8, "factor between two trials of the line search")
    max_backtracks: int = knob(10, "trials of the line search, at most")
    learning_rate: float = knob(1e-3, "step size of the critic's Adam")
    epochs: int = knob(10, "passes of the critic through each rollout")
    minibatch_size: int = knob(64, "samples of one step of the critic")
    beta1: float = knob(0.9, "decay of Adam's first moments")
    beta2: float = knob(0.999, "decay of Adam's second moments")
    eps: float = knob(1e-5, "ε of Adam")


@dataclass(frozen=True, kw_only=True)
class Ppo(Critical):
    """PPO: several epochs of clipped mini-batch steps on each rollout."""

    epochs: int = knob(4, "passes through each rollout")
    minibatch_size: int = knob(128, "samples of one step")
    clip_range: float = knob(0.2, "how far the ratio may move from 1")
    anneal_clip_range: bool = knob(True, "linearly, to 0 at the last step")
    value_clip_range: float | None = knob(0.2, "how far a value may move from the old one, or none")
    value_coefficient: float = knob(0.5, "weight of the critic's loss")
    entropy_coefficient: float = knob(0.01, "weight of the entropy")
    max_norm: float | None = knob(0.5, "largest norm of a gradient, or none")
    target_kl: float | None = knob(None, "KL at which a rollout's epochs stop early, or none")
    beta1: float = knob(0.9, "decay of Adam's first moments")
    beta2: float = knob(0.999, "decay of Adam's second moments")
    eps: float = knob(1e-5, "ε of Adam")


@dataclass(frozen=True, kw_only=True)
class Grpo(Common):
    """GRPO: groups of responses to one prompt, compared with each other."""

    steps: int = knob(200_000, "tokens that are sampled, all together; never more")
    prompts: int = knob(16, "prompts in a batch")
    group: int = knob(8, "responses to each prompt")
    scale: str = knob("group", "what advantages are divided by: group, batch or none")
    ddof: int = knob(0, "what the deviation's divisor lacks of the number of rewards")
    advantage_eps: float = knob(1e-4, "ε beside that deviation")
    epochs: int = knob(2, "passes through each batch")
    minibatch_size: int = knob(64, "responses of one step")
    clip_range: float = knob(0.2, "how far the ratio may move from 1")
    beta: float = knob(0.001, "weight of the KL from the initial policy")
    kl_estimator: str = knob("k3", "k1, k2 or k3")
    ratio: str = knob("token", "token or sequence")
    aggregation: str = knob("token_mean", "token_mean, sequence_mean or constant")
    normalizer: float | None = knob(None, "what the sum is divided by under constant")
    max_norm: float | None = knob(0.5, "largest norm of a gradient, or none")
    learning_rate: float = knob(3e-3, "step size of Adam")
    anneal_learning_rate: bool = knob(True, "linearly, to 0 at the last step")
    beta1: float = knob(0.9, "decay of Adam's first moments")
    beta2: float = knob(0.999, "decay of Adam's second moments")
    eps: float = knob(1e-5, "ε of Adam")


SETTINGS: Mapping[str, type[Common]] = {
    "reinforce": Reinforce,
    "a2c": A2c,
    "trpo": Trpo,
    "ppo": Ppo,
    "grpo": Grpo,
}
