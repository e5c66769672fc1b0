"""The contract of `sequence_gae`, which knows a mask instead of ends.

It belongs to the topic `advantages`; it stands here so that each file fits a sitting.
"""

from collections.abc import Iterable
from fractions import Fraction

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
    Subject,
)
from rlverify.contracts._masks import (
    ZEROS,
    garbage_law,
    mask_of,
    padding_law,
    unspecified_where_masked,
    with_arrays,
)
from rlverify.contracts._recordings import equals_exactly, exact, same, transposed, transposed_back
from rlverify.contracts._refusals import instead
from rlverify.fast import advantages as fast
from rlverify.inputs import long_sequences, token_sequences
from rlverify.reference import advantages as reference

SEQUENCE = ("rewards", "values", "mask", "gamma", "lam")

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


SEQUENCE_BAD = tuple(
    instead("sequence_gae", *entry)
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
            "layout", "time-major", "sequences are given and returned as [L, B]",
            inputs=transposed, outputs=transposed_back,
        ),
        unspecified_where_masked("rewards"),
    ),
    bad_inputs=SEQUENCE_BAD,
    sizes=((64, 512), (512, 1024)),
    long_cases=long_sequences(SEQUENCE),
)  # fmt: skip
