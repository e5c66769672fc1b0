"""The contract of `trpo_update`: one whole update, from advantages to parameters.

The laws take the parameters that came out and ask of them what the paper promises, with another
matrix (the explicit sum over actions) and another divergence than the update has.
"""

import functools
from collections.abc import Iterable
from typing import Any

import numpy as np

from rlverify.contract import (
    Argument,
    BadInput,
    Case,
    Claim,
    Contract,
    Convention,
    Equivalent,
    Example,
    KnownBug,
    Law,
    Subject,
)
from rlverify.contracts._measured import UNIT, known_within, measured, vanishes
from rlverify.contracts._recordings import same
from rlverify.contracts._refusals import bad, bad_floats
from rlverify.contracts._trpo_cases import good_update, sized_update, updates
from rlverify.contracts._trpo_shared import LENGTH_BUGS, SEARCH_BUGS, bad_search, said
from rlverify.errors import layer_parameters
from rlverify.fast import trpo as fast
from rlverify.reference import trpo as reference
from rlverify.reference._updates import policy_gradient
from rlverify.reference.categorical import categorical_kl, categorical_log_prob
from rlverify.reference.gaussian import gaussian_kl, gaussian_log_prob
from rlverify.reference.natural_gradient import fisher_matrix
from rlverify.reference.networks import mlp_forward
from rlverify.rounding import Tracked, lifted

# a step so short that the first orders decide, and trials enough to be sure of both conditions
SHORT = {"delta": 2.0**-16, "backtrack": 0.5, "max_backtracks": 4}
FAR = 64  # how many times larger than the second order the first has to be


