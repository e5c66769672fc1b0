"""Provision: what each whole update is given: the arguments of `ppo_update` and the like.

Every function takes what its loop has at hand and returns keyword arguments as the call table
has them, plain arrays of NumPy and numbers: whoever compares twins calls both with them.
"""

from typing import Any

import numpy as np

from rlverify.training.computation import Backend
from rlverify.training.configuration import A2c, Critical, Grpo, Interactive, Ppo, Reinforce, Trpo
from rlverify.training.estimation import Rollout, annealed, permutations, rows
from rlverify.training.initialization import ORDER, Moment, State, Task
from rlverify.training.tokenization import Responses

Arguments = dict[str, Any]


def learning_rate(moment: Moment, task: Task, twins: Backend) -> float:
    """Return the step size, annealed or not."""
    settings = task.settings
    assert isinstance(settings, Interactive | Grpo)
    wanted = settings.anneal_learning_rate
    return annealed(settings.learning_rate, wanted, moment, task, twins)


def normalized(advantages: np.ndarray, task: Task, twins: Backend) -> np.ndarray:
    """Return the advantages of a whole rollout as the settings want them."""
    settings = task.settings
    assert isinstance(settings, Critical)
    if not settings.normalize_advantages:
        return advantages
    found: np.ndarray = twins(
        "normalize_advantages",
        advantages=advantages, mask=None, ddof=settings.ddof, eps=settings.advantage_eps,
    )  # fmt: skip
    return found


def log_probs(parameters: np.ndarray, taken: Responses, task: Task, twins: Backend) -> np.ndarray:
    """Return log π of every token under some parameters."""
    count, length, width = taken.inputs.shape
    assert isinstance(task.settings, Grpo)
    logits = twins(
        "mlp_forward",
        parameters=parameters,
        inputs=taken.inputs.reshape(count * length, width),
        sizes=task.sizes,
        activation=task.settings.activation,
    ).reshape(count, length, -1)
    found: np.ndarray = twins(
        "categorical_log_prob", logits=logits, actions=taken.actions, legal=None
    )
    return found


def reinforce_arguments(
    state: State, rollout: Rollout, weights: np.ndarray, moment: Moment, task: Task, twins: Backend
) -> Arguments:
    """Return what `reinforce_update` is given: the steps that were really taken."""
    settings = task.settings
    assert isinstance(settings, Reinforce)
    return {
        "parameters": state["parameters"],
        "inputs": rollout.inputs[rollout.mask],
        "actions": rollout.actions[rollout.mask],
        "weights": weights[rollout.mask],
        "first": state["first"],
        "second": state["second"],
        "count": int(state["count"]),
        "sizes": task.sizes,
        "activation": settings.activation,
        "distribution": task.problem.distribution,
        "learning_rate": learning_rate(moment, task, twins),
        "beta1": settings.beta1,
        "beta2": settings.beta2,
        "eps": settings.eps,
    }


def a2c_arguments(
    state: State, rollout: Rollout, estimates: Any, moment: Moment, task: Task, twins: Backend
) -> Arguments:
    """Return what `a2c_update` is given."""
    settings = task.settings
    assert isinstance(settings, A2c)
    return {
        "parameters": state["parameters"],
        "inputs": rows(rollout.inputs),
        "actions": rows(rollout.actions),
        "advantages": rows(normalized(estimates.advantages, task, twins)),
        "returns": rows(estimates.returns),
        "squares": state["squares"],
        "sizes": task.sizes,
        "critic_sizes": task.critic_sizes,
        "activation": settings.activation,
        "distribution": task.problem.distribution,
        "value_coefficient": settings.value_coefficient,
        "entropy_coefficient": settings.entropy_coefficient,
        "max_norm": settings.max_norm,
        "learning_rate": learning_rate(moment, task, twins),
        "decay": settings.decay,
        "eps": settings.eps,
        "eps_inside": settings.eps_inside,
    }


def trpo_arguments(
    state: State, rollout: Rollout, estimates: Any, task: Task, twins: Backend
) -> Arguments:
    """Return what `trpo_update` is given."""
    settings = task.settings
    assert isinstance(settings, Trpo)
    return {
        "parameters": state["parameters"],
        "inputs": rows(rollout.inputs),
        "actions": rows(rollout.actions),
        "log_probs": rows(rollout.log_probs),
        "advantages": rows(normalized(estimates.advantages, task, twins)),
        "sizes": task.sizes,
        "activation": settings.activation,
        "distribution": task.problem.distribution,
        "delta": settings.delta,
        "damping": settings.damping,
        "cg_iterations": settings.cg_iterations,
        "cg_tolerance": settings.cg_tolerance,
        "backtrack": settings.backtrack,
        "max_backtracks": settings.max_backtracks,
    }


