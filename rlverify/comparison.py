"""Comparison: how far a result lies from the truth, in units of what rounding allows.

The inputs are first rounded to the candidate's dtype and those exact numbers given to both
sides; then the tolerance of every element is what rounding may do to anybody who evaluates
the formula (`rounding.Tracked`), the reference's own rounding included. Nothing is tuned:
the few constants of policy stand here, each with its reason.
"""

import itertools
import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from rlverify.contract import Case, Contract, Outputs
from rlverify.rounding import PRECISIONS, Precision, Tracked, blurred, lifted

# λ of the root-sum-square radius: λ = √(2 ln(2M/α)) with M = 10⁶ compared elements and a
# false alarm in α = 10⁻⁶ of all runs (Higham and Mary 2019); it separates TIGHT from BOUND
# and decides nothing else
FAMILY_LAMBDA = math.sqrt(2 * math.log(2 * 1e6 / 1e-6))
# a tolerance above this share of the typical size of the result cannot reject nonsense
VACUOUS_SHARE = 0.1


def round_to(dtype: str, array: np.ndarray) -> np.ndarray:
    """Return float64 numbers rounded to the nearest of `dtype` (ties to even), as float64."""
    if dtype == "bfloat16":
        single = np.array(array, dtype=np.float32)
        bits = single.view(np.uint32).astype(np.uint64)
        rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
        result = rounded.astype(np.uint32).view(np.float32).astype(np.float64)
        # ascontiguousarray makes an array of one axis out of one number
        return np.where(np.isnan(single), np.nan, result).reshape(np.shape(array))
    with np.errstate(over="ignore"):
        return np.asarray(array).astype(dtype).astype(np.float64)


def _is_double(value: Any) -> bool:
    """Whether a value is no array of other floats than float64."""
    return not (isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.itemsize != 8)


def rounded(case: Case, dtype: str) -> Case:
    """Return the case with arrays rounded to `dtype` and numbers to what it computes in."""
    if dtype == "float64" and all(map(_is_double, case.arguments.values())):
        return case
    computed = "float64" if dtype == "float64" else "float32"
    changes: dict[str, Any] = {}
    for name, value in case.arguments.items():
        if isinstance(value, np.ndarray) and value.dtype.kind == "f":
            changes[name] = round_to(dtype, value)
        elif isinstance(value, float):
            changes[name] = float(round_to(computed, np.asarray(value)))
    return case.but(**changes)


def holds(case: Case, dtype: str) -> bool:
    """Whether every finite number of a case stays finite in a dtype: float16 ends at 65504."""
    narrow = rounded(case, dtype)
    return narrow is case or all(
        np.array_equal(np.isfinite(value), np.isfinite(narrow[name]))
        for name, value in case.arguments.items()
        if isinstance(value, np.ndarray) and value.dtype.kind == "f"
    )


def stored_value(value: np.ndarray, dtype: str) -> np.ndarray:
    """Return numbers, those beyond the range of a dtype as the infinity they become."""
    narrow = round_to(dtype, value)
    return np.where(np.isinf(narrow), narrow, value)


@dataclass(frozen=True)
class Truth:
    """The reference's answer to one case, and what rounding allows around it.

    Attributes:
        value: the answer, by output name.
        allowed: the greatest error of any order of evaluation, the reference's included.
        tight: the smaller of the running and the probabilistic bound, for the grade TIGHT.
        running: the running bound alone, in units of u, for the effective precision.
    """

    value: Outputs
    allowed: Outputs
    tight: Outputs
    running: Outputs


def _field(array: np.ndarray, read: Callable[[Any], float]) -> np.ndarray:
    result = np.empty(array.shape)
    for i in np.ndindex(array.shape):
        result[i] = read(array[i])
    return result


def truth_of(
    contract: Contract,
    case: Case,
    precision: Precision,
    function: Callable[..., Any] | None = None,
) -> Truth:
    """Run the reference (or `function`, generic like it) on tracked numbers.

    Raises whatever the function raises; its arithmetic is float64, so its own error is the
    same bound at u = 2⁻⁵³.
    """
    if contract.truth is not None:
        with np.errstate(all="ignore"):
            return _boxed(*contract.truth(case, precision.unit, function), precision)
    names = {"own": precision.unit, "ours": PRECISIONS["float64"].unit}
    with np.errstate(all="ignore"):  # NaN and inf are answers like others here
        runs = {
            u: _tracked_run(contract, case, function, u, precision.storage)
            for u in set(names.values())
        }
        fields = [
            _truth_of_output(runs[names["own"]][name], runs[names["ours"]][name], precision)
            for name in contract.outputs
        ]
    columns = zip(*fields, strict=True)
    return Truth(*(dict(zip(contract.outputs, column, strict=True)) for column in columns))


