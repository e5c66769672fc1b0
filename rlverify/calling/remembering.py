"""A class that remembers moments, called as a function: its state goes in and comes out.

`RunningMeanStd` of Gymnasium, Stable-Baselines3, CleanRL and their kin has `update(x)` and the
attributes `mean`, `var` and `count`. An object is made for every call, with the state that
the call is given; what it holds after `update` is the result.
"""

import copy
import inspect
from collections.abc import Callable
from typing import Any

# what the state is called, by the parameter that stands for it; the first one found counts
_STATE = {
    "count": ("count", "n", "num_samples"),
    "mean": ("mean", "running_mean", "_mean"),
    "variance": ("var", "running_var", "variance", "_var"),
    "m2": ("m2", "M2", "sum_of_squares", "_s"),
}


def as_function(target: Callable[..., Any]) -> Callable[..., Any]:
    """Return a class that remembers moments as a function of them; anything else as it is."""
    if not (isinstance(target, type) and callable(getattr(target, "update", None))):
        return target
    kind: Any = target
    try:
        names = _names(_made(kind, (1,)))
    except Exception:  # what cannot be made is told when it is called
        return target
    if set(names) not in ({"count", "mean", "variance"}, {"count", "mean", "m2"}):
        return target
    spread = "m2" if "m2" in names else "variance"

    def moments(count: Any, mean: Any, spread_: Any, x: Any) -> tuple[Any, ...]:
        state = _made(kind, tuple(mean.shape))
        given = {"count": count, "mean": mean, spread: spread_}
        for name, value in given.items():  # copies: `update` may work in place
            setattr(state, names[name], copy.deepcopy(value))
        state.update(x)
        return tuple(getattr(state, names[name]) for name in ("count", "mean", spread))

    either = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter(name, either) for name in ("count", "mean", spread, "x")]
    function: Any = moments
    function.__name__ = target.__name__
    function.__signature__ = inspect.Signature(parameters)
    function.__wrapped__ = kind.update  # which array library it uses is seen there
    return moments


def _made(kind: Any, shape: tuple[int, ...]) -> Any:
    """Return an object for samples of a shape."""
    parameters = inspect.signature(kind).parameters
    for name in ("shape", "size", "dim", "in_shape", "input_shape", "insize"):
        if name in parameters:
            return kind(**{name: shape})
    required = [item for item in parameters.values() if item.default is item.empty]
    return kind(*[shape][: len(required)])


def _names(state: Any) -> dict[str, str]:
    """Return the attribute for each part of the state; a variance that can be set comes first."""
    found = {
        part: next(name for name in names if hasattr(state, name))
        for part, names in _STATE.items()
        if any(hasattr(state, name) for name in names)
    }
    if {"variance", "m2"} <= set(found):
        attribute = getattr(type(state), found["variance"], None)
        computed = isinstance(attribute, property) and attribute.fset is None
        del found["variance" if computed else "m2"]
    return found
