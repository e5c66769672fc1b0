"""How far the elementary functions of the libraries lie from the truth: a measurement.

    python tests/elementary_errors.py

prints the table of docs/elementary.md. The truth is mpmath's, with a hundred bits more than a
float64 has. Nothing is drawn: the arguments are fixed, and denser where functions are known to
be hard (at their zeros, near 0, at the ends of their range).
"""

import platform
from typing import NamedTuple

import mpmath
import numpy as np
import scipy
import torch
from scipy import special

from rlverify.elementary import FUNCTIONS

BITS = 153
POINTS = 160  # of each piece of a range
DTYPES = ("float32", "float64")
TRUTH = {
    "exp": mpmath.exp, "expm1": mpmath.expm1, "log": mpmath.log, "log1p": mpmath.log1p,
    "tanh": mpmath.tanh, "sin": mpmath.sin, "cos": mpmath.cos, "lgamma": mpmath.loggamma,
    "digamma": mpmath.digamma, "trigamma": lambda x: mpmath.psi(1, x),
}  # fmt: skip
TORCH = {name: getattr(torch, name) for name in TRUTH if name != "trigamma"} | {
    "trigamma": lambda x: torch.polygamma(1, x)
}
NUMPY = {name: getattr(np, name) for name in ("exp", "expm1", "log", "log1p", "tanh", "sin", "cos")}
SCIPY = {
    "lgamma": special.gammaln, "digamma": special.digamma,
    "trigamma": lambda x: special.polygamma(1, x),
}  # fmt: skip


def both_signs(low: float, high: float) -> list[np.ndarray]:
    return [np.geomspace(low, high, POINTS), -np.geomspace(low, high, POINTS)]


# by function: pieces of the range that the contracts draw from, denser where it is hard
RANGES = {
    "exp": [*both_signs(1e-30, 80), np.linspace(-87, 88, POINTS)],
    "expm1": [*both_signs(1e-30, 80), np.linspace(-1, 1, POINTS)],
    "log": [np.geomspace(2.0**-126, 2.0**127, POINTS), 1 + np.linspace(-0.4, 0.7, POINTS),
            1 + both_signs(1e-7, 1e-2)[0], 1 + both_signs(1e-7, 1e-2)[1]],
    "log1p": [np.geomspace(1e-30, 1e30, POINTS), -np.geomspace(1e-30, 0.99, POINTS),
              -1 + np.geomspace(1e-7, 0.5, POINTS)],
    "tanh": [*both_signs(1e-30, 30), np.linspace(-3, 3, POINTS)],
    "sin": [*both_signs(1e-30, 100), np.linspace(-10, 10, POINTS)],
    "cos": [*both_signs(1e-30, 100), np.linspace(-10, 10, POINTS)],
    "lgamma": [np.geomspace(1e-30, 1e8, POINTS), np.linspace(0.1, 5, POINTS),
               np.linspace(5, 100, POINTS)],
    "digamma": [np.geomspace(1e-30, 1e8, POINTS), np.linspace(0.1, 5, POINTS),
                np.linspace(5, 100, POINTS)],
    "trigamma": [np.geomspace(1e-12, 1e8, POINTS), np.linspace(0.1, 5, POINTS),
                 np.linspace(5, 100, POINTS)],
}  # fmt: skip

# where a library falls so far short that no bound of ours makes room for it
INACCURATE = {
    ("trigamma", "torch", "float64"): "PyTorch sums too few terms on the CPU: half the digits",
}


class Measurement(NamedTuple):
    """The worst error of one function of one library at one dtype."""

    function: str
    library: str
    dtype: str
    units: float  # of u · max(|f|, floor)
    worst: float  # the argument


def evaluated(name: str, library: str, dtype: str, x: np.ndarray) -> np.ndarray:
    if library == "torch":
        return TORCH[name](torch.from_numpy(x)).numpy()
    return (NUMPY | SCIPY)[name](x).astype(dtype)  # polygamma answers in float64


def measured(name: str) -> list[Measurement]:
    """Return the worst error of a function, by library and dtype."""
    found = []
    for dtype in DTYPES:
        x = np.concatenate(RANGES[name]).astype(dtype)
        with mpmath.workprec(BITS):
            exact = [TRUTH[name](mpmath.mpf(float(item))) for item in x]
            unit, least = np.finfo(dtype).eps / 2, np.finfo(dtype).tiny
            floor = FUNCTIONS[name].floor
            for library in ("numpy" if name in NUMPY else "scipy", "torch"):
                got = evaluated(name, library, dtype, x)
                errors = [
                    float(abs(mpmath.mpf(float(y)) - wanted) / (unit * max(abs(wanted), floor)))
                    if abs(wanted) >= least else 0.0
                    for y, wanted in zip(got, exact, strict=True)
                ]  # fmt: skip
                at = int(np.argmax(errors))
                found.append(Measurement(name, library, dtype, errors[at], float(x[at])))
    return found


def table() -> str:
    """Return the table of docs/elementary.md."""
    lines = [
        "| function | allowed | library | dtype | worst error | at |",
        "|---|---|---|---|---|---|",
    ]
    for name, function in FUNCTIONS.items():
        size = f"max(\\|f\\|, {function.floor:g})" if function.floor else "\\|f\\|"
        for item in measured(name):
            allowed = f"{function.units} u {size}" if item[:3] not in INACCURATE else "not met"
            worst = np.ceil(item.units * 10) / 10
            lines.append(
                f"| {name} | {allowed} | {item.library} | {item.dtype} | {worst:.1f} | "
                f"{item.worst:.4g} |"
            )
    return "\n".join(lines)


def versions() -> str:
    """Return what the measurement was made with."""
    return (
        f"NumPy {np.__version__}, SciPy {scipy.__version__}, PyTorch {torch.__version__} "
        f"({torch.backends.cpu.get_cpu_capability()}), mpmath {mpmath.__version__}, "
        f"{platform.machine()}"
    )


if __name__ == "__main__":
    print(versions())
    print(table())
