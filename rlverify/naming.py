"""From the names in a signature to what each parameter is given.

Names decide, never shapes: `last_value` is the value that follows the last step, `dones`
marks the last step of an episode unless `next_done` stands beside it. Where a name has more
than one reading in its company, nothing is guessed: the error lists the readings, each with
the call that declares it.
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rlverify.contract import Argument
from rlverify.declaration import CallError, Declaration, Given
from rlverify.description import Parameter, Signature
from rlverify.expression import Expression, source

# names in the wild, lower case without leading or trailing underscores, by what they mean
SYNONYMS: dict[str, str] = {
    "rewards": "reward rew rews r rs r_t reward_t rewards_t reward_batch batch_rewards",
    "values": "value val vals v vs value_t values_t v_tm1 vpred vpreds v_preds value_preds "
    "value_predictions state_values baseline baselines critic_values old_values",
    "next_values": "next_vals values_next v_next vs_next next_vs next_state_values v_tp1 "
    "next_value_preds",
    "bootstrap": "last_value last_values last_val last_vals next_value next_val final_value "
    "bootstrap_value bootstrap_values value_last v_last last_v r_bootstrap",
    "values+bootstrap": "values_extended extended_values values_ext values_with_bootstrap "
    "values_and_bootstrap",
    "terminated": "terminateds terminations termination terminal terminals terms is_terminal",
    "truncated": "truncateds truncations truncation truncs trunc timeout timeouts time_limits "
    "time_outs",
    "done:after": "done dones d ds done_t dones_t done_flags is_done is_dones episode_ends ends "
    "done_mask dones_mask",
    "done:start": "episode_starts episode_start starts is_first is_start start_flags",
    "next_done": "next_dones last_done last_dones done_last next_terminal next_terminals",
    "not_done:after": "masks not_done not_dones nonterminal nonterminals non_terminal "
    "non_terminals not_done_mask undone undones continues conts continuations continue_flags",
    "not_terminated": "not_terminal not_terminals not_terminateds",
    "discounts": "discount_t discounts_t pcont pconts",
    "gamma": "discount_factor discount_rate discounting gam",
    "lam": "lambda lmbda lambd lbd lamb gae_lambda gae_lam lambda_gae lam_gae gae_lmbda "
    "td_lambda trace_decay gae_tau tau",
    "n": "n_steps nsteps n_step nstep multi_step",
    "mask": "loss_mask padding_mask response_mask action_mask attention_mask valid valid_mask",
    "ddof": "correction",
    "eps": "epsilon",
    "advantages": "advantage adv advs",
}
_MEANING = {
    word: meaning for meaning, words in SYNONYMS.items() for word in [meaning, *words.split()]
}
_NEXT = ("next_values", "bootstrap", "values+bootstrap")
# settings that are no part of the mathematics, with the value every machine has
_SETTINGS = {"device": "cpu"}


@dataclass(frozen=True)
class Plan:
    """How a function is called.

    Attributes:
        bindings: what its parameters are given, in order; the others stay at their defaults.
        positional: how many of the bindings are passed by position.
        expression: what the call expresses.
        outputs: declared outputs, or None.
        defaults: parameters that stay at their defaults.
        name: the function's.
    """

    name: str
    bindings: tuple[Given, ...]
    positional: int
    expression: Expression
    outputs: tuple[tuple[str, str], ...] | None
    defaults: tuple[str, ...]

    def arguments(self, case: Mapping[str, Any]) -> list[tuple[str, Any]]:
        """Return what a case hands to each parameter."""
        names = tuple(item.name for item in self.expression.arguments)
        found = []
        for item in self.bindings:
            known = source(item.source, names)
            value = known.build(case) if known else item.constant
            found.append((item.parameter or item.source, value))
        return found

    def mapping(self) -> str:
        """Return the call, with what each parameter is given."""
        parts = []
        for item in self.bindings:
            known = source(item.source, tuple(a.name for a in self.expression.arguments))
            text = known.text if known else repr(item.constant)
            parts.append(text if item.parameter in ("", text) else f"{item.parameter}={text}")
        fixed = ", ".join(f"{name}={value!r}" for name, value in self.expression.fixed.items())
        return f"{self.name}({', '.join(parts)})" + (f" where {fixed}" if fixed else "")


# a parameter's readings: (what it is given, what that means)
Readings = list[tuple[Given, str]]


def _word(name: str) -> str:
    return name.lower().strip("_")


def _first_readings(
    signature: Signature, parameters: tuple[Parameter, ...], arguments: tuple[str, ...]
) -> dict[str, str]:
    """Return parameter → source, by name alone; unknown optional parameters are left out."""
    found: dict[str, str] = {}
    for item in parameters:
        meaning = item.name if item.name in arguments else _MEANING.get(_word(item.name), "")
        if meaning == "mask" and "mask" not in arguments and _word(item.name) != "mask":
            meaning = ""
        if source(meaning, arguments) is not None or meaning == "mask":
            found[item.name] = meaning
        elif not item.optional:
            found[item.name] = ""
    return found


def _in_company(found: dict[str, str], arguments: tuple[str, ...]) -> Iterator[tuple[str, Readings]]:
    """Yield the parameters whose meaning depends on the other names, with their readings."""
    meanings = set(found.values())
    flags = {m for m in meanings if "done" in m or m.startswith(("terminated", "not_t"))}
    for name, meaning in found.items():

        def reading(given: str, text: str, name: str = name) -> tuple[Given, str]:
            return Given(name, given), text

        word = _word(name)
        if meaning == "done:after" and "next_done" in meanings:
            yield name, [reading("done:start", "flags of the first step of an episode")]
        elif meaning == "done:after" and "done:start" in meanings:
            yield name, [
                reading("next_done", "one flag a column, whether the last step ended"),
                reading("done:after", "flags of the last step of an episode"),
            ]
        elif meaning == "done:after" and "truncated" in meanings and "terminated" not in meanings:
            yield name, [
                reading("terminated", "termination only"),
                reading("done:after", "either end, termination or truncation"),
            ]
        elif meaning == "mask" and "mask" not in arguments:
            yield name, [
                reading("not_done:after", "1 - done of the same step"),
                reading("not_done:start", "0 on the first step of an episode"),
            ]
        elif meaning == "values" and not meanings & set(_NEXT) and "next_values" in arguments:
            several = [
                reading("values+bootstrap", "T+1 values, the last one following the last step"),
                reading("values", "T values, and nothing follows the last step"),
            ]
            if "values" not in arguments:
                several.append(reading("next_values", "values of the states that steps lead to"))
            yield name, several
        elif meaning == "discounts" and "gamma" in meanings:
            yield name, [
                reading("discounts", "gamma * (1 - terminated)"),
                reading("not_terminated", "1 - terminated"),
            ]
        elif meaning == "" and word == "discount" and flags:
            yield name, [reading("gamma", "the discount")]
        elif meaning == "" and word == "discount" and "terminated" in arguments:
            yield name, [
                reading("gamma", "one number"),
                reading("discounts", "gamma * (1 - terminated), one a step"),
            ]
        elif meaning == "" and word == "discount" and "gamma" in arguments:
            yield name, [reading("gamma", "the discount")]
        elif meaning == "" and word == "v_t" and any(_word(n) == "v_tm1" for n in found):
            yield name, [reading("next_values", "values of the states that steps lead to")]
        elif meaning == "" and word in _SETTINGS:
            yield name, [(Given(name, "", _SETTINGS[word]), "a setting")]


def call_line(
    name: str,
    given: list[Given],
    parameters: tuple[Parameter, ...],
    fixed: tuple[tuple[str, Any], ...] = (),
    outputs: str = "",
) -> str:
    """Return the `--call` line that declares a call."""
    order = [item.name for item in parameters]
    parts = []
    for i, item in enumerate(given):
        text = item.source or repr(item.constant)
        by_position = i < len(order) and order[i] == item.parameter
        by_position = by_position and parameters[i].passing != "keyword"
        parts.append(text if by_position or not item.parameter else f"{item.parameter}={text}")
    where = ", ".join(f"{key}={value}" for key, value in fixed)
    line = f"{name}({', '.join(parts)})"
    line += f" -> {outputs}" if outputs else ""
    return f'--call "{line}{" where " + where if where else ""}"'


def _example_value(item: Argument) -> str:
    return {"gamma": "0.99", "lam": "0.95", "eps": "1e-8", "ddof": "0"}.get(item.name, "1")


def _missing(found: set[str], arguments: tuple[Argument, ...]) -> list[Argument]:
    """Return the arguments without which a call means nothing, and which nothing tells."""
    known = set()
    names = tuple(item.name for item in arguments)
    for meaning in found:
        told = source(meaning, names)
        known |= set(told.tells) if told else set()
    never = ("next_values", "terminated", "truncated")
    return [
        item
        for item in arguments
        if item.name not in known and item.kind not in ("mask", "flag") and item.name not in never
    ]


def infer(signature: Signature, arguments: tuple[Argument, ...]) -> Declaration:
    """Return the call that the names of a signature stand for.

    Raises:
        CallError: a name is unknown or has several readings, or an argument has no parameter.
    """
    names = tuple(item.name for item in arguments)
    if signature.parameters is None:
        example = call_line(signature.name, [Given("", name) for name in names], ())
        raise CallError(
            f"{signature.name}: its signature cannot be read; declare the call, such as {example}."
        )
    parameters = signature.parameters
    found = _first_readings(signature, parameters, names)
    readings: dict[str, Readings] = {
        name: [(Given(name, meaning), "")] for name, meaning in found.items()
    }
    problem = ""
    for name, several in _in_company(found, names):
        readings[name] = several
        if len(several) > 1:
            problem = problem or f"{name} has more than one reading"
    single = {several[0][0].source for several in readings.values() if len(several) == 1}
    every = {given.source for several in readings.values() for given, _ in several}
    missing = _missing(every, arguments)
    for name, several in readings.items():
        given = several[0][0]
        if len(several) == 1 and not given.source and given.constant is None:
            left = [item.name for item in missing]
            left += [m for m in ("next_values", "bootstrap") if source(m, names) and not every & set(_NEXT)]
            left = left[:3] or ["None"]
            readings[name] = [(Given(name, item), f"{name} is {item}") for item in left]
            problem = problem or f"the meaning of its parameter {name} is not known"
    for name, other in itertools.combinations(readings, 2):
        same = readings[name][0][0].source
        if same in single and same == readings[other][0][0].source and len(readings[other]) == 1:
            problem = problem or f"its parameters {name} and {other} both read as {same}"
    unknown = {n for n, several in readings.items() if several[0][1].startswith(f"{n} is ")}
    fixed = tuple((item.name, _example_value(item)) for item in missing)
    if missing and len(unknown) < len(missing) and not problem:
        words = " and ".join(item.name for item in missing)
        problem = f"no parameter takes {words}; say which does, or what value is built in"
    if problem:
        shown = fixed if len(unknown) < len(missing) and not unknown else ()
        lines = []
        for choice in itertools.islice(itertools.product(*readings.values()), 6):
            line = call_line(signature.name, [given for given, _ in choice], parameters, shown)
            texts = [
                text if text.startswith(f"{given.parameter} is ") else f"{given.parameter}: {text}"
                for given, text in choice
                if len(readings[given.parameter]) > 1
            ]
            lines.append(f"  {line}" + (f"    ({'; '.join(texts)})" if texts else ""))
        raise CallError(
            f"{signature.name}: {problem}. Declare the call that is meant:\n" + "\n".join(lines)
        )
    return Declaration(signature.name, tuple(several[0][0] for several in readings.values()))


def plan(
    signature: Signature, arguments: tuple[Argument, ...], declaration: Declaration
) -> Plan:
    """Return how a function is called, given a declaration of it.

    Raises:
        CallError: the declaration does not fit the contract or the signature.
    """
    names = tuple(item.name for item in arguments)
    parameters = signature.parameters
    bindings = _bound(signature, declaration)
    tells: set[str] = set()
    scalars, whole = set(), set()
    by_name = {item.name: item for item in parameters or ()}
    for item in bindings:
        if not item.source:
            continue
        told = source(item.source, names)
        if told is None:
            raise CallError(f"{signature.name}: --call: {_unknown(item.source, names)}")
        tells |= set(told.tells)
        parameter = by_name.get(item.parameter)
        kind = next((a.kind for a in arguments if a.name == item.source), "")
        if kind == "discount" and not (parameter and parameter.takes_array):
            scalars.add(item.source)
        if kind == "mask" and not (parameter and parameter.takes_none):
            whole.add(item.source)
    fixed = dict(declaration.fixed)
    for name in fixed:
        if name not in names:
            raise CallError(
                f"{signature.name}: --call: {name} after 'where' is no argument of the contract, "
                f"wanted one of {', '.join(names)}."
            )
    missing = [a for a in _missing({item.source for item in bindings}, arguments) if a.name not in fixed]
    missing = [item for item in missing if item.kind != "float"]
    if missing:
        words = ", ".join(f"{item.name}={_example_value(item)}" for item in missing)
        raise CallError(
            f"{signature.name}: --call: nothing takes {', '.join(a.name for a in missing)}; name "
            f"the parameter, or say what value is built in, such as 'where {words}'."
        )
    used = {item.parameter for item in bindings}
    order = [item.name for item in parameters or ()]
    positional = 0
    for i, item in enumerate(bindings):
        if item.parameter and (
            i >= len(order) or order[i] != item.parameter or by_name[order[i]].passing == "keyword"
        ):
            break
        positional = i + 1
    expression = Expression(
        arguments, frozenset(tells), frozenset(scalars), frozenset(whole), fixed
    )
    defaults = tuple(item.name for item in parameters or () if item.name not in used)
    return Plan(signature.name, bindings, positional, expression, declaration.outputs, defaults)


def _bound(signature: Signature, declaration: Declaration) -> tuple[Given, ...]:
    """Return the declared arguments with their parameters named, where these are known."""
    if signature.parameters is None:
        return declaration.arguments
    order = [item.name for item in signature.parameters if item.passing != "keyword"]
    known = {item.name for item in signature.parameters}
    bound: list[Given] = []
    for i, item in enumerate(declaration.arguments):
        if not item.parameter and i >= len(order):
            raise CallError(
                f"{signature.name}: --call: {len(declaration.arguments)} arguments came by "
                f"position, wanted at most {len(order)}; write the others as parameter=source."
            )
        name = item.parameter or order[i]
        if name not in known:
            raise CallError(
                f"{signature.name}: --call: it has no parameter {name}, wanted one of "
                f"{', '.join(sorted(known))}."
            )
        if any(other.parameter == name for other in bound):
            raise CallError(f"{signature.name}: --call: {name} is given twice.")
        bound.append(Given(name, item.source, item.constant))
    given = {item.parameter for item in bound}
    left = [p.name for p in signature.parameters if not p.optional and p.name not in given]
    if left:
        raise CallError(
            f"{signature.name}: --call: nothing is given to {', '.join(left)}; "
            "add parameter=source for each."
        )
    return tuple(bound)


def _unknown(name: str, names: tuple[str, ...]) -> str:
    from rlverify.expression import SOURCES

    if name in ("done", "dones"):
        return f"{name!r} may mark the last step (done:after) or the first (done:start); say which."
    known = [*names, *(key for key in SOURCES if source(key, names) and key not in names)]
    return f"{name!r} is no source, wanted one of {', '.join(known)}."