def _boxed(middle: Outputs, widths: Outputs, precision: Precision) -> Truth:
    """Return the box that a property leaves, widened by what storing a result rounds."""
    value = {name: stored_value(array, precision.dtype) for name, array in middle.items()}
    allowed = {
        name: widths[name] + precision.storage * np.abs(array) + precision.storage_tiny
        for name, array in value.items()
    }
    units = max(precision.unit, precision.storage)
    nothing = {name: 0 * box for name, box in allowed.items()}  # no order of evaluation is known
    return Truth(value, allowed, nothing, {name: box / units for name, box in allowed.items()})


# one run serves several dtypes: all narrow ones compute at one u, all bounds need float64's
_RUNS: OrderedDict[tuple[Any, ...], Outputs] = OrderedDict()
_REMEMBERED = 1000
_SMALL = 500  # numbers: runs on more take too much room


def _tracked_run(
    contract: Contract, case: Case, function: Callable[..., Any] | None, u: float, stored: float
) -> Outputs:
    if function is not None or case.size > _SMALL:
        return _run(contract, case, function or contract.reference, u, stored)
    key = (contract.name, contract.reference, u, stored if case.blurred else 0.0, case.key())
    found = _RUNS.get(key)
    if found is None:
        found = _RUNS[key] = _run(contract, case, contract.reference, u, stored)
        if len(_RUNS) > _REMEMBERED:
            _RUNS.popitem(last=False)
    return found


def _run(
    contract: Contract, case: Case, function: Callable[..., Any], u: float, stored: float
) -> Outputs:
    arguments = lifted(dict(case.arguments), lambda value: Tracked(value, u))
    for name in case.blurred:
        arguments[name] = blurred(case[name], u, stored)
    found = contract.named(function(**arguments))
    return {name: np.asarray(value, dtype=object) for name, value in found.items()}


def _truth_of_output(own: np.ndarray, ours: np.ndarray, precision: Precision) -> list[np.ndarray]:
    """Return value, allowed, tight and running of one output, from its tracked numbers."""

    def read(array: np.ndarray, how: str) -> np.ndarray:
        return _field(array, lambda x: getattr(x, how)() if isinstance(x, Tracked) else 0.0)

    value = stored_value(_field(own, float), precision.dtype)
    stored = precision.storage * np.abs(value)
    if precision.storage:  # below the normal range storing rounds by an absolute amount
        stored = stored + precision.storage_tiny
    rest = read(ours, "running_bound") + stored + precision.tiny * read(own, "roundings")
    worst = read(own, "running_bound")
    narrow = np.minimum(worst, FAMILY_LAMBDA * read(own, "deviation"))
    wide = 1 + precision.storage  # the stored number is the computed one, not the exact one
    running = (worst + stored) / max(precision.unit, precision.storage)
    return [value, wide * read(own, "free_bound") + rest, wide * narrow + rest, running]


@dataclass(frozen=True)
class Distance:
    """How far one output lies from what was wanted.

    Attributes:
        ratio: the worst error in units of what is allowed; infinite for NaN or inf.
        index: where.
        got: the number there.
        wanted: the number wanted there.
        allowed: the error allowed there.
        wrong: how many elements lie outside.
        size: how many elements there are.
    """

    ratio: float
    index: tuple[int, ...]
    got: float
    wanted: float
    allowed: float
    wrong: int
    size: int


