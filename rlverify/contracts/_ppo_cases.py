"""What the contracts of the topic `ppo` share: inputs, laws, known bugs and refusals."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from rlverify.contract import BadInput, Case, Claim, Convention, KnownBug, Law, Subject
from rlverify.contracts._loss_cases import MASKS, SIZES, drawn_mask
from rlverify.contracts._loss_laws import reduction
from rlverify.contracts._masks import garbage_law, mask_of, padded, with_arrays
from rlverify.contracts._recordings import same
from rlverify.contracts._refusals import bad, bad_floats, bad_masks
from rlverify.inputs import GARBAGE, distinct
from rlverify.refusals import KL_ESTIMATORS

__all__ = ["SIZES"]

# square ones among them: what is silently transposed shows on them alone
SHAPES = ((1,), (2,), (3,), (5,), (1, 4), (3, 2), (2, 2), (2, 2), (3, 3), (3, 3), (3, 1, 2))
# no e^(k/8) lies near 1 ± ε, and no multiple of 1/8 is an odd number of sixteenths
RATIO_RANGES = (0.1, 0.2, 0.2, 0.3, 0.5)
VALUE_RANGES = (0.1875, 0.2, 0.8125, 2.0625, 4.1875)
FREE = 2.0**20  # a range that holds nothing back


def masked_arrays(
    draw: st.DrawFn, arrays: dict[str, np.ndarray], mask: np.ndarray | None
) -> dict[str, np.ndarray]:
    """Return arrays with garbage under the mask."""
    if mask is None:
        return arrays
    garbage = draw(st.sampled_from(GARBAGE))
    return {name: np.where(mask, array, garbage) for name, array in arrays.items()}


@st.composite
def ratio_cases(
    draw: st.DrawFn, names: tuple[str, ...], policies: tuple[str, ...] = ("near", "far")
) -> Case:
    """Draw log-probabilities of two policies with what else is named.

    `near`: log-ratios are multiples of 1/8 of at most 2; `far`: one of them is ±80; `tiny`: all
    are below 2⁻¹¹; `on-policy`: all are 0; `narrow`: 1/8 up is outside the range, 1/8 down inside.
    """
    shape = draw(st.sampled_from(SHAPES))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    log_probs, advantages, kl = distinct(rng, shape, shape, shape)
    mask = drawn_mask(draw(st.sampled_from(MASKS)), shape, rng)
    policy = draw(st.sampled_from(("near", "near", "near", *policies)))
    log_ratios = rng.integers(1, 17, shape) * rng.choice((-1, 1), shape) / 8
    if policy == "near" and draw(st.booleans()):  # all of one sign: nothing cancels
        log_ratios = np.abs(log_ratios)
    if policy == "on-policy":
        log_ratios = np.zeros(shape)
    if policy == "far":
        real = np.argwhere(np.ones(shape) if mask is None else mask)
        place = tuple(int(i) for i in rng.choice(real))
        log_probs[place], log_ratios[place] = -1.0, rng.choice((-80.0, 80.0))
    if policy == "tiny":
        log_probs, log_ratios = log_probs * 2.0**-18, log_ratios * 2.0**-13
    if policy == "narrow":
        log_ratios = np.sign(log_ratios) / 8
    arrays = {
        "log_probs": log_probs, "old_log_probs": log_probs - log_ratios,
        "advantages": advantages, "kl": np.abs(kl),
    }  # fmt: skip
    arrays = {name: array for name, array in arrays.items() if name in names}
    everything: dict[str, Any] = {**masked_arrays(draw, arrays, mask), "mask": mask}
    if "clip_range" in names:
        everything["clip_range"] = draw(st.sampled_from(RATIO_RANGES))
        if policy == "narrow":
            everything["clip_range"] = 0.125
    if "beta" in names:
        everything["beta"] = draw(st.sampled_from((0.125, 0.5, 1.0, 3.0)))
    if "estimator" in names:
        everything["estimator"] = draw(st.sampled_from(KL_ESTIMATORS))
    return Case({name: everything[name] for name in names}, policy)


@st.composite
def value_cases(draw: st.DrawFn, names: tuple[str, ...], least: int = 1) -> Case:
    """Draw values, old values and returns with a mask of at least `least` real elements."""
    shape = draw(st.sampled_from([s for s in SHAPES if np.prod(s) >= least]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values, returns = distinct(rng, shape, shape)
    steps = rng.integers(1, 41, shape) * rng.choice((-1, 1), shape) / 8
    mask = drawn_mask(draw(st.sampled_from(MASKS)), shape, rng)
    if mask is not None and mask.sum() < least:
        mask.flat[:least] = True
    arrays = {"values": values, "old_values": values - steps, "returns": returns}
    if draw(st.booleans()):  # a critic that is nearly right
        arrays["returns"] = values + rng.integers(-16, 17, shape) / 8
        arrays["returns"].flat[0] += 3 if mask is None else 2
    arrays = {name: array for name, array in arrays.items() if name in names}
    if least > 1 and np.ptp(arrays["returns"][slice(None) if mask is None else mask]) == 0:
        arrays["returns"] = returns
    everything: dict[str, Any] = {**masked_arrays(draw, arrays, mask), "mask": mask}
    everything["clip_range"] = draw(st.sampled_from(VALUE_RANGES))
    return Case({name: everything[name] for name in names})


def sized_case(arrays: tuple[str, ...], **knobs: Any) -> Callable[[tuple[int, ...]], Case]:
    """Return the function that makes a case of a benchmark size: one element in ten is masked."""

    def sized(shape: tuple[int, ...]) -> Case:
        rng = np.random.default_rng(0)
        drawn = {name: rng.integers(-255, 256, shape) / 128 for name in arrays}
        return Case({**drawn, "mask": rng.random(shape) < 0.9, **knobs}, label="timing")

    return sized


def good_case(arrays: tuple[str, ...], **knobs: Any) -> Case:
    """Return the good case that bad inputs spoil: two rows of three."""
    drawn = {name: np.arange(6.0).reshape(2, 3) / 2 for name in arrays}
    return Case({**drawn, "mask": None, **knobs}, label="good")


# --- laws --------------------------------------------------------------------------------------


def check_pooled(subject: Subject, case: Case) -> Iterable[Claim]:
    """The order and the shape of the elements do not matter."""
    turned = with_arrays(case, lambda name, array: np.ascontiguousarray(array.T.reshape(-1)))
    yield from same(subject, turned, subject(case), case)


def padding_law(array: str) -> Law:
    """Return the law that appended padding changes nothing."""

    def check(subject: Subject, case: Case) -> Iterable[Claim]:
        plain = case.but(mask=mask_of(case, array))
        for garbage in (2.0**15, np.nan):
            yield from same(subject, padded(plain, array, garbage), subject(plain), plain)

    return Law("padding-invisible", "appended padding changes nothing", check)


def shared_laws(array: str) -> tuple[Law, ...]:
    """Return the laws of every mean over the real elements."""
    return (
        Law("all-axes-pooled", "the shape of the elements does not matter", check_pooled),
        padding_law(array),
        garbage_law(array),
    )


def check_pessimistic(subject: Subject, case: Case) -> Iterable[Claim]:
    """The loss is never below that without a range."""
    free = case.but(clip_range=FREE)
    got, wanted = subject(case)["loss"], subject(free)["loss"]
    if np.isfinite(got) and np.isfinite(wanted):
        allowed = subject.bound(case)["loss"] + subject.bound(free)["loss"]
        yield Claim(np.minimum(got - wanted, 0), np.zeros(()), np.asarray(allowed))


def impulses(case: Case, array: str) -> Iterable[tuple[int, ...]]:
    """Yield the first and the last real place of a case."""
    real = np.argwhere(mask_of(case, array))
    for place in (real[0], real[-1]):
        yield tuple(int(i) for i in place)


def at(place: tuple[int, ...], like: np.ndarray, value: float) -> np.ndarray:
    """Return zeros with one value at a place."""
    array = np.zeros(like.shape)
    array[place] = value
    return array


# --- known bugs --------------------------------------------------------------------------------


def mean_bugs(
    name: str, arrays: tuple[str, ...], knobs: tuple[str, ...], term: str, result: str
) -> tuple[KnownBug, ...]:
    """Return what goes wrong with masks and means, given the line that adds a term."""
    first, total = arrays[0], term.split(" ")[0]
    loop, real = f"for i in real_places({first}, mask):", "(1 if mask is None else int(mask[i]))"
    summand = term.split(" = ", 1)[1].removeprefix(f"{total} + ")
    parts = ", ".join(f"{array}[h]" for array in arrays)
    given = ", ".join(f"{knob}={knob}" for knob in knobs)
    start = f"{total}, count = 0, 0\n"
    return (
        KnownBug("E12", loop, f"for i in real_places({first}, None):"),
        KnownBug("E13", f"scalar({result}", f"scalar({result}".replace("count", f"{first}.size")),
        KnownBug(
            "K6", loop, f"for i in np.ndindex({first}.shape):",
            also=((term, f"{total} = {total} + ({summand}) * {real}"),
                  ("count = count + 1", f"count = count + {real}")),
        ),
        KnownBug(
            "K17", start,
            f"half = len({first}) // 2\n"
            "    if half and (mask is None or mask[:half].any() and mask[half:].any()):\n"
            f"        means = [{name}({parts}, None if mask is None else mask[h], {given})\n"
            "                 for h in (slice(None, half), slice(half, None))]\n"
            f"        return scalar((means[0][()] + means[1][()]) / 2, {first})\n    {start}",
        ),
    )  # fmt: skip


def transposed(array: str) -> str:
    """Return the element of an array whose axes were exchanged, where that goes unnoticed."""
    return f"({array}[i[::-1]] if {array}.shape == {array}.shape[::-1] else {array}[i])"


def mean_conventions(array: str, start: str, term: str, result: str) -> tuple[Convention, ...]:
    """Return the conventions of reduction of a mean whose reference ends in `scalar(result`."""
    total = start.split(",")[0]
    summand = term.split(" = ", 1)[1].removeprefix(f"{total} + ")
    mean = f"sum(sum(row) / len(row) for row in {total}.values()) / len({total})"
    return (
        reduction("sum", "the sum over the real elements", f"scalar({result}",
                  f"scalar({result.replace(' / count', '')}"),
        Convention(
            "reduction", "mean-of-rows", "the mean over rows (sequences) of the mean of each",
            edits=(
                (start, f"{total}, count = {{}}, 0\n"),
                (term, f"{total}.setdefault(i[0], []).append({summand})"),
                (f"scalar({result}", f"scalar({result.replace(f'{total} / count', mean)}"),
            ),
        ),
    )  # fmt: skip


# --- refusals ----------------------------------------------------------------------------------


def bad_arrays(function: str, first: str, others: tuple[str, ...]) -> tuple[BadInput, ...]:
    """Return the refusals of arrays that do not agree with the first one."""
    return tuple(
        bad(function, name, "one column", lambda x: x[:, :1], ValueError,
            f"{name} has shape (2, 1), but {first} has shape (2, 3); they must agree.")
        for name in others
    )  # fmt: skip


def bad_range(function: str) -> tuple[BadInput, ...]:
    """Return the refusals of a clip range."""
    return (
        bad(function, "clip_range", "zero", lambda _: 0.0, ValueError,
            "clip_range came as 0.0, wanted a finite number above 0."),
        bad(function, "clip_range", "NaN", lambda _: float("nan"), ValueError,
            "clip_range came as nan, wanted a finite number above 0."),
        bad(function, "clip_range", "text", lambda _: "0.2", TypeError,
            "clip_range came as str, wanted a number."),
    )  # fmt: skip


def bad_pairs(function: str) -> tuple[BadInput, ...]:
    """Return the refusals of a clip range that may be a pair."""
    return (
        bad(function, "clip_range", "three numbers", lambda _: (0.1, 0.2, 0.3), ValueError,
            "clip_range came with 3 numbers, wanted one, or a pair (low, high)."),
        bad(function, "clip_range", "a side below 0", lambda _: (0.1, -0.2), ValueError,
            "clip_range came as -0.2, wanted a finite number above 0."),
    )  # fmt: skip


def bad_ratios(function: str, arrays: tuple[str, ...]) -> tuple[BadInput, ...]:
    """Return the refusals of whatever clips ratios; the log-probabilities are the first array."""
    return (
        *bad_floats(function, arrays[0], "[...]"),
        *bad_arrays(function, arrays[0], arrays[1:]),
        *bad_masks(function, arrays[0]),
        *bad_range(function),
        *bad_pairs(function),
    )
