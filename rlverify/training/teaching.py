"""Teaching: a training loop in which the reference leads and the fast version follows.

`Teaching` is a backend like others, so the loops that learn are the loops that are judged. Whatever
a loop asks for, the reference answers; beside it the fast version is given the same arguments
and judged: estimators by their results, whole updates stage by stage (`rlverify.lockstepping`).
Each update so begins at the reference's parameters, on the reference's rollout.

Beside that the fast version also runs on its own: on the same rollouts, but from the parameters
that it arrived at itself. How far it comes away from the reference is measured; there is no bound
on it, for a step of Adam makes any rounding greater.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rlverify.direction import JUDGES
from rlverify.instruction import RESULT, named, narrowed, traced
from rlverify.lockstepping import Judgement, Lockstep, lockstep, vacuous
from rlverify.training.computation import Backend, Fast, Reference, twin
from rlverify.training.configuration import Tabular
from rlverify.training.initialization import Moment, State, Task
from rlverify.training.recollection import Memory
from rlverify.training.running import Run

# a factor of a matrix is right if it is one, whatever its digits: judged in its own topic
UNJUDGED = ("orthogonal",)
# as the settings of `rlverify train`, but for what makes tracked numbers slow; and moments that
# run through an episode of hundreds of steps have no useful bound that holds for every order
SMALL = {
    "reinforce": ("hidden=4,4", "environments=1", "scale_rewards=off"),
    "a2c": ("hidden=8,8", "environments=2", "horizon=16"),
    "trpo": (
        "hidden=4,4", "environments=2", "horizon=16", "epochs=2", "minibatch_size=16",
    ),
    "ppo": (
        "hidden=8,8", "environments=2", "horizon=16", "epochs=2", "minibatch_size=16",
        "normalize_observations=on",
    ),
    "grpo": ("hidden=4,4", "prompts=2", "group=4", "epochs=2", "minibatch_size=4"),
    "dqn": (
        "hidden=4,4", "environments=2", "horizon=4", "gradient_steps=1", "batch_size=4",
        "capacity=64", "warm_up=8", "target_every=4", "huber=1",
    ),
    # a table of zeros, in which nothing was rounded, would tell nothing
    "q_learning": ("horizon=8", "steps=8000", "cells=3", "initial_value=1"),
}  # fmt: skip


@dataclass(frozen=True)
class Call:
    """One function that a loop asked for, judged.

    Attributes:
        function: its name.
        lockstep: its stages; a function without stages has one.
    """

    function: str
    lockstep: Lockstep

    def told(self, judgement: Judgement) -> str:
        """Return the name of a stage, with that of the function."""
        stage = "" if judgement.stage == RESULT else f", {judgement.stage}"
        return self.function + stage


@dataclass(frozen=True)
class Update:
    """One update of a loop in lockstep.

    Attributes:
        number: counted from 1.
        calls: all that the loop asked for.
        apart: greatest difference of a parameter between the reference and the fast version on
            its own.
    """

    number: int
    calls: tuple[Call, ...]
    apart: float

    @property
    def worst(self) -> tuple[Call, Judgement]:
        """Return the first wrong stage, or else that with the worst error."""
        pairs = [(call, judgement) for call in self.calls for judgement in call.lockstep.judgements]
        wrong = [pair for pair in pairs if not pair[1].ok]
        return wrong[0] if wrong else max(pairs, key=lambda pair: pair[1].worst)

    @property
    def stages(self) -> int:
        """Return how many stages were judged."""
        return sum(len(call.lockstep.judgements) for call in self.calls)

    @property
    def ok(self) -> bool:
        """Whether every stage is right."""
        return all(call.lockstep.ok for call in self.calls)


class Teaching:
    """A backend that answers with the reference and judges the fast version beside it.

    Attributes:
        dtype: what the fast version computes in.
        calls: what was asked for, judged, until somebody takes it.
        apart: as of `Update`, after the last whole update.
    """

    def __init__(self, dtype: str = "float64") -> None:
        self.dtype = dtype
        self.calls: list[Call] = []
        self.apart = 0.0
        self._alone = Fast(dtype)
        self._arrived: dict[str, dict[str, Any]] = {}

    def __call__(self, function: str, /, **arguments: Any) -> Any:
        """Judge the fast version; return what the reference gives."""
        reference, fast = twin("reference", function), twin("fast", function)
        if function not in UNJUDGED:
            step = lockstep(reference, fast, arguments, self.dtype, JUDGES)
            self.calls.append(Call(function, step))
        answer = reference(**arguments)
        if traced(reference):
            self._go_on(function, arguments, named(answer))
        if function == "soft_update":
            self._follow(arguments)
        return answer

    def memory(self, rows: int) -> Memory:
        """Return the reference's replay buffer, with the fast one judged beside it."""
        return _TeachingMemory(self, rows)

    def _go_on(self, function: str, arguments: dict[str, Any], wanted: dict[str, Any]) -> None:
        """Let the fast version take its own update, from where its last one left it."""
        found = named(self._alone(function, **{**arguments, **self._arrived.get(function, {})}))
        results = {**found, "critic_parameters": found["parameters"]}
        self._arrived.setdefault(function, {}).update(
            {
                name: type(given)(results[name]) if np.ndim(results[name]) == 0 else results[name]
                for name, given in arguments.items()
                if name in results
            }
        )
        difference = np.abs(found["parameters"] - wanted["parameters"])
        self.apart = max(self.apart, float(difference.max()))

    def _follow(self, arguments: dict[str, Any]) -> None:
        """Let the target network of the fast version on its own follow its network."""
        own = self._arrived.get("dqn_update")
        if own is not None:
            target = own.get("target_parameters", arguments["target"])
            networks = {"target": target, "online": own["parameters"]}
            own["target_parameters"] = self._alone("soft_update", **{**arguments, **networks})

    def taken(self, number: int) -> Update:
        """Return an update made of all that was asked for since the last."""
        update = Update(number, tuple(self.calls), self.apart)
        self.calls.clear()
        self.apart = 0.0
        return update


