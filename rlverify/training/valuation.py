"""Valuation: DQN, which learns the values of actions and takes the best one, mostly.

It differs from the other loops in where its samples come from: not from the rollout that was
just lived through but from a memory of many, so the policy that acted is no matter. An update of
the run is `horizon` steps of every environment, then `gradient_steps` batches out of the memory,
each for one `dqn_update`; every `target_every` of these the target network follows.

The share ε of random actions is set once for each update of the run, and lies in its state: the
policy that acts next knows it without asking. So do the returns of the last episodes: a network
that once was good enough (`enough`) learns no more. Under a good policy a memory fills with good
episodes alone, and a network that sees no failures any more forgets what leads to them.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from rlverify.training import collection
from rlverify.training.action import Actor, layers
from rlverify.training.computation import Backend
from rlverify.training.configuration import Dqn
from rlverify.training.estimation import annealed
from rlverify.training.initialization import ACTIONS, PICKS, Moment, State, Task
from rlverify.training.recollection import Recalled, RememberingEnvironments

# what `--settings` shows of an environment, where it is not what others have by default
RECIPES = {"CartPole-v1": ("enough=475",)}


@dataclass(frozen=True, eq=False)
class Explorer(Actor):
    """A network of action values that takes the greatest, or any action.

    Attributes:
        epsilon: the probability of any action, each alike.
    """

    epsilon: float = 0.0

    def act(self, observations: Float[np.ndarray, "N I"], noise: np.ndarray) -> np.ndarray:
        """Return an action for each observation; one uniform number each decides all."""
        values = self.outputs(observations)
        # what lies below ε is uniform below ε: it says which action, too
        share = noise / self.epsilon if self.epsilon > 0 else np.ones_like(noise)
        anything = np.floor(np.minimum(share, 1) * values.shape[1]).astype(np.int64)
        found: np.ndarray = np.where(noise < self.epsilon, anything, values.argmax(axis=1))
        return found


def collect_transitions(
    state: State, moment: Moment, task: Task, world: RememberingEnvironments
) -> RememberingEnvironments:
    """Take `horizon` steps in every environment and remember them."""
    settings = task.settings
    assert isinstance(settings, Dqn)
    noise = task.generator(ACTIONS, moment.update).random((settings.horizon, settings.environments))
    explorer = Explorer(
        layers(state["parameters"], task.sizes), settings.activation,
        epsilon=float(state["epsilon"]),
    )  # fmt: skip
    world.remember(collection.steps(world, explorer, noise))
    return world


def dqn_arguments(state: State, batch: Recalled, rate: float, task: Task) -> dict[str, Any]:
    """Return what `dqn_update` is given."""
    settings = task.settings
    assert isinstance(settings, Dqn)
    return {
        "parameters": state["parameters"],
        "target_parameters": state["target"],
        **batch._asdict(),
        "first": state["first"],
        "second": state["second"],
        "count": int(state["count"]),
        "sizes": task.sizes,
        "activation": settings.activation,
        "gamma": settings.gamma,
        "double": settings.double,
        "huber": settings.huber,
        "max_norm": settings.max_norm,
        "learning_rate": rate,
        "beta1": settings.beta1,
        "beta2": settings.beta2,
        "eps": settings.eps,
    }


def dqn(
    state: State, world: RememberingEnvironments, moment: Moment, task: Task, twins: Backend
) -> State:
    """Move the network towards its targets on some batches, and the target network after it."""
    settings = task.settings
    assert isinstance(settings, Dqn)
    state = {**state, "returns": _recent(state, world, settings)}
    if world.steps >= settings.warm_up and not _settled(state, settings):
        rate = annealed(settings.learning_rate, settings.anneal_learning_rate, moment, task, twins)
        shape = settings.gradient_steps, settings.batch_size
        picks = task.generator(PICKS, moment.update).integers(0, len(world.memory), shape)
        for row in picks:
            state = _learnt(state, world.recall(row), rate, task, twins)
    epsilon = twins(
        "linear_schedule",
        step=float(world.steps), start=settings.epsilon_start, end=settings.epsilon_end,
        steps=settings.exploration * settings.steps,
    )  # fmt: skip
    return {**state, "epsilon": np.array(epsilon, dtype=np.float64)}


def _recent(state: State, world: RememberingEnvironments, settings: Dqn) -> np.ndarray:
    """Return the returns of the last episodes, at most so many; once they are enough, those."""
    if settings.enough is None or _settled(state, settings):
        return state["returns"]
    totals = np.array([episode.total for episode in world.ended])
    return np.concatenate([state["returns"], totals])[-settings.enough_episodes :]


def _settled(state: State, settings: Dqn) -> bool:
    """Tell whether the network is good enough to be left as it is."""
    returns = state["returns"]
    if settings.enough is None or len(returns) < settings.enough_episodes:
        return False
    return bool(returns.mean() >= settings.enough)


def _learnt(state: State, batch: Recalled, rate: float, task: Task, twins: Backend) -> State:
    """Return the state after one batch."""
    settings = task.settings
    assert isinstance(settings, Dqn)
    updated = twins("dqn_update", **dqn_arguments(state, batch, rate, task))
    count = int(updated.count)
    state = {
        **state, "parameters": updated.parameters, "first": updated.first,
        "second": updated.second, "count": np.array(count, dtype=np.int64),
    }  # fmt: skip
    if count % settings.target_every:
        return state
    target = twins(
        "soft_update", target=state["target"], online=state["parameters"], tau=settings.tau
    )
    return {**state, "target": target}
