"""Initialization: what a run begins with: its task, and parameters that nothing has moved yet."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from rlverify.training.computation import Backend
from rlverify.training.configuration import (
    A2c,
    Basic,
    Common,
    Critical,
    Dqn,
    Interactive,
    Ppo,
    Reinforce,
    Trpo,
)
from rlverify.training.interaction import Problem

# what an algorithm carries from one update to the next, by the names that the suite's functions
# give their arguments: parameters, an optimiser's moments, running moments
State = dict[str, np.ndarray]

BEGINNING, ACTIONS, ORDER, PICKS = 1, 2, 3, 4  # what generators are for; 0 is for environments


@dataclass(frozen=True)
class Task:
    """What is run: nothing of it changes during the run.

    Attributes:
        algorithm: its name.
        problem: what the policy has to fit.
        settings: of the algorithm.
        seed: everything random follows from it.
    """

    algorithm: str
    problem: Problem
    settings: Basic
    seed: int

    @property
    def sizes(self) -> tuple[int, ...]:
        """Return the widths of the policy's network."""
        return (self.problem.inputs, *self._hidden, self.problem.outputs)

    @property
    def critic_sizes(self) -> tuple[int, ...]:
        """Return the widths of the critic's network."""
        return (self.problem.inputs, *self._hidden, 1)

    @property
    def _hidden(self) -> tuple[int, ...]:
        assert isinstance(self.settings, Common)
        return self.settings.hidden

    def generator(self, purpose: int, update: int = 0) -> np.random.Generator:
        """Return the generator of one update's numbers; it depends on nothing that was drawn."""
        return np.random.default_rng(
            np.random.SeedSequence(entropy=self.seed, spawn_key=(purpose, update))
        )


@dataclass(frozen=True)
class Moment:
    """How far a run is.

    Attributes:
        update: how many updates are done.
        steps: how many steps of the environments are done.
    """

    update: int = 0
    steps: int = 0


def network(
    generator: np.random.Generator,
    sizes: tuple[int, ...],
    gain: float,
    settings: Common,
    twins: Backend,
) -> Float[np.ndarray, "P"]:
    """Return the parameters of a network: weights as set, biases 0."""
    pieces, last = [], len(sizes) - 2
    for number, (inputs, outputs) in enumerate(pairwise(sizes)):
        if settings.orthogonal:
            normals = generator.standard_normal((outputs, inputs))
            weight = twins(
                "orthogonal",
                normals=normals,
                gain=gain if number == last else settings.hidden_gain,
            )
        else:
            weight = generator.uniform(-1, 1, (outputs, inputs)) / np.sqrt(inputs)
        pieces += [weight.reshape(-1), np.zeros(outputs)]
    return np.concatenate(pieces)


def beginning(task: Task, twins: Backend) -> State:
    """Return the state that a run with networks begins with."""
    settings, generator = task.settings, task.generator(BEGINNING)
    assert isinstance(settings, Common)
    parameters = network(generator, task.sizes, settings.policy_gain, settings, twins)
    state: State = {}
    if isinstance(settings, Interactive):
        if task.problem.distribution == "gaussian":
            log_std = np.full(task.problem.outputs, settings.log_std)
            parameters = np.concatenate([parameters, log_std])
        state |= {
            "observation_count": np.zeros(()),
            "observation_mean": np.zeros(task.problem.inputs),
            "observation_variance": np.zeros(task.problem.inputs),
            "return_count": np.zeros(()),
            "return_mean": np.zeros(()),
            "return_variance": np.zeros(()),
            "open_returns": np.zeros(settings.environments),
        }
    elif isinstance(settings, Dqn):
        state |= {"target": parameters, "epsilon": np.array(settings.epsilon_start)}
        state["returns"] = np.zeros(0)
    else:
        state["initial"] = parameters
    if isinstance(settings, Critical):
        critic = network(generator, task.critic_sizes, settings.value_gain, settings, twins)
        if isinstance(settings, Trpo):
            state |= {"critic": critic} | _adam(critic)
        else:
            parameters = np.concatenate([parameters, critic])
    state["parameters"] = parameters
    if isinstance(settings, A2c):
        state["squares"] = np.zeros_like(parameters)
    elif isinstance(settings, Ppo | Reinforce) or not isinstance(settings, Interactive):
        state |= _adam(parameters)
    return state


def _adam(parameters: np.ndarray) -> State:
    return {
        "first": np.zeros_like(parameters),
        "second": np.zeros_like(parameters),
        "count": np.zeros((), dtype=np.int64),
    }
