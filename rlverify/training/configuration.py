"""Configuration: the settings of every algorithm, what they mean, and what they are by default.

The settings that the algorithms on Gymnasium environments share hold the recipe that makes PPO
work in practice (Engstrom et al. 2020, arXiv:2005.12729, section 3; Huang et al. 2022, "The 37
implementation details of PPO"): each part of it can be switched off by itself.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rlverify.settings import nearest

# what a setting may be: how a text becomes a value, what values there are, and that in words
Rule = tuple[Callable[[str], Any], Callable[[Any], bool], str]


def _layers(text: str) -> tuple[int, ...]:
    return tuple(int(width) for width in text.split(","))


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(number) for number in text.split(","))


def _switch(text: str) -> bool:
    return {"on": True, "yes": True, "true": True, "off": False, "no": False, "false": False}[
        text.lower()
    ]


COUNT: Rule = (int, lambda n: n >= 1, "an integer of at least 1")
WHOLE: Rule = (int, lambda n: n >= 0, "an integer of at least 0")
NUMBER: Rule = (float, math.isfinite, "a number")
POSITIVE: Rule = (float, lambda x: 0 < x < math.inf, "a number above 0")
LEAST_0: Rule = (float, lambda x: 0 <= x < math.inf, "a number of at least 0")
UNIT: Rule = (float, lambda x: 0 <= x <= 1, "a number in [0, 1]")
BELOW_1: Rule = (float, lambda x: 0 <= x < 1, "a number in [0, 1)")
INSIDE: Rule = (float, lambda x: 0 < x < 1, "a number in (0, 1)")
SWITCH: Rule = (_switch, lambda x: True, "on or off")
NUMBERS: Rule = (
    _numbers,
    lambda numbers: all(map(math.isfinite, numbers)),
    "numbers such as -1,0.5",
)
LAYERS: Rule = (_layers, lambda widths: min(widths) >= 1, "widths such as 64,64")


def words(*allowed: str) -> Rule:
    """Return the rule of a setting that is one of some words."""
    return str, lambda word: word in allowed, f"one of {', '.join(allowed)}"


def optional(rule: Rule) -> Rule:
    """Return the rule of a setting that may also be none."""
    read, fits, said = rule
    return (
        lambda text: None if text == "none" else read(text),
        lambda value: value is None or fits(value),
        f"{said}, or none",
    )


def knob(default: Any, rule: Rule, meaning: str) -> Any:
    """Return a field of settings: its default, what it may be, and one line on what it means."""
    return field(default=default, metadata={"rule": rule, "meaning": meaning})


@dataclass(frozen=True, kw_only=True)
class Basic:
    """What every algorithm has."""

    steps: int = knob(100_000, COUNT, "steps of the environments, all together; never more")
    gamma: float = knob(0.99, UNIT, "discount γ")
    dtype: str = knob("float64", words("float64", "float32"), "float64 or float32")


@dataclass(frozen=True, kw_only=True)
class Common(Basic):
    """What every algorithm with networks has."""

    hidden: tuple[int, ...] = knob(
        (64, 64), LAYERS, "widths of the hidden layers, of policy and critic"
    )
    activation: str = knob("tanh", words("tanh", "relu"), "tanh or relu")
    orthogonal: bool = knob(
        True, SWITCH, "orthogonal initial weights; off: uniform, within 1/√inputs"
    )
    hidden_gain: float = knob(math.sqrt(2), POSITIVE, "gain of the orthogonal hidden layers")
    policy_gain: float = knob(0.01, POSITIVE, "gain of the policy's orthogonal last layer")


@dataclass(frozen=True, kw_only=True)
class Interactive(Common):
    """What every algorithm on Gymnasium environments has."""

    environments: int = knob(8, COUNT, "how many run side by side")
    log_std: float = knob(0.0, NUMBER, "initial log σ of a Gaussian policy")
    normalize_observations: bool = knob(False, SWITCH, "by their running mean and deviation")
    observation_clip: float = knob(10.0, POSITIVE, "normalised observations are clipped to ± this")
    scale_rewards: bool = knob(True, SWITCH, "by the running deviation of the discounted return")
    reward_clip: float = knob(10.0, POSITIVE, "scaled rewards are clipped to ± this")
    moments_eps: float = knob(1e-8, POSITIVE, "ε under the root of both deviations")
    learning_rate: float = knob(1e-3, POSITIVE, "step size")
    anneal_learning_rate: bool = knob(True, SWITCH, "linearly, to 0 at the last step")


@dataclass(frozen=True, kw_only=True)
class Critical(Interactive):
    """What every algorithm with a critic and rollouts of a fixed length has."""

    horizon: int = knob(128, COUNT, "steps of each environment in a rollout")
    lam: float = knob(0.95, UNIT, "λ of generalised advantage estimates")
    value_gain: float = knob(1.0, POSITIVE, "gain of the critic's orthogonal last layer")
    normalize_advantages: bool = knob(True, SWITCH, "to mean 0 and deviation 1")
    ddof: int = knob(0, WHOLE, "what the deviation's divisor lacks of the number of advantages")
    advantage_eps: float = knob(1e-8, POSITIVE, "ε beside that deviation")


@dataclass(frozen=True, kw_only=True)
class Reinforce(Interactive):
    """REINFORCE: whole episodes, rewards to go, weights normalised in the batch."""

    steps: int = knob(400_000, COUNT, "steps of the environments, all together; never more")
    environments: int = knob(16, COUNT, "how many run side by side: the episodes of one update")
    normalize_weights: bool = knob(True, SWITCH, "returns to mean 0 and deviation 1 in the batch")
    ddof: int = knob(0, WHOLE, "what the deviation's divisor lacks of the number of weights")
    weight_eps: float = knob(1e-8, POSITIVE, "ε beside that deviation")
    discount_states: bool = knob(
        False, SWITCH, "γᵗ before each step's weight, as the theorem has it"
    )
    learning_rate: float = knob(5e-3, POSITIVE, "step size of Adam")
    beta1: float = knob(0.9, BELOW_1, "decay of Adam's first moments")
    beta2: float = knob(0.999, BELOW_1, "decay of Adam's second moments")
    eps: float = knob(1e-5, POSITIVE, "ε of Adam")


@dataclass(frozen=True, kw_only=True)
class A2c(Critical):
    """A2C: one step of RMSprop on policy and critic together for each short rollout."""

    steps: int = knob(400_000, COUNT, "steps of the environments, all together; never more")
    horizon: int = knob(16, COUNT, "steps of each environment in a rollout")
    value_coefficient: float = knob(0.5, LEAST_0, "weight of the critic's loss")
    entropy_coefficient: float = knob(0.01, LEAST_0, "weight of the entropy")
    max_norm: float | None = knob(0.5, optional(POSITIVE), "largest norm of a gradient, or none")
    decay: float = knob(0.99, BELOW_1, "decay of RMSprop's squares")
    eps: float = knob(1e-5, POSITIVE, "ε of RMSprop")
    eps_inside: bool = knob(False, SWITCH, "ε under RMSprop's root, as TensorFlow has it")


@dataclass(frozen=True, kw_only=True)
class Trpo(Critical):
    """TRPO: a step of bounded KL for the policy, Adam for the critic."""

    steps: int = knob(150_000, COUNT, "steps of the environments, all together; never more")
    delta: float = knob(0.01, POSITIVE, "bound δ on the mean KL of a step")
    damping: float = knob(0.1, LEAST_0, "what is added to the Fisher matrix's diagonal")
    cg_iterations: int = knob(10, COUNT, "iterations of conjugate gradients, at most")
    cg_tolerance: float = knob(1e-10, POSITIVE, "relative residual at which they stop")
    backtrack: float = knob(0.8, INSIDE, "factor between two trials of the line search")
    max_backtracks: int = knob(10, COUNT, "trials of the line search, at most")
    learning_rate: float = knob(1e-3, POSITIVE, "step size of the critic's Adam")
    epochs: int = knob(10, COUNT, "passes of the critic through each rollout")
    minibatch_size: int = knob(64, COUNT, "samples of one step of the critic")
    beta1: float = knob(0.9, BELOW_1, "decay of Adam's first moments")
    beta2: float = knob(0.999, BELOW_1, "decay of Adam's second moments")
    eps: float = knob(1e-5, POSITIVE, "ε of Adam")


@dataclass(frozen=True, kw_only=True)
class Ppo(Critical):
    """PPO: several epochs of clipped mini-batch steps on each rollout."""

    epochs: int = knob(4, COUNT, "passes through each rollout")
    minibatch_size: int = knob(128, COUNT, "samples of one step")
    clip_range: float = knob(0.2, INSIDE, "how far the ratio may move from 1")
    anneal_clip_range: bool = knob(
        True, SWITCH, "both clip ranges, linearly, to 0 at the last step"
    )
    value_clip_range: float | None = knob(
        0.2, optional(POSITIVE), "how far a value may move from the old one, or none"
    )
    value_coefficient: float = knob(0.5, LEAST_0, "weight of the critic's loss")
    entropy_coefficient: float = knob(0.01, LEAST_0, "weight of the entropy")
    max_norm: float | None = knob(0.5, optional(POSITIVE), "largest norm of a gradient, or none")
    target_kl: float | None = knob(
        None, optional(POSITIVE), "KL at which a rollout's epochs stop early, or none"
    )
    beta1: float = knob(0.9, BELOW_1, "decay of Adam's first moments")
    beta2: float = knob(0.999, BELOW_1, "decay of Adam's second moments")
    eps: float = knob(1e-5, POSITIVE, "ε of Adam")


@dataclass(frozen=True, kw_only=True)
class Grpo(Common):
    """GRPO: groups of responses to one prompt, compared with each other."""

    steps: int = knob(300_000, COUNT, "tokens that are sampled, all together; never more")
    activation: str = knob("relu", words("tanh", "relu"), "tanh or relu")
    prompts: int = knob(16, COUNT, "prompts in a batch")
    group: int = knob(8, COUNT, "responses to each prompt")
    scale: str = knob(
        "group",
        words("group", "batch", "none"),
        "what advantages are divided by: group, batch or none",
    )
    ddof: int = knob(0, WHOLE, "what the deviation's divisor lacks of the number of rewards")
    advantage_eps: float = knob(1e-4, POSITIVE, "ε beside that deviation")
    epochs: int = knob(2, COUNT, "passes through each batch")
    minibatch_size: int = knob(64, COUNT, "responses of one step")
    clip_range: float = knob(0.2, INSIDE, "how far the ratio may move from 1")
    beta: float = knob(0.03, LEAST_0, "weight of the KL from the initial policy")
    kl_estimator: str = knob("k3", words("k1", "k2", "k3"), "k1, k2 or k3")
    ratio: str = knob("token", words("token", "sequence"), "token or sequence")
    aggregation: str = knob(
        "token_mean",
        words("token_mean", "sequence_mean", "constant"),
        "token_mean, sequence_mean or constant",
    )
    normalizer: float = knob(1.0, POSITIVE, "what sums are divided by under aggregation=constant")
    max_norm: float | None = knob(0.5, optional(POSITIVE), "largest norm of a gradient, or none")
    learning_rate: float = knob(3e-3, POSITIVE, "step size of Adam")
    anneal_learning_rate: bool = knob(True, SWITCH, "linearly, to 0 at the last step")
    beta1: float = knob(0.9, BELOW_1, "decay of Adam's first moments")
    beta2: float = knob(0.999, BELOW_1, "decay of Adam's second moments")
    eps: float = knob(1e-5, POSITIVE, "ε of Adam")


@dataclass(frozen=True, kw_only=True)
class Dqn(Common):
    """DQN: values of actions, learnt from transitions that are drawn again and again."""

    steps: int = knob(150_000, COUNT, "steps of the environments, all together; never more")
    hidden: tuple[int, ...] = knob((64, 64), LAYERS, "widths of the hidden layers")
    activation: str = knob("relu", words("tanh", "relu"), "tanh or relu")
    policy_gain: float = knob(1.0, POSITIVE, "gain of the network's orthogonal last layer")
    environments: int = knob(4, COUNT, "how many run side by side")
    horizon: int = knob(16, COUNT, "steps of each environment between updates of the network")
    gradient_steps: int = knob(32, COUNT, "updates of the network, each on a batch of its own")
    batch_size: int = knob(128, COUNT, "transitions in a batch")
    capacity: int = knob(50_000, COUNT, "transitions that are kept; the oldest go")
    warm_up: int = knob(1_000, WHOLE, "steps of all environments before the first update")
    epsilon_start: float = knob(1.0, UNIT, "share of random actions at the beginning")
    epsilon_end: float = knob(0.02, UNIT, "share of random actions later")
    exploration: float = knob(0.16, INSIDE, "share of all steps in which the former becomes that")
    double: bool = knob(True, SWITCH, "whether the network that learns picks the next action")
    huber: float | None = knob(None, optional(POSITIVE), "largest error in the slope, or none")
    target_every: int = knob(128, COUNT, "updates of the network between two of the target network")
    tau: float = knob(1.0, UNIT, "share of the network in the new target network; 1: a copy")
    max_norm: float | None = knob(10.0, optional(POSITIVE), "largest norm of a gradient, or none")
    learning_rate: float = knob(1e-3, POSITIVE, "step size of Adam")
    anneal_learning_rate: bool = knob(True, SWITCH, "linearly, to 0 at the last step")
    beta1: float = knob(0.9, BELOW_1, "decay of Adam's first moments")
    beta2: float = knob(0.999, BELOW_1, "decay of Adam's second moments")
    eps: float = knob(1e-8, POSITIVE, "ε of Adam")
    enough: float | None = knob(
        None, optional(NUMBER), "mean return of the last episodes at which learning ends, or none"
    )
    enough_episodes: int = knob(20, COUNT, "how many episodes that is the mean of")


RULES = ("q_learning", "sarsa", "expected_sarsa", "double_q")


@dataclass(frozen=True, kw_only=True)
class Tabular(Basic):
    """Q-learning in a table, and its relatives."""

    rule: str = knob("q_learning", words(*RULES), "what targets are of: " + ", ".join(RULES))
    environments: int = knob(1, COUNT, "how many run side by side; applied one after the other")
    horizon: int = knob(16, COUNT, "steps of each of them between two looks at the table")
    learning_rate: float = knob(0.1, UNIT, "step size α")
    anneal_learning_rate: bool = knob(True, SWITCH, "linearly, to 0 at the last step")
    initial_value: float = knob(0.0, NUMBER, "what the table begins with")
    epsilon_start: float = knob(1.0, UNIT, "ε at the first step")
    epsilon_end: float = knob(0.02, UNIT, "ε where its decay ends")
    exploration: float = knob(0.5, POSITIVE, "share of the steps over which ε falls, linearly")
    cells: tuple[int, ...] = knob(
        (8,), LAYERS, "of the grid on each number of an observation; one for all, or for each"
    )
    low: tuple[float, ...] | None = knob(
        None, optional(NUMBERS), "lower end of each grid; none: the environment's bound"
    )
    high: tuple[float, ...] | None = knob(
        None, optional(NUMBERS), "upper end of each grid; none: the environment's bound"
    )


SETTINGS: Mapping[str, type[Basic]] = {
    "reinforce": Reinforce,
    "a2c": A2c,
    "trpo": Trpo,
    "ppo": Ppo,
    "grpo": Grpo,
    "dqn": Dqn,
    "q_learning": Tabular,
}


def settings_of(algorithm: str, given: Iterable[str]) -> Basic:
    """Return an algorithm's settings: as they are by default, or as given by NAME=VALUE.

    Raises:
        ValueError: there is no such algorithm or setting, or it cannot be that.
    """
    if algorithm not in SETTINGS:
        raise ValueError(f"algorithm came as {algorithm!r}, wanted one of {', '.join(SETTINGS)}.")
    kind = SETTINGS[algorithm]
    known = {item.name: item for item in dataclasses.fields(kind)}
    chosen: dict[str, Any] = {}
    for pair in given:
        name, equals, text = (part.strip() for part in pair.partition("="))
        if not equals:
            raise ValueError(f"--set came as {pair!r}, wanted NAME=VALUE.")
        if name not in known:
            raise ValueError(f"--set {pair}: {algorithm} has no {name!r}; {nearest(name, known)}")
        read, fits, said = known[name].metadata["rule"]
        try:
            value = read(text)
            fitting = fits(value)
        except (ValueError, KeyError):
            fitting = False
        if not fitting:
            raise ValueError(f"--set {pair}: wanted {said}.")
        chosen[name] = value
    settings = kind(**chosen)
    _refuse_together(settings)
    return settings


def _refuse_together(settings: Basic) -> None:
    """Refuse settings that are each fine but do not go together."""
    if isinstance(settings, Grpo) and (settings.group < 2 or settings.ddof >= settings.group):
        raise ValueError("--set: a group needs two members, and more than ddof.")
    if isinstance(settings, Dqn) and settings.capacity < settings.environments:
        raise ValueError("--set: wanted a capacity of at least one transition per environment.")
    if isinstance(settings, Critical) and settings.normalize_advantages:
        samples = settings.horizon * settings.environments
        if isinstance(settings, Ppo):
            size = min(settings.minibatch_size, samples)
            samples = samples % size or size
        if samples <= settings.ddof:
            raise ValueError(
                f"--set: the smallest batch that advantages are normalised in has {samples}, "
                f"ddof is {settings.ddof}; wanted more samples than ddof."
            )


def shown(value: Any) -> str:
    """Return a setting's value as `--set` takes it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value)


def described(settings: Basic) -> list[tuple[str, str, str]]:
    """Return name, value and meaning of each setting."""
    return [
        (item.name, shown(getattr(settings, item.name)), item.metadata["meaning"])
        for item in dataclasses.fields(settings)
    ]