def value_arguments(
    state: State, rollout: Rollout, estimates: Any, moment: Moment, task: Task, twins: Backend
) -> Arguments:
    """Return what `value_update` is given, that fits TRPO's critic."""
    settings = task.settings
    assert isinstance(settings, Trpo)
    returns = rows(estimates.returns)
    order = task.generator(ORDER, moment.update)
    return {
        "critic_parameters": state["critic"],
        "inputs": rows(rollout.inputs),
        "returns": returns,
        "permutations": permutations(order, settings.epochs, len(returns)),
        "first": state["first"],
        "second": state["second"],
        "count": int(state["count"]),
        "critic_sizes": task.critic_sizes,
        "activation": settings.activation,
        "minibatch_size": settings.minibatch_size,
        "learning_rate": learning_rate(moment, task, twins),
        "beta1": settings.beta1,
        "beta2": settings.beta2,
        "eps": settings.eps,
    }


def ppo_arguments(
    state: State, rollout: Rollout, estimates: Any, moment: Moment, task: Task, twins: Backend
) -> Arguments:
    """Return what `ppo_update` is given."""
    settings = task.settings
    assert isinstance(settings, Ppo)
    returns = rows(estimates.returns)
    order = task.generator(ORDER, moment.update)
    clip_range, annealing = settings.clip_range, settings.anneal_clip_range
    value_clip_range = settings.value_clip_range
    return {
        "parameters": state["parameters"],
        "inputs": rows(rollout.inputs),
        "actions": rows(rollout.actions),
        "old_log_probs": rows(rollout.log_probs),
        "advantages": rows(estimates.advantages),
        "returns": returns,
        "old_values": rows(rollout.values),
        "permutations": permutations(order, settings.epochs, len(returns)),
        "first": state["first"],
        "second": state["second"],
        "count": int(state["count"]),
        "sizes": task.sizes,
        "critic_sizes": task.critic_sizes,
        "activation": settings.activation,
        "distribution": task.problem.distribution,
        "minibatch_size": settings.minibatch_size,
        "normalize": settings.normalize_advantages,
        "ddof": settings.ddof,
        "advantage_eps": settings.advantage_eps,
        "clip_range": annealed(clip_range, annealing, moment, task, twins),
        "value_clip_range": None
        if value_clip_range is None
        else annealed(value_clip_range, annealing, moment, task, twins),
        "value_coefficient": settings.value_coefficient,
        "entropy_coefficient": settings.entropy_coefficient,
        "max_norm": settings.max_norm,
        "learning_rate": learning_rate(moment, task, twins),
        "beta1": settings.beta1,
        "beta2": settings.beta2,
        "eps": settings.eps,
        "target_kl": settings.target_kl,
    }


def grpo_arguments(
    state: State,
    taken: Responses,
    advantages: np.ndarray,
    moment: Moment,
    task: Task,
    twins: Backend,
) -> Arguments:
    """Return what `grpo_update` is given."""  # fmt: skip
    settings = task.settings
    assert isinstance(settings, Grpo)
    order = task.generator(ORDER, moment.update)
    return {
        "parameters": state["parameters"],
        "inputs": taken.inputs,
        "actions": taken.actions,
        "old_log_probs": log_probs(state["parameters"], taken, task, twins),
        "reference_log_probs": log_probs(state["initial"], taken, task, twins),
        "advantages": advantages,
        "mask": taken.mask,
        "permutations": permutations(order, settings.epochs, len(advantages)),
        "first": state["first"],
        "second": state["second"],
        "count": int(state["count"]),
        "sizes": task.sizes,
        "activation": settings.activation,
        "minibatch_size": settings.minibatch_size,
        "clip_range": settings.clip_range,
        "beta": settings.beta,
        "kl_estimator": settings.kl_estimator,
        "ratio": settings.ratio,
        "aggregation": settings.aggregation,
        "normalizer": settings.normalizer,
        "max_norm": settings.max_norm,
        "learning_rate": learning_rate(moment, task, twins),
        "beta1": settings.beta1,
        "beta2": settings.beta2,
        "eps": settings.eps,
    }
