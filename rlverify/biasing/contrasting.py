"""Contrasting: off-policy returns side by side, as lines and as JSON; computes nothing."""

import math
from fractions import Fraction
from typing import Any

from rich.text import Text

from rlverify.biasing.correction import TARGETS, Comparison, Measured, greatest
from rlverify.biasing.reporting import ROOM, number
from rlverify.tabulation import Column, labelled, table, text, wrapped

_COLUMNS = (
    Column("return"),
    Column("coefficients"),
    Column("learns"),
    *(Column(title, right=True) for title in ("fixed point", "‖M‖", "‖M‖ of H", "bias", "variance",
                                              "endless", "E Π", "Var Π")),
)  # fmt: skip
LEGEND = {
    "fixed point": "how far it is from Q or V of the policy; - where there is none",
    "‖M‖": "how much closer two tables come, at worst, if recordings never end; of H: with H steps",
    "bias": "of a target from the critic after H steps: what is left of its error, and more",
    "variance": "of such a target, given the state and, for Q, the action it begins with",
    "endless": "that variance if recordings never end; inf where the series of squares diverges",
    "E Π, Var Π": "product of the coefficients up to the last of H steps, without γ",
    "": "each is the greatest of all states, or of all pairs of a state and an action",
}


def comparison_lines(report: Comparison, width: int | None) -> list[Text]:
    """Return all that is told of off-policy returns."""
    lines = _verdict(report, width) + _setting(report, width)
    rows = [_cells(item, report) for item in report.rows]
    if report.own is not None and report.own.own:
        rows.append(_cells(report.own, report))
    lines += [Text(), *table(_COLUMNS, rows, width), Text()]
    for label, meaning in LEGEND.items():
        lines += labelled(label, [text(meaning, "dim")], width, ROOM)
    return lines


def _missed(item: Measured) -> str:
    if item.missed is None:
        return "-"
    return "0" if "policy" in item.targets else number(greatest(item.missed))


def _endless(item: Measured) -> tuple[str, str]:
    """Return contraction and variance without a horizon."""
    if item.own:
        return "-", "-"
    if item.endless is None:
        return "diverges", "diverges"
    lasting = math.inf if item.lasting is None else item.lasting
    return number(item.endless.factor), number(lasting)


def _cells(item: Measured, report: Comparison) -> list[Text]:
    factor, lasting = _endless(item)
    # a factor of exactly 1 brings nothing closer
    slow = item.endless is None or item.endless.factor >= 1
    mean, variance = item.traces[-1] if item.traces else (None, None)
    right = _missed(item) == "0"
    return [
        text(f"{item.name} (yours)", "bold") if item.own else text(item.name),
        text("as called" if item.own else item.formula),
        text(item.table),
        text(_missed(item), "green" if right else "yellow" if item.missed is not None else "red"),
        text(factor, "" if item.own else "red" if slow else "green"),
        text(number(item.operator.factor)),
        text(number(greatest(item.bias))),
        text(number(item.variance.max())),
        text(lasting),
        text("-" if mean is None else number(mean)),
        text("-" if variance is None else number(variance)),
    ]


def _title(report: Comparison, item: Measured) -> tuple[str, str]:
    """Return what is said of a function, and in which style."""
    word = "UNBIASED" if report.aim in item.targets else "BIASED"
    if word == "UNBIASED" and not item.contracts:
        word = "DOES NOT CONTRACT"
    if report.aim != "policy":
        word += f"({report.aim})"
    return word, "bold green" if report.ok else "bold red"


def _verdict(report: Comparison, width: int | None) -> list[Text]:
    """Return what is said of the return that was asked for; nothing where none was."""
    if report.failure:
        head = text("FAILED", "bold red").append_text(text(f"  {report.failure}", "bold"))
        return [*wrapped(head, width), Text()]
    item = report.own
    if item is None:
        return []
    head = text(*_title(report, item)) if item.own else Text()
    head.append_text(text(f"  {item.name}" if item.own else item.name, "bold"))
    lines = [*wrapped(head, width), Text()]

    def say(label: str, *contents: str) -> None:
        told = [text(content) for content in contents if content]
        lines.extend(labelled(label, told, width, ROOM))

    say("diagnosis", item.diagnosis)
    if item.own:
        kept = " and of ".join(TARGETS[key] for key in item.targets)
        say("keeps", f"{item.table} of {kept}" if kept else f"{item.table} of no policy it knows")
        far = "" if item.contracts else ": two tables may come no closer"
        say("contraction", f"‖M‖ = {number(item.operator.factor)} with {report.steps} steps{far}")
    say("called" if item.own else "coefficients", item.formula, item.sentence, *item.notes)
    say("printed", item.printed.strip("\n"))
    titles = ("exact", "fixed point", "E target", "bias", "variance")
    columns = [Column(item.table), *(Column(title, right=True) for title in titles)]
    cells = [[text(cell) for cell in row] for row in _entries(report, item)]
    lines += [Text(), *table(columns, cells, width), Text()]
    if item.traces:
        columns = [Column(title, right=True) for title in ("step", "E Π", "Var Π")]
        rows = [
            [text(str(t)), text(number(mean)), text(number(variance))]
            for t, (mean, variance) in enumerate(item.traces)
        ]
        lines += [*table(columns, rows, width), Text()]
    return lines


