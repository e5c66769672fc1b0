"""What the contracts of the topic `categorical` share: arguments, refusals, known bugs."""

from typing import Any

import numpy as np

from rlverify.contract import Argument, BadInput, Case, Convention, Example, KnownBug
from rlverify.contracts._categorical_cases import flattened, unflattened
from rlverify.contracts._refusals import instead

TAKEN = ("logits", "actions", "legal")
ALONE = ("logits", "legal")
PAIR = ("logits_p", "logits_q", "legal")

ARGUMENTS = {
    "logits": Argument("logits", "float", "... A"),
    "logits_p": Argument("logits_p", "float", "... A"),
    "logits_q": Argument("logits_q", "float", "... A"),
    "actions": Argument("actions", "integer", "..."),
    "uniforms": Argument("uniforms", "float", "..."),
    "legal": Argument("legal", "legal", "... A"),
}
ZEROS = np.zeros((2, 3))
GOOD = {
    "logits": ZEROS,
    "logits_p": ZEROS,
    "logits_q": ZEROS,
    "actions": np.array([0, 2]),
    "uniforms": np.array([0.0, 0.5]),
    "legal": np.array([[True, False, True]] * 2),
}
SIZES = ((16, 6), (4096, 6), (65536, 6), (2048, 1024))


def arguments(names: tuple[str, ...]) -> tuple[Argument, ...]:
    """Return the arguments of these names."""
    return tuple(ARGUMENTS[name] for name in names)


def good(names: tuple[str, ...]) -> Case:
    """Return the case that bad inputs spoil."""
    return Case({name: GOOD[name] for name in names})


def worked(name: str, answer: Any, **given: Any) -> Example:
    """Return an example with one output."""
    case = Case(given, label="worked by hand")
    return Example(name, case, {"": answer})


def of(output: str, *examples: Example) -> tuple[Example, ...]:
    """Return examples with their answer under the name of the output."""
    return tuple(Example(e.name, e.case, {output: e.answers[""]}) for e in examples)


# --- refusals ------------------------------------------------------------------------------------

NO_LEGAL = np.array([[True, False, True], [False, False, False]])
SPOILED: dict[str, tuple[tuple[str, Any, type[Exception], str], ...]] = {
    "logits": (
        ("a list", [[0.0]], TypeError,
         "logits came as list, wanted a floating-point array [..., A]."),
        ("integers", ZEROS.astype(np.int64), TypeError,
         "logits came as dtype int64, wanted a floating-point dtype."),
        ("no axis", np.zeros(()), ValueError, "logits came with shape (), wanted [..., A]."),
        ("no action", np.zeros((2, 0)), ValueError,
         "logits came with shape (2, 0), wanted at least one element."),
    ),
    "logits_q": (
        ("one action short", ZEROS[:, 1:], ValueError,
         "logits_q has shape (2, 2), but logits_p has shape (2, 3); they must agree."),
    ),
    "actions": (
        ("floats", np.zeros(2), TypeError, "actions came as dtype float64, wanted int64."),
        ("another shape", np.array([[0, 2]]), ValueError,
         "actions has shape (1, 2), but logits has shape (2, 3); they must agree."),
        ("beyond the last", np.array([0, 3]), ValueError,
         "actions came with 3 in it, wanted actions in [0, 3)."),
        ("negative", np.array([-1, 0]), ValueError,
         "actions came with -1 in it, wanted actions in [0, 3)."),
    ),
    "uniforms": (
        ("above 1", np.array([0.5, 1.5]), ValueError,
         "uniforms came with an element outside [0, 1]."),
        ("NaN", np.array([0.5, np.nan]), ValueError,
         "uniforms came with an element outside [0, 1]."),
        ("one an action", np.zeros((2, 3)), ValueError,
         "uniforms has shape (2, 3), but logits has shape (2, 3); they must agree."),
    ),
    "legal": (
        ("numbers", np.ones((2, 3)), TypeError, "legal came as dtype float64, wanted bool."),
        ("nothing legal", NO_LEGAL, ValueError,
         "legal came with a row without a True element, wanted at least one legal action in each."),
    ),
}  # fmt: skip


def refusals(function: str, names: tuple[str, ...]) -> tuple[BadInput, ...]:
    """Return the refusals of a function with these arguments."""
    return tuple(
        instead(function, name, what, value, error, message)
        for name in names
        for what, value, error, message in SPOILED.get(name, ())
    )


# --- what libraries differ on --------------------------------------------------------------------

FLAT = Convention(
    "leading", "flattened", "takes and returns one leading axis only, [N, A]",
    inputs=flattened, outputs=unflattened,
)  # fmt: skip

# --- known bugs ----------------------------------------------------------------------------------

NORMAL = "_log_probs(logits, legal)"
IGNORED = KnownBug("D17", NORMAL, "_log_probs(logits, None)")
EVERYTHING = "range(logits.shape[-1])"
STALE = KnownBug(
    "D18", "highest = max(logits[*i, a] for a in allowed)",
    f"highest = max(logits[*i, a] for a in {EVERYTHING})", "_log_probs",
    (("- highest) for a in allowed)", f"- highest) for a in {EVERYTHING})"),),
)  # fmt: skip
OVERFLOW = KnownBug(
    "D25", "highest = max(logits[*i, a] for a in allowed)", "highest = 0", "_log_probs"
)
ADDED = KnownBug(
    "K6", "log_probs = np.full_like(logits, -np.inf)", "log_probs = 0 * logits - np.inf",
    "_log_probs",
    (("- highest) for a in allowed)",
      "- highest) for a in allowed) + sum(0 * logits[*i, a] for a in range(logits.shape[-1])\n"
      "                                                   if a not in allowed)"),),
)  # fmt: skip
LEGAL_CHECK = 'check.legal("... A", legal)\n'
TRANSPOSED = KnownBug(
    "D20", LEGAL_CHECK,
    f"{LEGAL_CHECK}    if logits.ndim > 3:\n"
    "        logits = np.swapaxes(logits, 1, logits.ndim - 2)\n"
    "        legal = None if legal is None else np.swapaxes(legal, 1, legal.ndim - 2)\n",
)  # fmt: skip
COMMON = (IGNORED, STALE, OVERFLOW, ADDED)
