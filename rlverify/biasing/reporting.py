"""Reporting: what was found out about estimators, as lines and as JSON; computes nothing."""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from rich.text import Text

from rlverify.biasing import Report
from rlverify.biasing.measurement import TARGETS, Finding, named_factor
from rlverify.biasing.situation import Situation
from rlverify.expectation import norm
from rlverify.tabulation import Column, labelled, table, text, wrapped

ROOM = 20
LONGEST = 8  # characters of a fraction that is printed as one

_COLUMNS = (
    Column("estimator"),
    Column("weight"),
    Column("unbiased for"),
    Column("E ĝ / ∇J"),
    Column("‖bias‖", right=True),
    Column("relative", right=True),
    Column("variance", right=True),
    Column("signal/noise", right=True),
)
LEGEND = {
    "E ĝ / ∇J": "the factor between the expected estimate and the gradient; - where there is none",
    "relative": "‖bias‖ / ‖∇J‖",
    "variance": "trace of the covariance, per trajectory: N times that of a batch of N",
    "signal/noise": "‖∇J‖ / √variance",
}


def number(value: Any) -> str:
    """Return a number in few characters: a short fraction as one, others in five digits."""
    if isinstance(value, Fraction):
        if len(str(value)) <= LONGEST:
            return str(value)
        value = float(value)
    value = float(value)
    return "inf" if math.isinf(value) else f"{value:.5g}"


def _bias(found: Finding) -> tuple[str, str]:
    """Return the size of a bias, absolute and relative; 0 where it is none."""
    if found.unbiased:
        # among floats nothing is seen below what rounding may do
        seen = norm(found.allowed)
        return ("0", "0") if seen == 0 else (f"< {seen:.0e}", "0")
    return number(norm(found.bias)), number(found.relative)


def report_lines(report: Report, width: int | None) -> list[Text]:
    """Return all that `rlverify bias` tells."""
    lines = _verdict(report, width)
    lines += _setting(report, width)
    rows = [_cells(found, report.situation) for found in report.findings]
    if report.own and report.finding is not None:
        own = _cells(report.finding, report.situation)
        rows.append([text(f"{report.finding.name} (yours)", "bold"), text("as called"), *own[2:]])
    lines += [Text(), *table(_COLUMNS, rows, width), Text()]
    for label, meaning in LEGEND.items():
        lines += labelled(label, [text(meaning, "dim")], width, ROOM)
    return lines


def _cells(found: Finding, situation: Situation) -> list[Text]:
    absolute, relative = _bias(found)
    style = {"gradient": "green", "field": "yellow"}.get(found.target, "red")
    return [
        text(found.name),
        text(found.formula),
        text(TARGETS[found.target], style),
        text(named_factor(found.factor, situation, found.samples)),
        text(absolute),
        text(relative),
        text(number(float(found.variance))),
        text(number(found.signal)),
    ]


def _verdict(report: Report, width: int | None) -> list[Text]:
    """Return what is said of the estimator that was asked for; nothing where none was."""
    if report.failure:
        head = text("FAILED", "bold red").append_text(text(f"  {report.failure}", "bold"))
        return [*wrapped(head, width), Text()]
    found = report.finding
    if found is None:
        return []
    right = report.aim in found.targets
    word = "UNBIASED" if right else "BIASED"
    if report.aim != "gradient":
        word += f"({report.aim})"
    head = text(word, "bold green" if right else "bold red")
    head.append_text(text(f"  {found.name}", "bold"))
    lines = [*wrapped(head, width), Text()]

    def say(label: str, *contents: str) -> None:
        told = [text(content) for content in contents if content]
        lines.extend(labelled(label, told, width, ROOM))

    say("diagnosis", found.diagnosis)
    say("unbiased for", _target(found))
    say("factor", "" if found.unbiased else _factor(found, report.situation))
    say("called" if report.own else "weight", found.formula, found.sentence, *found.notes)
    say("arithmetic", _arithmetic(found))
    say("printed", found.printed.strip("\n"))
    components = [
        [text(f"θ({s}, {a})"), *(text(number(vector[i])) for vector in _vectors(report, found))]
        for i, (s, a) in enumerate(_places(report.situation))
    ]
    columns = [Column("logit")]
    columns += [Column(title, right=True) for title in ("∇J", "E ĝ", "bias", "variance")]
    return [*lines, Text(), *table(columns, components, width), Text()]


def _target(found: Finding) -> str:
    words = {
        "gradient": "∇J, the gradient of the discounted return from the start",
        "field": "the field Σₜ Σₛ P(sₜ = s) Σₐ ∇π Q, in general no function's gradient",
        "undiscounted": "∇J at γ = 1",
    }
    return words.get(found.target, "neither ∇J nor the field without γᵗ")


