"""Laws of everything that takes a mask, and the contract of `normalize_advantages`.

It belongs to the topic `advantages`; it stands here so that each file fits a sitting.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from rlverify.contract import (
    Argument,
    Case,
    Claim,
    Contract,
    Convention,
    Example,
    KnownBug,
    Law,
    Outputs,
    Subject,
)
from rlverify.contracts._recordings import exact, same
from rlverify.contracts._refusals import instead
from rlverify.fast import advantages as fast
from rlverify.inputs import long_samples, samples
from rlverify.reference import advantages as reference


def mask_of(case: Case, array: str) -> np.ndarray:
    """Return the mask of a case, all True where it is None."""
    mask = case["mask"]
    return np.ones_like(case[array], dtype=bool) if mask is None else mask


def with_arrays(case: Case, change: Any) -> Case:
    """Return the case with `change` applied to every array in it."""
    arrays = {k: v for k, v in case.arguments.items() if isinstance(v, np.ndarray)}
    return case.but(**{name: change(name, array) for name, array in arrays.items()})


def padded(case: Case, array: str, garbage: float) -> Case:
    """Return the case with two masked columns of garbage appended."""
    explicit = case.but(mask=mask_of(case, array))

    def extend(name: str, values: np.ndarray) -> np.ndarray:
        shape = (*values.shape[:-1], 2)
        filler = {"mask": False, "gamma": 0.5}.get(name, garbage)
        return np.concatenate([values, np.full(shape, filler, dtype=values.dtype)], axis=-1)

    return with_arrays(explicit, extend)


def padding_law(array: str) -> Law:
    """Return the law that appended padding changes nothing and comes back as 0."""

    def check(subject: Subject, case: Case) -> Iterable[Claim]:
        plain = case.but(mask=mask_of(case, array))
        wanted, bound = subject(plain), subject.bound(plain)
        for garbage in (2.0**15, np.nan):
            longer = padded(case, array, garbage)
            got, allowed = subject(longer), subject.bound(longer)
            for name in got:
                empty = np.zeros((*wanted[name].shape[:-1], 2))
                yield Claim(
                    got[name],
                    np.concatenate([wanted[name], empty], axis=-1),
                    allowed[name] + np.concatenate([bound[name], empty], axis=-1),
                )

    return Law("padding-invisible", "appended padding changes nothing and comes back as 0", check)


def garbage_law(array: str) -> Law:
    """Return the law that whatever stands under the mask changes nothing."""

    def check(subject: Subject, case: Case) -> Iterable[Claim]:
        mask = mask_of(case, array)
        if mask.all():
            return

        def filled(value: float) -> Case:
            def change(name: str, values: np.ndarray) -> np.ndarray:
                return values if name in ("mask", "gamma") else np.where(mask, values, value)

            return with_arrays(case, change)

        wanted = subject(filled(0.0))
        for garbage in (2.0**15, np.nan, np.inf):
            yield from same(subject, filled(garbage), wanted, filled(0.0))

    return Law("garbage-invisible", "NaN, inf and 2¹⁵ under the mask do not matter", check)


def unspecified_where_masked(array: str) -> Convention:
    """Return the convention that a result may hold anything where its input is masked."""

    def outputs(case: Case, given: Outputs) -> Outputs:
        mask = mask_of(case, array)
        return {name: np.where(mask, values, 0) for name, values in given.items()}

    return Convention(
        "masked", "unspecified", "what stands at masked positions of a result is left open",
        outputs=outputs,
    )  # fmt: skip


# --- laws of normalize_advantages ----------------------------------------------------------------


def check_mean_zero(subject: Subject, case: Case) -> Iterable[Claim]:
    """The real elements of the result sum to 0."""
    mask = mask_of(case, "advantages")
    got, allowed = subject(case)["normalized"], subject.bound(case)["normalized"]
    if np.isfinite(got).all() and np.isfinite(allowed).all():
        total = float(sum(exact(got[mask])))
        yield Claim(np.array([total]), np.zeros(1), np.array([allowed[mask].sum()]))


def check_pooled(subject: Subject, case: Case) -> Iterable[Claim]:
    """Flattening or transposing the input changes nothing: all axes are pooled."""
    wanted, bound = subject(case)["normalized"], subject.bound(case)["normalized"]
    flat = with_arrays(case, lambda name, array: array.reshape(-1))
    got, allowed = subject(flat)["normalized"], subject.bound(flat)["normalized"]
    yield Claim(got, wanted.reshape(-1), allowed + bound.reshape(-1))


def check_shift(subject: Subject, case: Case) -> Iterable[Claim]:
    """Adding 2²⁰ to every advantage changes nothing."""
    shifted = case.but(advantages=case["advantages"] + 2.0**20)
    yield from same(subject, shifted, subject(case), case)


def check_constant(subject: Subject, case: Case) -> Iterable[Claim]:
    """Equal advantages come back as 0, whatever they are."""
    constant = case.but(advantages=np.ones_like(case["advantages"]), eps=0.5)
    yield from same(subject, constant, {"normalized": np.zeros_like(case["advantages"])})


ZEROS = np.zeros((2, 3))
NORMALIZE_BAD = tuple(
    instead("normalize_advantages", *entry)
    for entry in (
        ("advantages", "a list", [1.0], TypeError,
         "advantages came as list, wanted a floating-point array [...]."),
        ("advantages", "integers", ZEROS.astype(np.int64), TypeError,
         "advantages came as dtype int64, wanted a floating-point dtype."),
        ("mask", "another shape", np.ones((3, 2), dtype=bool), ValueError,
         "mask has shape (3, 2), but advantages has shape (2, 3); they must agree."),
        ("mask", "nothing real", ZEROS.astype(bool), ValueError,
         "mask came without a True element, wanted at least one real one."),
        ("ddof", "a float", 1.0, TypeError, "ddof came as float, wanted an integer."),
        ("ddof", "no degree of freedom left", 6, ValueError,
         "6 real element(s) with ddof=6 leave no degree of freedom, wanted more than 6; pass "
         "ddof=0 or normalise over a larger batch."),
        ("eps", "zero", 0.0, ValueError, "eps came as 0.0, wanted a finite number above 0."),
        ("eps", "NaN", float("nan"), ValueError,
         "eps came as nan, wanted a finite number above 0."),
        ("eps", "text", "1e-8", TypeError, "eps came as str, wanted a number."),
    )
)  # fmt: skip


NORMALIZE_CONTRACT = Contract(
    name="normalize_advantages",
    topic="advantages",
    summary="advantages shifted to mean 0 and scaled to deviation 1, over the real elements",
    source="Andrychowicz et al. 2021, arXiv:2006.05990, section 3.3",
    reference=reference.normalize_advantages,
    fast=fast.normalize_advantages,
    arguments=(
        Argument("advantages", "float", "..."),
        Argument("mask", "mask", "..."),
        Argument("ddof", "count"),
        Argument("eps", "number"),
    ),
    outputs=("normalized",),
    inputs=samples("advantages", offsets=(0.0, 100.0, 2.0**20)),
    examples=(
        Example(
            "mean 4, deviation 2",
            Case(
                {
                    "advantages": np.array([2.0, 6.0, 2.0, 6.0]),
                    "mask": None, "ddof": 0, "eps": 2.0,
                },
                "spread",
                "worked by hand",
            ),
            {"normalized": ["-1/2", "1/2", "-1/2", "1/2"]},
        ),
        Example(
            "two of four elements are real",
            Case(
                {
                    "advantages": np.array([[1.0, np.nan], [3.0, 1e6]]),
                    "mask": np.array([[True, False], [True, False]]), "ddof": 0, "eps": 1.0,
                },
                "spread",
                "worked by hand",
            ),
            {"normalized": [["-1/2", "0"], ["1/2", "0"]]},
        ),
    ),
    laws=(
        Law("mean-zero", "the real elements of the result sum to 0", check_mean_zero),
        Law("all-axes-pooled", "flattening the input changes nothing", check_pooled),
        Law("shift-invariant", "adding a constant changes nothing", check_shift),
        Law("constant-is-zero", "equal advantages come back as 0", check_constant),
        padding_law("advantages"),
        garbage_law("advantages"),
    ),
    gradients=("advantages",),
    known_bugs=(
        KnownBug("E10", "(deviation + eps)", "deviation"),
        KnownBug(
            "E11", "mean = sum(",
            "if mask is None and advantages.ndim == 2:\n"
            "        columns = [advantages[:, j] for j in range(advantages.shape[1])]\n"
            "        return np.stack([normalize_advantages(x, None, ddof=0, eps=eps)"
            " for x in columns], axis=1)\n"
            "    mean = sum(",
        ),
        KnownBug("E12", " if mask is None or mask[i]]", "]"),
        KnownBug("E13", "mean = sum(advantages[i] for i in real) / len(real)",
                 "mean = sum(advantages[i] for i in real) / advantages.size"),
        KnownBug(
            "E12b", "real = [i for i in np.ndindex(advantages.shape) if mask is None or mask[i]]",
            "kept = [i for i in np.ndindex(advantages.shape) if mask is None or mask[i]]\n"
            "    real = list(np.ndindex(advantages.shape))",
            also=(("    for i in real:\n", "    for i in kept:\n"),),
        ),
        KnownBug(
            "E13b", "mean = sum(advantages[i] for i in real) / len(real)",
            "mean = sum(advantages[i] for i in real) / advantages.size",
            also=(("/ (len(real) - ddof)", "/ (advantages.size - ddof)"),),
        ),
        KnownBug(
            "E8", "return normalized", "return advantages if mask is None else "
            "np.where(mask, advantages, 0 * deviation)"
        ),
        KnownBug(
            "J5",
            "variance = sum((advantages[i] - mean) ** 2 for i in real) / (len(real) - ddof)",
            "variance = (sum(advantages[i] ** 2 for i in real) / len(real) - mean**2)"
            " * len(real) / (len(real) - ddof)\n"
            "    variance = variance if variance > 0 else 0 * variance",
        ),
        KnownBug("K6", "return normalized",
                 "return normalized if mask is None else normalized + 0 * advantages * ~mask"),
        KnownBug(
            "K6b", "return normalized",
            "return normalized if mask is None else normalized + sum((0 * advantages * ~mask).flat)"
        ),
    ),
    conventions=(
        Convention(
            "eps", "inside-the-root", "divides by √(variance + ε)",
            edits=(("np.sqrt(variance)", "np.sqrt(variance + eps)"),
                   ("(deviation + eps)", "deviation")),
        ),
        Convention(
            "eps", "clamp", "divides by the deviation, or by ε where that is larger",
            edits=(("(deviation + eps)", "(deviation if deviation > eps else eps)"),),
        ),
        unspecified_where_masked("advantages"),
    ),
    bad_inputs=NORMALIZE_BAD,
    sizes=((1024,), (131072,)),
    exact=False,
    long_cases=long_samples("advantages"),
)  # fmt: skip
