"""Contracts of `sequence_gae` and `normalize_advantages`, which know a mask instead of ends.

They belong to the topic `advantages`; they stand here so that each file fits a sitting.
"""

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

import numpy as np

from rlverify.contract import (
    Argument,
    BadInput,
    Case,
    Claim,
    Contract,
    Convention,
    Example,
    KnownBug,
    Law,
    Subject,
)
from rlverify.contracts._recordings import equals_exactly, exact, same, transposed, transposed_back
from rlverify.fast import advantages as fast
from rlverify.inputs import long_samples, long_sequences, samples, token_sequences
from rlverify.reference import advantages as reference

SEQUENCE = ("rewards", "values", "mask", "gamma", "lam")


def mask_of(case: Case, array: str) -> np.ndarray:
    """Return the mask of a case, all True where it is None."""
    mask = case["mask"]
    return np.ones_like(case[array], dtype=bool) if mask is None else mask


def with_arrays(case: Case, change: Any) -> Case:
    """Return the case with `change` applied to every array in it."""
    arrays = {k: v for k, v in case.arguments.items() if isinstance(v, np.ndarray)}
    return case.but(**{name: change(name, array) for name, array in arrays.items()})


# --- laws of both ----------------------------------------------------------------------------


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
        for garbage in (1e6, np.nan):
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
        for garbage in (1e6, np.nan, np.inf):
            yield from same(subject, filled(garbage), wanted, filled(0.0))

    return Law("garbage-invisible", "NaN, inf and 10⁶ under the mask do not matter", check)


# --- laws of sequence_gae ----------------------------------------------------------------------


def check_rows(subject: Subject, case: Case) -> Iterable[Claim]:
    """Compare every row of the whole with that row alone."""
    mask = mask_of(case, "rewards")
    got, allowed = subject(case), subject.bound(case)
    for b in range(mask.shape[0]):
        if not mask[b].any():
            for name in got:
                empty = np.zeros((1, mask.shape[1]))
                yield Claim(got[name][b : b + 1], empty, empty)
            continue
        row = with_arrays(case.but(mask=mask), lambda name, array, b=b: array[b : b + 1])
        alone, bound = subject(row), subject.bound(row)
        for name in got:
            yield Claim(got[name][b : b + 1], alone[name], allowed[name][b : b + 1] + bound[name])


def check_compressed(subject: Subject, case: Case) -> Iterable[Claim]:
    """Take the masked tokens out: the real ones keep their results."""
    mask = mask_of(case, "rewards")
    got, allowed = subject(case), subject.bound(case)
    for b in range(mask.shape[0]):
        if not mask[b].any():
            continue

        def only_real(name: str, array: np.ndarray, b: int = b) -> np.ndarray:
            return array[b : b + 1, mask[b]]

        short = with_arrays(case.but(mask=mask), only_real)
        wanted, bound = subject(short), subject.bound(short)
        for name in got:
            real = got[name][b : b + 1, mask[b]]
            yield Claim(real, wanted[name], allowed[name][b : b + 1, mask[b]] + bound[name])


def check_token_lambda_zero(subject: Subject, case: Case) -> Iterable[Claim]:
    """With λ = 0 the advantage is the error towards the next real token."""
    zero, mask = case.but(lam=0.0), mask_of(case, "rewards")
    got, allowed = subject(zero), subject.bound(zero)
    gamma = np.broadcast_to(np.asarray(case["gamma"], dtype=float), mask.shape)
    wanted = exact(np.zeros(mask.shape))
    for b in range(mask.shape[0]):
        following = Fraction(0)
        for t in reversed(np.flatnonzero(mask[b])):
            reward, value = Fraction(case["rewards"][b, t]), Fraction(case["values"][b, t])
            wanted[b, t] = reward + Fraction(gamma[b, t]) * following - value
            following = value
    yield equals_exactly(got["advantages"], wanted, allowed["advantages"])


def check_token_returns(subject: Subject, case: Case) -> Iterable[Claim]:
    """Returns minus values are the advantages, on real tokens."""
    mask = mask_of(case, "rewards")
    got, allowed = subject(case), subject.bound(case)
    if len(got) == 2:
        difference = got["returns"][mask] - case["values"][mask]
        slack = (allowed["returns"] + allowed["advantages"])[mask]
        yield Claim(difference, got["advantages"][mask], slack)


