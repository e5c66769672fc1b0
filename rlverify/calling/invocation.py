"""One call of a stranger's function: plain arrays in, plain arrays out, everything caught.

This module runs wherever the stranger's code runs, which may be a worker process, so it
knows neither contracts nor cases: only NumPy arrays, numbers and names. PyTorch and JAX are
imported when a call needs them.
"""

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np

LIBRARIES = ("numpy", "torch", "jax")
PRINTED = 2000  # characters of a candidate's output that are kept


@dataclass(frozen=True)
class Call:
    """The arguments of one call.

    Attributes:
        arguments: name and value (float64 or boolean array, number, string, None), in order.
        positional: how many of them, from the first, are passed by position.
        group: calls of one group are the parts of one result; after a failure the rest of
            the group is not run.
        sought: names of arguments, and weights of the result's leaves by label: then the gradient
            of Σ weights · leaves with respect to each is wanted, not the result.
    """

    arguments: tuple[tuple[str, Any], ...]
    positional: int
    group: int = 0
    sought: tuple[tuple[str, ...], tuple[tuple[str, np.ndarray], ...]] | None = None


@dataclass(frozen=True)
class Leaf:
    """One value that a function returned.

    Attributes:
        label: field or key, or the position as a number; empty for a bare value.
        kind: type and dtype of what was returned, for messages.
        dtype: its dtype; empty when it is no array of numbers.
        array: its numbers in float64, or None.
    """

    label: str
    kind: str
    dtype: str = ""
    array: np.ndarray | None = None


@dataclass(frozen=True)
class Outcome:
    """What came of a call.

    Attributes:
        failure: `raised`, `memory`, `hung`, `died`, or empty when the function returned.
        message: what was raised, or how the process ended.
        detail: traceback.
        structure: `array`, `tuple`, `names` (by field or key) or `other`.
        returned: type of the result.
        leaves: the values in it.
        overwrote: arguments that are no longer what they were.
        aliased: (label of a leaf, argument) where both share memory.
        printed: what was written to standard output and error.
        ran: False where a failure of another call is repeated.
    """

    failure: str = ""
    message: str = ""
    detail: str = ""
    structure: str = "other"
    returned: str = ""
    leaves: tuple[Leaf, ...] = ()
    overwrote: tuple[str, ...] = ()
    aliased: tuple[tuple[str, str], ...] = ()
    printed: str = ""
    ran: bool = True


def dtypes(library: str) -> tuple[str, ...]:
    """Return the float dtypes a library computes in, default first; none if not installed."""
    if library == "numpy":
        return ("float64", "float32", "float16")
    if importlib.util.find_spec(library) is None:
        return ()
    module = importlib.import_module(library)
    if library == "torch":
        return ("float64", "float32", "bfloat16", "float16")
    narrow = ("float32", "bfloat16", "float16")
    return ("float64", *narrow) if module.config.jax_enable_x64 else narrow


# --- arrays in ------------------------------------------------------------------------


def build(value: Any, library: str, dtype: str) -> Any:
    """Return a fresh array of a library, floats in `dtype`; other values as they are."""
    if not isinstance(value, np.ndarray):
        return value
    is_float = value.dtype.kind == "f"
    if library == "numpy":
        # a 0-d array becomes a NumPy scalar, which is what indexing a 1-d array gives
        return value.astype(dtype if is_float else value.dtype, order="C")[()]
    if library == "torch":
        torch = importlib.import_module("torch")
        tensor = torch.from_numpy(np.array(value, order="C"))
        return tensor.to(getattr(torch, dtype)) if is_float else tensor
    jnp = importlib.import_module("jax.numpy")
    return jnp.asarray(value, dtype=dtype if is_float else None)


