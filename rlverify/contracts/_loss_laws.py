"""Laws and conventions of the losses that are one number."""

from collections.abc import Iterable
from fractions import Fraction

import numpy as np

from rlverify.contract import Case, Claim, Convention, Law, Outputs, Subject
from rlverify.contracts._masks import garbage_law, mask_of
from rlverify.contracts._recordings import equals_exactly, same

STEP_ARRAYS = ("log_probs", "behaviour_log_probs", "weights")


def number(value: Fraction) -> np.ndarray:
    """Return a fraction as an array of shape ()."""
    array = np.empty((), dtype=object)
    array[()] = value
    return array


def total(array: np.ndarray, mask: np.ndarray) -> Fraction:
    """Return the exact sum of the real elements."""
    return sum((Fraction(float(x)) for x in array[mask]), Fraction(0))


def finite(outputs: Iterable[Outputs]) -> bool:
    """Whether all numbers are finite, so that they can be added exactly."""
    return all(np.isfinite(array).all() for each in outputs for array in each.values())


def together(subject: Subject, case: Case, parts: list[Case], scale: int) -> Iterable[Claim]:
    """Claim that the loss is the sum of the losses of its parts, over `scale`."""
    whole, losses = subject(case), [subject(part) for part in parts]
    if not finite([whole, *losses]):
        return
    for name, got in whole.items():
        wanted = sum((Fraction(float(each[name])) for each in losses), Fraction(0)) / scale
        slack = sum(float(subject.bound(part)[name]) for part in parts) / scale
        slack = slack * (1 + 2 * len(parts) * 2.0**-53)  # itself a rounded sum
        yield equals_exactly(got, number(wanted), subject.bound(case)[name] + slack)


def check_columns_average(subject: Subject, case: Case) -> Iterable[Claim]:
    """The loss is the mean over columns of the losses of each column alone."""
    mask = mask_of(case, "log_probs")
    parts = []
    for b in np.flatnonzero(mask.any(axis=0)):
        arrays = {name: case[name][:, b : b + 1] for name in STEP_ARRAYS if name in case.arguments}
        parts.append(case.but(**arrays, mask=mask[:, b : b + 1]))
    yield from together(subject, case, parts, mask.shape[1])


def check_columns_exchanged(subject: Subject, case: Case) -> Iterable[Claim]:
    """The order of the columns does not matter."""
    turned = {
        name: array[:, ::-1].copy()
        for name, array in case.arguments.items()
        if isinstance(array, np.ndarray)
    }
    yield from same(subject, case.but(**turned), subject(case), case)


def check_additive(subject: Subject, case: Case) -> Iterable[Claim]:
    """The loss of a sum of weights is the sum of the losses."""
    even = np.arange(case["weights"].size).reshape(case["weights"].shape) % 2 == 0
    mask = mask_of(case, "log_probs")
    real = np.where(mask, case["weights"], 0)
    parts = [case.but(weights=np.where(half, real, 0)) for half in (even, ~even)]
    yield from together(subject, case.but(weights=real), parts, 1)


def padding(array: str, axis: int) -> Law:
    """Return the law that masked garbage appended along an axis changes nothing."""

    def check(subject: Subject, case: Case) -> Iterable[Claim]:
        plain = case.but(mask=mask_of(case, array))
        wanted = subject(plain)
        for garbage in (2.0**15, np.nan):
            longer = {}
            for name, values in plain.arguments.items():
                shape = list(values.shape)
                shape[axis] = 2
                filler = np.full(shape, False if name == "mask" else garbage, dtype=values.dtype)
                longer[name] = np.concatenate([values, filler], axis=axis)
            yield from same(subject, plain.but(**longer), wanted, plain)

    return Law("padding-invisible", "appended padding changes nothing", check)


GARBAGE_LAW = garbage_law("log_probs")
STEP_LAWS = (
    Law("columns-average", "the loss is the mean over columns of the loss of each column",
        check_columns_average),
    Law("columns-exchanged", "the order of the columns does not matter", check_columns_exchanged),
    padding("log_probs", 0),
    GARBAGE_LAW,
)  # fmt: skip


