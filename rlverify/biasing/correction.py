"""Off-policy returns side by side: where a table goes under them, how fast, and with what scatter.

They are judged as operators on tables (`rlverify.correction`), for a return is not unbiased or
biased by itself: its mean depends on the critic. What it should keep is the truth, Q or V of the
policy that is asked about; what it should do to any other table is to bring it closer.

The one identity to remember: R x − x* = M (x − x*), so the bias of an estimate is what is left of
the critic's error, and beyond that the error of the fixed point.
"""

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from rlverify.biasing import preparation
from rlverify.correction import Correction, OffPolicy, Operator
from rlverify.rationalization import lifted_entries
from rlverify.settings import nearest
from rlverify.tabular_envs.finite_mdp import FiniteMDP

# it never ends, and at this discount the variance of importance sampling is infinite
DEFAULT = "garnet(3, 2, 2, seed=1)"
SEEN = 1e-6  # of a factor that is made of floats
USUAL = {"horizon": 4, "gamma": "9/10", "lam": "1"}
TARGETS = {"policy": "the policy", "clipped": "the policy between, ∝ min(ρ̄μ, π)", "": "neither"}


def corrections(where: OffPolicy, *, lam: Any, rho_bar: Any, c_bar: Any) -> tuple[Correction, ...]:
    """Return the off-policy returns that the suite measures.

    Source: Munos et al. 2016, arXiv:1606.02647, table 1; Precup et al. 2000; Harutyunyan et al.
        2016, arXiv:1602.04951; Espeholt et al. 2018, arXiv:1802.01561, eq. 1.
    Ours: beside them a coefficient above π/μ, and the sum with errors of V.
    """
    one = where.number(1) + 0 * where.policy
    ratio, limited = where.ratios, np.minimum(where.ratios, where.number(1))

    def made(name: str, formula: str, sentence: str, trust: Any, **more: Any) -> Correction:
        parts = {"carried": one, "weight": one, **more}
        return Correction(name, formula, sentence, trust, **parts)

    return (
        made("one-step", "c = 0", "expected SARSA: nothing is carried", 0 * one),
        made("importance-sampling", "c = λρ", "each later step by its likelihood ratio",
             lam * ratio),
        made("retrace", "c = λ min(1, ρ)", "ratios cut at 1", lam * limited),
        made("tree-backup", "c = λπ", "needs no μ", lam * where.policy),
        made("q-lambda", "c = λ", "no correction: right on policy, or close to it", lam * one),
        made("doubled-ratio", "c = 2ρ", "above π/μ", 2 * ratio),
        made("v-errors", "c = λ min(1, ρ), δ of V",
             "Retrace's coefficients on errors r + γV(s′) − V(s)", lam * limited, errors="V"),
        made("v-errors-ratio", "c = λρ, δ of V", "importance sampling on the same errors",
             lam * ratio, errors="V"),
        made("vtrace", "c = λ min(c̄, ρ), ρ̄", "V-trace: errors by min(ρ̄, ρ)", one,
             carried=lam * np.minimum(ratio, c_bar), weight=np.minimum(ratio, rho_bar),
             errors="V", table="V"),
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Measured:
    """What was found out about one return.

    Attributes:
        name: of the return.
        formula: its coefficients, or how it was called.
        sentence: what it is.
        table: "Q" or "V".
        operator: of a recording of H steps.
        bias: E of an estimate from the critic, minus the truth, [N].
        variance: of an estimate, [N].
        missed: fixed point minus truth, [N]; None where there is none.
        endless: the operator without a horizon; None where its series diverges, or unknown.
        lasting: largest variance without a horizon; None where it is infinite or has no mean.
        traces: mean and variance of the product of coefficients at each step.
        own: whether it is somebody else's.
        targets: those of `TARGETS` whose values it keeps, within rounding.
        diagnosis: what is the matter, as far as it is known.
        notes: remarks on how it was called.
        printed: what it printed.
    """

    name: str
    formula: str
    sentence: str
    table: str
    operator: Operator
    bias: np.ndarray
    variance: np.ndarray
    missed: np.ndarray | None
    endless: Operator | None = None
    lasting: Any = None
    traces: tuple[tuple[Any, Any], ...] = ()
    own: bool = False
    targets: tuple[str, ...] = ()
    diagnosis: str = ""
    notes: tuple[str, ...] = ()
    printed: str = ""

    @property
    def contracts(self) -> bool:
        """Whether two tables always come closer; among floats, down to a millionth."""
        return bool(self.operator.factor < (1 - SEEN if self.own else 1))


@dataclass(frozen=True, eq=False)
class Comparison:
    """Off-policy returns in one situation.

    Attributes:
        where: process, policies, discount.
        steps: number of steps H of a recording.
        lam: λ of the returns.
        rho_bar: ρ̄ of V-trace.
        c_bar: c̄ of V-trace.
        critics: tables that estimates are made from, by "Q" and "V".
        rows: what was found out about the returns of the suite.
        own: about the one that was asked for; None where none was.
        aim: of `TARGETS`, whose values it is declared to keep.
        failure: why it could not be measured; empty where it could.
        words: how the parts were named.
        notes: remarks on the arithmetic.
    """

    where: OffPolicy
    steps: int
    lam: Any
    rho_bar: Any
    c_bar: Any
    critics: dict[str, np.ndarray]
    rows: tuple[Measured, ...] = ()
    own: Measured | None = None
    aim: str = "policy"
    failure: str = ""
    words: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether no stranger misses what it is declared to keep, or fails to contract."""
        if self.failure:
            return False
        own = self.own
        return own is None or not own.own or (self.aim in own.targets and own.contracts)


def greatest(numbers: Any) -> Any:
    """Return the maximum norm."""
    return abs(numbers).max()


def _measured(report: Comparison, correction: Correction) -> Measured:
    where, steps = report.where, report.steps
    truth, critic = where.truth(correction), report.critics[correction.table]
    endless, finite = where.operator(correction), where.operator(correction, steps)
    moments, lasting = where.moments(correction, critic, steps), where.moments(correction, critic)
    if finite is None or moments is None or moments.variance is None:
        raise AssertionError("a finite sum exists")
    fixed = None if endless is None else endless.fixed_point
    return Measured(
        correction.name, correction.formula, correction.sentence, correction.table, finite,
        bias=moments.mean - truth,
        variance=moments.variance,
        missed=None if fixed is None else fixed - truth,
        endless=endless,
        lasting=None if lasting is None or lasting.variance is None else lasting.variance.max(),
        traces=tuple(where.traces(correction, steps)),
    )  # fmt: skip


def _critics(where: OffPolicy, written: Any) -> dict[str, np.ndarray]:
    """Return tables of Q and V: `exact`, `zero`, the exact one plus a number, or a table of Q."""
    q, v = where.action_values, where.values
    if isinstance(written, str) and written == "exact":
        return {"Q": q, "V": v}
    if isinstance(written, str) and written == "zero":
        return {"Q": 0 * q, "V": 0 * v}
    if isinstance(written, str) and written[:1] in "+-":
        error = where.number(preparation.fraction("critic", written))
        return {"Q": q + error, "V": v + error}
    wanted = "exact, zero, a number to add such as +1/2, FILE.npy or FILE.json"
    table = preparation.numbers("critic", written, wanted)
    if table.shape != q.shape:
        raise ValueError(
            f"critic came with shape {table.shape}, wanted {q.shape}: Q, a row a state."
        )
    table = lifted_entries(table, True) if where.exact and table.dtype != object else table
    table = table if where.exact else table.astype(np.float64)
    return {"Q": table, "V": (where.policy * table).sum(axis=1)}


def _level(name: str, written: Any) -> Any:
    """Return a level of clipping: a number above 0, or inf."""
    if written in ("inf", math.inf):
        return math.inf
    found = preparation.fraction(name, written)
    if found <= 0:
        raise ValueError(f"{name} came as {found}, wanted a number above 0, or inf.")
    return found


def off_policy_bias(
    function: Any = None,
    *,
    mdp: Any = None,
    policy: Any = None,
    behaviour: Any = None,
    horizon: int | None = None,
    gamma: Any = None,
    lam: Any = None,
    rho_bar: Any = "1",
    c_bar: Any = "1",
    critic: Any = "zero",
    exact: bool | None = None,
    aim: str = "policy",
    table: bool = True,
    **calling: Any,
) -> Comparison:
    """Find out where tables go under off-policy returns, how fast, and with what scatter.

        R x = E_μ[target from x]        R x = M x + b        x* = R x*

    Source: `rlverify.correction`.

    Args:
        function: `MODULE:FUNCTION`, `FILE.py:FUNCTION` or a function, called as `retrace`,
            `tree_backup` or `vtrace` is; or the name of a return of the suite; or None.
        mdp: a `FiniteMDP`, `FILE.npz`, `FILE.json`, or a process such as `corridor(3)`.
        policy: π: probabilities [S, A], `FILE.npy`, `FILE.json`, `uniform` or `slanted`.
        behaviour: μ, likewise; None is `uniform`.
        horizon: number of steps of a recording, which a time limit cuts.
        gamma: discount, a number or words such as "9/10".
        lam: λ of the coefficients, likewise.
        rho_bar: ρ̄ of V-trace, above 0, or "inf".
        c_bar: c̄ of V-trace, likewise.
        critic: what estimates are made from: `exact`, `zero`, a number to add to the exact Q and
            V such as "+1/2", or a table of Q.
        exact: whether to compute in fractions; None: where that is possible.
        aim: whose values a function is meant to keep: `policy`, or `clipped`, the policy that
            V-trace learns.
        table: whether the returns of the suite are measured too.
        calling: `call`, `arrays`, `time_limit`, `memory_limit` of a function that is measured.

    Returns:
        The comparison; `.ok` says that no stranger misses what it is meant to keep.

    Raises:
        TypeError, ValueError: something cannot be had as asked.
    """
    if aim not in TARGETS or not aim:
        raise ValueError(f"aim came as {aim!r}, wanted one of policy, clipped.")
    asked = {"horizon": horizon, "gamma": gamma, "lam": lam}
    asked = {name: USUAL[name] if item is None else item for name, item in asked.items()}
    chosen = DEFAULT if mdp is None else mdp
    situation, notes = preparation.situation(
        mdp=chosen, policy_=policy, behaviour="uniform" if behaviour is None else behaviour,
        exact=exact, batch=1, **asked,
    )  # fmt: skip
    where = OffPolicy(
        situation.mdp, situation.policy, np.asarray(situation.behaviour), situation.gamma
    )
    levels = {"rho_bar": _level("rho_bar", rho_bar), "c_bar": _level("c_bar", c_bar)}
    words = {**dict(situation.words), "critic": critic if isinstance(critic, str) else "given"}
    if isinstance(chosen, FiniteMDP):
        words["mdp"] = chosen.name
    report = Comparison(
        where, situation.horizon, situation.lam, **levels, critics=_critics(where, critic),
        aim=aim, words=words, notes=notes,
    )  # fmt: skip
    brought = corrections(where, lam=situation.lam, **levels)
    named = isinstance(function, str) and ":" not in function
    names = [item.name for item in brought]
    if named and function not in names:
        raise ValueError(
            f"there is no off-policy return {function!r} here; "
            f"{nearest(function, names)} A function of yours is named by "
            f"MODULE:FUNCTION or FILE.py:FUNCTION."
        )
    rows = tuple(_measured(report, item) for item in brought if table or item.name == function)
    changes: dict[str, Any] = {"rows": rows}
    if named:
        changes["own"] = next(item for item in rows if item.name == function)
    elif function is not None:
        from rlverify.biasing.extraction import extracted

        changes["own"], changes["failure"] = extracted(report, brought, function, **calling)
    return replace(report, **changes)
