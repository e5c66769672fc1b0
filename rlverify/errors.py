"""The wording of every refusal; standard library only.

The NumPy references and the PyTorch versions both check their arguments here, before any
arithmetic, so a refusal reads the same in both: function, argument, what came, what was wanted,
and the remedy where there is one. Arrays are looked at only through `shape` and `dtype`. Their
axes are named by a string such as `"T B"` or `"... A"`, whose dots stand for any leading axes;
the first array that names an axis fixes its length for the others.
"""

import itertools
import math
import numbers
from fractions import Fraction
from typing import Any

HALF = ("float16", "bfloat16")
FLOATS = (*HALF, "float32", "float64")
_NAMES: dict[Any, str] = {}  # NumPy takes five microseconds to write the name of a dtype
_NAMED: dict[str, list[str]] = {}  # a whole update checks its arrays a hundred times


def dtype_name(array: Any) -> str:
    """Return the bare name of an array's dtype, `float32` for `torch.float32`."""
    if array.dtype not in _NAMES:  # no functools.cache: `torch.compile` warns of it
        _NAMES[array.dtype] = str(array.dtype).removeprefix("torch.")
    return _NAMES[array.dtype]


def _kind(value: Any) -> str:
    return type(value).__name__


def _axes(axes: str) -> str:
    return "[" + ", ".join(axes.split()) + "]"


def bound_axes(axes: str, shape: tuple[int, ...]) -> dict[str, Any]:
    """Return the length of each named axis of a shape; `...` stands for the leading lengths.

    Raises:
        ValueError: the shape has another number of axes.
    """
    if axes not in _NAMED:
        named = axes.removeprefix("...").split()
        _NAMED[axes] = [f"{x}, again" if x in named[:i] else x for i, x in enumerate(named)]
    names, leads = _NAMED[axes], axes.startswith("...")
    leading = len(shape) - len(names)
    if leading < 0 or (leading and not leads):
        raise ValueError(f"bound_axes: shape came as {shape}, wanted {_axes(axes)}.")
    lengths: dict[str, Any] = dict(zip(names, shape[leading:], strict=True))
    return {**lengths, "...": tuple(shape[:leading])} if leads else lengths


def layer_parameters(sizes: tuple[int, ...]) -> int:
    """Return how many numbers the weights and biases of a perceptron's layers are."""
    return sum((inputs + 1) * outputs for inputs, outputs in itertools.pairwise(sizes))


