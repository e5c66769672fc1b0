"""The contract of `reinforce_weights`: what it must satisfy and what people get wrong.

It belongs to the topic `score_function`; it stands here so that each file fits a sitting.
"""

from collections.abc import Callable, Iterable
from fractions import Fraction

import numpy as np
from hypothesis import strategies as st

from rlverify.contract import (
    Argument,
    BadInput,
    Case,
    Claim,
    Contract,
    Convention,
    Equivalent,
    Example,
    KnownBug,
    Law,
    Subject,
)
from rlverify.contracts._recordings import (
    discounts,
    equals_exactly,
    exact,
    same,
    start_flags,
    transposed,
    transposed_back,
    window,
)
from rlverify.contracts._refusals import bad, bad_floats
from rlverify.fast import score_function as fast
from rlverify.inputs import recordings
from rlverify.reference import score_function as reference

RECORDED = ("rewards", "terminated", "truncated", "gamma")
KINDS = {
    (True, True): "to go, discounted", (True, False): "to go, plain",
    (False, True): "whole, discounted", (False, False): "whole, plain",
}  # fmt: skip
SIZES = ((24, 4), (2048, 8), (128, 8), (128, 4096))


@st.composite
def episodes(draw: st.DrawFn) -> Case:
    """Draw a recording that begins inside episodes or at their start, and both switches."""
    # six rows of three columns hold every kind of end, and are cheap to judge
    recording = window(draw(recordings(RECORDED, ("free",))), slice(6), slice(3))
    batch = recording["rewards"].shape[1]
    start_steps = np.zeros(batch, dtype=np.int64)
    if not isinstance(recording["gamma"], np.ndarray) and draw(st.booleans()):
        rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        start_steps = rng.integers(0, 4, batch)
    to_go, discount_states = draw(st.booleans()), draw(st.booleans())
    names = ("rewards", "terminated", "truncated")
    return Case(
        {
            **{name: recording[name] for name in names},
            "start_steps": start_steps,
            "gamma": recording["gamma"],
            "to_go": to_go,
            "discount_states": discount_states,
        },
        KINDS[to_go, discount_states],
    )


def sized(shape: tuple[int, ...]) -> Case:
    """Return a case of a benchmark size: discounted rewards to go, few ends."""
    rng = np.random.default_rng(0)
    arguments = {
        "rewards": rng.integers(-255, 256, shape) / 128,
        "terminated": rng.random(shape) < 0.02,
        "truncated": rng.random(shape) < 0.01,
        "start_steps": rng.integers(0, 100, shape[1]),
        "gamma": 0.99,
        "to_go": True,
        "discount_states": True,
    }
    return Case(arguments, KINDS[True, True], "timing")


def ended(case: Case) -> np.ndarray:
    """Return where an episode ends."""
    return np.asarray(case["terminated"] | case["truncated"])


def first_rows(case: Case) -> np.ndarray:
    """Return for every row the row in which its episode begins."""
    begins = np.concatenate([np.ones_like(ended(case)[:1]), ended(case)[:-1]])
    rows = np.arange(len(begins))[:, None]
    return np.asarray(np.maximum.accumulate(np.where(begins, rows, 0), axis=0))


def factors(case: Case) -> np.ndarray:
    """Return γᵏ of every row as fractions, k its step in the episode."""
    gamma, first = exact(discounts(case)), first_rows(case)
    found = exact(np.ones(gamma.shape))
    for t, b in np.ndindex(gamma.shape):
        if first[t, b] < t:
            found[t, b] = found[t - 1, b] * gamma[t - 1, b]
        elif t == 0:
            found[t, b] = gamma[0, b] ** int(case["start_steps"][b])
    return found


def rounded_up(product: np.ndarray) -> np.ndarray:
    """Return a product of float64 numbers, one of them converted, no smaller than the true one."""
    return product * (1 + 4 * 2.0**-53)


def columns_of(case: Case, b: int, rows: slice = slice(None)) -> Case:
    """Return rows of one column; a row that is not the first begins an episode."""
    names = ("rewards", "terminated", "truncated", "gamma")
    cut = {n: case[n][rows, b : b + 1] for n in names if isinstance(case[n], np.ndarray)}
    start = case["start_steps"][b : b + 1] if not rows.start else np.zeros(1, dtype=np.int64)
    return case.but(**cut, start_steps=start)


# --- laws --------------------------------------------------------------------------------------