def _is_torch(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def array_bits(value: Any) -> bytes:
    """Return shape and content of an array, bit by bit, so that NaN equals itself."""
    if _is_torch(value):
        torch = sys.modules["torch"]
        flat = value.detach().cpu().contiguous().reshape(-1)
        value = flat.view(torch.uint8).numpy().reshape(*value.shape, -1)
    return str(value.shape).encode() + bytes(value.tobytes())


def is_mutable(value: Any) -> bool:
    """Return whether a value is an array that can be written to."""
    return isinstance(value, np.ndarray) or _is_torch(value)


def _memory(value: Any) -> tuple[int, int]:
    """Return the addresses between which an array lies."""
    if _is_torch(value):
        try:
            storage = value.untyped_storage()
            return storage.data_ptr(), storage.data_ptr() + storage.nbytes()
        except (NotImplementedError, RuntimeError):  # sparse and other unusual tensors
            return 0, 0
    low, high = np.lib.array_utils.byte_bounds(value)
    return int(low), int(high)


# --- results out ----------------------------------------------------------------------


def _kind(value: Any) -> str:
    name = type(value).__name__
    dtype = getattr(value, "dtype", None)
    return name if dtype is None else f"{name} of {str(dtype).removeprefix('torch.')}"


def _numbers(value: Any) -> tuple[np.ndarray, str] | None:
    """Return a value's numbers in float64, exactly, and its dtype; None if it has none."""
    if isinstance(value, bool | int | float):
        return np.array(float(value)), "float64" if isinstance(value, float) else "int64"
    if isinstance(value, list):  # a list holds one entry a step
        parts = [_numbers(item) for item in value]
        known = [part for part in parts if part is not None]
        if not known or len(known) < len(parts) or len({part[0].shape for part in known}) > 1:
            return None
        names = sorted({part[1] for part in known})
        return np.stack([part[0] for part in known]), "/".join(names)
    if _is_torch(value):
        torch = sys.modules["torch"]
        name = str(value.dtype).removeprefix("torch.")
        if value.is_complex():
            return None
        dense = value.detach().cpu().to_dense() if value.is_sparse else value.detach().cpu()
        return dense.to(torch.float64).contiguous().numpy().copy(), name
    if not hasattr(value, "dtype") or not hasattr(value, "shape"):
        return None
    array = np.asarray(value)
    if array.dtype.kind in "cSUVmM" and array.dtype.name != "bfloat16":
        return None
    try:
        return np.array(array, dtype=np.float64, order="C"), array.dtype.name
    except (TypeError, ValueError):  # objects that are no numbers
        return None


def _parts(result: Any) -> tuple[str, list[tuple[str, Any]]]:
    """Return how a result is built, and its labelled values."""
    if hasattr(result, "dtype") and hasattr(result, "shape"):
        return "array", [("", result)]
    if isinstance(result, Mapping):
        return "names", [(str(key), item) for key, item in result.items()]
    if isinstance(result, tuple) and hasattr(result, "_fields"):
        return "names", list(zip(result._fields, result, strict=False))
    if is_dataclass(result) and not isinstance(result, type):
        return "names", [(item.name, getattr(result, item.name)) for item in fields(result)]
    if isinstance(result, tuple):
        return "tuple", [(str(i), item) for i, item in enumerate(result)]
    if isinstance(result, list | bool | int | float):
        return "array", [("", result)]
    if hasattr(result, "__dict__") and not callable(result):
        return "names", list(vars(result).items())
    return "other", []


def _leaves(parts: list[tuple[str, Any]]) -> Iterator[Leaf]:
    for label, value in parts:
        read = _numbers(value)
        yield Leaf(label, _kind(value), read[1], read[0]) if read else Leaf(label, _kind(value))


def arrays_in(result: Any) -> list[Any]:
    """Return the arrays in a result that can be written to."""
    return [value for _, value in _parts(result)[1] if is_mutable(value)]


def read_result(result: Any) -> Outcome:
    """Return what a call returned as plain arrays."""
    structure, parts = _parts(result)
    return Outcome(structure=structure, returned=_kind(result), leaves=tuple(_leaves(parts)))


# --- the call -------------------------------------------------------------------------

_NO_MEMORY = ("can't allocate memory", "not enough memory", "RESOURCE_EXHAUSTED", "std::bad_alloc")


def failed(error: BaseException) -> Outcome:
    """Describe what a candidate raised, without the frames of this module."""
    try:
        text = str(error).strip()
    except Exception:  # a candidate's own exception class may be broken too
        text = "(its message cannot be printed)"
    first = text.splitlines()[0] if text else ""
    name = type(error).__name__
    inner = error.__traceback__.tb_next if error.__traceback__ else None
    detail = "".join(traceback.format_exception(type(error), error, inner))
    memory = isinstance(error, MemoryError) or any(words in text for words in _NO_MEMORY)
    return Outcome(
        failure="memory" if memory else "raised",
        message=f"{name}: {first}" if first else name,
        detail=detail,
    )


def invoke(function: Callable[..., Any], call: Call, library: str, dtype: str) -> Outcome:
    """Call a function on fresh arrays and describe what it did.

    A `KeyboardInterrupt` passes through: in this process it is the user's. (A worker process
    does not get the user's, and catches it.)
    """
    if call.sought is not None:
        return _derived(function, call, library, dtype)
    passed = [(name, build(value, library, dtype)) for name, value in call.arguments]
    arrays = [(name, value) for name, value in passed if is_mutable(value)]
    before = [array_bits(value) for _, value in arrays]
    try:
        result = function(
            *(value for _, value in passed[: call.positional]),
            **dict(passed[call.positional :]),
        )
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit is a failure of the candidate, not an order
        return failed(error)
    try:
        structure, parts = _parts(result)
        leaves = tuple(_leaves(parts))
        overwrote = tuple(
            name
            for (name, value), old in zip(arrays, before, strict=True)
            if array_bits(value) != old
        )
    except Exception as error:  # an object that cannot be looked at, or no memory to do so
        return failed(error)
    theirs = [(name, *_memory(value)) for name, value in arrays]
    aliased = tuple(
        (label, name)
        for label, value in parts
        if is_mutable(value)
        for low, high in [_memory(value)]
        for name, start, end in theirs
        if low < end and start < high
    )
    return Outcome(
        structure=structure,
        returned=_kind(result),
        leaves=leaves,
        overwrote=overwrote,
        aliased=aliased,
    )


# --- the gradient, by the candidate's own autograd -------------------------------------


def _weighted(result: Any, weights: Mapping[str, Any]) -> Any:
    """Return Σ weights · leaves of a result."""
    parts = dict(_parts(result)[1])
    return sum((weight * parts[label]).sum() for label, weight in weights.items())


def _derived(function: Callable[..., Any], call: Call, library: str, dtype: str) -> Outcome:
    """Return the gradient that a call's result has in some arguments.

    There are no leaves where the result carries no gradient at all.
    """
    assert call.sought is not None
    names, weights = call.sought[0], dict(call.sought[1])
    passed = {name: build(value, library, dtype) for name, value in call.arguments}

    def run(changed: Mapping[str, Any]) -> Any:
        given = [(name, changed.get(name, value)) for name, value in passed.items()]
        return function(
            *(value for _, value in given[: call.positional]), **dict(given[call.positional :])
        )

    try:
        if library == "torch":
            found = _torch_gradient(run, {name: passed[name] for name in names}, weights)
        else:
            jax = importlib.import_module("jax")
            found = jax.grad(lambda changed: _weighted(run(changed), weights))(
                {name: passed[name] for name in names}
            )
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return failed(error)
    leaves = []
    for name, gradient in (found or {}).items():
        read = _numbers(gradient)
        leaves.append(Leaf(name, "gradient", dtype, read[0] if read else None))
    return Outcome(structure="names", returned="gradient", leaves=tuple(leaves))


def _torch_gradient(
    run: Callable[[Mapping[str, Any]], Any], inputs: dict[str, Any], weights: dict[str, Any]
) -> dict[str, Any] | None:
    torch = importlib.import_module("torch")
    for tensor in inputs.values():
        tensor.requires_grad_()
    like = next(iter(inputs.values()))
    tensors = {label: torch.as_tensor(weight).to(like) for label, weight in weights.items()}
    total = _weighted(run(inputs), tensors)
    if not isinstance(total, torch.Tensor) or not total.requires_grad:
        return None
    gradients = torch.autograd.grad(total, list(inputs.values()), allow_unused=True)
    return {
        name: torch.zeros_like(tensor) if gradient is None else gradient
        for (name, tensor), gradient in zip(inputs.items(), gradients, strict=True)
    }