class _TeachingMemory:
    """A replay buffer of both kinds: what is read comes from the reference's, and is compared."""

    def __init__(self, teaching: Teaching, rows: int) -> None:
        self.reference = Reference().memory(rows)
        self.fast = Fast(teaching.dtype).memory(rows)
        self._teaching = teaching

    def __len__(self) -> int:
        """Return how many transitions can be read."""
        return len(self.reference)

    def push(self, *row: np.ndarray) -> None:
        """Keep one transition of each environment."""
        # in the fast version's dtype: both are to remember the same numbers
        given = narrowed(dict(zip(map(str, range(len(row))), row, strict=True)), self._dtype)
        self.reference.push(*given.values())
        self.fast.push(*given.values())

    @property
    def _dtype(self) -> str:
        return self._teaching.dtype

    def read(self, picks: np.ndarray) -> Any:
        """Return transitions by age, the oldest row first; judge those of the fast version."""
        step = lockstep(
            self.reference.read, self.fast.buffer.read, {"picks": picks}, self._dtype, JUDGES
        )
        self._teaching.calls.append(Call("replay_transitions", step))
        return self.reference.read(picks)


class _Alone:
    """The fast version of a table on its own: on the same transitions, from its own last table."""

    def __init__(self, run: Run, teaching: Teaching) -> None:
        self._algorithm = run.algorithm
        self._fast = Fast(teaching.dtype)
        self._teaching = teaching
        self._state = run.state

    def update(self, state: State, taken: Any, moment: Moment, task: Task, twins: Backend) -> State:
        """Make an update as the algorithm does, and the fast version's own beside it."""
        found = self._algorithm.update(state, taken, moment, task, twins)
        self._state = self._algorithm.update(self._state, taken, moment, task, self._fast)
        difference = np.abs(self._state["q_values"] - found["q_values"])
        self._teaching.apart = max(self._teaching.apart, float(difference.max()))
        return found


@dataclass(frozen=True)
class Report:
    """A loop in lockstep, as a whole.

    Attributes:
        updates: one after the other.
        vacuous: kinds of stage whose bounds reject nothing over the whole run, by name, with what
            they let through.
    """

    updates: tuple[Update, ...]
    vacuous: dict[str, list[str]]

    @property
    def ok(self) -> bool:
        """Whether every stage of every update is right, and was put to the test."""
        return bool(self.updates) and all(u.ok for u in self.updates) and not self.vacuous

    @property
    def worst(self) -> float:
        """Return the worst error of all, in units of its bound."""
        return max((update.worst[1].worst for update in self.updates), default=math.inf)


def updates_of(task: Task, updates: int, dtype: str = "float64") -> Iterator[Update]:
    """Run a loop in lockstep; yield each update, as far as the task's steps reach."""
    teaching = Teaching(dtype)
    run = Run(task, teaching)
    if isinstance(task.settings, Tabular):
        run.algorithm = replace(run.algorithm, update=_Alone(run, teaching).update)
    try:
        while run.going and run.moment.update < updates:
            run.advance()
            yield teaching.taken(run.moment.update)
    finally:
        run.close()


def reported(updates: list[Update]) -> Report:
    """Return the report on updates that were made one after the other."""
    functions: dict[str, list[Lockstep]] = {}
    for update in updates:
        for call in update.calls:
            functions.setdefault(call.function, []).append(call.lockstep)
    empty = {
        f"{function}, {kind}": decoys
        for function, steps in functions.items()
        for kind, decoys in vacuous(steps, JUDGES).items()
    }
    return Report(tuple(updates), empty)