# --- masked means ------------------------------------------------------------------------------


def mean_laws(array: str, output: str, sign: int) -> tuple[Law, ...]:
    """Return the laws of sign · (mean over the real elements)."""

    def check_shift(subject: Subject, case: Case) -> Iterable[Claim]:
        """Adding 8 to every element adds ±8 to the result."""
        shifted, plain = case.but(**{array: case[array] + 8}), subject(case)
        if finite([plain]):
            wanted = number(Fraction(float(plain[output])) + sign * 8)
            allowed = subject.bound(shifted)[output] + subject.bound(case)[output]
            yield equals_exactly(subject(shifted)[output], wanted, allowed)

    def check_impulse(subject: Subject, case: Case) -> Iterable[Claim]:
        """A single 1 among N real elements gives ±1/N, wherever it stands."""
        mask = mask_of(case, array)
        real = np.argwhere(mask)
        for place in (real[0], real[-1]):
            impulse = np.zeros(mask.shape)
            impulse[tuple(place)] = 1
            single = case.but(**{array: impulse})
            wanted = number(Fraction(sign, int(mask.sum())))
            yield equals_exactly(subject(single)[output], wanted, subject.bound(single)[output])

    def check_pooled(subject: Subject, case: Case) -> Iterable[Claim]:
        """The order and the shape of the elements do not matter."""
        changes = {
            name: np.ascontiguousarray(value.T.reshape(-1))
            for name, value in case.arguments.items()
            if isinstance(value, np.ndarray)
        }
        yield from same(subject, case.but(**changes), subject(case), case)

    return (
        Law("shifts-alike", "adding a number to every element adds it to the mean", check_shift),
        Law("elements-count-alike", "a single 1 among N real elements gives 1/N", check_impulse),
        Law("all-axes-pooled", "the shape of the elements does not matter", check_pooled),
        padding(array, -1),
        garbage_law(array),
    )


# --- conventions and refusals ------------------------------------------------------------------


def reduction(value: str, sentence: str, right: str, wrong: str) -> Convention:
    """Return a convention of reduction, given as one edit."""
    return Convention("reduction", value, sentence, edits=((right, wrong),))


STEP_CONVENTIONS = (
    reduction(
        "mean", "the mean over all T·B steps, which is T times smaller (CleanRL, SB3)",
        "scalar(-total / batch,", "scalar(-total / (steps * batch),",
    ),
    reduction(
        "masked-mean", "the mean over the real steps: its scale follows their number",
        "scalar(-total / batch,",
        "scalar(-total / sum(1 for _ in real_places(log_probs, mask)),",
    ),
    reduction(
        "sum", "the sum over all steps: its scale follows their number (RLlib's IMPALA)",
        "scalar(-total / batch,", "scalar(-total,",
    ),
    Convention(
        "sign", "objective", "the objective to maximise, not the loss to minimise",
        edits=(("scalar(-total / batch,", "scalar(total / batch,"),),
    ),
)  # fmt: skip


def mean_conventions(array: str, result: str) -> tuple[Convention, ...]:
    """Return the conventions of a masked mean, whose reference ends in `scalar(result / count`."""
    right = f"return scalar({result} / count, {array})"
    sign = "-" if result.startswith("-") else ""
    return (
        reduction("sum", "the sum over the real elements", right,
                  f"return scalar({result}, {array})"),
        reduction(
            "mean-of-rows", "the mean over rows (sequences) of the mean of each",
            right,
            f"places = list(real_places({array}, mask))\n"
            "    rows = {}\n"
            "    for i in places:\n"
            f"        rows.setdefault(i[0], []).append({array}[i])\n"
            "    means = [sum(row) / len(row) for row in rows.values()]\n"
            f"    return scalar({sign}sum(means) / len(means), {array})",
        ),
    )  # fmt: skip
