"""Small processes whose every number is known, built as `FiniteMDP`.

Every probability and reward made here is an integer over a power of two (with `grid`, as
long as its `slip` is), so `fractions.Fraction(x)` of an entry is the number that is meant
and every row sums to exactly one: nothing stands in the way of exact arithmetic.

Where an episode ends, the last state of the arrays is the one it ends in. Nothing happens
there: its transitions lead to itself, pay 0 and are terminal. `terminal` marks the step
that enters it; the flags, not the state, are what ends an episode.
"""

import numpy as np
from jaxtyping import Float

from rlverify.errors import Arguments
from rlverify.tabular_envs.finite_mdp import FiniteMDP

UP, RIGHT, DOWN, LEFT = range(4)
MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))  # (row, column), clockwise from UP


class _Builder:
    """Arrays that outcomes are added to, one by one."""

    def __init__(self, states: int, actions: int) -> None:
        self.transition = np.zeros((states, actions, states))
        self.reward = np.zeros((states, actions, states))
        self.terminal = np.zeros((states, actions, states), dtype=bool)
        self.start = np.zeros(states)

    def add(
        self, at: int, action: int, to: int, *, reward: float, ends: bool = False, p: float = 1.0
    ) -> None:
        if p == 0:
            return  # an outcome without probability leaves no reward and no flag
        self.transition[at, action, to] += p
        self.reward[at, action, to] = reward
        self.terminal[at, action, to] = ends

    def rest(self, state: int) -> None:
        """Let nothing happen in a state that only terminal transitions enter."""
        for action in range(self.transition.shape[1]):
            self.add(state, action, state, reward=0, ends=True)

    def build(self, name: str, start: int = 0) -> FiniteMDP:
        self.start[start] = 1
        return FiniteMDP(self.transition, self.reward, self.terminal, self.start, name)


def two_button_game(bonus: float = 0) -> FiniteMDP:
    """One step, two buttons: left pays 1 + bonus, right pays −1 + bonus.

        J(p) = 2p − 1 + bonus        ∂J/∂θ_left = 2p(1−p)        p = π(left)

    The bonus leaves the gradient as it is and changes the variance of its estimate.

    Args:
        bonus: added to both rewards; 100 is the textbook's instance.

    Returns:
        Two states (the game, its end) and two actions (0 left, 1 right).

    Raises:
        TypeError: bonus is not a number.
    """
    Arguments("two_button_game", np.ndarray).number("bonus", bonus)
    builder = _Builder(2, 2)
    builder.add(0, 0, 1, reward=float(bonus + 1), ends=True)
    builder.add(0, 1, 1, reward=float(bonus - 1), ends=True)
    builder.rest(1)
    return builder.build(f"two_button_game({bonus})")


def chain(length: int) -> FiniteMDP:
    """A line of states; action 1 moves on, action 0 stays, and the last move on pays 1.

    Closed form in `chain_values`.

    Args:
        length: number of states before the end, at least 1.

    Returns:
        length + 1 states (the last is the end) and two actions; starts in state 0.

    Raises:
        TypeError, ValueError: length is not an integer of at least 1.
    """
    Arguments("chain", np.ndarray).count("length", length, least=1)
    builder = _Builder(length + 1, 2)
    for state in range(length):
        last = state == length - 1
        builder.add(state, 0, state, reward=0)
        builder.add(state, 1, state + 1, reward=float(last), ends=last)
    builder.rest(length)
    return builder.build(f"chain({length})")


def chain_values(length: int, advance: float, *, gamma: float) -> Float[np.ndarray, "S"]:
    """V of `chain(length)` under the policy that moves on with one probability everywhere.

        V(s) = γⁿ⁻¹ qⁿ        q = p / (1 − γ(1−p)),  n = length − s moves to go,  p = advance

    Source: the number of steps to n successes is negative binomial, and E γ^steps is its
        probability generating function, (γq)ⁿ; the last step's reward is discounted once less.

    Args:
        length: number of states before the end, at least 1.
        advance: probability of moving on, above 0 and at most 1.
        gamma: discount in [0, 1].

    Returns:
        [length + 1]; the end is worth 0.

    Raises:
        TypeError, ValueError: an argument is no number in its range.

    Example:
        >>> chain_values(3, 1.0, gamma=0.5)
        array([0.25, 0.5 , 1.  , 0.  ])
    """
    arguments = Arguments("chain_values", np.ndarray)
    arguments.count("length", length, least=1)
    arguments.unit(advance=advance, gamma=gamma)
    if advance == 0:
        raise ValueError("chain_values: advance came as 0, wanted a number above 0, at most 1.")
    p, discount = float(advance), float(gamma)
    per_move = p / (1 - discount * (1 - p))
    values = np.cumprod([per_move] + [discount * per_move] * (length - 1))[::-1]
    return np.append(values, 0.0)


