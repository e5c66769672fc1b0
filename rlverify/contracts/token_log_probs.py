"""The contract of `selected_log_probs`: tokens of a language model, scored by its logits."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from rlverify.contract import (
    Argument,
    Case,
    Claim,
    Contract,
    Equivalent,
    Example,
    KnownBug,
    Law,
    Subject,
)
from rlverify.contracts._categorical_cases import claim, drawn_logits, mapped, results
from rlverify.contracts._categorical_laws import total
from rlverify.contracts._loss_cases import drawn_mask
from rlverify.contracts._masks import unspecified_where_masked
from rlverify.contracts._recordings import same
from rlverify.contracts._refusals import bad, bad_floats, bad_masks
from rlverify.fast import token_log_probs as fast
from rlverify.inputs import GARBAGE
from rlverify.reference import token_log_probs as reference
from rlverify.rounding import Tracked

SHAPES = ((1, 1), (1, 3), (2, 1), (2, 2), (2, 2), (2, 3), (3, 2))
SPREADS = ("plain", "plain", "plain", "equal", "ties", "far", "far", "far")
MASKS = ("none", "full", "right", "right", "scattered", "scattered", "one")


@st.composite
def scored(draw: st.DrawFn) -> Case:
    """Draw logits, tokens that were written, and where; padding holds garbage, tokens −100."""
    kind = draw(st.sampled_from(SPREADS))
    shape, actions = draw(st.sampled_from(SHAPES)), draw(st.sampled_from((1, 2, 3, 3, 4)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    logits = drawn_logits(kind, (*shape, actions), rng)
    tokens = rng.integers(0, actions, shape)
    columns = drawn_mask(draw(st.sampled_from(MASKS)), shape[::-1], rng)
    mask = None if columns is None else columns.T.copy()
    if mask is not None:
        logits = np.where(mask[..., None], logits, draw(st.sampled_from(GARBAGE)))
        tokens = np.where(mask, tokens, draw(st.sampled_from((-100, 0, 7))))
    warmth = draw(st.sampled_from((1.0, 0.5, 0.5, 2.0, 4.0)))
    return Case({"logits": logits, "tokens": tokens, "mask": mask, "temperature": warmth}, kind)


def sized(shape: tuple[int, ...]) -> Case:
    """Return a case of a benchmark size, [B, L, V], padded at the right."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, shape[1] + 1, shape[0])
    return Case({
        "logits": rng.integers(-256, 257, shape) / 64,
        "tokens": rng.integers(0, shape[2], shape[:2]),
        "mask": np.arange(shape[1]) < lengths[:, None],
        "temperature": 0.5,
    }, "plain", "timing")  # fmt: skip


# --- laws ------------------------------------------------------------------------------------


def real_of(case: Case) -> np.ndarray:
    """Return where tokens are real."""
    return np.ones(case["tokens"].shape, dtype=bool) if case["mask"] is None else case["mask"]


def check_sum(subject: Subject, case: Case) -> Iterable[Claim]:
    """The probabilities of all tokens at a real position sum to 1."""
    real, vocabulary = real_of(case), case["logits"].shape[-1]
    every = [
        results(subject, case.but(tokens=np.where(real, a, case["tokens"])), "log_probs")[real]
        for a in range(vocabulary)
    ]
    yield claim(total(mapped(Tracked.exp, x) for x in every), np.ones(int(real.sum())))


def check_shift(subject: Subject, case: Case) -> Iterable[Claim]:
    """Add 1024 to every logit: nothing changes, though no exponential holds it."""
    shifted = case.but(logits=case["logits"] + 1024.0)
    yield from same(subject, shifted, subject(case), case)


def check_temperature(subject: Subject, case: Case) -> Iterable[Claim]:
    """Double logits and temperature: nothing changes."""
    hotter = case.but(logits=2 * case["logits"], temperature=2 * case["temperature"])
    yield from same(subject, hotter, subject(case), case)


def check_positions(subject: Subject, case: Case) -> Iterable[Claim]:
    """Ask for one position alone: the others do not matter."""
    got, allowed = subject(case)["log_probs"], subject.bound(case)["log_probs"]
    for b, t in np.argwhere(real_of(case)):
        here = np.s_[b : b + 1, t : t + 1]
        alone = case.but(logits=case["logits"][here], tokens=case["tokens"][here], mask=None)
        wanted, bound = subject(alone)["log_probs"], subject.bound(alone)["log_probs"]
        yield Claim(got[here], wanted, allowed[here] + bound)


def check_padding(subject: Subject, case: Case) -> Iterable[Claim]:
    """Whatever stands under the mask, logits or tokens, comes back as 0 and changes nothing."""
    real = real_of(case)
    if real.all():
        return

    def filled(value: float, token: int) -> Case:
        return case.but(
            logits=np.where(real[..., None], case["logits"], value),
            tokens=np.where(real, case["tokens"], token),
        )

    wanted = subject(filled(0.0, 0))
    padding = wanted["log_probs"][~real]
    yield Claim(padding, np.zeros_like(padding), np.zeros_like(padding))
    for value, token in ((2.0**15, -100), (np.nan, 10**6), (np.inf, -1)):
        yield from same(subject, filled(value, token), wanted, filled(0.0, 0))


# --- forms that look wrong and are right -------------------------------------------------------


