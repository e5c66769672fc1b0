"""Editing: a function of readable source with pieces of that source exchanged.

Known bugs and conventions are edits of the reference's own source. An edit whose line is gone
fails loudly.
"""

import functools
import inspect
import sys
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


def edited(function: Callable[..., Any], edits: Edits, helper: str = "") -> Callable[..., Any]:
    """Return the function with its source, or that of a helper it calls, edited.

    Args:
        function: a function of a module with readable source.
        edits: (right, wrong) pieces; each `right` must stand in the source exactly once.
        helper: name of the function whose source is edited, where it is another one.

    Raises:
        EditError: an edit finds its line not once.
    """
    if not helper:
        return _executed(function, edits, {})  # type: ignore[no-any-return]
    helped = getattr(sys.modules[function.__module__], helper)
    changed = _executed(helped, edits, {})
    return _executed(function, (), {helper: changed})  # type: ignore[no-any-return]