def corridor(length: int) -> FiniteMDP:
    """A walled line; every step costs 1 until the far end is left, so time limits bind.

    A wandering policy needs about length² steps, so a limit of a few lengths truncates
    most episodes where V is far from 0: dropping the bootstrap there shows.

    Args:
        length: number of cells, at least 1.

    Returns:
        length + 1 states (the last is the exit) and two actions (0 left, 1 right); starts
        in cell 0. The time limit belongs to the environment: `rlverify/Corridor-v0` has one.

    Raises:
        TypeError, ValueError: length is not an integer of at least 1.
    """
    Arguments("corridor", np.ndarray).count("length", length, least=1)
    builder = _Builder(length + 1, 2)
    for cell in range(length):
        builder.add(cell, 0, max(cell - 1, 0), reward=-1)
        builder.add(cell, 1, cell + 1, reward=-1, ends=cell == length - 1)
    builder.rest(length)
    return builder.build(f"corridor({length})")


def grid(rows: int, columns: int, slip: float = 0.0) -> FiniteMDP:
    """A walled grid from the top left to the bottom right corner; every step costs 1.

    Args:
        rows: number of rows, at least 1.
        columns: number of columns, at least 1; the grid has at least two cells.
        slip: probability that the move is a turn instead, half to each side.

    Returns:
        rows × columns states, row by row; four actions (0 up, 1 right, 2 down, 3 left).

    Raises:
        TypeError, ValueError: an argument is no number in its range.
    """
    arguments = Arguments("grid", np.ndarray)
    arguments.count("rows", rows, least=1)
    arguments.count("columns", columns, least=2 if rows == 1 else 1)
    arguments.unit(slip=slip)
    goal = rows * columns - 1
    builder = _Builder(goal + 1, 4)
    for cell in range(goal):
        for action in range(4):
            for move, p in ((action, 1 - slip), (action - 1, slip / 2), (action + 1, slip / 2)):
                to = _neighbour(cell, move % 4, rows, columns)
                builder.add(cell, action, to, reward=-1, ends=to == goal, p=p)
    builder.rest(goal)
    return builder.build(f"grid({rows}, {columns}, {slip})")


def cliff(rows: int = 4, columns: int = 12) -> FiniteMDP:
    """Cliff walking: along the bottom row from corner to corner lies a cliff.

    A step costs 1; a step onto the cliff costs 100 and leads back to the start.

    Source: Sutton & Barto 2018, example 6.6.

    Args:
        rows: number of rows, at least 2.
        columns: number of columns, at least 3.

    Returns:
        rows × columns states, row by row, the cliff's own cells included though nothing
        enters them; four actions (0 up, 1 right, 2 down, 3 left).

    Raises:
        TypeError, ValueError: an argument is no integer in its range.
    """
    arguments = Arguments("cliff", np.ndarray)
    arguments.count("rows", rows, least=2)
    arguments.count("columns", columns, least=3)
    start, goal = (rows - 1) * columns, rows * columns - 1
    builder = _Builder(goal + 1, 4)
    for cell in range(goal):
        for action in range(4):
            to = _neighbour(cell, action, rows, columns)
            if start < to < goal:
                builder.add(cell, action, start, reward=-100)
            else:
                builder.add(cell, action, to, reward=-1, ends=to == goal)
    builder.rest(goal)
    return builder.build(f"cliff({rows}, {columns})", start)


def _neighbour(cell: int, move: int, rows: int, columns: int) -> int:
    row, column = divmod(cell, columns)
    down, right = MOVES[move]
    row = min(max(row + down, 0), rows - 1)
    return row * columns + min(max(column + right, 0), columns - 1)


def sentences(words: int, length: int, *, seed: int = 0) -> FiniteMDP:
    """Sentences over a small vocabulary, written word by word; each pays when it is complete.

    What stands so far is the state, so a policy may say anything anywhere. A sentence is complete
    with the end token (action 0), or with its last possible word; sentences differ in length.
    The n sentences pay 0, 1, …, n − 1, in an order that the seed shuffles.

    Args:
        words: number of words beside the end token, at least 1.
        length: largest number of tokens, at least 1.
        seed: of the order in which the sentences pay.

    Returns:
        A state for each beginning of fewer than `length` words, shorter ones first, and the end;
        words + 1 actions.

    Raises:
        TypeError, ValueError: an argument is no integer in its range.
    """
    arguments = Arguments("sentences", np.ndarray)
    arguments.count("words", words, least=1)
    arguments.count("length", length, least=1)
    arguments.count("seed", seed, least=0)
    levels = [words**level for level in range(length)]
    beginnings = sum(levels)
    builder = _Builder(beginnings + 1, words + 1)
    # one sentence ends after each beginning, and those of full length need no end token
    pay = iter(np.random.default_rng(seed).permutation(beginnings + levels[-1] * words))
    for state in range(beginnings):
        builder.add(state, 0, beginnings, reward=float(next(pay)), ends=True)
        for word in range(1, words + 1):
            longer = words * state + word  # as the children of a node in a heap are numbered
            if longer < beginnings:
                builder.add(state, word, longer, reward=0)
            else:
                builder.add(state, word, beginnings, reward=float(next(pay)), ends=True)
    builder.rest(beginnings)
    return builder.build(f"sentences({words}, {length}, seed={seed})")