def log_softmax_gathered(
    logits: np.ndarray, tokens: np.ndarray, mask: np.ndarray | None, *, temperature: float
) -> np.ndarray:
    """Normalise the whole vocabulary first, then look the tokens up."""
    real = np.ones(tokens.shape, dtype=bool) if mask is None else mask
    scaled = np.where(real[..., None], logits, 0) / temperature
    scaled = scaled - scaled.max(axis=-1, keepdims=True)
    log_probs = scaled - np.log(np.exp(scaled).sum(axis=-1, keepdims=True))
    taken = np.take_along_axis(log_probs, np.where(real, tokens, 0)[..., None], axis=-1)[..., 0]
    return np.where(real, taken, 0)


# --- the contract --------------------------------------------------------------------------------

BELOW = "(logit - highest) / temperature"
TAKEN = "below[tokens[b, t]]"
LOGITS = np.arange(24.0).reshape(2, 3, 4) / 4
GOOD: dict[str, Any] = {
    "logits": LOGITS, "tokens": np.array([[0, 1, 3], [2, 1, 0]]), "mask": None, "temperature": 0.5,
}  # fmt: skip
NAME = "selected_log_probs"

SELECTED = Contract(
    name="selected_log_probs",
    topic="token_log_probs",
    summary="log-probabilities of tokens, from logits over a vocabulary",
    source="Ouyang et al. 2022, arXiv:2203.02155, section 3.5",
    reference=reference.selected_log_probs,
    fast=fast.selected_log_probs,
    arguments=(
        Argument("logits", "float", "B L V"),
        Argument("tokens", "integer", "B L"),
        Argument("mask", "mask", "B L"),
        Argument("temperature", "number"),
    ),
    outputs=("log_probs",),
    axes=("B L",),
    inputs=scored(),
    examples=(
        Example(
            "far above the others; a single token; padding",
            Case({"logits": np.array([[[1e4, 0.0], [np.nan, np.inf]], [[3.0, -1e4], [0.0, 0.0]]]),
                  "tokens": np.array([[0, -100], [0, 1]]),
                  "mask": np.array([[True, False], [True, False]]), "temperature": 0.5},
                 label="worked by hand"),
            {"log_probs": [["0", "0"], ["0", "0"]]},
        ),
        Example(
            "the other one is e²⁰ times as likely at T = ½",
            Case({"logits": np.array([[[0.0, 16384.0]]]), "tokens": np.array([[0]]), "mask": None,
                  "temperature": 0.5}, label="worked by hand"),
            {"log_probs": [["-32768"]]},
        ),
    ),
    laws=(
        Law("probabilities-sum-to-one", "probabilities of all tokens sum to 1", check_sum),
        Law("shift-invariant", "1024 more on every logit changes nothing", check_shift),
        Law("temperature-scales-logits", "twice the logits at twice T changes nothing",
            check_temperature),
        Law("positions-independent", "a position does not depend on those beside it",
            check_positions),
        Law("padding-invisible", "logits and tokens under the mask do not matter", check_padding),
    ),
    gradients=("logits",),
    gradient_judged=True,
    known_bugs=(
        KnownBug("D25", "highest = max(logits[b, t])", "highest = 0"),
        KnownBug("K6", "return log_probs",
                 "return log_probs + (0 if mask is None else 0 * logits[..., 0] * ~mask)"),
        KnownBug("K27", TAKEN, "below[tokens[b, t - 1] if t and real[b, t - 1] else tokens[b, t]]"),
        KnownBug("K28", BELOW, "logit - highest",
                 also=(("settled(below", "settled(1 / temperature * (below"),
                       (" - normalizer)", " - normalizer))"))),
        KnownBug("K28b", BELOW, "logit - highest"),
    ),
    conventions=(unspecified_where_masked("tokens"),),
    equivalents=(
        Equivalent("log-softmax first", "normalises the vocabulary, then looks the tokens up",
                   log_softmax_gathered),
    ),
    bad_inputs=(
        *bad_floats(NAME, "logits", "[B, L, V]"),
        bad(NAME, "logits", "one axis short", lambda x: x[0], ValueError,
            "logits came with shape (3, 4), wanted [B, L, V]."),
        bad(NAME, "tokens", "floats", lambda x: x.astype(float), TypeError,
            "tokens came as dtype float64, wanted int64."),
        bad(NAME, "tokens", "one short", lambda x: x[:, 1:], ValueError,
            "tokens has shape (2, 2), but logits has shape (2, 3, 4); they must agree."),
        bad(NAME, "tokens", "beyond the last", lambda x: x + 1, ValueError,
            "tokens came with 4 in it, wanted actions in [0, 4)."),
        bad(NAME, "tokens", "negative", lambda x: x - 1, ValueError,
            "tokens came with -1 in it, wanted actions in [0, 4)."),
        *bad_masks(NAME, "logits")[:2],
        bad(NAME, "mask", "transposed", lambda _: np.ones((3, 2), dtype=bool), ValueError,
            "mask has shape (3, 2), but logits has shape (2, 3, 4); they must agree."),
        bad(NAME, "temperature", "zero", lambda _: 0.0, ValueError,
            "temperature came as 0.0, wanted a finite number above 0."),
        bad(NAME, "temperature", "text", str, TypeError,
            "temperature came as str, wanted a number."),
    ),
    exact=False,
    sizes=((2, 4, 8), (8, 64, 256), (8, 128, 8192)),
    sized=sized,
    good=Case(GOOD, label="good"),
)  # fmt: skip

CONTRACTS = (SELECTED,)
