"""What can be learnt about a stranger's function without calling it.

Like `invocation`, this module runs where the stranger's code runs; what it returns is plain
data that can cross a process boundary.
"""

import ast
import contextlib
import functools
import inspect
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rlverify.calling.invocation import LIBRARIES

# what an annotation must mention to name a library; jax before numpy, "jax.numpy" holds both
_ANNOTATIONS = (("torch", ("torch", "Tensor")), ("jax", ("jax", "chex")), ("numpy", ("ndarray",)))
_ARRAY_WORDS = ("Array", "Tensor", "ndarray", "ArrayLike")


@dataclass(frozen=True)
class Parameter:
    """One parameter of a function.

    Attributes:
        name: as written.
        passing: `positional`, `either` or `keyword`.
        optional: whether it has a default.
        takes_none: whether its default or annotation says that None is welcome; None where
            neither says anything.
        takes_array: whether its annotation names an array type; None without annotation.
    """

    name: str
    passing: str = "either"
    optional: bool = False
    takes_none: bool | None = None
    takes_array: bool | None = None


@dataclass(frozen=True)
class Signature:
    """What is known about a function before it is called.

    Attributes:
        name: the function's name.
        parameters: None where Python cannot tell, as for many compiled functions.
        returned: names in its return statement, empty strings for expressions; empty when
            there is no source, or when return statements differ.
        libraries: array libraries to try, the likeliest first.
    """

    name: str
    parameters: tuple[Parameter, ...] | None
    returned: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ("numpy",)


def _annotation(annotation: Any) -> str:
    if annotation is inspect.Parameter.empty:
        return ""
    text = annotation if isinstance(annotation, str) else f"{annotation}"
    if isinstance(annotation, type):
        text = f"{annotation.__module__} {text}"
    return text.replace("jaxtyping", "")  # says nothing about JAX


def _mentions(annotation: str, words: tuple[str, ...]) -> bool | None:
    return any(word in annotation for word in words) if annotation else None


def _parameters(function: Callable[..., Any]) -> tuple[Parameter, ...] | None:
    try:
        found = inspect.signature(function).parameters.values()
    except (ValueError, TypeError):
        return None
    passing: dict[Any, str] = {
        inspect.Parameter.POSITIONAL_ONLY: "positional",
        inspect.Parameter.POSITIONAL_OR_KEYWORD: "either",
        inspect.Parameter.KEYWORD_ONLY: "keyword",
    }
    known = [item for item in found if item.kind in passing]
    if not known and found:  # only *args and **kwargs: as good as nothing
        return None
    return tuple(
        Parameter(
            item.name,
            passing[item.kind],
            item.default is not inspect.Parameter.empty,
            True if item.default is None else _mentions(text, ("None", "Optional")),
            _mentions(text, _ARRAY_WORDS),
        )
        for item in known
        for text in [_annotation(item.annotation)]
    )


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else ""


class _Returns(ast.NodeVisitor):
    """Collects the names in the return statements of one function, not of functions in it."""

    def __init__(self) -> None:
        self.depth = 0
        self.found: set[tuple[str, ...]] = set()

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        if self.depth == 0:
            self.depth = 1
            self.generic_visit(node)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        pass

    def visit_Return(self, node: ast.Return) -> None:
        if isinstance(node.value, ast.Tuple):
            self.found.add(tuple(_name(item) for item in node.value.elts))
        elif node.value is not None:
            self.found.add((_name(node.value),))


def _returned(function: Callable[..., Any]) -> tuple[str, ...]:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function))))
    except (OSError, TypeError, SyntaxError, ValueError):
        return ()
    returns = _Returns()
    returns.visit(tree)
    return returns.found.pop() if len(returns.found) == 1 else ()


def _libraries(function: Callable[..., Any]) -> tuple[str, ...]:
    """Return the libraries to try: annotated, used in the code, imported beside it, loaded."""
    inner: Any = inspect.unwrap(function)
    inner = getattr(inner, "__func__", inner)
    text = " ".join(_annotation(item) for item in getattr(inner, "__annotations__", {}).values())
    named = [name for name, words in _ANNOTATIONS if any(word in text for word in words)]
    code = getattr(inner, "__code__", None)
    known = dict(getattr(inner, "__globals__", {}))
    if inspect.isfunction(inner):
        with contextlib.suppress(ValueError):  # a variable that has no value yet
            known |= inspect.getclosurevars(inner).nonlocals
    roots = {
        word: (value.__name__ if inspect.ismodule(value) else word).split(".")[0]
        for word, value in known.items()
    }
    # an import inside the function is a name in its code too
    words = (*code.co_names, *code.co_freevars) if code else ()
    used = {roots.get(word, word) for word in words}
    # code that uses NumPy too only converts with it
    likely = [name for name in ("torch", "jax", "numpy") if name in used]
    beside = [name for name in LIBRARIES if name in roots.values()]
    loaded = [name for name in LIBRARIES if name in sys.modules]
    return tuple(dict.fromkeys([*named, *likely, *beside, *loaded]))


def describe(function: Callable[..., Any]) -> Signature:
    """Return what is known about a function before it is called."""
    inner: Any = function
    while isinstance(inner, functools.partial):
        inner = inner.func
    name = getattr(inner, "__name__", type(inner).__name__)
    if not hasattr(inner, "__name__") and not hasattr(inner, "__wrapped__"):
        inner = type(inner).__call__  # an object that can be called
    return Signature(name, _parameters(function), _returned(inner), _libraries(inner))
