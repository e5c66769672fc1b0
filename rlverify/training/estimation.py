"""Estimation: from what a policy lived through to what its update is given.

Everything that an estimator of the suite computes, it computes here: nothing is written a
second time. During one rollout the moments that observations are normalised by stand still;
they take the rollout in when it is over.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from rlverify.errors import layer_parameters
from rlverify.training.action import Actor, layers
from rlverify.training.collection import Experience
from rlverify.training.computation import Backend
from rlverify.training.configuration import Common, Interactive
from rlverify.training.initialization import Moment, State, Task


class Rollout(NamedTuple):
    """What a policy lived through, and what it and its critic say about it.

    Attributes:
        inputs: what the networks saw, [T, B, I].
        actions: [T, B] or [T, B, D].
        log_probs: log π of them, [T, B].
        values: V(sₜ), [T, B]; zeros without a critic.
        next_values: V(sₜ₊₁) of the same episode, [T, B].
        rewards: as scaled, [T, B].
        terminated: [T, B].
        truncated: [T, B].
        mask: the step was really taken, [T, B].
    """

    inputs: Float[np.ndarray, "T B I"]
    actions: np.ndarray
    log_probs: Float[np.ndarray, "T B"]
    values: Float[np.ndarray, "T B"]
    next_values: Float[np.ndarray, "T B"]
    rewards: Float[np.ndarray, "T B"]
    terminated: Bool[np.ndarray, "T B"]
    truncated: Bool[np.ndarray, "T B"]
    mask: Bool[np.ndarray, "T B"]


def parts(state: State, task: Task) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Return the policy's network, log σ and the critic's network; None for what there is not."""
    parameters, middle = state["parameters"], layer_parameters(task.sizes)
    gaussian = task.problem.distribution == "gaussian"
    end = middle + (task.problem.outputs if gaussian else 0)
    rest = state.get("critic", parameters[end:])
    return (
        parameters[:middle],
        parameters[middle:end] if gaussian else None,
        rest if len(rest) else None,
    )


def actor(state: State, task: Task) -> Actor:
    """Return the policy as one that acts."""
    settings = task.settings
    assert isinstance(settings, Common)
    policy, log_std, _ = parts(state, task)
    found = Actor(layers(policy, task.sizes), settings.activation)
    if log_std is not None:
        found = Actor(found.layers, found.activation, np.exp(log_std))
    if isinstance(settings, Interactive) and _normalizing(state, settings):
        scale = np.sqrt(state["observation_variance"] + settings.moments_eps)
        found = Actor(
            found.layers, found.activation, found.deviation,
            state["observation_mean"], scale, settings.observation_clip,
        )  # fmt: skip
    return found


def _normalizing(state: State, settings: Interactive) -> bool:
    """Tell whether observations are normalised: not before any have been seen."""
    return settings.normalize_observations and bool(state["observation_count"] > 0)


def _shown(observations: np.ndarray, state: State, settings: Interactive, twins: Backend) -> Any:
    """Return observations as the networks see them, a row each."""
    rows = observations.reshape(-1, observations.shape[-1])
    if not _normalizing(state, settings):
        return rows
    return twins(
        "running_moments_normalize",
        mean=state["observation_mean"],
        variance=state["observation_variance"],
        x=rows,
        eps=settings.moments_eps,
        clip=settings.observation_clip,
    )


def evaluated(state: State, taken: Experience, task: Task, twins: Backend) -> tuple[Rollout, State]:
    """Return the rollout, and the state with all moments after it."""
    settings = task.settings
    assert isinstance(settings, Interactive)
    shape = taken.rewards.shape
    policy, log_std, critic = parts(state, task)
    inputs = _shown(taken.observations, state, settings, twins)

    def outputs(parameters: np.ndarray, rows: np.ndarray, sizes: tuple[int, ...]) -> np.ndarray:
        found: np.ndarray = twins(
            "mlp_forward",
            parameters=parameters, inputs=rows, sizes=sizes, activation=settings.activation,
        )  # fmt: skip
        return found

    said = outputs(policy, inputs, task.sizes).reshape(*shape, -1)
    if log_std is None:
        log_probs = twins("categorical_log_prob", logits=said, actions=taken.actions, legal=None)
    else:
        log_probs = twins("gaussian_log_prob", mean=said, log_std=log_std, actions=taken.actions)
    values = next_values = np.zeros(shape)
    if critic is not None:
        following = _shown(taken.next_observations, state, settings, twins)
        values = outputs(critic, inputs, task.critic_sizes).reshape(shape)
        next_values = outputs(critic, following, task.critic_sizes).reshape(shape)
    rewards, moments = _moved(state, taken, settings, twins)
    rollout = Rollout(
        inputs=inputs.reshape(*shape, -1),
        actions=taken.actions,
        log_probs=log_probs,
        values=values,
        next_values=next_values,
        rewards=rewards,
        terminated=taken.terminated,
        truncated=taken.truncated,
        mask=taken.mask,
    )
    return rollout, {**state, **moments}


def _moved(
    state: State, taken: Experience, settings: Interactive, twins: Backend
) -> tuple[np.ndarray, State]:
    """Return the rewards as they are learnt from, and the moments that have seen the rollout."""
    moments: State = {}
    if settings.normalize_observations:
        seen = twins(
            "running_moments_update",
            count=state["observation_count"],
            mean=state["observation_mean"],
            variance=state["observation_variance"],
            x=taken.observations[taken.mask],
        )
        moments = {
            "observation_count": seen.count,
            "observation_mean": seen.mean,
            "observation_variance": seen.variance,
        }
    if not settings.scale_rewards:
        return taken.rewards, moments
    scaled = twins(
        "scale_rewards",
        rewards=taken.rewards,
        terminated=taken.terminated,
        truncated=taken.truncated,
        returns=state["open_returns"],
        count=state["return_count"],
        mean=state["return_mean"],
        variance=state["return_variance"],
        gamma=settings.gamma,
        eps=settings.moments_eps,
        clip=settings.reward_clip,
    )
    return scaled.rewards, {
        **moments,
        "open_returns": scaled.returns,
        "return_count": scaled.count,
        "return_mean": scaled.mean,
        "return_variance": scaled.variance,
    }


def rows(array: np.ndarray) -> np.ndarray:
    """Return an array [T, B, …] as samples, [T·B, …]."""
    return array.reshape(-1, *array.shape[2:])


def annealed(start: float, wanted: bool, moment: Moment, task: Task, twins: Backend) -> float:
    """Return a number on its way from `start` to 0, or `start`."""
    if not wanted:
        return start
    return float(
        twins(
            "linear_schedule",
            step=float(moment.steps), start=start, end=0.0, steps=float(task.settings.steps),
        )
    )  # fmt: skip


def permutations(generator: np.random.Generator, epochs: int, samples: int) -> np.ndarray:
    """Return the order of the samples in each epoch, [E, N]."""
    return generator.permuted(np.tile(np.arange(samples), (epochs, 1)), axis=1)
