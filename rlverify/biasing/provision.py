"""What a stranger's estimator can be given, and the names it is known by.

Arrays of a recording of T steps and B trajectories, time-major. Three of them the estimator may
differentiate in: `log_probs`, `logits`, `theta`. A name with more than one reading, `returns` or
`advantages`, has to be declared: nothing is guessed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from rlverify.biasing.situation import Recorded
from rlverify.calling.asking import call_line
from rlverify.calling.declaration import CallError, Declaration, Given
from rlverify.calling.description import Signature
from rlverify.calling.synonyms import SYNONYMS
from rlverify.settings import nearest


@dataclass(frozen=True)
class Provided:
    """Something that an estimator can be given.

    Attributes:
        text: what it is.
        axes: of the array; empty for a number.
        build: computes it.
        differentiable: whether derivatives in it lead to those in the policy's logits.
    """

    text: str
    axes: str
    build: Callable[[Recorded], Any]
    differentiable: bool = False


def _policy(recorded: Recorded, *, acting: bool = False) -> Any:
    situation = recorded.situation
    chosen = situation.behaviour if acting and situation.behaviour is not None else situation.policy
    with np.errstate(divide="ignore"):
        return np.log(chosen.astype(np.float64))


def _log_probs(recorded: Recorded, *, acting: bool = False) -> Any:
    table, found = _policy(recorded, acting=acting), recorded.found
    # in the padding nothing was drawn: probability 1
    return np.where(found.mask, table[found.states[:-1], found.actions], 0.0)


def _q_values(recorded: Recorded) -> Any:
    found = recorded.found
    rows = np.arange(recorded.steps)[:, None]
    worth = recorded.situation.worth.action_values[rows, found.states[:-1], found.actions]
    return np.where(found.mask, worth, 0)


def _done(recorded: Recorded) -> Any:
    return recorded.terminated | recorded.truncated


def _starts(recorded: Recorded) -> Any:
    done = _done(recorded)
    first = np.ones_like(done[:1])
    return np.concatenate([first, done[:-1]])


def _values_and_bootstrap(recorded: Recorded) -> Any:
    return np.concatenate([recorded.values, recorded.next_values[-1:]])


def _array(text: str, build: Callable[[Recorded], Any], axes: str = "T B") -> Provided:
    return Provided(text, axes, build)


PROVIDED: dict[str, Provided] = {
    "log_probs": Provided("log π(aₜ|sₜ)", "T B", _log_probs, differentiable=True),
    "logits": Provided(
        "θ(sₜ, ·)", "T B A", lambda r: _policy(r)[r.found.states[:-1]], differentiable=True
    ),
    "theta": Provided("θ, the table of logits", "S A", _policy, differentiable=True),
    "old_log_probs": _array(
        "log b(aₜ|sₜ) of the policy that acted", lambda r: _log_probs(r, acting=True)
    ),
    "ratios": _array("π/b, constant", lambda r: r.found.ratios),
    "rewards": _array("rₜ", lambda r: r.found.rewards),
    "states": _array("sₜ", lambda r: r.found.states[:-1]),
    "next_states": _array("sₜ₊₁", lambda r: r.found.states[1:]),
    "actions": _array("aₜ", lambda r: r.found.actions),
    "values": _array("V(sₜ) of the critic", lambda r: r.values),
    "next_values": _array("V(sₜ₊₁)", lambda r: r.next_values),
    "values+bootstrap": _array("V, T+1 rows", _values_and_bootstrap, "T+1 B"),
    "bootstrap": _array("V after the last step", lambda r: r.next_values[-1], "B"),
    "q_values": _array("Q(sₜ, aₜ), exact", _q_values),
    "terminated": _array("the episode ended", lambda r: r.terminated),
    "truncated": _array("a time limit cut it", lambda r: r.truncated),
    "done:after": _array("terminated | truncated", _done),
    "done:start": _array("first step of an episode", _starts),
    "not_done:after": _array("1 − (terminated | truncated)", lambda r: ~_done(r)),
    "not_done:start": _array("1 − first step of an episode", lambda r: ~_starts(r)),
    "not_terminated": _array("1 − terminated", lambda r: ~r.terminated),
    "mask": _array("the step was taken", lambda r: r.found.mask),
    "returns:to-go": _array("Gₜ", lambda r: r.returns),
    "returns:total": _array("the return of the whole trajectory", lambda r: r.returns[0], "B"),
    "advantages:to-go": _array("Gₜ − V(sₜ)", lambda r: r.returns - r.values),
    "advantages:one-step": _array("δₜ", lambda r: r.errors),
    "advantages:gae": _array("Âₜ", lambda r: r.advantages),
    "gamma:powers": _array("γᵗ", lambda r: np.broadcast_to(r.powers, r.found.mask.shape)),
    "gamma": Provided("γ", "", lambda r: float(r.situation.gamma)),
    "lam": Provided("λ", "", lambda r: float(r.situation.lam)),
    "steps": Provided("T", "", lambda r: r.steps),
    "batch": Provided("B", "", lambda r: int(r.found.mask.shape[1])),
    "horizon": Provided("H", "", lambda r: r.situation.horizon),
}
DIFFERENTIABLE = tuple(name for name, item in PROVIDED.items() if item.differentiable)

# names in the wild, lower case without leading or trailing underscores, by what they mean; those
# of rewards, values, flags and discounts are known already
_SYNONYMS = {
    "log_probs": "log_prob logp logps logprob logprobs log_pi new_log_probs new_logprobs log_pis "
    "action_log_probs selected_log_probs lp",
    "old_log_probs": "old_logprobs old_log_prob old_logp behaviour_log_probs behavior_log_probs "
    "behaviour_logp behavior_logp mu_log_probs log_probs_old log_mu",
    "logits": "action_logits policy_logits",
    "theta": "parameters params table",
    "ratios": "ratio rho rhos importance_weights is_weights",
    "states": "state obs observations observation s",
    "next_states": "next_state next_obs next_observations",
    "actions": "action acts act a",
    "q_values": "action_values qs q q_taken",
    "gamma:powers": "discount_powers",
}
_MEANING = {
    word: meaning
    for names in (SYNONYMS, _SYNONYMS)
    for meaning, words in names.items()
    for word in [meaning, *words.split()]
    if meaning in PROVIDED
} | {name: name for name in PROVIDED}
_READINGS = {
    "returns": ("returns:to-go", "returns:total"),
    "advantages": ("advantages:to-go", "advantages:one-step", "advantages:gae"),
    "masks": ("mask", "not_done:after", "not_done:start"),
}
_SEVERAL = {
    "return": "returns", "rets": "returns", "ret": "returns", "g": "returns", "rtgs": "returns",
    "advantage": "advantages", "adv": "advantages", "advs": "advantages",
}  # fmt: skip


def inferred(signature: Signature) -> Declaration:
    """Return the call that the names of a signature stand for.

    Raises:
        CallError: a name is not known or has several readings; the message shows what to declare.
    """
    name, parameters = signature.name, signature.parameters
    if parameters is None:
        line = call_line(name, [Given("", "log_probs"), Given("", "rewards")], ())
        raise CallError(
            f"{name}: its signature cannot be read; declare the call, in a form such as\n  {line}"
        )
    found: dict[str, tuple[str, ...]] = {}
    for item in parameters:
        word = item.name.lower().strip("_")
        several = _READINGS.get(_SEVERAL.get(word, word))
        readings = several or ((_MEANING[word],) if word in _MEANING else ())
        if readings or not item.optional:
            found[item.name] = readings
    unknown = [parameter for parameter, readings in found.items() if not readings]
    if unknown:
        raise CallError(
            f"{name}: what its parameter {unknown[0]} means is not known; "
            f"{nearest(unknown[0], PROVIDED)} Declare the call, such as\n  "
            + call_line(
                name, [Given(p, r[0] if r else "rewards") for p, r in found.items()], parameters
            )
        )
    open_ = [parameter for parameter, readings in found.items() if len(readings) > 1]
    if open_:
        lines = [
            call_line(
                name,
                [Given(p, reading if p == open_[0] else r[0]) for p, r in found.items()],
                parameters,
            )
            + f"    ({open_[0]}: {PROVIDED[reading].text})"
            for reading in found[open_[0]]
        ]
        raise CallError(
            f"{name}: its parameter {open_[0]} has more than one reading. Declare the call that is "
            "meant, such as\n  " + "\n  ".join(lines)
        )
    return Declaration(name, tuple(Given(p, r[0]) for p, r in found.items()))


def refuse_unknown(name: str, given: tuple[Given, ...]) -> None:
    """Refuse sources that do not exist.

    Raises:
        CallError: with those that do.
    """
    for item in given:
        if item.source and item.source not in PROVIDED:
            readings = _READINGS.get(item.source, ())
            wanted = f"wanted {' or '.join(readings)}" if readings else f"there are {_all()}"
            raise CallError(f"{name}: --call: {item.source} came as a source; {wanted}.")


def _all() -> str:
    return ", ".join(PROVIDED)


# --- the way back --------------------------------------------------------------------------------


def chained(recorded: Recorded, source: str, slope: Any) -> Any:
    """Return Σ slope · ∂source/∂θ, [P]."""
    if source == "theta":
        return slope.ravel()
    if source == "log_probs":
        return recorded.weighted(slope).sum(axis=0)
    table = np.zeros(recorded.situation.policy.shape)
    real = recorded.found.mask
    np.add.at(table, recorded.found.states[:-1][real], slope[real])
    return table.ravel()


def first_bad(estimate: Any) -> str:
    """Return the first element that is not finite."""
    return str(estimate[~np.isfinite(estimate)][0])


def described(recorded: Recorded) -> str:
    """Say which trajectories they are, by their returns."""
    returns = ", ".join(f"{float(x):.4g}" for x in recorded.returns[0])
    many = recorded.found.mask.shape[1] > 1
    return f"for trajectories with the returns {returns}" if many else f"for the return {returns}"
