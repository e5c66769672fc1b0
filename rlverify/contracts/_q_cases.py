"""What the contracts of the topic `q_learning` share: transitions, laws, refusals."""

import functools
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from rlverify.contract import Argument, BadInput, Case, Claim, KnownBug, Law, Subject
from rlverify.contracts._recordings import equals_exactly, exact, same
from rlverify.contracts._refusals import bad, bad_floats
from rlverify.inputs import DISCOUNTS, GARBAGE, distinct

VALUES = ("next_q_values", "next_q_online", "next_q_target", "next_probabilities")
ARGUMENTS = {
    "rewards": Argument("rewards", "float", "N"),
    **{name: Argument(name, "float", "N A") for name in VALUES},
    "next_actions": Argument("next_actions", "integer", "N"),
    "terminated": Argument("terminated", "flag", "N"),
    "legal": Argument("legal", "legal", "N A"),
    "gamma": Argument("gamma", "discount", "N"),
}
SHAPES = ((1, 2), (1, 4), (2, 2), (2, 3), (3, 1), (3, 2), (3, 3), (3, 3), (4, 2), (4, 3), (5, 2))
SIZES = ((32, 4), (4096, 6), (256, 18), (262144, 6))


def arguments(names: tuple[str, ...]) -> tuple[Argument, ...]:
    """Return the argument records of the given names."""
    return tuple(ARGUMENTS[name] for name in names)


# --- inputs --------------------------------------------------------------------------------------


def _legal(kind: str, ended: np.ndarray, actions: int, rng: np.random.Generator) -> Any:
    """Return which actions are legal: at least one in each row that goes on."""
    if kind == "none":
        return None
    shape = (len(ended), actions)
    legal = np.ones(shape, dtype=bool) if kind == "full" else rng.random(shape) < 0.5
    legal[np.arange(len(ended)), rng.integers(0, actions, len(ended))] = True
    if kind == "some" and rng.random() < 0.8:  # where nothing follows, nothing need be legal
        legal[ended] = False
    return legal


@st.composite
def transitions(draw: st.DrawFn, names: tuple[str, ...]) -> Case:
    """Draw N transitions with the values of A actions in the state that follows.

    Whatever is not read, after an end or of an illegal action, may be garbage: a finite number
    after an end, which many a right program multiplies by 0, and anything at an illegal action.
    In cases of the kind `ties` some actions are equally good for `next_q_online`.
    """
    count, actions = shape = draw(st.sampled_from(SHAPES))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rewards, *values = distinct(rng, (count,), shape, shape)
    if draw(st.integers(0, 3)) == 0:  # where nothing is worth more than 0, a 0 is seen
        values = [-np.abs(array) for array in values]
    ended = rng.random(count) < draw(st.sampled_from((0.0, 0.3, 0.5, 0.5, 0.5, 0.5, 0.5, 1.0)))
    kind = draw(st.sampled_from(("none", "full", "some", "some")))
    legal = _legal(kind, ended, actions, rng) if "legal" in names else None
    named = dict(zip((n for n in names if n in VALUES), values, strict=False))
    case = "free"
    if "next_q_online" in names and draw(st.integers(0, 3)) == 0:
        case, named["next_q_online"] = "ties", rng.integers(0, 2, shape) / 8
    read = np.broadcast_to(~ended[:, None], shape) & (True if legal is None else legal)
    if "next_probabilities" in names:
        named["next_probabilities"] = np.stack([_shares(row, rng) for row in read])
    garbage = draw(st.sampled_from((None, *GARBAGE, np.nan)))
    if garbage is not None:
        finite = garbage if np.isfinite(garbage) else 2.0**15
        there = np.where(ended[:, None], finite, garbage)
        named = {name: np.where(read, array, there) for name, array in named.items()}
    gamma: Any = draw(st.sampled_from((*DISCOUNTS, 0.5, 0.9, *["per step"] * 12)))
    if gamma == "per step":
        gamma = rng.integers(0, 9, count) / 8
    everything = {
        **named, "rewards": rewards, "terminated": ended, "legal": legal, "gamma": gamma,
        "next_actions": rng.integers(0, actions, count),
    }  # fmt: skip
    return Case({name: everything[name] for name in names}, case)


