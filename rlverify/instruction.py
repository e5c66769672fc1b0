"""Instruction: the stages of a reference update, recorded for those who are to follow it.

The reference runs on tracked numbers. After each stage its outputs are kept, with their bounds;
it goes on with their values alone, rounded to the dtype of whoever is judged, as exact numbers.
So the bounds of a stage are those of this stage, whatever came before it.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rlverify.comparison import FAMILY_LAMBDA, Truth, round_to, rounded, stored_value
from rlverify.contract import Case, Outputs
from rlverify.multiplication import accounted
from rlverify.rounding import PRECISIONS, Precision, Tracked, lifted

RESULT = "result"  # the name of the last stage: what the update returns


@dataclass(frozen=True)
class Stage:
    """One stage as the reference went through it.

    Attributes:
        name: as the update calls it.
        truth: its outputs, and what rounding allows around them.
        handed: its outputs rounded to the candidate's dtype: what both go on with.
    """

    name: str
    truth: Truth
    handed: Outputs


def narrowed(arguments: Mapping[str, Any], dtype: str) -> dict[str, Any]:
    """Return arguments rounded to a dtype: the numbers that both versions are given."""
    return dict(rounded(Case(arguments), dtype).arguments)


def recorded(
    reference: Callable[..., Any], arguments: Mapping[str, Any], dtype: str
) -> tuple[Stage, ...]:
    """Run a reference on tracked numbers, and return its stages.

    The arguments are taken as they are: rounded to `dtype` already.
    """
    precision = PRECISIONS[dtype]
    stages: list[Stage] = []

    def number(value: float) -> Tracked:
        return Tracked(value, precision.unit)

    def teach(name: str, outputs: dict[str, Any]) -> dict[str, Any]:
        stages.append(_stage(name, outputs, precision))
        handed = {key: kept(outputs[key], array) for key, array in stages[-1].handed.items()}
        return _accounted(lifted(handed, number))

    with np.errstate(all="ignore"):  # NaN and inf are answers like others here
        numbers = _accounted(lifted(dict(arguments), number))
        result = reference(**numbers, trace=teach) if traced(reference) else reference(**numbers)
        stages.append(_stage(RESULT, named(result), precision))
    return tuple(stages)


def named(result: Any) -> dict[str, Any]:
    """Return what an update returns, by name."""
    return dict(result._asdict()) if hasattr(result, "_asdict") else {RESULT: result}


def _accounted(arguments: dict[str, Any]) -> dict[str, Any]:
    return {
        name: accounted(value) if isinstance(value, np.ndarray) else value
        for name, value in arguments.items()
    }


def kept(output: Any, array: np.ndarray) -> Any:
    """Return recorded numbers as what they came as: an array, a whole number or another one."""
    if isinstance(output, np.ndarray):
        return array if output.dtype.kind in "fO" else array.astype(output.dtype)
    if isinstance(output, bool | np.bool_):
        return bool(array)
    return int(array) if isinstance(output, int | np.integer) else float(array)


def _stage(name: str, outputs: Mapping[str, Any], precision: Precision) -> Stage:
    fields = {key: _bounded(np.asarray(value), precision) for key, value in outputs.items()}
    truth = Truth(*({key: fields[key][i] for key in fields} for i in range(4)))
    handed = {key: round_to(precision.dtype, value) for key, value in truth.value.items()}
    return Stage(name, truth, handed)


def _bounded(array: np.ndarray, precision: Precision) -> list[np.ndarray]:
    """Return value, allowed, tight and running of tracked numbers, as `comparison` has them."""

    def read(how: Callable[[Tracked], float]) -> np.ndarray:
        found = np.zeros(array.shape)
        for i in np.ndindex(array.shape):
            number: Any = array[i]
            if isinstance(number, Tracked):
                found[i] = how(number)
        return found

    value = stored_value(np.asarray(array, dtype=np.float64), precision.dtype)
    running = read(Tracked.running_bound)
    stored = precision.storage * np.abs(value) + precision.storage_tiny
    # the reference's own error at 2⁻⁵³: a bound over u grows with u (decision 0009)
    ours = running * (PRECISIONS["float64"].unit / precision.unit)
    rest = ours + stored + precision.tiny * read(Tracked.roundings)
    wide = 1 + precision.storage
    narrow = np.minimum(running, FAMILY_LAMBDA * read(Tracked.deviation))
    return [
        value,
        wide * read(Tracked.free_bound) + rest,
        wide * narrow + rest,
        (running + stored) / max(precision.unit, precision.storage),
    ]


def traced(function: Callable[..., Any]) -> bool:
    """Whether a function goes through stages that can be looked at."""
    return "trace" in inspect.signature(function).parameters