def ratios(got: np.ndarray, wanted: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """Return error over allowance, elementwise; patterns of NaN and inf are judged first."""
    with np.errstate(all="ignore"):
        error = np.abs(got - wanted)
        plain = error / allowed
    if np.isfinite(plain).all():  # so all of the three are numbers, or an allowance is infinite
        return np.asarray(plain)
    allowed = np.where(np.isnan(allowed), np.inf, allowed)  # 0 · ∞: nothing is known
    with np.errstate(all="ignore"):
        ratio = np.where(error == 0, 0.0, error / allowed)  # 0/0 is no error, x/0 infinite
        ratio = np.where(np.isinf(allowed) & np.isfinite(error), 0.0, ratio)
    same = (got == wanted) | (np.isnan(got) & np.isnan(wanted))
    finite = np.isfinite(got) & np.isfinite(wanted)
    return np.where(same, 0.0, np.where(finite, ratio, np.inf))


def worst_ratio(got: np.ndarray, wanted: np.ndarray, allowed: np.ndarray) -> float:
    """Return the ratio of the worst element; 0 where there is none."""
    return float(ratios(got, wanted, allowed).max(initial=0.0))


def distance(got: np.ndarray, wanted: np.ndarray, allowed: np.ndarray) -> Distance:
    """Return the worst element of `got` against `wanted`."""
    ratio = ratios(got, wanted, allowed)
    if ratio.size == 0:
        return Distance(0.0, (), math.nan, math.nan, math.nan, 0, 0)
    index = tuple(int(i) for i in np.unravel_index(int(np.argmax(ratio)), ratio.shape))
    return Distance(
        float(ratio[index]),
        index,
        float(got[index]),
        float(wanted[index]),
        float(np.broadcast_to(allowed, ratio.shape)[index]),
        int((ratio > 1).sum()),
        ratio.size,
    )


def agrees(got: Outputs, truth: Truth) -> bool:
    """Whether every output present in `got` lies within the allowance."""
    return all(
        bool((ratios(got[name], truth.value[name], truth.allowed[name]) <= 1).all()) for name in got
    )


def effective_unit(got: Outputs, truth: Truth) -> float:
    """Return the unit roundoff the result behaves like: error over the running bound per u."""
    worst = 0.0
    for name, array in got.items():
        with np.errstate(all="ignore"):
            share = np.abs(array - truth.value[name]) / truth.running[name]
        share = share[np.isfinite(share)]
        worst = max(worst, float(share.max(initial=0.0)))
    return worst


def _shifted(array: np.ndarray) -> np.ndarray:
    if array.ndim == 0:
        return array
    return np.roll(array, 1, axis=0 if array.shape[0] > 1 else -1)


DECOYS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "zeros": np.zeros_like,
    "shuffled": lambda array: array.reshape(-1)[::-1].reshape(array.shape),
    "shifted": _shifted,
    "means": lambda array: np.full_like(array, array.mean()),
}


def _nonsense(truths: list[Truth], output: str) -> dict[str, list[tuple[np.ndarray, Truth]]]:
    """Return the wrong answers to every case, by kind; kinds that are never wrong are left out."""
    with np.errstate(all="ignore"):  # the mean of infinities is as good a decoy as any
        found = {
            name: [(decoy(truth.value[output]), truth) for truth in truths]
            for name, decoy in DECOYS.items()
        }
    # a single number can be neither shuffled nor shifted, but taken for that of another case
    found["exchanged"] = [
        (other.value[output], truth)
        for other, truth in itertools.pairwise(truths)
        if other.value[output].shape == truth.value[output].shape
    ]
    return {
        name: pairs
        for name, pairs in found.items()
        if any(not np.array_equal(wrong, truth.value[output]) for wrong, truth in pairs)
    }


def passing_decoys(truths: list[Truth]) -> list[str]:
    """Return which nonsense answers the tolerances of a run cannot reject.

    Zeros, a shuffle, a shift in time, the mean and the answer to another case are each held
    against every case of the run; one rejected case is enough. A run whose tolerances exceed a
    tenth of the typical size of the answer on half of its elements is vacuous whatever the
    decoys do.
    """
    rejected: dict[str, bool] = {}
    for output in truths[0].value if truths else ():
        for name, pairs in _nonsense(truths, output).items():
            found = any(not agrees({output: wrong}, truth) for wrong, truth in pairs)
            rejected[name] = rejected.get(name, False) or found
    passing = [name for name, found in rejected.items() if not found]
    if truths and not rejected:  # every answer is zero
        passing.append("zeros")
    wide, total = 0, 0
    for truth in truths:
        for output, value in truth.value.items():
            scale = float(np.sqrt(np.mean(value**2)))
            # a bound that is not known (NaN) is as wide as can be
            wide += int((~(truth.allowed[output] <= VACUOUS_SHARE * scale)).sum()) if scale else 0
            total += value.size if scale else 0
    if total and 2 * wide > total:
        passing.append("anything (the tolerance exceeds a tenth of the answer)")
    return passing
