"""A Markov decision process with finitely many states and actions, as four arrays.

From state s, action a leads to state s′ with probability `transition[s, a, s′]`, pays
`reward[s, a, s′]`, and ends the episode where `terminal[s, a, s′]` is True. Reward and end
belong to the transition, not to the state: Taxi pays for a delivery, not for standing
somewhere, and FrozenLake ends on the step that enters a hole. The first state is drawn
from `start`. A terminal transition pays its reward, and what follows it is worth 0; a
state that only terminal transitions enter still needs rows (a loop to itself will do).

The one identity to remember: V(s) = Σₐ π(a|s) Σₛ′ P(s′|s,a) (r + γ·[not terminal]·V(s′)).
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from rlverify.errors import Arguments, dtype_name
from rlverify.tabular_envs.storage import read_record, write_record

FORMAT = "rlverify.FiniteMDP"
VERSION = 1
ARRAYS = ("transition", "reward", "terminal", "start")
FIELDS = ("format", "version", "name", *ARRAYS)


def require_float64(function: str, **arrays: Any) -> None:
    """Require finite float64 arrays; shapes and array types are checked before."""
    for name, array in arrays.items():
        if dtype_name(array) != "float64":
            raise TypeError(
                f"{function}: {name} came as dtype {dtype_name(array)}, wanted float64; "
                f"pass {name}.astype('float64')."
            )
        if not np.isfinite(array).all():
            where = _first(~np.isfinite(array))
            raise ValueError(
                f"{function}: {name}{_brackets(where)} came as {float(array[where])}, "
                f"wanted a finite number."
            )


def require_distributions(function: str, name: str, array: Float[np.ndarray, "... N"]) -> None:
    """Require probabilities, every row (last axis) of which sums to one.

    Source: Higham 2002, Accuracy and Stability of Numerical Algorithms, §4.2: a sum of N
    numbers of one sign has a relative error of at most (N−1)u at first order, in any order.
    """
    if (array < 0).any():
        where = _first(array < 0)
        raise ValueError(
            f"{function}: {name}{_brackets(where)} came as {float(array[where])}, "
            f"wanted a probability."
        )
    sums = array.sum(axis=-1)
    # x/Σx carries N−1 roundings of the sum and one of the quotient; summing it here
    # carries N−1 more: 2N units of roundoff, and a unit is half of eps
    allowed = array.shape[-1] * np.finfo(np.float64).eps
    if (np.abs(sums - 1) > allowed).any():
        where = _first(np.abs(sums - 1) > allowed)
        row = name + (_brackets(where) if where else "")
        raise ValueError(
            f"{function}: {row} came with sum {float(sums[where])!r}, wanted 1; "
            f"divide the row by its sum."
        )


def _first(flags: Any) -> tuple[int, ...]:
    return tuple(int(i[0]) for i in np.nonzero(flags)) if np.ndim(flags) else ()


def _brackets(index: tuple[int, ...]) -> str:
    return "[" + ", ".join(map(str, index)) + "]"


@dataclass(frozen=True, eq=False)
class FiniteMDP:
    """A finite Markov decision process; its arrays are copied and cannot be written to.

        P(s′ | s, a) = transition[s, a, s′]        P(s₀ = s) = start[s]

    Source: Puterman 1994, Markov Decision Processes, §2.1.
    Ours: rewards and ends depend on (s, a, s′); an end is a flag, not an absorbing state.

    Args:
        transition: probabilities, float64 [S, A, S]; the rows over the last axis sum to 1
            up to 2·S roundings.
        reward: float64 [S, A, S], in the environment's own unit; finite also where the
            probability is 0.
        terminal: boolean [S, A, S], True where the transition ends the episode.
        start: probabilities of the first state, float64 [S].
        name: printable, for messages and files.

    Raises:
        TypeError: an array is no NumPy array, or not of float64 (terminal: bool).
        ValueError: shapes disagree, a number is not finite, a probability is negative, or
            a row does not sum to one; the message says which (state, action) and its sum.

    Example:
        >>> import numpy as np
        >>> coin = np.array([[[0.5, 0.5]], [[0.0, 1.0]]])  # two states, one action
        >>> ends = np.array([[[False, True]], [[True, True]]])
        >>> mdp = FiniteMDP(coin, 2 * coin, ends, np.array([1.0, 0.0]), name="coin")
        >>> mdp.states, mdp.actions
        (2, 1)
    """

    transition: Float[np.ndarray, "S A S"]
    reward: Float[np.ndarray, "S A S"]
    terminal: Bool[np.ndarray, "S A S"]
    start: Float[np.ndarray, "S"]
    name: str = "mdp"

    def __post_init__(self) -> None:
        """Check the arrays, then keep read-only copies of them."""
        function = "FiniteMDP"
        arguments = Arguments(function, np.ndarray)
        arguments.floats("S A S", transition=self.transition, reward=self.reward)
        arguments.flags("S A S", terminal=self.terminal)
        if self.transition.shape[2] != self.transition.shape[0]:
            raise ValueError(
                f"{function}: transition came with shape {self.transition.shape}, wanted "
                f"[S, A, S] with as many next states as states."
            )
        arguments.floats("S", start=self.start)
        if not isinstance(self.name, str):
            raise TypeError(
                f"{function}: name came as {type(self.name).__name__}, wanted a string."
            )
        if not self.name.isprintable():
            raise ValueError(
                f"{function}: name came as {self.name!r}, wanted printable characters."
            )
        require_float64(function, transition=self.transition, reward=self.reward, start=self.start)
        require_distributions(function, "transition", self.transition)
        require_distributions(function, "start", self.start)
        for field in ARRAYS:
            copy = np.array(getattr(self, field), order="C")
            copy.setflags(write=False)
            object.__setattr__(self, field, copy)

    @property
    def states(self) -> int:
        """Number of states S."""
        return int(self.transition.shape[0])

    @property
    def actions(self) -> int:
        """Number of actions A."""
        return int(self.transition.shape[1])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write to `path`, as NumPy `.npz` or as `.json` by its suffix; never as pickle.

        Both keep every bit. The file appears under its name only once it is complete.

        Args:
            path: a file name that ends in `.npz` or `.json`; an existing file is replaced.

        Raises:
            ValueError: another suffix.
            OSError: the file cannot be written.
        """
        arrays = {field: getattr(self, field) for field in ARRAYS}
        record = {"format": FORMAT, "version": VERSION, "name": self.name, **arrays}
        write_record("FiniteMDP.save", Path(path), record)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "FiniteMDP":
        """Read what `save` wrote, with every check of the construction.

        Args:
            path: a file name that ends in `.npz` or `.json`.

        Raises:
            ValueError: another suffix, a malformed file, or arrays that describe no process.
            OSError: the file cannot be read; FileNotFoundError where there is none.
        """
        function = "FiniteMDP.load"
        fields = read_record(function, Path(path))
        if set(fields) != set(FIELDS):
            raise ValueError(
                f"{function}: {path} came with the fields {sorted(fields)}, "
                f"wanted {sorted(FIELDS)}."
            )
        if (fields.pop("format"), fields.pop("version")) != (FORMAT, VERSION):
            raise ValueError(
                f"{function}: {path} came in another format, wanted {FORMAT} version {VERSION}."
            )
        try:
            return cls(**fields)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{function}: {path} came with a field that is refused: {error}"
            ) from error