class Arguments:
    """Checks the arguments of one call, and remembers what they must agree with.

    Args:
        function: name of the called function, the first word of every message.
        array_type: the type every array must have, `numpy.ndarray` or `torch.Tensor`.
        exact: whether this is a reference, which takes float64 or arrays of `Fraction`.
    """

    def __init__(self, function: str, array_type: type, *, exact: bool = False) -> None:
        self.function = function
        self.array_type = array_type
        self.exact = exact
        self.first: tuple[str, Any] | None = None  # the float array the others follow
        # of each named axis: the argument that fixed its length, the length, the argument's value
        self.axes: dict[str, tuple[str, Any, Any]] = {}

    def _array(self, name: str, value: Any, axes: str, wanted: str) -> None:
        if not hasattr(value, "shape") or not hasattr(value, "dtype"):
            raise TypeError(
                f"{self.function}: {name} came as {_kind(value)}, "
                f"wanted {wanted} array {_axes(axes)}."
            )
        if not isinstance(value, self.array_type):
            module = type(value).__module__.split(".")[0]
            raise TypeError(
                f"{self.function}: {name} came as {module}.{_kind(value)}, "
                f"wanted {self.array_type.__module__.split('.')[0]}.{self.array_type.__name__}."
            )
        array: Any = value  # `array_type` is only known at run time
        shape = tuple(array.shape)
        try:
            lengths = bound_axes(axes, shape)
        except ValueError:
            remedy = ""
            if axes == "T B" and len(shape) == 1:
                remedy = f"; for a single trajectory pass {name}[:, None]"
            elif axes == "B L" and len(shape) == 1:
                remedy = f"; for a single sequence pass {name}[None, :]"
            raise ValueError(
                f"{self.function}: {name} came with shape {shape}, wanted {_axes(axes)}{remedy}."
            ) from None
        if 0 in shape:
            raise ValueError(
                f"{self.function}: {name} came with shape {shape}, wanted at least one element."
            )
        for axis, length in lengths.items():
            other, known_length, known = self.axes.setdefault(axis, (name, length, value))
            if known_length != length:
                raise ValueError(
                    f"{self.function}: {name} has shape {shape}, but {other} has shape "
                    f"{tuple(known.shape)}; they must agree."
                )
        if self.first is not None:
            other, known = self.first
            if known.device != array.device:
                raise ValueError(
                    f"{self.function}: {name} is on device {array.device}, but {other} is on "
                    f"device {known.device}; they must agree."
                )

    def floats(self, axes: str, **arrays: Any) -> None:
        """Require floating-point arrays of one dtype, one shape per `axes`, one device."""
        for name, value in arrays.items():
            self._array(name, value, axes, "a floating-point")
            dtype = dtype_name(value)
            if self.exact and dtype in FLOATS and dtype != "float64":
                raise TypeError(
                    f"{self.function}: {name} came as dtype {dtype}, wanted float64 or Fraction "
                    f"objects; the reference rounds nowhere else, pass {name}.astype('float64')."
                )
            if dtype not in FLOATS and not (self.exact and dtype == "object"):
                raise TypeError(
                    f"{self.function}: {name} came as dtype {dtype}, wanted a floating-point dtype."
                )
            if self.first is None:
                self.first = (name, value)
            elif dtype != dtype_name(self.first[1]):
                raise TypeError(
                    f"{self.function}: {name} has dtype {dtype}, but {self.first[0]} has dtype "
                    f"{dtype_name(self.first[1])}; they must agree."
                )

    def broadcast(self, axes: str, **arrays: Any) -> None:
        """Require float arrays that broadcast to a shape known by now, without enlarging it."""
        wanted = tuple(
            length
            for name in axes.split()
            for length in (self.axes[name][1] if name == "..." else (self.axes[name][1],))
        )
        like = self.axes[axes.split()[-1]][0]
        for name, value in arrays.items():
            known, self.axes = self.axes, {}  # its own axes need not agree with any
            self.floats("...", **{name: value})
            self.axes = known
            shape = tuple(value.shape)
            padded = (1,) * (len(wanted) - len(shape)) + shape
            fits = len(padded) == len(wanted) and all(
                length in (1, full) for length, full in zip(padded, wanted, strict=True)
            )
            if not fits:
                raise ValueError(
                    f"{self.function}: {name} has shape {shape}, but {like} has shape {wanted}; "
                    f"they must broadcast to that shape."
                )

    def above(self, axes: str, bound: int, **arrays: Any) -> None:
        """Require float arrays whose elements all lie above a bound."""
        for name, value in arrays.items():
            self.floats(axes, **{name: value})
            if not bool((value > bound).all()):  # NaN fails here too
                raise ValueError(
                    f"{self.function}: {name} came with an element that is not above {bound}."
                )

    def between(self, axes: str, low: int, high: int, **arrays: Any) -> None:
        """Require float arrays whose elements all lie strictly between two numbers."""
        self._inside(axes, f"({low}, {high})", lambda x: (x > low) & (x < high), arrays)

    def within(self, axes: str, low: int, high: int, **arrays: Any) -> None:
        """Require float arrays whose elements all lie between two numbers or at one of them."""
        self._inside(axes, f"[{low}, {high}]", lambda x: (x >= low) & (x <= high), arrays)

    def _inside(self, axes: str, ends: str, holds: Any, arrays: dict[str, Any]) -> None:
        for name, value in arrays.items():
            self.floats(axes, **{name: value})
            if not bool(holds(value).all()):  # NaN fails here too
                raise ValueError(f"{self.function}: {name} came with an element outside {ends}.")

    def actions(self, axes: str, *, below: int, **arrays: Any) -> None:
        """Require int64 arrays of numbers from 0 to `below` - 1."""
        for name, value in arrays.items():
            self._integers(axes, name, value)
            if not bool(((value >= 0) & (value < below)).all()):
                outside = value[(value < 0) | (value >= below)]
                raise ValueError(
                    f"{self.function}: {name} came with {int(outside[0])} in it, wanted actions "
                    f"in [0, {below})."
                )

    def integers(self, axes: str, *, least: int, **arrays: Any) -> None:
        """Require int64 arrays of numbers of at least `least`."""
        for name, value in arrays.items():
            self._integers(axes, name, value)
            if not bool((value >= least).all()):
                raise ValueError(
                    f"{self.function}: {name} came with {int(value[value < least][0])} in it, "
                    f"wanted integers of at least {least}."
                )

    def _integers(self, axes: str, name: str, value: Any) -> None:
        self._array(name, value, axes, "an integer")
        if dtype_name(value) != "int64":
            raise TypeError(
                f"{self.function}: {name} came as dtype {dtype_name(value)}, wanted int64."
            )

    def legal(self, axes: str, legal: Any) -> None:
        """Require a boolean array with a True in every row, or None for all True."""
        if legal is None:
            return
        self.flags(axes, legal=legal)
        if not bool(legal.any(-1).all()):
            raise ValueError(
                f"{self.function}: legal came with a row without a True element, wanted at least "
                f"one legal action in each."
            )

    def flags(self, axes: str, **arrays: Any) -> None:
        """Require boolean arrays."""
        for name, value in arrays.items():
            self._array(name, value, axes, "a boolean")
            if dtype_name(value) != "bool":
                raise TypeError(
                    f"{self.function}: {name} came as dtype {dtype_name(value)}, wanted bool."
                )

    def mask(self, axes: str, mask: Any) -> None:
        """Require a boolean mask with a real (True) element, or None for all real."""
        if mask is None:
            return
        self.flags(axes, mask=mask)
        if not bool(mask.any()):
            raise ValueError(
                f"{self.function}: mask came without a True element, wanted at least one real one."
            )

    def number(self, name: str, value: Any) -> None:
        """Require a real number (not a bool, not an array, not NaN)."""
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise TypeError(f"{self.function}: {name} came as {_kind(value)}, wanted a number.")
        self._exact_scalar(name, value)

    def _exact_scalar(self, name: str, value: Any) -> None:
        # a float among Fractions would quietly turn the exact answer into a rounded one
        inexact = isinstance(value, float) or not isinstance(value, numbers.Rational)
        if self.first is not None and dtype_name(self.first[1]) == "object" and inexact:
            kinds = {type(item).__name__ for item in self.first[1].flat}
            if kinds <= {"Fraction", "int"}:
                raise TypeError(
                    f"{self.function}: {name} came as {_kind(value)} among Fraction objects, "
                    f"wanted Fraction({name})."
                )

    def unit(self, axes: str | None = None, **scalars: Any) -> None:
        """Require numbers in [0, 1]; with `axes`, arrays of such numbers are welcome too."""
        for name, value in scalars.items():
            if axes is not None and hasattr(value, "shape") and tuple(value.shape) != ():
                self.within(axes, 0, 1, **{name: value})
                continue
            if isinstance(value, bool) or not isinstance(value, numbers.Real):
                array = "" if axes is None else f" or an array {_axes(axes)}"
                raise TypeError(
                    f"{self.function}: {name} came as {_kind(value)}, "
                    f"wanted a number in [0, 1]{array}."
                )
            number: Any = value
            if not 0 <= number <= 1:  # NaN fails here too
                raise ValueError(
                    f"{self.function}: {name} came as {value}, wanted a number in [0, 1]."
                )
            self._exact_scalar(name, value)

    def fraction(self, **scalars: Any) -> None:
        """Require numbers in (0, 1]."""
        for name, value in scalars.items():
            self.number(name, value)
            if not 0 < value <= 1:
                raise ValueError(
                    f"{self.function}: {name} came as {value}, wanted a number in (0, 1]."
                )

    def choice(self, name: str, value: Any, allowed: tuple[str, ...]) -> None:
        """Require one of some words."""
        if not isinstance(value, str) or value not in allowed:
            raise ValueError(
                f"{self.function}: {name} came as {value!r}, wanted one of {', '.join(allowed)}."
            )

    def switch(self, **values: Any) -> None:
        """Require bools."""
        for name, value in values.items():
            if not isinstance(value, bool):
                raise TypeError(f"{self.function}: {name} came as {_kind(value)}, wanted a bool.")

    def callable(self, **functions: Any) -> None:
        """Require functions."""
        for name, value in functions.items():
            if not callable(value):
                raise TypeError(
                    f"{self.function}: {name} came as {_kind(value)}, wanted a function."
                )

    def sizes(self, sizes: Any) -> None:
        """Require the widths of a perceptron's layers, the input's first."""
        whole = isinstance(sizes, tuple) and all(
            isinstance(size, int) and not isinstance(size, bool) and size >= 1 for size in sizes
        )
        if not whole or len(sizes) < 2:
            raise ValueError(
                f"{self.function}: sizes came as {sizes!r}, wanted a tuple of at least two "
                f"integers of at least 1."
            )

    def width(self, sizes: tuple[int, ...], wanted: int, **arrays: Any) -> None:
        """Require a length of the last axis that follows from the sizes of a perceptron."""
        for name, value in arrays.items():
            if value.shape[-1] != wanted:
                raise ValueError(
                    f"{self.function}: {name} came with shape {tuple(value.shape)}, wanted "
                    f"{wanted} along the last axis for sizes {sizes}."
                )

    def result(self, name: str, value: Any) -> Any:
        """Require that a function that was passed in returned one number, and return it."""
        shape = tuple(getattr(value, "shape", ()))
        if shape != ():
            raise ValueError(
                f"{self.function}: {name} returned shape {shape}, wanted a single number."
            )
        if not hasattr(value, "dtype") and not isinstance(value, numbers.Real):
            raise TypeError(
                f"{self.function}: {name} returned {_kind(value)}, wanted a single number."
            )
        return value

    def count(self, name: str, value: Any, *, least: int) -> None:
        """Require an integer of at least `least`."""
        if isinstance(value, bool) or not isinstance(value, numbers.Integral):
            raise TypeError(f"{self.function}: {name} came as {_kind(value)}, wanted an integer.")
        if value < least:
            raise ValueError(
                f"{self.function}: {name} came as {value}, wanted an integer of at least {least}."
            )

    def positive(self, name: str, value: Any) -> None:
        """Require a finite number above zero."""
        self.number(name, value)
        if not (value > 0 and (isinstance(value, Fraction) or math.isfinite(value))):
            raise ValueError(
                f"{self.function}: {name} came as {value}, wanted a finite number above 0."
            )
        dtype = "float64" if self.first is None else dtype_name(self.first[1])
        if dtype in (*HALF, "float32") and value <= 2.0**-150:
            raise ValueError(
                f"{self.function}: {name} came as {value}, which is 0 in float32, wanted a "
                "number above 0 in the arrays' arithmetic."
            )

    def degrees_of_freedom(self, elements: int, ddof: int) -> None:
        """Require that a variance over `elements` numbers is defined."""
        if elements <= ddof:
            raise ValueError(
                f"{self.function}: {elements} real element(s) with ddof={ddof} leave no degree of "
                f"freedom, wanted more than {ddof}; pass ddof=0 or normalise over a larger batch."
            )

    def ranked(self, mask: Any, **arrays: Any) -> None:
        """Require numbers that can be ranked: no NaN where they are real."""
        for name, value in arrays.items():
            if bool(((value != value) & (True if mask is None else mask)).any()):
                raise ValueError(
                    f"{self.function}: {name} came with NaN in it, which has no rank, wanted "
                    f"numbers; leave failed episodes out, or give them the lowest return."
                )

    def others(self, name: str, value: Any) -> None:
        """Require at least two samples, so that each has others."""
        if value.shape[0] < 2:
            raise ValueError(
                f"{self.function}: {name} came with one element, wanted at least two, so that each "
                f"has others; take more samples."
            )

    def known_past(self, gamma: Any, start_steps: Any) -> None:
        """Require one discount for all steps where recordings begin inside an episode."""
        if hasattr(gamma, "shape") and bool((start_steps > 0).any()):
            raise ValueError(
                f"{self.function}: gamma came as an array with start_steps above 0, wanted one "
                f"number: the discounts before the recording are not in the array."
            )
