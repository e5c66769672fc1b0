"""Inputs of traces: recordings with values of actions, coefficients and likelihood ratios."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from rlverify.contract import Argument, BadInput, Case
from rlverify.contracts._recordings import ARGUMENTS, bad_inputs
from rlverify.contracts._refusals import bad
from rlverify.inputs import recordings

# what the functions of actions call the arrays that those of states call otherwise
OF_ACTIONS = {"values": "q_taken", "next_values": "next_state_values"}
BASE = ("rewards", "values", "next_values", "terminated", "truncated", "gamma", "lam")
LEVELS = (0.25, 0.5, 1.0, 1.0, 2.0, float("inf"))
TRACE_ARGUMENTS = {
    **ARGUMENTS,
    **{
        name: Argument(name, "float", "T B")
        for name in (
            "q_taken", "next_state_values", "coefficients", "log_ratios", "target_probabilities"
        )
    },
    **{name: Argument(name, "number") for name in ("rho_bar", "c_bar", "rho_bar_advantage")},
}  # fmt: skip


def trace_arguments(names: tuple[str, ...]) -> tuple[Argument, ...]:
    """Return the argument records of the given names."""
    return tuple(TRACE_ARGUMENTS[name] for name in names)


def drawn_log_ratios(kind: str, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Return log ρ: of policies near each other, equal, or apart in one place for each row."""
    if kind == "on-policy":
        return np.zeros(shape)
    ratios = rng.integers(-18, 19, shape) / 8  # ρ from a tenth to ten
    if kind == "never":  # an action that the target policy practically never takes
        ratios[rng.integers(shape[0])] = -40.0
    return ratios


def telling(case: Case) -> bool:
    """Whether a recording is small, and either a single step or long enough for an end inside."""
    return case["rewards"].size <= 16 and len(case["rewards"]) != 2


@st.composite
def trace_recordings(draw: st.DrawFn, names: tuple[str, ...]) -> Case:
    """Draw a recording with what weighs its steps; all next values free."""
    drawn = recordings(BASE, ("free",)).filter(telling)
    base = dict(draw(drawn).arguments)
    base |= {ours: base[theirs] for theirs, ours in OF_ACTIONS.items()}
    shape = base["rewards"].shape
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if draw(st.integers(0, 3)) == 0:  # a discount a step beside cuts: a mistake of its own
        base["gamma"] = rng.integers(0, 9, shape) / 8
        base["truncated"] = base["truncated"] | (rng.random(shape) < 0.25)
    kind = draw(st.sampled_from(("near", "near", "near", "never", "on-policy")))
    base["log_ratios"] = drawn_log_ratios(kind, shape, rng)
    base["target_probabilities"] = rng.integers(0, 9, shape) / 8
    base["coefficients"] = rng.integers(0, 17, shape) / 8  # what exceeds 1 is allowed
    for name in ("rho_bar", "c_bar", "rho_bar_advantage"):
        base[name] = draw(st.sampled_from(LEVELS))
    return Case({name: base[name] for name in names})


KNOBS = {"gamma": 0.5, "lam": 0.75, "rho_bar": 1.0, "c_bar": 0.5, "rho_bar_advantage": 2.0}


def trace_case(names: tuple[str, ...], shape: tuple[int, ...], label: str, **knobs: Any) -> Case:
    """Return a case of any size, with few ends."""
    rng = np.random.default_rng(0)
    everything: dict[str, Any] = {
        name: rng.integers(-255, 256, shape) / 128
        for name in ("rewards", "values", "next_values", "q_taken", "next_state_values",
                     "log_ratios")
    }  # fmt: skip
    everything["target_probabilities"] = rng.integers(0, 9, shape) / 8
    everything["coefficients"] = rng.integers(0, 9, shape) / 8
    everything["terminated"] = rng.random(shape) < 0.02
    everything["truncated"] = rng.random(shape) < 0.02
    return Case({name: {**everything, **KNOBS, **knobs}[name] for name in names}, label=label)


def sized_traces(names: tuple[str, ...]) -> Callable[[tuple[int, ...]], Case]:
    """Return the function that makes a case of a benchmark size."""
    return functools.partial(trace_case, names, label="timing", gamma=0.984375, lam=0.9375)


def long_traces(names: tuple[str, ...]) -> tuple[Case, ...]:
    """Return one recording of 1024 steps: what a dozen cannot show."""
    case = trace_case(names, (1024, 1), "long", gamma=0.984375, lam=1.0)
    return (case,)


def good_traces(names: tuple[str, ...]) -> Case:
    """Return the good case that bad inputs spoil: three steps of two columns."""
    case = trace_case(names, (3, 2), "good")
    off = np.zeros((3, 2), dtype=bool)
    return case.but(terminated=off, truncated=off)


def bad_traces(function: str, names: tuple[str, ...]) -> tuple[BadInput, ...]:
    """Return the refusals of a function of traces."""
    refused = functools.partial(bad, function)
    shared = ("rewards", "terminated", "truncated", "gamma", "lam")
    kept = tuple(name for name in shared if name in names)
    entries = [
        entry for entry in bad_inputs(function, kept) if not entry.name.startswith("next_values")
    ]
    for name in names:
        argument = TRACE_ARGUMENTS[name]
        if argument.kind == "float" and name != "rewards":
            entries.append(
                refused(name, "one step short", lambda x: x[:-1], ValueError,
                        f"{name} has shape (2, 2), but rewards has shape (3, 2); they must agree.")
            )  # fmt: skip
        if argument.kind == "number" and name != "lam":
            entries += [
                refused(name, "zero", lambda _: 0.0, ValueError,
                        f"{name} came as 0.0, wanted a number above 0; "
                        "float('inf') clips nothing."),
                refused(name, "None", lambda _: None, TypeError,
                        f"{name} came as NoneType, wanted a number."),
            ]  # fmt: skip
    if "target_probabilities" in names:
        entries.append(
            refused("target_probabilities", "above 1", lambda x: x + 1.5, ValueError,
                    "target_probabilities came with an element outside [0, 1].")
        )  # fmt: skip
    return tuple(entries)
