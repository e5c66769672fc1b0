"""Inputs of TD(λ): recordings of states, tables of values, and their refusals."""

import functools
from typing import Any

import numpy as np
from hypothesis import strategies as st

from rlverify.contract import Argument, BadInput, Case
from rlverify.contracts._recordings import bad_inputs
from rlverify.contracts._refusals import bad
from rlverify.inputs import recordings

ARGUMENTS = (
    Argument("states", "integer", "T B"),
    Argument("rewards", "float", "T B"),
    Argument("next_states", "integer", "T B"),
    Argument("terminated", "flag", "T B"),
    Argument("truncated", "flag", "T B"),
    Argument("initial_values", "float", "S"),
    Argument("gamma", "discount", "T B"),
    Argument("lam", "number"),
    Argument("step_size", "number"),
    Argument("online", "switch"),
    Argument("traces", "choice"),
)
BASE = ("rewards", "terminated", "truncated", "gamma", "lam")
SIZES = ((64, 8), (512, 8), (128, 4096))
TABLE = 16  # states of a table of benchmark size


def visited(case: Case, rng: np.random.Generator, table: int) -> dict[str, np.ndarray]:
    """Return states of walks that go on from step to step, and start anew after an end."""
    shape = case["rewards"].shape
    states, following = rng.integers(0, table, shape), rng.integers(0, table, shape)
    cut = case["terminated"] | case["truncated"]
    following[:-1] = np.where(cut[:-1], following[:-1], states[1:])
    return {"states": states, "next_states": following}


@st.composite
def walks(draw: st.DrawFn) -> Case:
    """Draw a recording of states, few enough that most are met again, and a table."""
    base = draw(recordings(BASE, ("free",)).filter(lambda case: case["rewards"].size <= 20))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    table = draw(st.sampled_from((1, 2, 3, 3, 4, 6)))
    values = rng.permutation(np.arange(-127, 128))[:table] / 8
    arguments = {
        **base.arguments,
        **visited(base, rng, table),
        "initial_values": values,
        "step_size": draw(st.sampled_from((0.125, 0.5, 0.75, 1.0))),
        "online": draw(st.booleans()),
        "traces": draw(st.sampled_from(("accumulating", "accumulating", "replacing"))),
    }
    return Case({item.name: arguments[item.name] for item in ARGUMENTS})


def sized(shape: tuple[int, ...], **knobs: Any) -> Case:
    """Return a case of a benchmark size, with few ends."""
    rng = np.random.default_rng(0)
    ends = {name: rng.random(shape) < 0.02 for name in ("terminated", "truncated")}
    arguments: dict[str, Any] = {"rewards": rng.integers(-255, 256, shape) / 128, **ends}
    arguments |= visited(Case(arguments), rng, TABLE)
    arguments["initial_values"] = rng.integers(-255, 256, TABLE) / 128
    arguments |= {"gamma": 0.984375, "lam": 0.9375, "step_size": 0.125, "online": True,
                  "traces": "accumulating", **knobs}  # fmt: skip
    return Case({item.name: arguments[item.name] for item in ARGUMENTS}, label="timing")


def good() -> Case:
    """Return the good case that bad inputs spoil: three steps of two columns, four states."""
    off = np.zeros((3, 2), dtype=bool)
    numbers = np.arange(1.0, 7.0).reshape(3, 2)
    return Case(
        {"states": np.zeros((3, 2), dtype=np.int64), "rewards": numbers,
         "next_states": np.ones((3, 2), dtype=np.int64), "terminated": off, "truncated": off,
         "initial_values": np.arange(4.0), "gamma": 0.5, "lam": 0.5, "step_size": 0.5,
         "online": True, "traces": "accumulating"},
        label="good",
    )  # fmt: skip


def refusals() -> tuple[BadInput, ...]:
    """Return the refusals."""
    refused = functools.partial(bad, "td_lambda")
    shared = bad_inputs("td_lambda", BASE)
    return (
        *(entry for entry in shared if not entry.name.startswith("next_values")),
        refused("states", "numbers", lambda x: x.astype(float), TypeError,
                "states came as dtype float64, wanted int64."),
        refused("states", "beyond the table", lambda x: x + 4, ValueError,
                "states came with 4 in it, wanted states in [0, 4)."),
        refused("next_states", "below 0", lambda x: x - 2, ValueError,
                "next_states came with -1 in it, wanted integers of at least 0."),
        refused("next_states", "one step short", lambda x: x[:-1], ValueError,
                "next_states has shape (2, 2), but rewards has shape (3, 2); they must agree."),
        refused("initial_values", "a table a column", lambda x: np.stack([x, x]), ValueError,
                "initial_values came with shape (2, 4), wanted [S]."),
        refused("step_size", "zero", lambda _: 0.0, ValueError,
                "step_size came as 0.0, wanted a finite number above 0."),
        refused("online", "a number", lambda _: 1, TypeError,
                "online came as int, wanted a bool."),
        refused("traces", "unknown", lambda _: "dutch", ValueError,
                "traces came as 'dutch', wanted one of accumulating, replacing."),
    )  # fmt: skip
