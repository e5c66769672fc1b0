"""Contract of the topic `replay`: what is read is what was pushed."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from rlverify.contract import (
    Argument,
    Case,
    Claim,
    Contract,
    Convention,
    Equivalent,
    Example,
    KnownBug,
    Law,
    Outputs,
    Subject,
)
from rlverify.contracts._recordings import same
from rlverify.contracts._refusals import bad, bad_floats
from rlverify.fast import replay as fast
from rlverify.inputs import distinct
from rlverify.reference import replay as reference

Array = np.ndarray
FIELDS = ("observations", "actions", "rewards", "next_observations", "terminated")
RECORDING = (*FIELDS, "truncated")

# --- inputs --------------------------------------------------------------------------------------

# rows pushed, columns, components
SHAPES = ((1, 1, 1), (2, 1, 2), (2, 2, 1), (3, 1, 2), (3, 2, 2), (4, 1, 1), (4, 2, 1), (5, 1, 2),
          (5, 2, 1), (6, 1, 1), (6, 2, 1))  # fmt: skip


@st.composite
def recordings(draw: st.DrawFn) -> Case:
    """Draw a recording whose observations continue, with resets after ends, and picks."""
    steps, columns, components = draw(st.sampled_from(SHAPES))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (steps, columns, components)
    observations, rewards, following = distinct(rng, shape, shape[:2], shape)
    ended = rng.random(shape[:2]) < draw(st.sampled_from((0.0, 0.3, 0.3, 0.6)))
    kinds = rng.integers(0, 3, shape[:2])  # terminated, truncated, both
    going = ~ended[:-1, :, None]
    following[:-1] = np.where(going, observations[1:], following[:-1])
    rows = draw(st.sampled_from((steps + 2, steps + 1, steps, steps, *[max(steps - 1, 1)] * 2,
                                 max(steps // 2, 1), 1)))  # fmt: skip
    kept = min(steps, rows) * columns
    picks = rng.integers(0, kept, 6)
    picks[:2] = kept - 1, 0  # the newest, and the oldest
    return Case(
        {"observations": observations, "actions": rng.integers(0, 4, shape[:2]),
         "rewards": rewards, "next_observations": following, "terminated": ended & (kinds != 1),
         "truncated": ended & (kinds != 0), "picks": rng.permutation(picks), "rows": rows,
         "shared": draw(st.sampled_from((True, True, False)))},
        "full" if rows <= steps else "filling",
    )  # fmt: skip


def timing(shape: tuple[int, ...]) -> Case:
    """Return a case of a benchmark size: pushes of 8 columns with 4 components."""
    steps, count = shape
    rng = np.random.default_rng(0)
    path = rng.integers(-255, 256, (steps + 1, 8, 4)) / 128
    rows = max(steps // 2, 1)
    return Case(
        {"observations": path[:-1], "actions": rng.integers(0, 2, (steps, 8)),
         "rewards": rng.integers(0, 8, (steps, 8)) / 8, "next_observations": path[1:],
         "terminated": rng.random((steps, 8)) < 0.01, "truncated": rng.random((steps, 8)) < 0.01,
         "picks": rng.integers(0, rows * 8, count), "rows": rows, "shared": True},
        label="timing",
    )  # fmt: skip


# --- laws ----------------------------------------------------------------------------------------


def pushed(case: Case, rows: slice) -> Outputs:
    """Return the transitions of some rows, one after another."""
    return {name: case[name][rows].reshape(-1, *case[name].shape[2:]) * 1.0 for name in FIELDS}


def equal(subject: Subject, case: Case, wanted: Outputs) -> Iterable[Claim]:
    """Claim what is read, to the bit."""
    got = subject(case)
    for name in FIELDS:
        yield Claim(got[name] * 1.0, wanted[name], np.zeros(wanted[name].shape))


def all_of(case: Case, rows: int) -> Case:
    """Return the case with everything read that is kept in a buffer of some size."""
    steps, columns = case["rewards"].shape
    return case.but(rows=rows, picks=np.arange(min(steps, rows) * columns))


def check_nothing_lost(subject: Subject, case: Case) -> Iterable[Claim]:
    """As long as there is room everything is read as it was pushed, in its order."""
    steps = case["rewards"].shape[0]
    for rows in (steps, steps + 2):
        yield from equal(subject, all_of(case, rows), pushed(case, slice(None)))


def check_newest(subject: Subject, case: Case) -> Iterable[Claim]:
    """The last picks are the row that was pushed last, however full the buffer is."""
    steps, columns = case["rewards"].shape
    kept = min(steps, case["rows"]) * columns
    newest = case.but(picks=np.arange(kept - columns, kept))
    yield from equal(subject, newest, pushed(case, slice(-1, None)))


def check_window(subject: Subject, case: Case) -> Iterable[Claim]:
    """A buffer of R rows forgets what came before the last R."""
    steps = case["rewards"].shape[0]
    rows = max(steps - 1, 1)
    last: dict[str, Any] = {name: case[name][-rows:] for name in RECORDING}
    window = all_of(case.but(**last), rows)
    yield from same(subject, all_of(case, rows), subject(window), window)


def check_storage(subject: Subject, case: Case) -> Iterable[Claim]:
    """Shared storage gives what storage of both observations gives."""
    plain = case.but(shared=False)
    yield from same(subject, case.but(shared=True), subject(plain), plain)


def check_time_limit(subject: Subject, case: Case) -> Iterable[Claim]:
    """Ends that are time limits too, or only, change nothing but what they terminate."""
    cut = case.but(truncated=case["truncated"] | case["terminated"])
    yield from same(subject, cut, subject(case), case)
    none = case.but(terminated=np.zeros_like(case["terminated"]), truncated=cut["truncated"])
    yield from equal_flags(subject, none)


def equal_flags(subject: Subject, case: Case) -> Iterable[Claim]:
    """Claim that nothing that was only cut is read as terminated."""
    got = subject(case)["terminated"] * 1.0
    yield Claim(got, np.zeros(got.shape), np.zeros(got.shape))


# --- known bugs, equivalents ---------------------------------------------------------------------

NEXT = "read.next_observations[m] = next_observations[t, b]"
# the slot after the newest row of a ring: the oldest row, or one that was never written
SLOT = "(observations[steps - kept, b] if kept == rows else 0 * observations[t, b])"
NEWEST = "shared and t == steps - 1"
PLACE = "t, b = steps - kept + picks[m] // columns, picks[m] % columns"


def ring(
    observations: Array, actions: Array, rewards: Array, next_observations: Array,
    terminated: Array, truncated: Array, picks: Array, rows: int, shared: bool,
) -> Any:  # fmt: skip
    """Write rows round a ring, and read them from the write pointer on."""
    recording = (observations, actions, rewards, next_observations, terminated)
    slots = [np.empty((rows, *x.shape[1:]), dtype=x.dtype) for x in recording]
    steps, columns = rewards.shape
    for t in range(steps):
        for slot, array in zip(slots, recording, strict=True):
            slot[t % rows] = array[t]
    oldest = steps % rows if steps > rows else 0
    places = (oldest + picks // columns) % rows
    return tuple(slot[places, picks % columns] for slot in slots)


CONTRACT = Contract(
    name="replay_transitions",
    topic="replay",
    summary="what is read from a replay buffer that a recording has been pushed to",
    source="Lin 1992; Mnih et al. 2015, methods, algorithm 1",
    reference=reference.replay_transitions,
    fast=fast.replay_transitions,
    arguments=(
        Argument("observations", "float", "T B D"),
        Argument("actions", "integer", "T B"),
        Argument("rewards", "float", "T B"),
        Argument("next_observations", "float", "T B D"),
        Argument("terminated", "flag", "T B"),
        Argument("truncated", "flag", "T B"),
        Argument("picks", "integer", "M"),
        Argument("rows", "count"),
        Argument("shared", "switch"),
    ),
    outputs=FIELDS,
    axes=("M D", "M", "M", "M D", "M"),
    counted=("actions", "terminated"),
    inputs=recordings(),
    examples=(
        Example(
            "a full buffer with a time limit in it",
            Case(
                {"observations": np.array([[[1.0]], [[2.0]], [[7.0]]]),
                 "actions": np.array([[0], [1], [2]]), "rewards": np.array([[0.5], [1.5], [2.5]]),
                 "next_observations": np.array([[[2.0]], [[3.0]], [[8.0]]]),
                 "terminated": np.array([[False], [False], [False]]),
                 "truncated": np.array([[False], [True], [False]]),
                 "picks": np.array([1, 0]), "rows": 2, "shared": True},
                label="worked by hand",
            ),
            {"observations": [["7"], ["2"]], "actions": ["2", "1"], "rewards": ["5/2", "3/2"],
             "next_observations": [["8"], ["3"]], "terminated": ["0", "0"]},
        ),
    ),
    laws=(
        Law("nothing-lost", "as long as there is room all is read as it was pushed",
            check_nothing_lost),
        Law("newest", "the last picks are the row that was pushed last", check_newest),
        Law("window", "what came before the last R rows is forgotten", check_window),
        Law("shared-or-not", "shared storage gives what storage of both observations gives",
            check_storage),
        Law("time-limit", "a time limit terminates nothing", check_time_limit),
    ),
    gradients=(),
    known_bugs=(
        KnownBug("B9", "= terminated[t, b]", "= terminated[t, b] or truncated[t, b]"),
        KnownBug("I1", NEXT, NEXT.replace("= next", "= observations[t + 1, b] if shared and "
                                          "t + 1 < steps else next")),
        KnownBug("I2a", NEXT, NEXT.replace(
            "= next", f"= {SLOT} if {NEWEST} and not (terminated | truncated)[t, b] else next")),
        KnownBug("I2b", NEXT, NEXT.replace("= next", f"= 0 * observations[t, b] if {NEWEST} and "
                                           "kept < rows else next")),
        KnownBug("I2c", NEXT, NEXT.replace(
            "= next", f"= observations[t + 1, b] if shared and t + 1 < steps else {SLOT} if shared "
            "else next")),
        KnownBug("I9", PLACE, PLACE.replace("steps - kept", "max(steps - kept - 1, 0)")),
        KnownBug("A10", "= rewards[t, b]", "= rewards[t - 1, b]"),
    ),
    conventions=(
        Convention(
            "picks", "by-column", "picks number the rows of the first column, then the next one's",
            edits=((PLACE, "t, b = steps - kept + picks[m] % kept, picks[m] // kept"),),
        ),
    ),
    equivalents=(
        Equivalent("ring", "a ring of rows, read from the write pointer on", ring),
    ),
    bad_inputs=(
        *bad_floats("replay_transitions", "observations", "[T, B, D]"),
        bad("replay_transitions", "actions", "numbers", lambda x: x * 1.0, TypeError,
            "actions came as dtype float64, wanted int64."),
        bad("replay_transitions", "rewards", "one column", lambda x: x[:, :1], ValueError,
            "rewards has shape (3, 1), but observations has shape (3, 2, 2); they must agree."),
        bad("replay_transitions", "next_observations", "not those that follow", lambda x: x + 1,
            ValueError,
            "observations came with a row that is not what the row before led to, wanted its "
            "next_observations where no episode ended; pass shared=False."),
        bad("replay_transitions", "picks", "beyond what is kept", lambda x: x + 1, ValueError,
            "picks came with 4 in it, wanted actions in [0, 4)."),
        bad("replay_transitions", "rows", "none", lambda _: 0, ValueError,
            "rows came as 0, wanted an integer of at least 1."),
        bad("replay_transitions", "shared", "a number", lambda _: 1, TypeError,
            "shared came as int, wanted a bool."),
    ),
    exact=False,  # flags and whole numbers are results too
    sizes=((8, 16), (64, 256), (64, 4096), (1024, 4096)),
    sized=timing,
    good=Case(
        {"observations": np.arange(12.0).reshape(3, 2, 2), "actions": np.zeros((3, 2), np.int64),
         "rewards": np.ones((3, 2)), "next_observations": np.arange(4.0, 16.0).reshape(3, 2, 2),
         "terminated": np.zeros((3, 2), bool), "truncated": np.zeros((3, 2), bool),
         "picks": np.array([0, 2, 3]), "rows": 2, "shared": True},
    ),
)  # fmt: skip

CONTRACTS = (CONTRACT,)