def check_columns(subject: Subject, case: Case) -> Iterable[Claim]:
    """Compare every column of the whole with that column alone."""
    got, allowed = subject(case)["weights"], subject.bound(case)["weights"]
    for b in range(got.shape[1]):
        alone = columns_of(case, b)
        wanted, bound = subject(alone)["weights"], subject.bound(alone)["weights"]
        yield Claim(got[:, b : b + 1], wanted, allowed[:, b : b + 1] + bound)


def check_split(subject: Subject, case: Case) -> Iterable[Claim]:
    """Cut the first column that has an end inside at its ends, and compare the parts."""
    inside = ended(case)[:-1]
    columns = np.flatnonzero(inside.any(axis=0))
    if columns.size == 0:
        return
    b = int(columns[0])
    got, allowed = subject(case)["weights"], subject.bound(case)["weights"]
    starts = [0, *(int(t) + 1 for t in np.flatnonzero(inside[:, b]))]
    for start, stop in zip(starts, [*starts[1:], len(got)], strict=True):
        part = columns_of(case, b, slice(start, stop))
        wanted, bound = subject(part)["weights"], subject.bound(part)["weights"]
        yield Claim(got[start:stop, b : b + 1], wanted, allowed[start:stop, b : b + 1] + bound)


def check_impulse(subject: Subject, case: Case) -> Iterable[Claim]:
    """A single reward of 1 reaches the steps of its episode with the right powers of γ."""
    shape = case["rewards"].shape
    gamma, first, power = exact(discounts(case)), first_rows(case), factors(case)
    for row in {shape[0] - 1, shape[0] // 2}:
        rewards, wanted = np.zeros(shape), exact(np.zeros(shape))
        rewards[row] = 1
        for t, b in np.ndindex(shape):
            if first[t, b] != first[row, b]:
                continue
            if case["to_go"]:
                wanted[t, b] = Fraction(int(t <= row))
                for s in range(t, row):
                    wanted[t, b] = wanted[t, b] * gamma[s, b]
            else:
                wanted[t, b] = power[row, b]
            if case["discount_states"]:
                wanted[t, b] = power[t, b] * wanted[t, b]
        impulse = case.but(rewards=rewards)
        yield equals_exactly(subject(impulse)["weights"], wanted, subject.bound(impulse)["weights"])


def check_first_step(subject: Subject, case: Case) -> Iterable[Claim]:
    """The whole return, of all steps of an episode, is γᵏ times that to go from its first."""
    whole = case.but(to_go=False, discount_states=False)
    to_go = case.but(to_go=True, discount_states=True)
    first = first_rows(case)
    wanted = np.take_along_axis(subject(to_go)["weights"], first, axis=0)
    slack = np.take_along_axis(subject.bound(to_go)["weights"], first, axis=0)
    yield Claim(subject(whole)["weights"], wanted, subject.bound(whole)["weights"] + slack)


def check_factor(subject: Subject, case: Case) -> Iterable[Claim]:
    """Discounting states multiplies the weight of step k of an episode by γᵏ."""
    plain, with_factor = case.but(discount_states=False), case.but(discount_states=True)
    power, weights = factors(case), subject(plain)["weights"]
    if np.isfinite(weights).all():
        slack = rounded_up(power.astype(float) * subject.bound(plain)["weights"])
        wanted = power * exact(weights)
        allowed = subject.bound(with_factor)["weights"] + slack
        yield equals_exactly(subject(with_factor)["weights"], wanted, allowed)


def check_later_start(subject: Subject, case: Case) -> Iterable[Claim]:
    """A start one step later discounts what counts from the start once more, in episode one."""
    if isinstance(case["gamma"], np.ndarray):
        return
    later, weights = case.but(start_steps=case["start_steps"] + 1), subject(case)["weights"]
    gamma = Fraction(case["gamma"])
    shift = gamma ** (int(not case["to_go"]) + int(case["discount_states"]))
    times = exact(np.ones(weights.shape))
    times[first_rows(case) == 0] = shift
    if np.isfinite(weights).all():
        slack = rounded_up(times.astype(float) * subject.bound(case)["weights"])
        allowed = subject.bound(later)["weights"] + slack
        yield equals_exactly(subject(later)["weights"], times * exact(weights), allowed)


def check_gamma_per_step(subject: Subject, case: Case) -> Iterable[Claim]:
    """Give γ once for all, and once for every step: nothing changes."""
    if not isinstance(case["gamma"], np.ndarray):
        start = np.zeros_like(case["start_steps"])
        once = case.but(start_steps=start)
        yield from same(subject, once.but(gamma=discounts(case).copy()), subject(once), once)


def check_ends_alike(subject: Subject, case: Case) -> Iterable[Claim]:
    """Nothing is bootstrapped, so a truncation is an end like a termination."""
    exchanged = case.but(terminated=case["truncated"], truncated=case["terminated"])
    yield from same(subject, exchanged, subject(case), case)


# --- known bugs and conventions ----------------------------------------------------------------

ENDED = "ended = terminated | truncated"
BUGS = (
    KnownBug("A10", "following = rewards[t, b] +",
             "following = (rewards[t - 1, b] if t else 0) +"),
    KnownBug("A19", "return weights", "return weights.squeeze()"),
    KnownBug("A24", ENDED, f"{ENDED} & (np.ndim(gamma) == 0)"),
    KnownBug("B2", ENDED, "ended = terminated"),
    KnownBug("C1", "returns[t, b] = following", "returns[t, b] = factors[t, b] * rewards[t, b]"),
    KnownBug("C2", "returns[t, b] if to_go else whole", "whole"),
    KnownBug("C3", "for t in reversed(range(steps)):", "for t in range(steps):"),
    KnownBug("C4", "following = 0 if ended[t, b] else following", "pass"),
    KnownBug("C12", "factor = 1 if ended[t, b] else factor * discount[t, b]",
             "factor = factor * discount[t, b]"),
    KnownBug("C13", "discount = per_step(gamma, rewards)",
             "discount = per_step(gamma if np.ndim(gamma) == 0 else gamma[0, 0], rewards)"),
    KnownBug("C14", "return weights", "return weights.reshape(batch, steps).T"),
)  # fmt: skip


def discounted_first(
    rewards: np.ndarray, terminated: np.ndarray, truncated: np.ndarray, start_steps: np.ndarray,
    *, gamma: float | np.ndarray, to_go: bool, discount_states: bool,
) -> np.ndarray:  # fmt: skip
    """Multiply each reward by γᵏ first, then add up from the end: γᵗ Gₜ in one sum."""
    steps, batch = rewards.shape
    per_step = np.broadcast_to(np.asarray(gamma, dtype=rewards.dtype), rewards.shape)
    result = np.empty_like(rewards)
    for b in range(batch):
        factor, earned = per_step[0, b] ** start_steps[b], np.empty(steps)
        for t in range(steps):
            earned[t] = factor * rewards[t, b]
            factor = 1.0 if terminated[t, b] or truncated[t, b] else factor * per_step[t, b]
        following = 0.0
        for t in reversed(range(steps)):
            following = 0.0 if terminated[t, b] or truncated[t, b] else following
            following += earned[t]
            result[t, b] = following
    return result


def state_discount(value: str, sentence: str, wrong: str) -> Convention:
    """Return a convention on γᵗ."""
    return Convention("state_discount", value, sentence, edits=(("if discount_states:", wrong),))


CONVENTIONS = (
    Convention("layout", "batch-major", "recordings are given and returned as [B, T]",
               inputs=transposed, outputs=transposed_back),
    Convention(
        "done", "start", "flags say whether the state before the step began a new episode",
        inputs=start_flags,
    ),
    state_discount("absent", "weights never carry γᵗ: the common form, biased for J discounted "
                   "from the start", "if False:"),
    state_discount("present", "weights always carry γᵗ", "if True:"),
    Convention(
        "step_count", "from-the-recording", "γᵏ counts from the first recorded row",
        edits=(("for _ in range(start_steps[b]):", "for _ in range(0):"),),
    ),
)  # fmt: skip

HAND = {
    "rewards": np.array([[1.0], [2.0], [4.0], [8.0]]),
    "terminated": np.array([[False], [True], [False], [False]]),
    "truncated": np.zeros((4, 1), dtype=bool),
    "start_steps": np.array([1]),
    "gamma": 0.5,
}


def by_hand(name: str, answers: list[str], *, to_go: bool, discount_states: bool) -> Example:
    """Return the recording worked by hand under both switches."""
    switches = {"to_go": to_go, "discount_states": discount_states}
    case = Case({**HAND, **switches}, KINDS[to_go, discount_states], "worked by hand")
    return Example(name, case, {"weights": [[answer] for answer in answers]})


def good() -> Case:
    """Return the good case that bad inputs spoil: three steps of two columns."""
    off = np.zeros((3, 2), dtype=bool)
    arguments = {
        "rewards": np.arange(1.0, 7.0).reshape(3, 2), "terminated": off, "truncated": off,
        "start_steps": np.array([0, 0]), "gamma": 0.5, "to_go": True, "discount_states": False,
    }  # fmt: skip
    return Case(arguments, KINDS[True, False], "good")


def refusals() -> tuple[tuple[str, str, Callable[..., object], type[Exception], str], ...]:
    """Return the refusals but those of the first array."""
    return (
        ("terminated", "numbers", lambda x: x * 1.0, TypeError,
         "terminated came as dtype float64, wanted bool."),
        ("truncated", "transposed", np.transpose, ValueError,
         "truncated has shape (2, 3), but rewards has shape (3, 2); they must agree."),
        ("start_steps", "numbers", lambda x: x * 1.0, TypeError,
         "start_steps came as dtype float64, wanted int64."),
        ("start_steps", "one a step", lambda _: np.zeros(3, dtype=np.int64), ValueError,
         "start_steps has shape (3,), but rewards has shape (3, 2); they must agree."),
        ("start_steps", "before the start", lambda x: x - 1, ValueError,
         "start_steps came with -1 in it, wanted integers of at least 0."),
        ("gamma", "above 1", lambda _: 1.5, ValueError,
         "gamma came as 1.5, wanted a number in [0, 1]."),
        ("to_go", "a number", lambda _: 1, TypeError, "to_go came as int, wanted a bool."),
        ("discount_states", "None", lambda _: None, TypeError,
         "discount_states came as NoneType, wanted a bool."),
    )  # fmt: skip


UNKNOWN_PAST = BadInput(
    "gamma: an array, and an unknown past",
    lambda case: {"gamma": np.full((3, 2), 0.5), "start_steps": np.array([0, 1])},
    ValueError,
    "reinforce_weights: gamma came as an array with start_steps above 0, wanted one number: the "
    "discounts before the recording are not in the array.",
)

REINFORCE_CONTRACT = Contract(
    name="reinforce_weights",
    topic="score_function",
    summary="weights of the score in REINFORCE: the return of the own episode",
    source="Williams 1992, section 5; Sutton and Barto 2018, section 13.3",
    reference=reference.reinforce_weights,
    fast=fast.reinforce_weights,
    arguments=(
        Argument("rewards", "float", "T B"),
        Argument("terminated", "flag", "T B"),
        Argument("truncated", "flag", "T B"),
        Argument("start_steps", "integer", "B"),
        Argument("gamma", "discount", "T B"),
        Argument("to_go", "switch"),
        Argument("discount_states", "switch"),
    ),
    outputs=("weights",),
    inputs=episodes(),
    examples=(
        by_hand("to go", ["2", "2", "8", "8"], to_go=True, discount_states=False),
        by_hand("to go, discounted", ["1", "1/2", "8", "4"], to_go=True, discount_states=True),
        by_hand("whole", ["1", "1", "8", "8"], to_go=False, discount_states=False),
        by_hand("whole, discounted", ["1/2", "1/4", "8", "4"], to_go=False, discount_states=True),
    ),
    laws=(
        Law("columns-independent", "a column does not depend on its neighbours", check_columns),
        Law("split-at-ends", "episodes in one column do not know of each other", check_split),
        Law("reward-impulse", "a single reward reaches each step with the right powers of γ",
            check_impulse),
        Law("whole-is-to-go-at-first", "the whole return is γᵏ times that to go from the first "
            "step", check_first_step),
        Law("gamma-to-the-k", "discounting states multiplies step k of an episode by γᵏ",
            check_factor),
        Law("later-start", "a start one step later discounts the first episode once more",
            check_later_start),
        Law("gamma-per-step", "a discount given for every step equals the same one given once",
            check_gamma_per_step),
        Law("ends-alike", "a truncation is an end like a termination", check_ends_alike),
    ),
    gradients=("rewards", "gamma"),
    known_bugs=BUGS,
    conventions=CONVENTIONS,
    equivalents=(
        Equivalent(
            "rewards discounted first",
            "γᵗGₜ is the sum of the rewards to come, each times its own γᵏ",
            discounted_first,
            holds_on=(KINDS[True, True],),
        ),
    ),
    bad_inputs=(
        *bad_floats("reinforce_weights", "rewards", "[T, B]"),
        *(bad("reinforce_weights", *entry) for entry in refusals()),
        UNKNOWN_PAST,
    ),
    sizes=SIZES,
    sized=sized,
    good=good(),
)  # fmt: skip