def _factor(found: Finding, situation: Situation) -> str:
    if found.factor is None:
        return ""
    return f"E ĝ = {named_factor(found.factor, situation, found.samples)} · ∇J"


def _arithmetic(found: Finding) -> str:
    if found.expectation.mean.dtype == object:
        return f"exact, over {found.expectation.count} {_counted(found)}"
    seen = float(found.allowed.max())
    told = f"float64, over {found.expectation.count} {_counted(found)}"
    if found.precision != "float64":
        told = f"computes like {found.precision}; {told}"
    return f"{told}; a bias above {seen:.0e} is seen"


def _counted(found: Finding) -> str:
    return "trajectories" if found.samples == 1 else f"batches of {found.samples}"


def _places(situation: Situation) -> list[tuple[int, int]]:
    states, actions = situation.policy.shape
    return [(s, a) for s in range(states) for a in range(actions)]


def _vectors(report: Report, found: Finding) -> Sequence[Any]:
    bias = [0 * x for x in found.bias] if found.unbiased else found.bias.tolist()
    mean = found.expectation.mean.tolist()
    spread = [found.samples * float(x) for x in found.expectation.covariance.diagonal()]
    return [report.situation.gradient.tolist(), mean, bias, spread]


def _setting(report: Report, width: int | None) -> list[Text]:
    """Return in which situation, and its targets."""
    situation, words = report.situation, dict(report.situation.words)
    lines: list[Text] = []

    def say(label: str, *contents: str) -> None:
        told = [text(content) for content in contents if content]
        lines.extend(labelled(label, told, width, ROOM))

    count = situation.trajectories.probabilities.size
    states, actions = situation.policy.shape
    say(
        "process",
        f"{words['mdp']}: {states} states, {actions} actions, {count} trajectories of at most "
        f"{situation.horizon} steps",
    )
    end = "is a time limit, the critic counts after it" if situation.bootstrap else "ends it"
    policies = f"policy {words['policy'] or 'given'}"
    if situation.behaviour is not None:
        policies += f", behaviour {words['behaviour'] or 'given'}"
    say(
        "with",
        f"{policies}; γ = {number(situation.gamma)}, λ = {number(situation.lam)}; critic "
        f"{words['critic']}; N = {situation.batch} in a batch; the horizon {end}",
    )
    say("arithmetic", "exact, in fractions" if situation.exact else "float64", *report.notes)
    say("objective J", number(situation.objective))
    nothing = "" if situation.gradient.any() else "it is 0: whatever has mean 0 is unbiased here"
    say("∇J", _rows(situation, situation.gradient), nothing)
    say("field without γᵗ", _rows(situation, situation.field), _remark(situation))
    return lines


def _remark(situation: Situation) -> str:
    if bool((situation.field == situation.gradient).all()):
        return "here it is ∇J"
    return "in general no function's gradient (Nota & Thomas 2020, arXiv:1906.07073)"


def _rows(situation: Situation, flat: Any) -> str:
    rows = flat.reshape(situation.policy.shape).tolist()
    return "; ".join(
        f"state {s}: " + ", ".join(number(x) for x in row) for s, row in enumerate(rows)
    )


# --- as JSON -------------------------------------------------------------------------------------


def finding_record(found: Finding, situation: Situation) -> dict[str, Any]:
    """Return what was found out about an estimator."""
    return {
        "name": found.name,
        "formula": found.formula,
        "sentence": found.sentence,
        "unbiased": found.unbiased,
        "unbiased_for": found.targets,
        "factor": found.factor,
        "factor_named": named_factor(found.factor, situation, found.samples),
        "mean": found.expectation.mean,
        "bias": found.bias,
        "allowed": found.allowed,
        "relative_bias": found.relative,
        "covariance": found.expectation.covariance,
        "third": found.expectation.third,
        "largest": found.expectation.largest,
        "samples": found.samples,
        "count": found.expectation.count,
        "variance": found.variance,
        "signal_to_noise": found.signal,
        "precision": found.precision,
        "diagnosis": found.diagnosis,
        "notes": found.notes,
        "printed": found.printed,
    }


def situation_record(situation: Situation) -> dict[str, Any]:
    """Return where estimators were judged, and what they should give."""
    return {
        **dict(situation.words),
        "states": situation.mdp.states,
        "actions": situation.mdp.actions,
        "trajectories": situation.trajectories.probabilities.size,
        "horizon": situation.horizon,
        "gamma": situation.gamma,
        "lam": situation.lam,
        "batch": situation.batch,
        "bootstrap": situation.bootstrap,
        "exact": situation.exact,
        "probabilities": situation.policy,
        "objective": situation.objective,
        "gradient": situation.gradient,
        "field": situation.field,
    }
