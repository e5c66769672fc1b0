"""Running: a run from its beginning, or from where it was saved, to its last update.

A run is a chain of updates. Between two of them everything that decides how it goes on lies in
a `Stand`; a `Run` brought to a saved one goes on as the run that was never stopped.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from rlverify.training.computation import Backend
from rlverify.training.initialization import Moment, State, Task
from rlverify.training.interaction import Position
from rlverify.training.learning import ALGORITHMS, most_steps, world_of

WINDOW = 100  # episodes whose mean return is the figure that a run is judged by


@dataclass(frozen=True, eq=False)
class Curve:
    """What every episode earned, in the order in which they ended.

    Attributes:
        steps: how many steps all environments had taken by then.
        totals: sum of its rewards.
        lengths: how many there were.
    """

    steps: Int[np.ndarray, "E"]
    totals: Float[np.ndarray, "E"]
    lengths: Int[np.ndarray, "E"]


@dataclass(frozen=True, eq=False)
class Stand:
    """Where a run is, between two updates.

    Attributes:
        moment: how far.
        state: what has been learnt.
        position: where the environments are.
        curve: what was earned.
    """

    moment: Moment
    state: State
    position: Position
    curve: Curve


class Run:
    """A run, on its way.

    Attributes:
        task: what is run.
        moment: how far it is.
        state: what has been learnt.
        world: what the policy acts in.
    """

    def __init__(self, task: Task, twins: Backend, stand: Stand | None = None) -> None:
        self.task = task
        self.twins = twins
        self.algorithm = ALGORITHMS[task.algorithm]
        self.world = world_of(task, twins)
        self.moment = Moment() if stand is None else stand.moment
        self.state = self.algorithm.begin(task, twins) if stand is None else stand.state
        self.steps: list[int] = []
        self.totals: list[float] = []
        self.lengths: list[int] = []
        if stand is not None:
            self.world.restore(stand.position)
            curve = stand.curve
            self.steps, self.totals = curve.steps.tolist(), curve.totals.tolist()
            self.lengths = curve.lengths.tolist()

    @property
    def recent(self) -> float | None:
        """Return the mean of the last 100 returns; None before there are 100."""
        if len(self.totals) < WINDOW:
            return None
        return sum(self.totals[-WINDOW:]) / WINDOW

    @property
    def going(self) -> bool:
        """Tell whether another update fits, whatever its episodes' lengths."""
        return self.moment.steps + most_steps(self.task) <= self.task.settings.steps

    def advance(self) -> None:
        """Make one update."""
        experience = self.algorithm.collect(self.state, self.moment, self.task, self.world)
        self.state = self.algorithm.update(
            self.state, experience, self.moment, self.task, self.twins
        )
        for episode in self.world.ended:
            self.steps.append(episode.step)
            self.totals.append(episode.total)
            self.lengths.append(episode.length)
        self.world.ended.clear()
        self.moment = Moment(self.moment.update + 1, self.world.steps)

    def updates(self) -> Iterator[Moment]:
        """Make the updates that are left; yield the moment after each."""
        while self.going:
            self.advance()
            yield self.moment

    @property
    def curve(self) -> Curve:
        """Return what was earned so far."""
        return Curve(
            np.array(self.steps, dtype=np.int64),
            np.array(self.totals, dtype=np.float64),
            np.array(self.lengths, dtype=np.int64),
        )

    @property
    def stand(self) -> Stand:
        """Return where the run is."""
        return Stand(self.moment, self.state, self.world.position(), self.curve)

    def close(self) -> None:
        """Close the environments."""
        self.world.close()
