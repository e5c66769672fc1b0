"""What contracts of planning share: arguments, refusals, mistakes of a backup."""

from typing import Any

import numpy as np

from rlverify.contract import Argument, BadInput, Case, Example, KnownBug
from rlverify.contracts._process_cases import GOOD
from rlverify.contracts._refusals import instead

ARGUMENTS = {
    "transition": Argument("transition", "float", "S A S"),
    "reward": Argument("reward", "float", "S A S"),
    "terminal": Argument("terminal", "flag", "S A S"),
    "start": Argument("start", "float", "S"),
    "values": Argument("values", "float", "S"),
    "policy": Argument("policy", "float", "S A"),
    "old_policy": Argument("old_policy", "float", "S A"),
    "gamma": Argument("gamma", "number"),
    "tolerance": Argument("tolerance", "number"),
    "max_iterations": Argument("max_iterations", "count"),
}
PROCESS = ("transition", "reward", "terminal")


def arguments(names: tuple[str, ...]) -> tuple[Argument, ...]:
    """Return the arguments of these names."""
    return tuple(ARGUMENTS[name] for name in names)


def example(name: str, answers: dict[str, Any], **values: Any) -> Example:
    """Return an example worked by hand."""
    return Example(name, Case(values, "worked", "worked by hand"), answers)


def refusals(function: str, names: tuple[str, ...], *, discounted: bool) -> tuple[BadInput, ...]:
    """Return the refusals of a function of these arguments; γ below 1 where it is discounted."""
    short = np.array([[[0.5, 0.25]] * 3] * 2)
    negative = np.array([[[1.5, -0.5]] * 3] * 2)
    wide = np.full((2, 3, 3), 1 / 3)
    found = [
        instead(function, "transition", "a list", [1.0], TypeError,
                "transition came as list, wanted a floating-point array [S, A, S]."),
        instead(function, "transition", "integers", np.ones((2, 3, 2), dtype=np.int64), TypeError,
                "transition came as dtype int64, wanted a floating-point dtype."),
        instead(function, "transition", "rows that sum to less", short, ValueError,
                "transition came with a row of sum 0.75, wanted 1; divide each row by its sum."),
        instead(function, "transition", "negative", negative, ValueError,
                "transition came with -0.5, wanted probabilities."),
        instead(function, "transition", "more next states", wide, ValueError,
                "transition came with shape (2, 3, 3), wanted [S, A, S] with as many next states "
                "as states."),
        instead(function, "terminal", "numbers", np.zeros((2, 3, 2)), TypeError,
                "terminal came as dtype float64, wanted bool."),
        instead(function, "terminal", "of another shape", np.zeros((2, 2, 2), dtype=bool),
                ValueError, "terminal has shape (2, 2, 2), but transition has shape (2, 3, 2); "
                "they must agree."),
        instead(function, "gamma", "above one", 1.5, ValueError,
                "gamma came as 1.5, wanted a number in [0, 1]."),
        instead(function, "gamma", "text", "0.5", TypeError,
                "gamma came as str, wanted a number in [0, 1]."),
    ]  # fmt: skip
    if discounted:
        found.append(
            instead(function, "gamma", "one", 1.0, ValueError,
                    "gamma came as 1.0, wanted a number below 1; without discount values need an "
                    "end that every policy reaches.")
        )  # fmt: skip
    if "reward" in names:
        found += [
            instead(function, "reward", "NaN", np.full((2, 3, 2), np.nan), ValueError,
                    "reward came with NaN in it, wanted finite numbers."),
            instead(function, "reward", "of states alone", np.zeros((2, 3)), ValueError,
                    "reward came with shape (2, 3), wanted [S, A, S]."),
        ]  # fmt: skip
    for name in ("policy", "old_policy"):
        if name in names:
            found += [
                instead(function, name, "of more actions", np.full((2, 4), 0.25), ValueError,
                        f"{name} has shape (2, 4), but transition has shape (2, 3, 2); they must "
                        "agree."),
                instead(function, name, "weights", np.full((2, 3), 0.5), ValueError,
                        f"{name} came with a row of sum 1.5, wanted 1; divide each row by its "
                        "sum."),
                instead(function, name, "actions", np.array([0, 2]), ValueError,
                        f"{name} came with shape (2,), wanted [S, A]."),
            ]  # fmt: skip
    if "start" in names:
        found.append(
            instead(function, "start", "nowhere", np.zeros(2), ValueError,
                    "start came with a row of sum 0.0, wanted 1; divide each row by its sum.")
        )  # fmt: skip
    if "values" in names:
        found += [
            instead(function, "values", "infinite", np.array([np.inf, 0.0]), ValueError,
                    "values came with an infinity in it, wanted finite numbers."),
            instead(function, "values", "of more states", np.zeros(3), ValueError,
                    "values has shape (3,), but transition has shape (2, 3, 2); they must agree."),
        ]  # fmt: skip
    if "tolerance" in names:
        found += [
            instead(function, "tolerance", "negative", -0.5, ValueError,
                    "tolerance came as -0.5, wanted a finite number of at least 0."),
            instead(function, "tolerance", "NaN", float("nan"), ValueError,
                    "tolerance came as nan, wanted a finite number of at least 0."),
        ]  # fmt: skip
    if "max_iterations" in names:
        found += [
            instead(function, "max_iterations", "none", 0, ValueError,
                    "max_iterations came as 0, wanted an integer of at least 1."),
            instead(function, "max_iterations", "a float", 2.0, TypeError,
                    "max_iterations came as float, wanted an integer."),
        ]  # fmt: skip
    return tuple(bad for bad in found if bad.name.split(":")[0] in names)


WORTH = "worth = 0 if terminal[s, a, after] else values[after]"
TERM = "total = total + transition[s, a, after] * (reward[s, a, after] + gamma * worth)"

# mistakes of a single backup, wherever one is made
BACKUP_BUGS = (
    KnownBug("P1", WORTH, "worth = values[after]", "backup"),
    KnownBug("P2", "gamma * worth", "worth", "backup"),
    KnownBug(
        "P3", TERM,
        TERM.replace("(reward", "(0 if terminal[s, a, after] else reward"),
        "backup",
    ),
    KnownBug("P5", "transition[s, a, after] *", "transition[after, a, s] *", "backup"),
    KnownBug("P6", "else values[after]", "else values[s]", "backup"),
    KnownBug(
        "P12", TERM,
        TERM.replace("total + transition[s, a, after] * (",
                     "total if transition[s, a, after] == 0 else transition[s, a, after] * ("),
        "backup",
    ),
)  # fmt: skip
assert set(GOOD) >= set(ARGUMENTS)
