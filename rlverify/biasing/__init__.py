"""Is a policy-gradient estimator right, and for which objective: exactly, without sampling.

    import rlverify
    report = rlverify.bias(my_loss)
    print(report.ok, report.finding.factor, report.finding.diagnosis)

The expectation of an estimator is summed over every trajectory of a small process
(`rlverify.expectation`) and held against the gradient of the objective, which comes from another
path. The estimators that the suite brings itself stand beside it, in fractions.

A situation says where (`situation`, made by `preparation`), `estimation` holds the suite's own
estimators, `adaptation` calls a stranger's, `measurement` finds out bias, factor, target and
variance, `recognition` names the mistake.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rlverify.biasing import preparation
from rlverify.biasing.estimation import Estimator, estimators
from rlverify.biasing.grouping import variants
from rlverify.biasing.measurement import TARGETS, Finding, batches, measure, measured
from rlverify.biasing.situation import Situation
from rlverify.calling import CallError
from rlverify.settings import nearest

__all__ = ["Finding", "Report", "Situation", "bias"]

LAM = "1/2"
# what the suite brings, and where it shows; answers of several lengths to one prompt for GRPO
FAMILIES: dict[str, tuple[Callable[[Situation], tuple[Estimator, ...]], dict[str, Any]]] = {
    "policy-gradient": (estimators, {"mdp": None, "horizon": 3, "gamma": "1/2", "batch": 4}),
    "grpo": (variants, {"mdp": "sentences(2, 2)", "horizon": 2, "gamma": "1", "batch": 4}),
}
TIME_LIMIT = 10.0
BATCHES = 5000  # of an estimator that nobody asked for by name; some seconds in fractions
MEMORY_LIMIT = 4 * 2**30


@dataclass(frozen=True, eq=False)
class Report:
    """What was found out in one situation.

    Attributes:
        situation: where.
        findings: about the estimators that the suite brings, in order.
        finding: about the one that was asked for; None where none was, or it gave no estimate.
        own: whether that one is somebody else's.
        aim: of `measurement.TARGETS`, what that one is declared to estimate.
        failure: why it gave no estimate; empty where it did.
        notes: remarks on the arithmetic.
    """

    situation: Situation
    findings: tuple[Finding, ...]
    finding: Finding | None = None
    own: bool = False
    aim: str = "gradient"
    failure: str = ""
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether no stranger is biased for what it is declared to estimate."""
        if not self.own:
            return True
        return self.finding is not None and self.aim in self.finding.targets


def bias(
    function: Callable[..., Any] | str | None = None,
    *,
    family: str = "policy-gradient",
    mdp: Any = None,
    policy: Any = None,
    behaviour: Any = None,
    horizon: int | None = None,
    gamma: Any = None,
    lam: Any = LAM,
    batch: int | None = None,
    critic: Any = "exact",
    bootstrap: bool = False,
    exact: bool | None = None,
    aim: str = "gradient",
    table: bool = True,
    call: str | None = None,
    arrays: str | None = None,
    layout: str | None = None,
    time_limit: float = TIME_LIMIT,
    memory_limit: int | None = MEMORY_LIMIT,
    advance: Callable[[str], None] | None = None,
) -> Report:
    """Find out what a policy-gradient estimator gives on average, beside those of the suite.

        bias = E ĝ − ∇J        summed over every trajectory

    Source: the definition of an expectation (`rlverify.expectation`).

    Args:
        function: a loss, weights or a gradient; or `MODULE:FUNCTION`, `FILE.py:FUNCTION`, which
            then runs in a process of its own; or the name of an estimator of the suite; or None.
        family: which estimators of the suite: `policy-gradient`, or `grpo` for GRPO's variants,
            the trajectories of a batch being the answers to one prompt.
        mdp: a `FiniteMDP`, `FILE.npz`, `FILE.json`, or a process such as `corridor(3)`; None
            here and below: as the family has it (`FAMILIES`).
        policy: probabilities [S, A], `FILE.npy`, `FILE.json`, `uniform` or `slanted`; whether
            they are floats or fractions decides the arithmetic.
        behaviour: the policy that acts, likewise; None for the policy itself.
        horizon: number of steps.
        gamma: discount, a number or words such as "1/2".
        lam: λ of generalised advantages, likewise.
        batch: number of trajectories in a batch, for estimators that couple it.
        critic: `exact`, `zero`, a number to add to the exact V such as "+1/2", `FILE.npy`,
            `FILE.json`, or an array [S] or [H+1, S].
        bootstrap: whether the horizon is a time limit, so that the critic counts for what
            follows; otherwise it is the end of the episode.
        exact: whether to compute in fractions; None: where that is possible.
        aim: what the function is meant to estimate without bias: `gradient`, the discounted ∇J,
            `field`, the same without γᵗ, or `undiscounted`, ∇J at γ = 1.
        table: whether the estimators of the suite are judged beside it.
        call: how the function is called, where names do not say.
        arrays: `numpy`, `torch` or `jax`, where that should not be found out.
        layout: `time-major`, `batch-major`, `columns` or `samples`, likewise.
        time_limit: seconds that one call may take.
        memory_limit: bytes that it may use beyond its imports.
        advance: called with what is being done.

    Returns:
        The report; `.ok` says that no stranger is biased.

    Raises:
        TypeError, ValueError: something cannot be had as asked; `CallError` where the function
            cannot be called without a declaration.
    """
    if aim not in TARGETS or not aim:
        wanted = ", ".join(key for key in TARGETS if key)
        raise ValueError(f"aim came as {aim!r}, wanted one of {wanted}.")
    if family not in FAMILIES:
        raise ValueError(f"family came as {family!r}, wanted one of {', '.join(FAMILIES)}.")
    say = advance or (lambda _: None)
    given = {"mdp": mdp, "horizon": horizon, "gamma": gamma, "batch": batch}
    listed, usual = FAMILIES[family]
    asked = {name: usual[name] if item is None else item for name, item in given.items()}
    situation, notes = preparation.situation(
        policy_=policy, behaviour=behaviour, lam=lam, critic_=critic, bootstrap=bootstrap,
        exact=exact, **asked,
    )  # fmt: skip
    brought = listed(situation)
    chosen: Estimator | None = None
    if isinstance(function, str) and ":" not in function:
        chosen = next((item for item in brought if item.name == function), None)
        if chosen is None:
            known = [item.name for item in brought]
            raise ValueError(
                f"there is no estimator {function!r} here; {nearest(function, known)} A function "
                f"of yours is named by MODULE:FUNCTION or FILE.py:FUNCTION."
            )
    findings, trajectories = [], situation.trajectories.probabilities.size
    for item in brought if table else [item for item in brought if item is chosen]:
        say(item.name)
        count = batches(situation, ordered=item.ordered) if item.coupled else 1
        if count > BATCHES and item.name != function:
            notes += (
                f"{item.name} is left out: {situation.batch} of {trajectories} trajectories make "
                f"{count} batches; a smaller batch or a shorter horizon has fewer",
            )
            continue
        findings.append(measure(situation, item))
    if function is None:
        return Report(situation, tuple(findings), notes=notes)
    if chosen is not None:
        (found,) = (each for each in findings if each.name == function)
        return Report(situation, tuple(findings), _diagnosed(situation, None, found), notes=notes)
    say(str(function))
    options = {"call": call, "arrays": arrays, "layout": layout}
    finding, failure = _strange(situation, function, aim, time_limit, memory_limit, options)
    if finding is not None and family == "grpo":
        finding = _as_a_variant(finding, findings)
    return Report(
        situation, tuple(findings), finding, own=True, aim=aim, failure=failure, notes=notes
    )


