"""Editing: a function of readable source with pieces of that source exchanged.

Known bugs and conventions are edits of the reference's own source. An edit whose line is gone
fails loudly.
"""

import functools
import inspect
import sys
from collections import OrderedDict
from collections.abc import Callable
from types import CodeType
from typing import Any

Edits = tuple[tuple[str, str], ...]


class EditError(LookupError):
    """An edit does not fit the source of the reference any more."""


@functools.cache
def _code(function: Callable[..., Any], edits: Edits) -> CodeType:
    """Return the compiled source of a function with edits; remembered: it takes milliseconds."""
    source = inspect.getsource(function)
    for right, wrong in edits:
        if source.count(right) != 1:
            raise EditError(
                f"{function.__name__}: the edit of {right!r} finds it {source.count(right)} times, "
                "wanted once; the reference has changed, so the known bug must change too."
            )
        source = source.replace(right, wrong)
    return compile(source, f"<edited {function.__name__}>", "exec")


def _executed(function: Callable[..., Any], edits: Edits, extra: dict[str, Any]) -> Any:
    module = sys.modules[function.__module__]
    namespace = {**vars(module), **extra}
    exec(_code(function, edits), namespace)
    return namespace[function.__name__]


# modules as they were, and the functions made from them
_MODULES: dict[str, dict[str, Any]] = {}
_EDITED: OrderedDict[tuple[Any, ...], tuple[dict[str, Any], Callable[..., Any]]] = OrderedDict()
_REMEMBERED = 1000


def _surroundings(name: str) -> dict[str, Any]:
    """Return what a module holds: the same object for as long as it holds the same."""
    held, known = vars(sys.modules[name]), _MODULES.get(name)
    if known is None or len(known) != len(held) or any(known.get(k) is not held[k] for k in held):
        known = _MODULES[name] = dict(held)
    return known


def edited(function: Callable[..., Any], edits: Edits, helper: str = "") -> Callable[..., Any]:
    """Return the function with its source, or that of a helper it calls, edited.

    The same edits give the same function for as long as its module is what it was.

    Args:
        function: a function of a module with readable source.
        edits: (right, wrong) pieces; each `right` must stand in the source exactly once.
        helper: name of the function whose source is edited, where it is another one.

    Raises:
        EditError: an edit finds its line not once.
    """
    module, key = _surroundings(function.__module__), (function, edits, helper)
    known = _EDITED.get(key)
    if known is not None and known[0] is module:
        return known[1]
    made: Callable[..., Any]
    if not helper:
        made = _executed(function, edits, {})
    else:
        changed = _executed(module[helper], edits, {})
        made = _executed(function, (), {helper: changed})
    _EDITED[key] = module, made
    if len(_EDITED) > _REMEMBERED:
        _EDITED.popitem(last=False)
    return made
