"""Explanation: what an estimator is, where it is from, and what people get wrong."""

import inspect
import textwrap
from collections.abc import Iterable
from pathlib import Path

from rlverify.calling.completion import BUILT_IN, built_in_values
from rlverify.calling.expression import source_names
from rlverify.calling.synonyms import SYNONYMS
from rlverify.citations import citation
from rlverify.contract import Argument, Contract
from rlverify.contracts import find

WIDTH = 100
SHOWN = 6  # words for one argument
_KINDS = {
    "float": "numbers",
    "integer": "integers",
    "flag": "booleans",
    "mask": "booleans, True where real, or None",
    "legal": "booleans, True where the action is legal, or None",
    "discount": "a number in [0, 1], or one a step",
    "number": "a number",
    "count": "an integer",
    "switch": "True or False",
    "choice": "a word",
    "sizes": "the widths of the layers, a tuple",
    "function": "a function",
}


def explain(name: str) -> str:
    """Return what there is to know about an estimator, as plain text.

    Args:
        name: the contract, such as `"gae"` (see `rlverify.list_contracts`).

    Raises:
        ValueError: there is no such contract.
    """
    return explanation(find(name), WIDTH)


def explanation(contract: Contract, width: int) -> str:
    """Return the text of `explain` for lines of a width; the docstring keeps its own lines."""
    parts = [
        f"{contract.name}: {contract.summary}",
        inspect.getdoc(contract.reference) or "",
        _section(
            "Arguments, as every version takes them",
            ((item.name, [_argument(item)]) for item in contract.arguments),
            width,
        ),
        _section("Names that are understood in a function of yours", _names(contract), width),
        _section("A call that names do not say, declared with --call", _calls(contract), width),
        _section("Where it is", _places(contract), width),
        _section(
            "Laws, which hold without knowing the right answer",
            ((law.name, [_with(law.sentence, law.claim)]) for law in contract.laws),
            width,
        ),
        _section(
            "Conventions, where libraries legitimately differ (declared with --convention)",
            ((item.name, [item.sentence]) for item in contract.conventions),
            width,
        ),
        _section("Known bugs, which people really had", _bugs(contract), width),
        _section(
            "Equivalents, which look wrong and are right",
            ((item.id, [item.sentence]) for item in contract.equivalents),
            width,
        ),
    ]
    return "\n\n".join(part for part in parts if part)


def _with(sentence: str, claim: str) -> str:
    return f"{sentence} (claim {claim})" if claim else sentence


def _argument(item: Argument) -> str:
    kind = _KINDS.get(item.kind, item.kind)
    return f"{kind}, [{item.axes.replace(' ', ', ')}]" if item.axes else kind


def _names(contract: Contract) -> Iterable[tuple[str, list[str]]]:
    """Yield each thing that can be handed over, with the words for it."""
    for name in source_names(tuple(item.name for item in contract.arguments)):
        words = SYNONYMS.get(name, "").split()
        if words:
            yield name, [", ".join([*words[:SHOWN], *["…"][: len(words) > SHOWN]])]


def _calls(contract: Contract) -> Iterable[tuple[str, list[str]]]:
    """Yield a call with everything handed over, and one with all built in that may be."""
    names = [item.name for item in contract.arguments]
    given = ", ".join(names)
    results = f" -> {', '.join(contract.outputs)}" if len(contract.outputs) > 1 else ""
    yield "all by position", [f"mine({given}){results}"]
    if set(names) == {"count", "mean", "variance", "x"}:
        yield "a class", ["none: a class with update(x), mean, var and count goes by its name"]
    tried = [item for item in contract.arguments if item.name in BUILT_IN]
    if tried:
        left = ", ".join(name for name in names if name not in BUILT_IN)
        call = f"mine({left}){results} where {built_in_values(tried)}"
        yield "values built in", [call, "without a declaration the usual values are tried"]


def _places(contract: Contract) -> Iterable[tuple[str, list[str]]]:
    reference = contract.reference
    line = inspect.getsourcelines(reference)[1]
    file = Path(inspect.getsourcefile(reference) or "").resolve()
    yield "source", [contract.source]
    yield "reference", [f"{reference.__module__}.{reference.__name__}", f"{file}:{line}"]
    if contract.fast is None:
        yield "fast", [f"none: {contract.fast_absent}"]
    else:
        yield "fast", [f"{contract.fast.__module__}.{contract.fast.__name__}"]


def _bugs(contract: Contract) -> Iterable[tuple[str, list[str]]]:
    # variants of one mistake share a report
    for entry in dict.fromkeys(citation(bug.id) for bug in contract.known_bugs):
        yield f"{entry.id} {entry.name}", [entry.sentence, entry.link or "folklore: no report"]


def _section(heading: str, items: Iterable[tuple[str, list[str]]], width: int) -> str:
    """Return a heading with entries below it: the term on a line of its own where it is long."""
    entries = list(items)
    if not entries:
        return ""
    room = max(len(term) for term, _ in entries) + 4
    lines = [f"{heading}:"]
    for term, texts in entries:
        indent = room if room <= width // 3 else 6
        body = [line for each in texts for line in _folded(each, max(20, width - indent))]
        if indent < room:
            lines.append(f"  {term}")
        else:
            lines.append(f"  {term}".ljust(room) + body.pop(0))
        lines += [" " * indent + line for line in body]
    return "\n".join(lines)


def _folded(content: str, width: int) -> list[str]:
    # an address or a path that is folded cannot be followed
    return textwrap.wrap(content, width, break_long_words=False, break_on_hyphens=False)