class Measured:
    """A case in numbers that count their roundings, and what its policy says of a vector."""

    def __init__(self, case: Case) -> None:
        self.case, self.gaussian = case, case["distribution"] == "gaussian"
        self.known = lifted(dict(case.arguments), lambda value: Tracked(value, UNIT))
        self.layout = {name: case[name] for name in ("sizes", "activation", "distribution")}
        self.old = self.known["parameters"]

    def outputs(self, vector: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return outputs and log σ."""
        count = layer_parameters(self.case["sizes"])
        knobs = {name: self.case[name] for name in ("sizes", "activation")}
        return mlp_forward(vector[:count], self.known["inputs"], **knobs), vector[count:]

    def ratios(self, vector: np.ndarray) -> np.ndarray:
        """Return ρ of every sample."""
        outputs, log_std = self.outputs(vector)
        if self.gaussian:
            now = gaussian_log_prob(outputs, log_std, self.known["actions"])
        else:
            now = categorical_log_prob(outputs, self.known["actions"], None)
        return np.asarray(np.exp(now - self.known["log_probs"]))

    def improvement(self, vector: np.ndarray) -> Any:
        """Return L(vector) − L(old)."""
        risen = self.ratios(vector) - self.ratios(self.old)
        return (risen * self.known["advantages"]).sum() / len(risen)

    def divergence(self, vector: np.ndarray) -> Any:
        """Return the mean of KL(old ‖ vector)."""
        (old, old_log_std), (new, log_std) = self.outputs(self.old), self.outputs(vector)
        if self.gaussian:
            each = gaussian_kl(old, old_log_std, new, log_std)
        else:
            each = categorical_kl(old, new, None)
        return each.sum() / len(each)

    @functools.cached_property
    def gradient(self) -> np.ndarray:
        """Return ∇L at the old parameters."""
        weights = self.ratios(self.old) * self.known["advantages"] / len(self.case["inputs"])
        return policy_gradient(
            self.old, self.known["inputs"], self.known["actions"], weights, None, **self.layout
        )

    @functools.cached_property
    def curvature(self) -> np.ndarray:
        """Return F + μI, F by the explicit sum over actions."""
        fisher = fisher_matrix(self.old, self.known["inputs"], **self.layout)
        for i in range(len(fisher)):
            fisher[i, i] = fisher[i, i] + self.known["damping"]
        return fisher


# every law asks for the same, of every known bug: the latest are kept
_REMEMBERED: dict[tuple[Any, ...], Measured] = {}
_MOST = 500


def of(case: Case) -> Measured:
    """Return a case in such numbers, remembered."""
    key = case.key()
    if key not in _REMEMBERED:
        if len(_REMEMBERED) >= _MOST:
            _REMEMBERED.pop(next(iter(_REMEMBERED)))
        _REMEMBERED[key] = Measured(case)
    return _REMEMBERED[key]


def moved(subject: Subject, case: Case) -> np.ndarray | None:
    """Return the step that was taken, as known within its bounds; None where there was none."""
    found, bounds = subject(case), subject.bound(case)
    if not found["accepted"] or bounds["accepted"] + bounds["tries"] >= 1:
        return None
    return measured(found["parameters"] - case["parameters"], bounds["parameters"])


def share_of(subject: Subject, case: Case) -> float:
    """Return which share of the full step was taken."""
    return float(case["backtrack"] ** (subject(case)["tries"] - 1))


def check_untouched(subject: Subject, case: Case) -> Iterable[Claim]:
    """Where nothing is accepted the parameters are what they were, and nothing is claimed."""
    found = subject(case)
    if not found["accepted"]:
        nothing = np.zeros_like(found["parameters"])
        yield Claim(found["parameters"], case["parameters"], nothing)
        yield Claim(found["surrogate"], np.zeros(()), np.zeros(()))
        yield Claim(found["kl"], np.zeros(()), np.zeros(()))


def check_within(subject: Subject, case: Case) -> Iterable[Claim]:
    """What is accepted raises the surrogate and stays within the bound."""
    found, bounds = subject(case), subject.bound(case)
    if found["accepted"]:
        over = np.maximum(found["kl"] - case["delta"], 0.0)
        yield Claim(over, np.zeros(()), bounds["kl"])
        yield Claim(np.minimum(found["surrogate"], 0.0), np.zeros(()), bounds["surrogate"])


def check_reported(subject: Subject, case: Case) -> Iterable[Claim]:
    """Surrogate and divergence are those of the parameters that came out."""
    if moved(subject, case) is None:
        return
    found, bounds = subject(case), subject.bound(case)
    policy, place = of(case), measured(found["parameters"], bounds["parameters"])
    for name, own in (("kl", policy.divergence), ("surrogate", policy.improvement)):
        yield vanishes(own(place) - known_within(found[name], bounds[name]))


def check_predicted(subject: Subject, case: Case) -> Iterable[Claim]:
    """The full step's predicted divergence is δ: ½ ΔᵀAΔ of a share is δ times its square."""
    step = moved(subject, case)
    if step is not None:
        squared = step @ (of(case).curvature @ step)
        full = share_of(subject, case) ** 2 * 2 * case["delta"]
        # the share's own power, and its product with δ, round a few times
        yield vanishes(squared - known_within(full, 8 * UNIT * full))


def check_direction(subject: Subject, case: Case) -> Iterable[Claim]:
    """Every parameter moves so that the damped Fisher matrix times the step is along g."""
    step = moved(subject, case)
    if step is not None:
        policy = of(case)
        slope, pushed = policy.gradient, policy.curvature @ step
        along, size = slope @ step, step @ pushed
        for i in range(len(step)):
            yield vanishes(pushed[i] * along - slope[i] * size)


def check_short(subject: Subject, case: Case) -> Iterable[Claim]:
    """A short enough step up the gradient is accepted, and gains."""
    one = case.but(
        **{name: case[name][:1] for name in ("inputs", "actions", "log_probs")},
        advantages=np.ones(1), **SHORT,
    )  # fmt: skip
    policy = of(one)
    slope = np.array(policy.gradient, dtype=float)
    matrix = np.array(policy.curvature, dtype=float)
    gain = float(slope @ np.linalg.solve(matrix, slope))
    if gain > FAR * one["delta"] / min(one["damping"], 1.0) ** 2:
        yield said(bool(subject(one)["accepted"]), float(subject.bound(one)["accepted"]))


def check_scale(subject: Subject, case: Case) -> Iterable[Claim]:
    """Four times the advantages make the same step, and four times the surrogate."""
    larger, found = case.but(advantages=4 * case["advantages"]), subject(case)
    wanted = {**found, "surrogate": 4 * found["surrogate"]} if "surrogate" in found else found
    yield from same(subject, larger, wanted, case, 4.0)


# --- known bugs and conventions ------------------------------------------------------------------

SOLVED = 's = _like(parameters, record("direction", {"direction": s})["direction"])'
DIVERGENCE = "policy.divergence(parameters, old, moved, new)"
ACCEPT = "accept = _accepts(improvement, divergence, delta)"
UPDATE_BUGS = (
    *SEARCH_BUGS,
    KnownBug("F3", SOLVED, f"{SOLVED}\n    s = np.concatenate(policy.parts(s))\n"
             "    s[len(policy.parts(s)[0]) :] = 0 * policy.parts(s)[1]"),
    *LENGTH_BUGS,
    KnownBug("F12", "_moved(parameters, share, s)", "_moved(parameters, -share, s)"),
    KnownBug("F18", DIVERGENCE, "policy.divergence(moved, new, moved, new)"),
    KnownBug("T1", "share = record", "share = backtrack * record"),
)  # fmt: skip
UPDATE_CONVENTIONS = (
    Convention(
        "kl", "new-old", "the divergence is KL(new ‖ old) (Spinning Up, sb3-contrib)",
        edits=((DIVERGENCE, "policy.divergence(moved, new, parameters, old)"),),
    ),
    Convention(
        "acceptance", "kl-within-1.5-delta",
        "the divergence may exceed δ by half (OpenAI's baselines)",
        edits=((ACCEPT, ACCEPT.replace("delta", "1.5 * delta")),),
    ),
    Convention(
        "acceptance", "tenth-of-predicted",
        "the surrogate must rise by a tenth of what the gradient predicts (modular_rl)",
        edits=((ACCEPT, ACCEPT.replace("improvement", "improvement - share * (g * s).sum() / 10")),
               ),
    ),
    Convention(
        "damping", "direction-alone", "the damping is left out of sᵀFs, which the length has",
        edits=(("policy.product(parameters, s, damping)",
                "policy.product(parameters, s, 0 * damping)"),),
    ),
    Convention(
        "trials", "one-more", "max_backtracks counts the shorter steps, not the full one",
        edits=(("while len(trials) < max_backtracks:", "while len(trials) <= max_backtracks:"),),
    ),
)  # fmt: skip

# --- forms that look wrong and are right ---------------------------------------------------------


def by_matrix(
    parameters: np.ndarray, inputs: np.ndarray, actions: np.ndarray, log_probs: np.ndarray,
    advantages: np.ndarray, **knobs: Any,
) -> tuple[Any, ...]:  # fmt: skip
    """Invert the damped Fisher matrix, which nobody should, and minimise the negative surrogate."""
    arrays = {"parameters": parameters, "inputs": inputs, "actions": actions,
              "log_probs": log_probs, "advantages": advantages}  # fmt: skip
    case, start = Case({**arrays, **knobs}), parameters
    policy = of(case)
    plain = {name: np.array(part, dtype=float) for name, part in (
        ("g", policy.gradient), ("matrix", policy.curvature))}  # fmt: skip
    if not plain["g"].any():
        return start.copy(), False, 0, 0.0, 0.0
    descent = np.linalg.inv(plain["matrix"]) @ -plain["g"]
    multiplier = np.sqrt(0.5 * descent @ plain["matrix"] @ descent / knobs["delta"])
    for j in range(knobs["max_backtracks"]):
        place = start - knobs["backtrack"] ** j * descent / multiplier
        known = measured(place, 0 * place)
        loss, kl = -float(policy.improvement(known)), float(policy.divergence(known))
        if loss < 0 and kl <= knobs["delta"]:
            return place, True, j + 1, -loss, kl
    return start.copy(), False, knobs["max_backtracks"], 0.0, 0.0


# --- refusals ------------------------------------------------------------------------------------


def not_finite(name: str, value: float, text: str) -> BadInput:
    """Return the refusal of a number that is none."""

    def spoil(array: np.ndarray) -> np.ndarray:
        changed = array.copy()
        changed.flat[1] = value
        return changed

    return bad("trpo_update", name, f"holds {value}", spoil, ValueError, f"{name} came with {text}")


NAN = float("nan")
BAD_UPDATES = (
    *bad_floats("trpo_update", "parameters", "[P]"),
    bad("trpo_update", "parameters", "one short", lambda x: x[1:], ValueError,
        "parameters came with shape (8,), wanted 9 along the last axis for sizes (2, 3)."),
    bad("trpo_update", "inputs", "a feature too many", lambda x: np.zeros((4, 3)), ValueError,
        "inputs came with shape (4, 3), wanted 2 along the last axis for sizes (2, 3)."),
    bad("trpo_update", "actions", "floats", lambda x: x.astype(float), TypeError,
        "actions came as dtype float64, wanted int64."),
    bad("trpo_update", "actions", "one too large", lambda x: x + 1, ValueError,
        "actions came with 3 in it, wanted actions in [0, 3)."),
    bad("trpo_update", "advantages", "one short", lambda x: x[1:], ValueError,
        "advantages has shape (3,), but inputs has shape (4, 2); they must agree."),
    not_finite("advantages", NAN, "NaN in it, wanted finite numbers; NaN often is 0/0, of equal "
               "advantages that were normalised without eps."),
    not_finite("parameters", NAN, "NaN in it, wanted finite numbers."),
    not_finite("inputs", np.inf, "an infinity in it, wanted finite numbers."),
    not_finite("log_probs", -np.inf, "an infinity in it, wanted finite numbers."),
    bad("trpo_update", "distribution", "unknown", lambda _: "beta", ValueError,
        "distribution came as 'beta', wanted one of categorical, gaussian."),
    bad("trpo_update", "damping", "zero", lambda _: 0.0, ValueError,
        "damping came as 0.0, wanted a finite number above 0."),
    bad("trpo_update", "cg_iterations", "none", lambda _: 0, ValueError,
        "cg_iterations came as 0, wanted an integer of at least 1."),
    bad("trpo_update", "cg_tolerance", "zero", lambda _: 0.0, ValueError,
        "cg_tolerance came as 0.0, wanted a finite number above 0."),
    *bad_search("trpo_update"),
)  # fmt: skip

# --- the contract --------------------------------------------------------------------------------

# mean 0 and σ 1 whatever the input; ∂/∂log σ = −1, s = −1/(2 + ½), β = √(2/(2/5)) = √5, and
# ½(e^{2r} − 1 − 2r) is 1.6 for r = 0.89, although 1 was predicted
NARROWING = Case(
    {"parameters": np.zeros(3), "inputs": np.zeros((1, 1)), "actions": np.zeros((1, 1)),
     "log_probs": np.zeros(1), "advantages": np.ones(1), "sizes": (1, 1), "activation": "tanh",
     "distribution": "gaussian", "delta": 1.0, "damping": 0.5, "cg_iterations": 10,
     "cg_tolerance": 1e-8, "backtrack": 0.5, "max_backtracks": 1},
    "narrowing", "worked by hand",
)  # fmt: skip
NOTHING = {"parameters": ["0", "0", "0"], "accepted": "0", "surrogate": "0", "kl": "0"}

UPDATE_CONTRACT = Contract(
    name="trpo_update",
    topic="trpo",
    summary="one update of a policy within its trust region",
    source="Schulman et al. 2015, arXiv:1502.05477, section 6 and appendix C",
    reference=reference.trpo_update,
    fast=fast.trpo_update,
    arguments=(
        Argument("parameters", "float", "P"),
        Argument("inputs", "float", "N I"),
        Argument("actions", "integer", "N"),  # floats [N, D] if gaussian
        Argument("log_probs", "float", "N"),
        Argument("advantages", "float", "N"),
        Argument("sizes", "sizes"),
        Argument("activation", "choice"),
        Argument("distribution", "choice"),
        Argument("delta", "number"),
        Argument("damping", "number"),
        Argument("cg_iterations", "count"),
        Argument("cg_tolerance", "number"),
        Argument("backtrack", "number"),
        Argument("max_backtracks", "count"),
    ),
    outputs=("parameters", "accepted", "tries", "surrogate", "kl"),
    axes=("P", "", "", "", ""),
    counted=("accepted", "tries"),
    inputs=updates(),
    examples=(
        Example("the divergence outgrows its prediction", NARROWING, {**NOTHING, "tries": "1"}),
        Example("no advantage", NARROWING.but(advantages=np.zeros(1), kind="zero"),
                {**NOTHING, "tries": "0"}),
    ),
    laws=(
        Law("untouched", "where nothing is accepted the parameters are what they were, to the bit",
            check_untouched, claim="C23"),
        Law("within", "what is accepted raises the surrogate and stays within δ", check_within,
            claim="C23"),
        Law("reported", "surrogate and divergence are those of the parameters that came out",
            check_reported),
        Law("predicted", "the full step's predicted divergence is δ", check_predicted),
        Law("direction", "the damped Fisher matrix times the step is along the gradient, in every "
            "parameter", check_direction),
        Law("short-steps", "a short enough step up the gradient is accepted", check_short),
        Law("scale", "the scale of the advantages does not matter to the step", check_scale),
    ),
    gradients=(),
    known_bugs=UPDATE_BUGS,
    conventions=UPDATE_CONVENTIONS,
    equivalents=(
        Equivalent("by the inverse", "the negative surrogate is minimised, the matrix inverted, "
                   "the step divided by √(½ sᵀFs/δ) (baselines)", by_matrix),
    ),
    bad_inputs=BAD_UPDATES,
    exact=False,
    sizes=((8, 2, 3, 2), (64, 3, 8, 8, 2), (2048, 17, 64, 64, 6)),
    sized=sized_update,
    good=good_update(),
)  # fmt: skip
