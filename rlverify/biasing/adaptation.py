"""A stranger's estimator, called on trajectories and batches of them.

It is one of three things: a loss, which its own library differentiates in `log_probs`, `logits`
or `theta`, so that ĝ = −∂loss/∂θ; weights [T, B], which multiply the scores; or a gradient,
[S, A] or flat. What it takes says which, or its declared result does (`-> objective`,
`-> weights`, `-> gradient`).

Whether it couples the trajectories of a batch is found out by calling it: where the estimate of
a batch is the mean of the estimates of its trajectories, on a few batches, one trajectory at a
time is enough; else every multiset of N trajectories is one call.
"""

import math
from collections.abc import Sequence
from itertools import combinations_with_replacement, product
from typing import Any

import numpy as np

from rlverify.biasing.arrangement import LAYOUTS, Arrangement
from rlverify.biasing.measurement import ROUNDINGS, UNITS, scale
from rlverify.biasing.provision import (
    DIFFERENTIABLE,
    PROVIDED,
    chained,
    described,
    first_bad,
    inferred,
    refuse_unknown,
)
from rlverify.biasing.situation import Recorded, Situation
from rlverify.calling.declaration import CallError, Given, parse
from rlverify.calling.invocation import Call, Outcome
from rlverify.calling.planning import bound
from rlverify.calling.probing import Engine
from rlverify.expectation import (
    BATCHES,
    Expectation,
    exact_expectation,
    exact_group_expectation,
)

KINDS = ("loss", "objective", "weights", "gradient")
PROBES = 6  # batches on which coupling is looked for
RATIOS = ("old_log_probs", "ratios")  # sources that tell of another policy


class Failure(ValueError):
    """An estimator gave no estimate; the text says when, and what it did."""


class Ordered(Failure):
    """An estimator cares for the order in its batch, as one that takes it for time does."""