def check_token_scale(subject: Subject, case: Case) -> Iterable[Claim]:
    """Double every reward and value: the result doubles."""
    doubled = case.but(rewards=2 * case["rewards"], values=2 * case["values"])
    wanted = {name: 2 * array for name, array in subject(case).items()}
    yield from same(subject, doubled, wanted, case, 2.0)


def check_token_gamma(subject: Subject, case: Case) -> Iterable[Claim]:
    """Give γ once for all, and once for every token: nothing changes."""
    if isinstance(case["gamma"], np.ndarray):
        return
    per_token = case.but(gamma=np.full(case["rewards"].shape, case["gamma"]))
    yield from same(subject, per_token, subject(case), case)


def check_token_impulse(subject: Subject, case: Case) -> Iterable[Claim]:
    """A reward on the last real token reaches the token k real ones before it with (γλ)ᵏ."""
    mask = mask_of(case, "rewards")
    gamma = exact(np.broadcast_to(np.asarray(case["gamma"], dtype=float), mask.shape))
    rewards, wanted = np.zeros(mask.shape), exact(np.zeros(mask.shape))
    for b in range(mask.shape[0]):
        real = np.flatnonzero(mask[b])
        weight = Fraction(1)
        for k, t in enumerate(reversed(real)):
            if k == 0:
                rewards[b, t] = 1
            else:
                weight = weight * gamma[b, t] * Fraction(case["lam"])
            wanted[b, t] = weight
    impulse = case.but(rewards=rewards, values=np.zeros(mask.shape))
    got, allowed = subject(impulse), subject.bound(impulse)
    for name in got:
        yield equals_exactly(got[name], wanted, allowed[name])


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


# --- bugs and refusals -------------------------------------------------------------------------

SKIP = "if mask is not None and not mask[b, t]:"
CARRY = "following = delta + discount[b, t] * lam * following"
SEQUENCE_BUGS = (
    KnownBug("A10", "delta = rewards[b, t] +", "delta = (rewards[b, t - 1] if t else 0) +"),
    KnownBug("A12", "returns[b, t] = following + values[b, t]", "returns[b, t] = values[b, t]"),
    KnownBug(
        "A13", "return Advantages(advantages, returns)",
        "return Advantages(advantages, returns / (1e-8 + np.sqrt((returns**2).mean())))",
    ),
    KnownBug("A14", CARRY, "following = rewards[b, t] - values[b, t]"),
    KnownBug(
        "A19", "return Advantages(advantages, returns)",
        "return Advantages(advantages.squeeze(), returns.squeeze())",
    ),
    KnownBug("A22a", "discount[b, t] * bootstrap", "lam * bootstrap"),
    KnownBug("A22b", "discount[b, t] * bootstrap", "discount[b, t] * lam * bootstrap"),
    KnownBug("A22c", CARRY, CARRY.replace("* lam", "* discount[b, t] * lam")),
    KnownBug("A22d", CARRY, CARRY.replace("discount[b, t] * lam", "lam")),
    KnownBug("A22e", CARRY, CARRY.replace("* lam ", "")),
    KnownBug(
        "A24", SKIP, "if mask is not None and not mask[b, t] and np.ndim(gamma) == 0:"
    ),
    KnownBug(
        "C12", "for b in range(batch):\n        following, bootstrap = 0, 0",
        "following, bootstrap = 0, 0\n    for b in range(batch):\n        pass",
    ),
    KnownBug(
        "K6", f"{SKIP}\n                continue",
        f"{SKIP}\n                advantages[b, t] = 0 * rewards[b, t]\n"
        "                returns[b, t] = 0 * values[b, t]\n                continue",
    ),
    KnownBug("K23", SKIP, "if False:"),
)  # fmt: skip


def _bad(
    function: str, argument: str, name: str, value: Any, error: type[Exception], message: str
) -> BadInput:
    def spoil(case: Case) -> Mapping[str, Any]:
        return {argument: value}

    return BadInput(f"{argument}: {name}", spoil, error, f"{function}: {message}")


