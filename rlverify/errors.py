"""The wording of every refusal; standard library only.

The NumPy references and the PyTorch versions both check their arguments here, before
any arithmetic, so a refusal reads the same in both: function, argument, what came,
what was wanted, and the remedy where there is one.

Arrays are looked at only through `shape` and `dtype`, so NumPy arrays and torch
tensors are equally welcome. The axes of an array are named by a string such as
`"T B"`; the first array that names an axis fixes its length for the others.
"""

import math
import numbers
from fractions import Fraction
from typing import Any

HALF = ("float16", "bfloat16")
FLOATS = (*HALF, "float32", "float64")


def dtype_name(array: Any) -> str:
    """Return the bare name of an array's dtype, `float32` for `torch.float32`."""
    return str(array.dtype).removeprefix("torch.")


def _kind(value: Any) -> str:
    return type(value).__name__


def _axes(axes: str) -> str:
    return "[" + ", ".join(axes.split()) + "]"


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
        self.shapes: dict[str, tuple[str, Any]] = {}

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
        if axes != "..." and len(shape) != len(axes.split()):
            remedy = ""
            if axes == "T B" and len(shape) == 1:
                remedy = f"; for a single trajectory pass {name}[:, None]"
            elif axes == "B L" and len(shape) == 1:
                remedy = f"; for a single sequence pass {name}[None, :]"
            raise ValueError(
                f"{self.function}: {name} came with shape {shape}, wanted {_axes(axes)}{remedy}."
            )
        if 0 in shape:
            raise ValueError(
                f"{self.function}: {name} came with shape {shape}, wanted at least one element."
            )
        if axes in self.shapes:
            other, known = self.shapes[axes]
            if tuple(known.shape) != shape:
                raise ValueError(
                    f"{self.function}: {name} has shape {shape}, but {other} has shape "
                    f"{tuple(known.shape)}; they must agree."
                )
        else:
            self.shapes[axes] = (name, value)
        if self.first is not None:
            other, known = self.first
            if str(getattr(known, "device", "cpu")) != str(getattr(value, "device", "cpu")):
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
                self.floats(axes, **{name: value})
                if not bool(((value >= 0) & (value <= 1)).all()):
                    raise ValueError(
                        f"{self.function}: {name} came with an element outside [0, 1]."
                    )
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