class Stranger:
    """An estimator of somebody else's, on an engine that calls it.

    Args:
        engine: calls it, here or in a process of its own.
        situation: it is judged in; its numbers are handed over in float64.
        call: how it is called, where names do not say (`rlverify.calling.declaration`).
        arrays: `numpy`, `torch` or `jax`, where that should not be found out.
        layout: one of `LAYOUTS`, likewise.

    Raises:
        CallError: the call is ambiguous or impossible.
        Failure: it gives no estimate, however its arrays are arranged.
    """

    def __init__(
        self,
        engine: Engine,
        situation: Situation,
        call: str | None = None,
        arrays: str | None = None,
        layout: str | None = None,
    ) -> None:
        self.engine = engine
        self.situation = situation.floating()
        self.name = engine.signature.name
        self.printed = ""
        self.scalar: tuple[str, np.ndarray] | None = None
        self.notes: list[str] = []
        declared = parse(call) if call else inferred(engine.signature)
        self.given = bound(engine.signature, declared)
        refuse_unknown(self.name, self.given)
        if declared.fixed:
            raise CallError(f"{self.name}: --call: nothing can stand after 'where' here.")
        self.kind, self.output = self._kind(declared.outputs)
        self.arrangement = self._arranged(arrays, layout)

    # --- how it is called -------------------------------------------------------------------

    def _kind(self, outputs: Any) -> tuple[str, str]:
        """Return what it is declared to return, empty where it is not, and where that stands."""
        takes = [item.source for item in self.given if item.source in DIFFERENTIABLE]
        if outputs is None:
            return ("loss" if takes else ""), ""
        named = [(i, name, field) for i, (name, field) in enumerate(outputs) if name]
        position, kind, field = named[0]
        if kind not in KINDS or len(named) > 1:
            raise CallError(f"{self.name}: --call: wanted one of {', '.join(KINDS)} after '->'.")
        if kind in ("loss", "objective") and not takes:
            raise CallError(
                f"{self.name}: --call: a {kind} has no derivative here; hand over one of "
                f"{', '.join(DIFFERENTIABLE)}."
            )
        return kind, field or (str(position) if len(outputs) > 1 else "")

    @property
    def differentiated(self) -> tuple[str, ...]:
        """Names of the parameters whose derivatives are wanted."""
        if self.kind not in ("loss", "objective"):
            return ()
        return tuple(
            item.parameter or item.source for item in self.given if item.source in DIFFERENTIABLE
        )

    @property
    def mapping(self) -> str:
        """How it is called, in words."""
        parts = []
        for item in self.given:
            source = item.source or repr(item.constant)
            parts.append(source if item.parameter in ("", source) else f"{item.parameter}={source}")
        told = {"loss": "−∂/∂θ of the loss", "objective": "∂/∂θ of the objective"}
        result = told.get(self.kind, f"{self.kind}")
        return f"{self.name}({', '.join(parts)}) -> {result}; {self.arrangement.text}"

    def _arranged(self, arrays: str | None, layout: str | None) -> Arrangement:
        """Return the first arrangement under which it returns something usable."""
        known = self.engine.signature.libraries
        libraries = [arrays] if arrays else [*known, "numpy", "torch"]
        if self.kind in ("loss", "objective"):
            libraries = [item for item in libraries if item != "numpy"]
        if layout is not None and layout not in LAYOUTS:
            raise ValueError(f"layout came as {layout!r}, wanted one of {', '.join(LAYOUTS)}.")
        if layout == "samples" and self.situation.horizon != 1:
            raise ValueError("layout came as 'samples', wanted a horizon of 1 with it.")
        layouts = [layout] if layout else ["time-major", "columns"]
        first = ""
        for library in dict.fromkeys(libraries):
            dtypes = self.engine.dtypes(library)
            for chosen, flags in product(layouts if dtypes else [], (False, True)):
                arrangement = Arrangement(library, dtypes[0], chosen, flags)
                problem = self._tried(arrangement)
                if not problem:
                    return arrangement
                first = first or f"{problem} (called {self.mapping})"
        if first:
            raise Failure(first)
        wanted = "torch or jax, which differentiate" if self.kind else "numpy, torch or jax"
        raise CallError(f"{self.name}: arrays came as {arrays!r}, wanted {wanted}, installed.")

    def _tried(self, arrangement: Arrangement) -> str:
        """Return what is the matter under an arrangement; nothing if it works."""
        every = self.situation.recorded
        count = every.found.probabilities.size
        size = 1 if arrangement.layout == "columns" else min(count, max(self.situation.batch, 2))
        self.arrangement, self.scalar = arrangement, None
        (outcome,) = self._outcomes([list(range(size))])
        if outcome.failure:
            return outcome.message
        try:
            if self.differentiated:
                self.scalar = self._found_scalar(outcome)
                (outcome,) = self._outcomes([list(range(size))])
            self._estimate(self._recorded(list(range(size))), outcome)
        except Failure as failure:
            return str(failure)
        return ""

    def _found_scalar(self, outcome: Outcome) -> tuple[str, np.ndarray]:
        """Return which leaf of a result is the loss, and ones of its shape."""
        leaves = {leaf.label: leaf for leaf in outcome.leaves if leaf.array is not None}
        label = self.output or ("loss" if "loss" in leaves else next(iter(leaves), ""))
        array = leaves[label].array if label in leaves else None
        if array is None or array.size != 1:
            came = outcome.returned if array is None else f"shape {array.shape}"
            raise Failure(
                f"returned {came}, wanted a scalar loss; weights that multiply the scores are "
                f"declared with '-> weights'"
            )
        return label, np.ones(array.shape)

    # --- calls ------------------------------------------------------------------------------

    def _recorded(self, columns: Sequence[int], situation: Situation | None = None) -> Recorded:
        chosen = situation or self.situation
        return Recorded(chosen, chosen.trajectories.select(columns).cut())

    def _outcomes(
        self, batches: Sequence[Sequence[int]], situation: Situation | None = None
    ) -> list[Outcome]:
        calls = []
        for group, columns in enumerate(batches):
            recorded = self._recorded(columns, situation)
            arguments = tuple(self._argument(item, recorded) for item in self.given)
            sought = None if self.scalar is None else (self.differentiated, (self.scalar,))
            calls.append(Call(arguments, self._positional(), group, sought))
        found = self.engine.run(calls, self.arrangement.library, self.arrangement.dtype)
        self.printed = self.printed or next((item.printed for item in found if item.printed), "")
        return found

    def _argument(self, item: Given, recorded: Recorded) -> tuple[str, Any]:
        name = item.parameter or item.source
        if not item.source:
            return name, item.constant
        provided = PROVIDED[item.source]
        value = provided.build(recorded)
        if isinstance(value, np.ndarray) and value.dtype.kind == "i":
            value = value.astype(np.int64)
        return name, self.arrangement.outward(value, provided.axes)

    def _positional(self) -> int:
        """Return how many arguments, from the first, go by position."""
        passing = {item.name: item.passing for item in self.engine.signature.parameters or ()}
        order = [item.name for item in self.engine.signature.parameters or ()]
        for i, item in enumerate(self.given):
            if item.parameter and (
                passing.get(item.parameter) == "keyword" or order[i : i + 1] != [item.parameter]
            ):
                return i
        return len(self.given)

    def _estimate(self, recorded: Recorded, outcome: Outcome) -> tuple[Any, Any]:
        """Return the estimate of a batch, [P], and its weights where it has some."""
        if outcome.failure:
            raise Failure(f"{outcome.message} ({described(recorded)})")
        shape, size = recorded.found.mask.shape, self.situation.policy.size
        if self.differentiated:
            sign = -1.0 if self.kind == "loss" else 1.0
            estimate, weights = np.zeros(size), None
            slopes = {leaf.label: leaf.array for leaf in outcome.leaves}
            if not slopes:
                raise Failure("returned a scalar that no derivative flows back from")
            for item in self.given:
                if item.source not in DIFFERENTIABLE:
                    continue
                slope = sign * self.arrangement.inward(
                    slopes[item.parameter or item.source], PROVIDED[item.source].axes
                )
                if item.source == "log_probs":
                    weights = slope
                estimate = estimate + chained(recorded, item.source, slope)
        else:
            leaves = {leaf.label: leaf.array for leaf in outcome.leaves}
            array = leaves.get(self.output) if self.output else next(iter(leaves.values()), None)
            if array is None:
                raise Failure(f"returned {outcome.returned}, wanted an array of numbers")
            weights = self.arrangement.inward(array, "T B") if array.ndim else array
            if self.kind in ("", "weights") and weights.shape == shape:
                self.kind = "weights"
                estimate = recorded.weighted(weights).sum(axis=0) / shape[1]
            elif self.kind in ("", "gradient") and array.size == size:
                self.kind, weights = "gradient", None
                estimate = array.ravel()
            else:
                raise Failure(
                    f"returned shape {array.shape}, wanted weights {list(shape)} for {shape[0]} "
                    f"steps of {shape[1]} trajectories, or a gradient "
                    f"{list(self.situation.policy.shape)}"
                )
        if not np.isfinite(estimate).all():
            raise Failure(f"the estimate is {first_bad(estimate)} ({described(recorded)})")
        return estimate, weights

    def estimates(
        self, batches: Sequence[Sequence[int]], situation: Situation | None = None
    ) -> list[tuple[Any, Any]]:
        """Return the estimate of each batch of trajectories, and its weights.

        Raises:
            Failure: there is none for some batch.
        """
        return [
            self._estimate(self._recorded(columns), outcome)
            for columns, outcome in zip(batches, self._outcomes(batches, situation), strict=True)
        ]

    # --- expectations -----------------------------------------------------------------------

    def probes(self) -> list[list[int]]:
        """Return a few batches, of different trajectories as far as there are some."""
        count, size = self.situation.trajectories.probabilities.size, self.situation.batch
        if self.arrangement.layout == "columns":
            size = 1
        strides = [1 + k for k in range(PROBES)]
        return [[(k + i * stride) % count for i in range(size)] for k, stride in enumerate(strides)]

    def expectation(self, *, orderly: bool = False) -> tuple[Expectation, int]:
        """Return mean and covariance, and the number of trajectories in an estimate.

        Args:
            orderly: whether an estimator to which the order in a batch matters is refused.

        Raises:
            Failure: it gives no estimate for some batch, or is refused.
        """
        situation, self.notes = self.situation, []
        if situation.behaviour is None and any(g.source in RATIOS for g in self.given):
            told = "the policy acts itself, every ratio is 1; --behaviour uniform shows more"
            self.notes.append(told)
        count = situation.trajectories.probabilities.size
        self._refuse_moody()
        shared: dict[str, Any] = {
            "horizon": situation.horizon, "behaviour": situation.behaviour,
        }  # fmt: skip
        alone: list[tuple[Any, Any]] | Failure
        try:
            alone = self.estimates([[i] for i in range(count)])
        except Failure as failure:
            alone = failure
        coupled = self._coupled(alone)
        if not coupled:
            if isinstance(alone, Failure):
                raise alone
            rows = np.stack([estimate for estimate, _ in alone])
            found = exact_expectation(lambda _: rows, situation.mdp, situation.policy, **shared)
            return found, 1
        ordered = self._ordered()
        if ordered and orderly:
            raise Ordered("the order of the trajectories in a batch matters to it")
        size = situation.batch
        number = count**size if ordered else math.comb(count + size - 1, size)
        if number > BATCHES:
            raise CallError(
                f"{self.name}: it couples its batch, and {size} of {count} trajectories make "
                f"{number} batches, wanted at most {BATCHES}; pass a smaller batch or a shorter "
                f"horizon."
            )
        batches = [
            list(batch)
            for batch in (
                product(range(count), repeat=size)
                if ordered
                else combinations_with_replacement(range(count), size)
            )
        ]
        # in the order in which they are asked for
        given = iter([estimate for estimate, _ in self.estimates(batches)])
        found = exact_group_expectation(
            lambda _: next(given), situation.mdp, situation.policy,
            group=size, ordered=ordered, **shared,
        )  # fmt: skip
        return found, size

    def _within(self, one: Any, other: Any) -> bool:
        situation = self.situation
        unit = UNITS.get(self.arrangement.dtype, UNITS["float32"])
        steps = ROUNDINGS * (situation.horizon + 1) * situation.batch * unit
        sizes = scale(situation) + np.abs(one) + np.abs(other)
        return bool((np.abs(one - other) <= steps / (1 - steps) * sizes).all())

    def _coupled(self, alone: "list[tuple[Any, Any]] | Failure") -> bool:
        """Whether a batch is more than its trajectories; notes what was found."""
        size = self.situation.batch
        if size == 1 or self.arrangement.layout == "columns":
            return False
        if isinstance(alone, Failure):
            self.notes.append(f"it couples its batch: no estimate from one trajectory ({alone})")
            return True
        together = self.estimates(self.probes())
        sums = [sum(alone[i][0] for i in batch) for batch in self.probes()]
        pairs = [(estimate, total) for (estimate, _), total in zip(together, sums, strict=True)]
        if all(self._within(estimate, total / size) for estimate, total in pairs):
            return False
        if all(self._within(estimate, total) for estimate, total in pairs):
            self.notes.append(
                f"it sums over its batch, so that a batch of {size} gives {size} times the mean: "
                f"judged one trajectory at a time"
            )
            return False
        self.notes.append(f"it couples its batch: judged on all batches of {size}")
        return True

    def _refuse_moody(self) -> None:
        """Refuse an estimator that answers the same question in two ways."""
        try:
            one, other = (self.estimates([self.probes()[0]] * 2) for _ in range(2))
        except Failure:  # said where it is judged
            return
        first = one[0][0]
        if not all(self._within(first, each) for each, _ in [*one, *other]):
            raise Failure(
                "the same trajectories give other estimates each time: it keeps a state or draws "
                "random numbers of its own; rlverify.sampled_check is made for the latter"
            )

    def _ordered(self) -> bool:
        """Whether the order in a batch matters."""
        probes = self.probes()
        one = self.estimates(probes)
        other = self.estimates([batch[::-1] for batch in probes])
        same = all(self._within(a, b) for (a, _), (b, _) in zip(one, other, strict=True))
        if not same:
            self.notes.append("the order in the batch matters to it: judged on every order")
        return not same