ZEROS = np.zeros((2, 3))
SEQUENCE_BAD = tuple(
    _bad("sequence_gae", *entry)
    for entry in (
        ("rewards", "no batch axis", ZEROS[0], ValueError,
         "rewards came with shape (3,), wanted [B, L]; for a single sequence pass "
         "rewards[None, :]."),
        ("values", "one token short", ZEROS[:, 1:], ValueError,
         "values has shape (2, 2), but rewards has shape (2, 3); they must agree."),
        ("values", "integers", ZEROS.astype(np.int32), TypeError,
         "values came as dtype int32, wanted a floating-point dtype."),
        ("mask", "numbers", ZEROS, TypeError, "mask came as dtype float64, wanted bool."),
        ("mask", "nothing real", ZEROS.astype(bool), ValueError,
         "mask came without a True element, wanted at least one real one."),
        ("mask", "a list", [[True]], TypeError,
         "mask came as list, wanted a boolean array [B, L]."),
        ("gamma", "negative", -0.5, ValueError, "gamma came as -0.5, wanted a number in [0, 1]."),
        ("lam", "above 1", 2, ValueError, "lam came as 2, wanted a number in [0, 1]."),
    )
)  # fmt: skip
NORMALIZE_BAD = tuple(
    _bad("normalize_advantages", *entry)
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


SEQUENCE_CONTRACT = Contract(
    name="sequence_gae",
    topic="advantages",
    summary="GAE over the real tokens of padded sequences",
    source="Schulman et al. 2016, arXiv:1506.02438, eq. 16; Ziegler et al. 2019, arXiv:1909.08593",
    reference=reference.sequence_gae,
    fast=fast.sequence_gae,
    arguments=(
        Argument("rewards", "float", "B L"),
        Argument("values", "float", "B L"),
        Argument("mask", "mask", "B L"),
        Argument("gamma", "discount", "B L"),
        Argument("lam", "number"),
    ),
    outputs=("advantages", "returns"),
    inputs=token_sequences(SEQUENCE),
    examples=(
        Example(
            "a masked token inside, padding behind",
            Case(
                {
                    "rewards": np.array([[1.0, 9.0, 2.0, np.nan]]),
                    "values": np.array([[4.0, 9.0, 8.0, np.inf]]),
                    "mask": np.array([[True, False, True, False]]),
                    "gamma": 0.5,
                    "lam": 0.5,
                },
                "free",
                "worked by hand",
            ),
            {"advantages": [["-1/2", "0", "-6", "0"]], "returns": [["7/2", "0", "2", "0"]]},
        ),
    ),
    laws=(
        Law("rows-independent", "a sequence does not depend on its neighbours", check_rows),
        Law("masked-tokens-stepped-over", "taking masked tokens out changes nothing",
            check_compressed),
        padding_law("rewards"),
        garbage_law("rewards"),
        Law("lambda-zero", "λ = 0 is the error towards the next real token",
            check_token_lambda_zero, claim="C29"),
        Law("returns-identity", "returns − values = advantages", check_token_returns),
        Law("reward-scale", "twice the rewards and values give twice the result",
            check_token_scale),
        Law("gamma-per-step", "a discount given for every token equals the same one given once",
            check_token_gamma),
        Law("reward-impulse", "a last reward reaches the k-th real token before it with (γλ)ᵏ",
            check_token_impulse),
    ),
    gradients=("rewards", "values", "gamma"),
    known_bugs=SEQUENCE_BUGS,
    conventions=(
        Convention(
            "layout", "sequence-major", "sequences are given and returned as [L, B]",
            inputs=transposed, outputs=transposed_back,
        ),
    ),
    bad_inputs=SEQUENCE_BAD,
    sizes=((64, 512), (512, 1024)),
    long_cases=long_sequences(SEQUENCE),
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
    inputs=samples("advantages", offsets=(0.0, 0.0, 100.0, 2.0**20)),
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
            "J5",
            "variance = sum((advantages[i] - mean) ** 2 for i in real) / (len(real) - ddof)",
            "variance = (sum(advantages[i] ** 2 for i in real) / len(real) - mean**2)"
            " * len(real) / (len(real) - ddof)\n"
            "    variance = variance if variance > 0 else 0 * variance",
        ),
        KnownBug("K6", "return normalized",
                 "return normalized if mask is None else normalized + 0 * advantages * ~mask"),
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
    ),
    bad_inputs=NORMALIZE_BAD,
    sizes=((1024,), (131072,)),
    long_cases=long_samples("advantages"),
)  # fmt: skip
