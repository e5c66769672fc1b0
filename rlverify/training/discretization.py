"""Discretization: the states that a table has rows for.

An environment either numbers its states itself, as FrozenLake, CliffWalking and Taxi do, or shows
numbers, as CartPole does, which a grid with equal cells turns into the number of a cell. What lies
beyond the grid belongs to its outermost cells.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete
from jaxtyping import Float, Int

from rlverify.training.configuration import Tabular
from rlverify.training.interaction import Problem, limit_of, made

ENTRIES = 10**7  # of a table, at most

# what learns within its budget, by the environment's name without its version; settings that a
# user names come after these. The grid of CartPole is the table's, not the environment's, whose
# velocities have no bounds
RECIPES: dict[str, tuple[str, ...]] = {
    "CliffWalking": ("steps=40000", "learning_rate=0.5"),
    "Taxi": ("learning_rate=0.5",),
    "CartPole": ("steps=150000", "cells=3,3,8,8", "low=-2.4,-3,-0.21,-3", "high=2.4,3,0.21,3"),
}


@dataclass(frozen=True)
class Table(Problem):
    """What a table has to fit.

    Attributes:
        states: how many rows it has.
        first: number that the environment gives its first state; 0 with a grid.
        edges: of the cells of each component of an observation; none where states are numbered.
    """

    states: int
    first: int
    edges: tuple[tuple[float, ...], ...]

    @cached_property
    def grid(self) -> Float[np.ndarray, "D E"]:
        """Return the edges as an array."""
        return np.array(self.edges, dtype=np.float64)

    def rows(self, observations: Float[np.ndarray, "N D"]) -> Int[np.ndarray, "N"]:
        """Return the rows that observations belong to, as `discretize` does, for who acts."""
        if not self.edges:
            return observations[:, 0].astype(np.int64) - self.first
        cells = (self.grid <= observations[:, :, None]).sum(axis=2)
        found: np.ndarray = np.ravel_multi_index(
            tuple(cells.T), (len(self.edges[0]) + 1,) * len(self.edges)
        )
        return found


def recipe(name: str) -> tuple[str, ...]:
    """Return the settings that an environment has by default, beside those that all have."""
    return RECIPES.get(name.rpartition("-v")[0] or name, ())


def table_of(name: str, settings: Tabular) -> Table:
    """Return what a table has to fit in an environment.

    Raises:
        ValueError: there is no such environment, or no table fits it.
    """
    env = made(name)
    try:
        seen, done = env.observation_space, env.action_space
        if not isinstance(done, Discrete):
            raise ValueError(
                f"environment {name}: its actions are {done}, wanted Discrete: a table has a "
                "column for each."
            )
        if isinstance(seen, Discrete):
            if settings.low is not None or settings.high is not None:
                raise ValueError(
                    f"--set: low and high are edges of a grid, and {name} numbers its states."
                )
            states, first, edges = int(seen.n), int(seen.start), _none()
        elif isinstance(seen, Box) and len(seen.shape) == 1 and seen.shape[0]:
            edges = _grid(name, seen, settings)
            states, first = (len(edges[0]) + 1) ** len(edges), 0
        else:
            raise ValueError(
                f"environment {name}: its observations are {seen}, wanted Discrete, or a flat Box "
                "to put a grid on."
            )
        if states * int(done.n) > ENTRIES:
            raise ValueError(
                f"environment {name}: its table would have {states} rows of {done.n}, wanted at "
                f"most {ENTRIES} entries."
            )
        inputs = max(1, len(edges))
        limit = limit_of(name, env)
        spec = "" if env.spec is None else env.spec.id  # with its version, if none was named
        return Table(spec or name, inputs, int(done.n), "categorical", limit, states, first, edges)
    finally:
        env.close()


def _none() -> tuple[tuple[float, ...], ...]:
    return ()


def _grid(name: str, seen: Box, settings: Tabular) -> tuple[tuple[float, ...], ...]:
    """Return the inner edges of equal cells, a row for each component."""
    width = seen.shape[0]
    low = _side(name, "low", settings.low, seen.low)
    high = _side(name, "high", settings.high, seen.high)
    if not all(one < other for one, other in zip(low, high, strict=True)):
        raise ValueError(f"environment {name}: a grid needs low below high; set low and high.")
    cells = settings.cells if len(settings.cells) > 1 else settings.cells * width
    if len(cells) != width:
        raise ValueError(
            f"environment {name}: its observations have {width} numbers, but cells has "
            f"{len(cells)}; wanted one for each, or one for all."
        )
    most = max(cells)
    if not 1 < most**width <= ENTRIES:
        raise ValueError(
            f"environment {name}: its table would have {most}^{width} rows, wanted more than one "
            f"and at most {ENTRIES} entries; --set cells=N with another N."
        )
    edges = []
    for one, other, count in zip(low, high, cells, strict=True):
        with np.errstate(over="ignore", invalid="ignore"):
            inner = np.linspace(one, other, count + 1)[1:-1].astype(settings.dtype)
        if not np.isfinite(inner).all():
            raise ValueError(
                f"environment {name}: from {one} to {other} is too far for {settings.dtype}; set "
                "low and high."
            )
        # all rows of an array are of one length: what is missing is never reached
        edges.append((*inner.tolist(), *[np.inf] * (most - count)))
    return tuple(edges)


def _side(name: str, setting: str, given: tuple[float, ...] | None, bounds: Any) -> Sequence[float]:
    """Return one end of every component's cells: as set, or the environment's own bounds."""
    width = len(bounds)
    if given is None:
        endless = np.flatnonzero(~np.isfinite(bounds))
        if endless.size:
            raise ValueError(
                f"environment {name}: number {endless[0]} of its observations has no bound; "
                f"--set {setting}=… with a number for each of the {width}."
            )
        found: list[float] = bounds.astype(np.float64).tolist()
        return found
    if len(given) != width:
        raise ValueError(
            f"environment {name}: its observations have {width} numbers, but {setting} has "
            f"{len(given)}; wanted one for each."
        )
    return given