def _shares(legal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return probabilities of legal actions, in eighths."""
    if not legal.any():
        legal = np.ones_like(legal)
    weights = legal * rng.random(len(legal))
    return np.asarray(rng.multinomial(8, weights / weights.sum()) / 8)


def sized(names: tuple[str, ...]) -> Callable[[tuple[int, ...]], Case]:
    """Return the function that makes a case of a benchmark size: one in ten transitions ends."""

    def case(shape: tuple[int, ...]) -> Case:
        rng = np.random.default_rng(0)
        legal = rng.random(shape) < 0.8
        legal[:, 0] = True
        everything = {
            **{name: rng.integers(-255, 256, shape) / 128 for name in VALUES},
            "rewards": rng.integers(-255, 256, shape[:1]) / 128,
            "next_probabilities": np.full(shape, 1 / 8),
            "next_actions": rng.integers(0, shape[1], shape[0]),
            "terminated": rng.random(shape[0]) < 0.1,
            "legal": legal,
            "gamma": 0.99,
        }
        return Case({name: everything[name] for name in names}, label="timing")

    return case


def good(names: tuple[str, ...]) -> Case:
    """Return the good case that bad inputs spoil: two transitions, three actions."""
    numbers = np.arange(6.0).reshape(2, 3) / 8
    everything = {
        **dict.fromkeys(VALUES, numbers),
        "rewards": np.array([1.0, 2.0]),
        "next_probabilities": np.full((2, 3), 0.25),
        "next_actions": np.array([0, 2]),
        "terminated": np.array([False, False]),
        "legal": np.array([[True, False, True], [True, True, True]]),
        "gamma": 0.5,
    }
    return Case({name: everything[name] for name in names}, label="good")


# --- laws ----------------------------------------------------------------------------------------


def arrays_of(case: Case) -> dict[str, np.ndarray]:
    """Return the values in the next states, by argument."""
    return {name: case[name] for name in VALUES if name in case.arguments}


def legal_of(case: Case) -> np.ndarray:
    """Return which actions are legal, all where the case says None or does not say."""
    legal = case.arguments.get("legal")
    return np.ones_like(next(iter(arrays_of(case).values())), bool) if legal is None else legal


def read_of(case: Case) -> np.ndarray:
    """Return which values are read: legal, in a state that something follows from."""
    return np.asarray(legal_of(case) & ~case["terminated"][:, None])


def discounts(case: Case) -> np.ndarray:
    """Return γ of each transition."""
    return np.broadcast_to(np.asarray(case["gamma"], dtype=float), case["rewards"].shape)


def spoiled(case: Case, where: np.ndarray, garbage: float) -> Case:
    """Return the case with garbage in all values at some places."""
    return case.but(**{k: np.where(where, garbage, v) for k, v in arrays_of(case).items()})


def check_terminal(subject: Subject, case: Case) -> Iterable[Claim]:
    """Where the episode ended the target is the reward, whatever number stands in what follows."""
    ended = case["terminated"]
    if not ended.any():
        return
    there = spoiled(case, np.broadcast_to(ended[:, None], legal_of(case).shape), 2.0**13)
    got, allowed = subject(there)["targets"], subject.bound(there)["targets"]
    yield Claim(got[ended], case["rewards"][ended], allowed[ended])


def check_illegal(subject: Subject, case: Case) -> Iterable[Claim]:
    """Whatever stands at an illegal action changes nothing."""
    legal = legal_of(case)
    if legal.all():
        return
    lowest = spoiled(case, ~legal, -(2.0**10))
    for garbage in (0.0, 2.0**13, np.nan, np.inf):
        there = spoiled(case, ~legal, garbage)
        yield from same(subject, there, subject(lowest), lowest)


def check_reward(subject: Subject, case: Case) -> Iterable[Claim]:
    """Adding 8 to every reward adds 8 to every target."""
    more, plain = case.but(rewards=case["rewards"] + 8), subject(case)["targets"]
    if np.isfinite(plain).all():
        allowed = subject.bound(more)["targets"] + subject.bound(case)["targets"]
        yield equals_exactly(subject(more)["targets"], exact(plain) + 8, allowed)


def check_alone(subject: Subject, case: Case) -> Iterable[Claim]:
    """Compare every transition among the others with that transition alone."""
    got, allowed = subject(case)["targets"], subject.bound(case)["targets"]
    for n in range(len(got)):
        rows = {k: v[n : n + 1] for k, v in case.arguments.items() if isinstance(v, np.ndarray)}
        alone = case.but(**rows)
        slack = allowed[n : n + 1] + subject.bound(alone)["targets"]
        yield Claim(got[n : n + 1], subject(alone)["targets"], slack)


def check_per_step(subject: Subject, case: Case) -> Iterable[Claim]:
    """Give γ once for all, and once for every transition: nothing changes."""
    if not isinstance(case["gamma"], np.ndarray):
        yield from same(subject, case.but(gamma=discounts(case).copy()), subject(case), case)


def check_renamed(subject: Subject, case: Case) -> Iterable[Claim]:
    """Number the actions the other way round: nothing changes."""
    turned = {name: array[:, ::-1].copy() for name, array in arrays_of(case).items()}
    if case.arguments.get("legal") is not None:
        turned["legal"] = case["legal"][:, ::-1].copy()
    yield from same(subject, case.but(**turned), subject(case), case)


def chosen(case: Case, rewards: np.ndarray, worth: np.ndarray) -> np.ndarray:
    """Return r + γ · (0 if terminated else worth), exactly."""
    follows = np.where(case["terminated"], 0.0, worth)
    return np.asarray(exact(rewards) + exact(discounts(case)) * exact(follows))


def expects(subject: Subject, case: Case, worth: np.ndarray) -> Claim:
    """Claim that the targets are those of the given worths of the next states."""
    wanted = chosen(case, case["rewards"], worth)
    got = subject(case)["targets"]
    return equals_exactly(got, wanted, subject.bound(case)["targets"])


def one_best(case: Case) -> Iterable[tuple[np.ndarray, np.ndarray]]:
    """Yield, for two actions a row, which one is best, and values that are 3 there and −1 else."""
    legal = legal_of(case) | ~legal_of(case).any(axis=1, keepdims=True)
    for order in (1, -1):
        best = (np.cumsum(legal[:, ::order], axis=1) == 1) & legal[:, ::order]
        best = best[:, ::order]
        yield best, np.where(best, 3.0, -1.0)


ALONE = Law("transitions-independent", "a target does not depend on the other transitions",
            check_alone)  # fmt: skip
TERMINAL = Law("terminal-value-unread", "where the episode ended the target is the reward",
               check_terminal)  # fmt: skip
REWARD = Law("reward-shift", "8 more reward is 8 more target", check_reward)
PER_STEP = Law("gamma-per-transition", "one discount, given once or for each transition",
               check_per_step)  # fmt: skip
ILLEGAL = Law("illegal-invisible", "nothing that stands at an illegal action matters",
              check_illegal)  # fmt: skip
RENAMED = Law("actions-renamed", "the numbering of the actions does not matter", check_renamed)
COMMON_LAWS = (TERMINAL, REWARD, ALONE, PER_STEP)

# --- known bugs ----------------------------------------------------------------------------------

BACKUP = "targets[n] = rewards[n] + _discount(gamma, n) * bootstrap"
OPEN = "if not terminated[n]:"


def backup_bugs(ends: str, read: str) -> tuple[KnownBug, ...]:
    """Return what goes wrong in r + γ·bootstrap, given the test of the end and its absence."""
    return (
        KnownBug("H31", ends, read),
        KnownBug("Q1", BACKUP, "targets[n] = _discount(gamma, n) * (rewards[n] + bootstrap)"),
        KnownBug("A10", BACKUP, BACKUP.replace("rewards[n]", "rewards[n - 1]")),
        KnownBug(
            "A24", BACKUP,
            BACKUP.replace("* bootstrap", "* (bootstrap if np.ndim(gamma) == 0 or not "
                           "terminated[n - 1] else 0)"),
        ),
    )  # fmt: skip


# --- refusals ------------------------------------------------------------------------------------


def refusals(function: str, names: tuple[str, ...]) -> tuple[BadInput, ...]:
    """Return the refusals of a target."""
    refused = functools.partial(bad, function)
    entries = [
        *bad_floats(function, "rewards", "[N]"),
        refused("rewards", "a column", lambda x: x[:, None], ValueError,
                "rewards came with shape (2, 1), wanted [N]."),
        refused("terminated", "numbers", lambda x: x * 1.0, TypeError,
                "terminated came as dtype float64, wanted bool."),
        refused("gamma", "above 1", lambda _: 1.5, ValueError,
                "gamma came as 1.5, wanted a number in [0, 1]."),
        refused("gamma", "one too many", lambda _: np.full(3, 0.5), ValueError,
                "gamma has shape (3,), but rewards has shape (2,); they must agree."),
    ]  # fmt: skip
    first = next(name for name in names if name in VALUES)
    entries += [
        refused(first, "one row", lambda x: x[:1], ValueError,
                f"{first} has shape (1, 3), but rewards has shape (2,); they must agree."),
    ]  # fmt: skip
    entries += [
        refused(name, "an action short", lambda x: x[:, :2], ValueError,
                f"{name} has shape (2, 2), but {first} has shape (2, 3); they must agree.")
        for name in names if name in VALUES and name != first
    ]  # fmt: skip
    if "legal" in names:
        entries += [
            refused("legal", "none in a row that goes on",
                    lambda x: np.array([[False] * 3, [True] * 3]), ValueError,
                    "legal came with a row without a True element that did not terminate, wanted "
                    "at least one legal action in each of these."),
            refused("legal", "numbers", lambda x: x * 1.0, TypeError,
                    "legal came as dtype float64, wanted bool."),
        ]  # fmt: skip
    if "next_actions" in names:
        entries += [
            refused("next_actions", "out of range", lambda x: x + 1, ValueError,
                    "next_actions came with 3 in it, wanted actions in [0, 3)."),
            refused("next_actions", "numbers", lambda x: x * 1.0, TypeError,
                    "next_actions came as dtype float64, wanted int64."),
        ]  # fmt: skip
    return tuple(entries)
