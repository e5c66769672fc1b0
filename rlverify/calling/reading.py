"""Which of the things that a function returned is which output of the contract."""

from collections.abc import Iterator
from dataclasses import dataclass

from rlverify.calling.declaration import CallError
from rlverify.calling.description import Signature
from rlverify.calling.invocation import Leaf, Outcome
from rlverify.calling.planning import Plan

# names in the wild, lower case without leading or trailing underscores
_WORDS = {
    "advantages": "advantage adv advs gae gaes a advantages_t adv_t advants",
    "returns": "return ret rets target targets value_target value_targets vtarg vtargs "
    "td_lambda_return lambda_returns tdlamret discounted_returns rtgs g gt td_target td_targets",
    "errors": "error delta deltas td_error td_errors tds",
    "log_prob": "log_probs logp logps logprob logprobs log_pi log_p action_log_probs",
    "score": "scores grad grads gradient",
    "entropy": "entropies ent h",
    "kl": "kls kl_div kl_divergence divergence d_kl",
    "fisher": "fim f fisher_matrix information",
    "actions": "action act acts a sample samples idx index",
    "probabilities": "probs prob p pi policy action_probs distribution",
    "count": "n total tot tot_count total_count new_count",
    "mean": "new_mean mu",
    "variance": "var m2 new_var new_variance",
    "parameters": "params new_params theta new_theta",
    "normalized": "normalised advantage advantages adv advs",
}


def _meaning(name: str, outputs: tuple[str, ...]) -> str:
    word = name.lower().strip("_")
    for output in outputs:
        words = _WORDS.get(output, "").split()
        if word in (output, *words):
            return output
    return ""


@dataclass(frozen=True)
class Reading:
    """Where each output stands in a result.

    Attributes:
        places: (output, label of the leaf), in the contract's order.
        text: the outputs, for the mapping.
    """

    places: tuple[tuple[str, str], ...]
    text: str

    @staticmethod
    def of(outputs: tuple[str, ...]) -> "Reading":
        """Return the reading of a function that has not returned anything yet."""
        single = len(outputs) == 1
        places = tuple((name, "" if single else str(i)) for i, name in enumerate(outputs))
        return Reading(places, ", ".join(outputs))

    @property
    def outputs(self) -> tuple[str, ...]:
        """Return the outputs that are read."""
        return tuple(output for output, _ in self.places)

    @property
    def wanted(self) -> str:
        """Return what the function should return, in words."""
        return "an array" if len(self.places) == 1 else f"arrays {', '.join(self.outputs)}, each"

    def leaves(self, outcome: Outcome) -> Iterator[tuple[str, Leaf | None]]:
        """Yield each output with its leaf, None where the result has none."""
        found = {leaf.label: leaf for leaf in outcome.leaves}
        for output, label in self.places:
            yield output, found.get(label)


def read_outputs(
    signature: Signature, outcome: Outcome, outputs: tuple[str, ...], plan: Plan
) -> Reading | None:
    """Return where a result holds the contract's outputs; None if it holds no values.

    Raises:
        CallError: the result holds several values, and neither names nor order say which is which.
    """
    labels = [leaf.label for leaf in outcome.leaves]
    if not labels:
        return None
    if plan.outputs is not None:
        return _declared(plan.name, labels, plan.outputs, outputs)
    if outcome.structure == "names":
        named = {_meaning(label, outputs): label for label in reversed(labels)}
        places = tuple((name, named[name]) for name in outputs if name in named)
        if places:
            shown = (name if name == label else f"{name}={label}" for name, label in places)
            return Reading(places, f"{', '.join(shown)} (by name)")
        if len(labels) == 1:
            return Reading(((outputs[0], labels[0]),), f"{outputs[0]}={labels[0]}")
        raise _unclear(plan.name, outputs, f"fields {', '.join(labels)}")
    words = [_meaning(name, outputs) for name in signature.returned]
    named_once = all(words.count(word) == 1 for word in words if word)
    if len(words) != len(labels) or not named_once:
        words = [""] * len(labels)
    if len(labels) > len(outputs) and not any(words):
        raise _unclear(plan.name, outputs, f"a tuple of {len(labels)}")
    return _by_statement(labels, words, outputs)


def _by_statement(labels: list[str], words: list[str], outputs: tuple[str, ...]) -> Reading:
    """Read a bare array or a tuple by the names in the return statement, then by order."""
    # what has no name there is what is left, unless it may be something else altogether
    left = [output for output in outputs if output not in words]
    order = list(words)
    for i, word in enumerate(words):
        if not word and left and len(labels) <= len(outputs):
            order[i] = left.pop(0)
    places = tuple((output, labels[order.index(output)]) for output in outputs if output in order)
    by = "" if order == list(outputs[: len(order)]) else " (by its return statement)"
    return Reading(places, ", ".join(output or "_" for output in order) + by)


def _declared(
    name: str,
    labels: list[str],
    declared: tuple[tuple[str, str], ...],
    outputs: tuple[str, ...],
) -> Reading:
    places = []
    for i, (output, field) in enumerate(declared):
        if not output:
            continue
        if output not in outputs:
            raise CallError(
                f"{name}: --call: {output} after '->' is no output of the contract, wanted one of "
                f"{', '.join(outputs)}."
            )
        by_name = next((label for label in labels if _meaning(label, (output,))), "")
        at_place = labels[i] if i < len(labels) else None
        label = field or by_name or at_place
        if label is None or label not in labels:
            came = ", ".join(label or "one array" for label in labels)
            raise CallError(f"{name}: --call: the result has no {field or output}; it has {came}.")
        places.append((output, label))
    order = [output or "_" for output, _ in declared]
    return Reading(tuple(places), ", ".join(order))


def _unclear(name: str, outputs: tuple[str, ...], came: str) -> CallError:
    return CallError(
        f"{name}: returned {came}, wanted {' and '.join(outputs)}. Say where they stand: end the "
        f'declared call with "-> {outputs[-1]}=FIELD" for a field or key, or "-> _, {outputs[-1]}" '
        "for a position."
    )
