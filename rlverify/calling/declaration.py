"""The grammar of a declared call.

    call     = name "(" [argument {"," argument}] ")" ["->" output {"," output}]
               ["where" fixed {"," fixed}]
    argument = [parameter "="] source
    source   = an argument of the contract | a source of `rlverify.calling.expression`
             | a number | a quoted string | None | True | False
    output   = "_" | an output of the contract ["=" field or key of the result]
    fixed    = an argument of the contract "=" number or quoted word

`compute(rewards, values+bootstrap, done:after, gamma, lam) -> _, advantages` hands four
things over by position and reads the second of two results; `where gamma=0.99` says what the
function has built in. What each source means stands in `rlverify.calling.expression`.
"""

import ast
import re
from dataclasses import dataclass
from typing import Any


class CallError(ValueError):
    """A function that cannot be found, or cannot be called without a declaration."""


@dataclass(frozen=True)
class Given:
    """What one parameter is given.

    Attributes:
        parameter: its name; empty where the declaration goes by position.
        source: name of a source; empty for a constant.
        constant: the constant.
    """

    parameter: str
    source: str
    constant: Any = None


@dataclass(frozen=True)
class Declaration:
    """A declared call, as written.

    Attributes:
        name: the function's name.
        arguments: in order.
        outputs: (output or empty, field or empty) by position; None when not declared.
        fixed: values that the function has built in.
        tried: those of them that nobody declared, and that were found by trial.
    """

    name: str
    arguments: tuple[Given, ...]
    outputs: tuple[tuple[str, str], ...] | None = None
    fixed: tuple[tuple[str, Any], ...] = ()
    tried: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Return it as it would be written."""
        given = [
            (f"{item.parameter}=" if item.parameter else "") + (item.source or repr(item.constant))
            for item in self.arguments
        ]
        read = [
            f"{name or '_'}={field}" if field else name or "_" for name, field in self.outputs or ()
        ]
        fixed = [f"{name}={value!r}" for name, value in self.fixed]
        return (
            f"{self.name}({', '.join(given)})"
            + (f" -> {', '.join(read)}" if read else "")
            + (f" where {', '.join(fixed)}" if fixed else "")
        )


_CALL = re.compile(
    r"\s*(?P<name>[\w.<>]+)\s*\((?P<arguments>[^()]*)\)"
    r"\s*(?:->(?P<outputs>.*?))?\s*(?:\bwhere\b(?P<fixed>.*))?",
    re.DOTALL,
)
_EXAMPLE = '"compute(rewards, values+bootstrap, done:after, gamma, lam) -> advantages"'


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _given(text: str) -> Given:
    parameter, equals, written = text.rpartition("=")
    written = re.sub(r"\s+", "", written) if written.strip()[:1] not in "'\"" else written.strip()
    if equals and not parameter.strip().isidentifier():
        raise CallError(f"--call: {text!r} came as an argument, wanted parameter=source.")
    try:
        return Given(parameter.strip(), "", ast.literal_eval(written))
    except (ValueError, SyntaxError):
        return Given(parameter.strip(), written)


def parse(text: str) -> Declaration:
    """Return a declared call.

    Raises:
        CallError: the text does not follow the grammar.

    Example:
        >>> parse("f(rewards, tau=lam) -> returns").arguments[1]
        Given(parameter='tau', source='lam', constant=None)
    """
    match = _CALL.fullmatch(text)
    if match is None:
        raise CallError(f"--call: came as {text!r}, wanted a form such as {_EXAMPLE}.")
    outputs: tuple[tuple[str, str], ...] | None = None
    if match["outputs"] is not None:
        pairs = [item.partition("=") for item in _items(match["outputs"])]
        outputs = tuple((name.strip().strip("_"), field.strip()) for name, _, field in pairs)
        if not any(name for name, _ in outputs):
            raise CallError(f"--call: {text!r} names no output after '->', as {_EXAMPLE} does.")
    fixed = []
    for item in _items(match["fixed"] or ""):
        given = _given(item)
        if not given.parameter or given.source:
            raise CallError(f"--call: {item!r} came after 'where', wanted name=number.")
        fixed.append((given.parameter, given.constant))
    arguments = tuple(_given(item) for item in _items(match["arguments"]))
    return Declaration(match["name"], arguments, outputs, tuple(fixed))