def _as_a_variant(found: Finding, variants_found: list[Finding]) -> Finding:
    """Say which biased variant has the same mean, if one has."""
    for variant in variants_found:
        gap = np.abs(found.expectation.mean - variant.expectation.mean.astype(np.float64))
        if not variant.unbiased and bool((gap <= found.allowed + variant.allowed).all()):
            told = f"its mean is that of {variant.name}: {variant.sentence}"
            return replace(found, diagnosis=told)
    return found


def _diagnosed(situation: Situation, stranger: Any, found: Finding) -> Finding:
    from rlverify.biasing.recognition import diagnosis

    if found.unbiased:
        return found
    return replace(found, diagnosis=diagnosis(situation, stranger, found))


def _strange(
    situation: Situation,
    function: Any,
    aim: str,
    time_limit: float,
    memory_limit: int | None,
    options: dict[str, Any],
) -> tuple[Finding | None, str]:
    from rlverify.biasing.adaptation import Failure, Ordered, Stranger
    from rlverify.calling import Here
    from rlverify.calling.isolation import Elsewhere

    engine: Any = (
        Elsewhere(function, time_limit, memory_limit) if isinstance(function, str)
        else Here(function)
    )  # fmt: skip
    try:
        stranger = Stranger(engine, situation, **options)
        told, tried = "", options["layout"] is not None
        try:
            found = _found(situation, stranger, orderly=not tried)
        except Ordered as failure:
            # every order of a batch is many calls; first look whether the layout is meant
            told, tried = _laid_out(situation, engine, stranger, options), True
            if told:
                return None, f"{stranger.name}: {failure}; {told}"
            found = _found(situation, stranger)
        if aim in found.targets:
            return found, ""
        if not (found.targets or found.samples == 1 or tried):
            told = _laid_out(situation, engine, stranger, options)
        if found.unbiased:
            told = f"it is unbiased for {TARGETS['gradient']}, not for {TARGETS[aim]}"
        if told:
            return replace(found, diagnosis=told), ""
        return _diagnosed(situation, stranger, found), ""
    except Failure as failure:
        return None, f"{engine.signature.name}: {failure}"
    finally:
        engine.close()


def _found(situation: Situation, stranger: Any, *, orderly: bool = False) -> Finding:
    expectation, samples = stranger.expectation(orderly=orderly)
    return measured(
        situation, stranger.name, stranger.mapping, "", expectation, samples,
        notes=tuple(stranger.notes), printed=stranger.printed,
    )  # fmt: skip


def _laid_out(situation: Situation, engine: Any, tried: Any, options: dict[str, Any]) -> str:
    """Say under which other layout a function is unbiased; nothing if there is none."""
    from rlverify.biasing.adaptation import Failure, Stranger

    layouts = ["batch-major", *(["samples"] if situation.horizon == 1 else [])]
    for layout in layouts:
        try:
            stranger = Stranger(engine, situation, **{**options, "layout": layout})
            found = _found(situation, stranger, orderly=True)
        except (Failure, CallError):
            continue
        if found.unbiased and layout != tried.arrangement.layout:
            return f"with --layout {layout} it is unbiased"
    return ""