def _entries(report: Comparison, item: Measured) -> list[list[str]]:
    """Return a row for each entry of the table that is learnt."""
    where = report.where
    truth = (where.action_values.ravel() if item.table == "Q" else where.values).tolist()
    names = [f"({s}, {a})" if item.table == "Q" else f"({s})" for s, a in _places(report, item)]
    missed = [None] * len(truth) if item.missed is None else item.missed.tolist()
    rows = []
    for i, name in enumerate(names):
        off = 0 if "policy" in item.targets else missed[i]
        fixed = "-" if off is None else number(truth[i] + off)
        bias, variance = item.bias[i], item.variance[i]
        known = (truth[i] + bias, bias, variance)
        rows.append([name, number(truth[i]), fixed, *(number(each) for each in known)])
    return rows


def _places(report: Comparison, item: Measured) -> list[tuple[int, int]]:
    states, actions = report.where.policy.shape
    return [(s, a) for s in range(states) for a in range(actions if item.table == "Q" else 1)]


def _setting(report: Comparison, width: int | None) -> list[Text]:
    """Return in which situation."""
    where, words = report.where, report.words
    lines: list[Text] = []

    def say(label: str, *contents: str) -> None:
        told = [text(content) for content in contents if content]
        lines.extend(labelled(label, told, width, ROOM))

    states, actions = where.policy.shape
    say("process", f"{words['mdp']}: {states} states, {actions} actions; H = {report.steps} steps")
    say(
        "with",
        f"policy {words['policy'] or 'given'}, behaviour {words['behaviour'] or 'given'}; "
        f"γ = {number(where.gamma)}, λ = {number(report.lam)}, ρ̄ = {number(report.rho_bar)}, "
        f"c̄ = {number(report.c_bar)}; critic {words['critic']}",
    )
    say("arithmetic", "exact, in fractions" if where.exact else "float64", *report.notes)
    greatest_ratio = where.ratios.max()
    scatter = (where.behaviour * where.ratios**2).sum(axis=1).max()
    say("ratios", f"π/μ at most {number(greatest_ratio)}, their mean square {number(scatter)}")
    return lines


# --- as JSON -------------------------------------------------------------------------------------


def measured_record(item: Measured) -> dict[str, Any]:
    """Return all that was found out about a return."""
    endless = item.endless
    return {
        "name": item.name,
        "formula": item.formula,
        "sentence": item.sentence,
        "table": item.table,
        "fixed_point_bias": item.missed,
        "contraction": None if endless is None else endless.factor,
        "spectral_radius": None if endless is None else endless.radius,
        "diverges": not item.own and endless is None,
        "contraction_of_steps": item.operator.factor,
        "matrix_of_steps": item.operator.matrix,
        "constant_of_steps": item.operator.constant,
        "bias": item.bias,
        "variance": item.variance,
        "endless_variance": item.lasting,
        "trace_means": [mean for mean, _ in item.traces],
        "trace_variances": [variance for _, variance in item.traces],
        "keeps": item.targets,
        "diagnosis": item.diagnosis,
        "notes": item.notes,
        "printed": item.printed,
    }


def comparison_record(report: Comparison) -> dict[str, Any]:
    """Return where returns were measured, and what their tables should hold."""
    where = report.where
    states, actions = where.policy.shape
    return {
        **report.words,
        "states": states,
        "actions": actions,
        "horizon": report.steps,
        "gamma": where.gamma,
        "lam": report.lam,
        "rho_bar": _level(report.rho_bar),
        "c_bar": _level(report.c_bar),
        "exact": where.exact,
        "probabilities": where.policy,
        "behaviour_probabilities": where.behaviour,
        "values": where.values,
        "action_values": where.action_values,
    }


def _level(value: Fraction | float) -> Any:
    return "inf" if value == math.inf else value
