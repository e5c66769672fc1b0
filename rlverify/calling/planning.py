"""How a function is called: what each parameter is given, and what that expresses."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from rlverify.calling.completion import built_in_values
from rlverify.calling.declaration import CallError, Declaration, Given
from rlverify.calling.description import Parameter, Signature
from rlverify.calling.expression import Expression, source, source_names, untold
from rlverify.contract import Argument


@dataclass(frozen=True)
class Plan:
    """How a function is called.

    Attributes:
        name: the function's.
        bindings: what its parameters are given, in order.
        positional: how many of the bindings are passed by position.
        expression: what the call expresses.
        outputs: declared outputs, or None.
        defaults: parameters that stay at their defaults.
        unsure: discounts of which the function may take one a step, and masks that it may take
            as None; only a trial can tell.
    """

    name: str
    bindings: tuple[Given, ...]
    positional: int
    expression: Expression
    outputs: tuple[tuple[str, str], ...] | None
    defaults: tuple[str, ...]
    unsure: frozenset[str] = frozenset()

    def arguments(self, case: Mapping[str, Any]) -> list[tuple[str, Any]]:
        """Return what a case hands to each parameter."""
        found = []
        for item in self.bindings:
            known = self._source(item)
            found.append(
                (item.parameter or item.source, known.build(case) if known else item.constant)
            )
        return found

    def mapping(self) -> str:
        """Return the call, with what each parameter is given."""
        parts = []
        for item in self.bindings:
            known = self._source(item)
            text = known.text if known else repr(item.constant)
            parts.append(text if item.parameter in ("", text) else f"{item.parameter}={text}")
        fixed = ", ".join(f"{name}={value!r}" for name, value in self.expression.fixed.items())
        return f"{self.name}({', '.join(parts)})" + (f" where {fixed}" if fixed else "")

    def _source(self, item: Given) -> Any:
        return source(item.source, tuple(each.name for each in self.expression.arguments))


def plan(signature: Signature, arguments: tuple[Argument, ...], declaration: Declaration) -> Plan:
    """Return how a function is called, given a declaration of it.

    Raises:
        CallError: the declaration does not fit the contract or the signature.
    """
    bindings = bound(signature, declaration)
    expression = _expression(signature, arguments, bindings, dict(declaration.fixed))
    expression = replace(expression, tried=frozenset(declaration.tried))
    parameters = signature.parameters or ()
    passing = [(item.name, item.passing) for item in parameters]
    positional = 0
    for i, item in enumerate(bindings):
        # after the first parameter that is skipped, the others go by name
        by_position = [(item.parameter, "positional")], [(item.parameter, "either")]
        if item.parameter and passing[i : i + 1] not in by_position:
            break
        positional = i + 1
    used = {item.parameter for item in bindings}
    defaults = tuple(item.name for item in parameters if item.name not in used)
    known = {item.name: item for item in parameters}
    unsure = {item.source for item in bindings if _unsure(known.get(item.parameter), item.source)}
    return Plan(
        signature.name,
        bindings,
        positional,
        expression,
        declaration.outputs,
        defaults,
        frozenset(unsure & (expression.scalars | expression.whole)),
    )


def _unsure(parameter: Parameter | None, source: str) -> bool:
    """Whether nothing says if a parameter takes a discount a step, or None for a mask or δ."""
    if parameter is None:
        return False
    return (
        parameter.takes_none if source in ("mask", "legal", "huber") else parameter.takes_array
    ) is None


def bound(signature: Signature, declaration: Declaration) -> tuple[Given, ...]:
    """Return the declared arguments with their parameters named, where these are known."""
    if signature.parameters is None:
        return declaration.arguments
    where = f"{signature.name}: --call:"
    order = [item.name for item in signature.parameters if item.passing != "keyword"]
    known = [item.name for item in signature.parameters]
    bound: dict[str, Given] = {}
    for i, item in enumerate(declaration.arguments):
        if not item.parameter and i >= len(order):
            raise CallError(
                f"{where} {i + 1} arguments came by position, wanted at most {len(order)}; write "
                "the others as parameter=source."
            )
        name = item.parameter or order[i]
        if name not in known:
            raise CallError(
                f"{where} {name} came as a parameter, wanted one of {', '.join(known)}."
            )
        if name in bound:
            raise CallError(f"{where} {name} is given twice.")
        bound[name] = Given(name, item.source, item.constant)
    left = [item.name for item in signature.parameters if not item.optional]
    left = [name for name in left if name not in bound]
    if left:
        raise CallError(
            f"{where} nothing is given to {', '.join(left)}; add parameter=source for each."
        )
    return tuple(bound[name] for name in known if name in bound)


def _expression(
    signature: Signature,
    arguments: tuple[Argument, ...],
    bindings: tuple[Given, ...],
    fixed: dict[str, Any],
) -> Expression:
    where = f"{signature.name}: --call:"
    names = tuple(item.name for item in arguments)
    kinds = {item.name: item.kind for item in arguments}
    parameters = {item.name: item for item in signature.parameters or ()}
    tells: set[str] = set()
    scalars, whole = set(), set()
    for item in bindings:
        if not item.source:
            continue
        told = source(item.source, names)
        if told is None and item.source in ("done", "dones"):
            raise CallError(
                f"{where} {item.source} came as a source, wanted done:after (flags of the last "
                "step of an episode) or done:start (of the first)."
            )
        if told is None:
            raise CallError(
                f"{where} {item.source} came as a source, wanted one of "
                f"{', '.join(source_names(names))}."
            )
        tells |= set(told.tells)
        parameter = parameters.get(item.parameter)
        # without an annotation only a trial can tell (`probing`)
        if kinds.get(item.source) == "discount" and not (parameter and parameter.takes_array):
            scalars.add(item.source)
        may_be_none = kinds.get(item.source) in ("mask", "legal") or item.source == "huber"
        if may_be_none and not (parameter and parameter.takes_none):
            whole.add(item.source)
        if item.source == "not_mask":  # the contrary of None would be nothing at all
            whole.add("mask")
    for name, value in fixed.items():
        numbers = [item.name for item in arguments if not item.is_array]
        if kinds.get(name) == "switch":
            if type(value) is not bool:
                raise CallError(
                    f"{where} {name}={value!r} came after 'where', wanted True or False."
                )
            continue
        if kinds.get(name) == "choice":
            if type(value) is not str:
                raise CallError(f"{where} {name}={value!r} came after 'where', wanted a word.")
            continue
        if name == "huber" and value is None:
            continue
        if name not in numbers or type(value) not in (int, float):
            raise CallError(
                f"{where} {name}={value!r} came after 'where', wanted a number for one of "
                f"{', '.join(numbers)}."
            )
        if kinds[name] != "count":  # 1 means 1.0 here
            fixed[name] = float(value)
    sources = [item.source for item in bindings]
    missing = [
        item for item in untold(sources, arguments) if item.name not in fixed and not item.is_array
    ]
    if missing:
        raise CallError(
            f"{where} nothing takes {' and '.join(item.name for item in missing)}; name the "
            "parameter that does, or say what value is built in, such as "
            f'"where {built_in_values(missing)}".'
        )
    found = [source(item.source, names) for item in bindings if item.source]
    blurred = tuple(sorted({told.blurs for told in found if told and told.blurs}))
    return Expression(
        arguments, frozenset(tells), frozenset(scalars), frozenset(whole), fixed, blurred
    )
