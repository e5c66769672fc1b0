"""Twins: functions with the canonical arguments, called directly.

References, fast versions and edited references need no finding out how to be called.
"""

import traceback
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rlverify.calling import Failure, Gradient, Result
from rlverify.contract import Case, Contract


class Canonical:
    """A function with the canonical arguments, called directly: a reference, twin or mutant.

    Attributes:
        name: its name.
        mapping: how it is called, for reports.
        outputs: what it returns.
        arrays: `numpy` or `torch`.
        conventions: none.
        notes: none.
        call: nothing had to be found by trial.
        dtypes: what it can be judged in.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        contract: Contract,
        arrays: str = "numpy",
        device: str = "cpu",
    ) -> None:
        self.function = function
        self.contract = contract
        self.name = contract.name
        self.arrays = arrays
        self.device = device
        self.mapping = f"{contract.name}({', '.join(a.name for a in contract.arguments)})"
        self.outputs = contract.outputs
        self.conventions: tuple[str, ...] = ()
        self.notes: tuple[str, ...] = ()
        self.call = ""
        self.dtypes: tuple[str, ...] = (
            ("float64",) if arrays == "numpy" else ("float64", "float32", "bfloat16", "float16")
        )

    def project(self, case: Case) -> Case:
        """Return the case: canonical arguments express every case."""
        return case

    def admits(self, case: Case) -> bool:
        """Return True."""
        return True

    def close(self) -> None:
        """Do nothing: there is no process to end."""

    def run(self, cases: Sequence[Case], dtype: str) -> list[Result]:
        """Run the function on every case."""
        return [self._run(case, dtype) for case in cases]

    def gradients(
        self, cases: Sequence[Case], dtype: str, weights: Callable[[Case], dict[str, np.ndarray]]
    ) -> list[Gradient] | None:
        """Return None: the gradient of a twin is judged by `differentiation.worst_gradient`."""
        return None

    def _run(self, case: Case, dtype: str) -> Result:
        try:
            with np.errstate(all="ignore"):
                arguments = dict(case.arguments)
                if self.arrays == "torch":
                    arguments = as_torch(arguments, dtype, self.device)
                named = self.contract.named(self.function(**arguments))
        except Exception as error:
            sentence = f"{self.name} raised {type(error).__name__}: {error}"
            return Result(None, Failure("raised", sentence, traceback.format_exc()))
        outputs, failure = {}, None
        shapes, returned = self.contract.shapes(case), ""
        for name, result in named.items():
            array = result if hasattr(result, "dtype") else np.asarray(result)
            if name not in self.contract.counted or not returned:
                returned = str(array.dtype).removeprefix("torch.")
            outputs[name] = as_numpy(array)
            if outputs[name].shape != shapes[name]:
                sentence = (
                    f"{self.name}: {name} came with shape {outputs[name].shape}, "
                    f"wanted {shapes[name]}"
                )
                return Result(None, Failure("shape", sentence), returned)
            wanted = self.contract.dtype(dtype)
            floating = name not in self.contract.counted
            if self.arrays == "torch" and returned != wanted and floating:
                sentence = f"{self.name}: {name} came as {returned}, wanted {wanted}"
                failure = Failure("dtype", sentence)
        return Result(outputs, failure, returned)


def as_torch(arguments: dict[str, Any], dtype: str, device: str = "cpu") -> dict[str, Any]:
    """Return arguments with arrays as fresh tensors of the given float dtype."""
    import torch  # a base dependency, but slow to import and not needed for NumPy candidates

    converted: dict[str, Any] = {}
    for name, value in arguments.items():
        if isinstance(value, np.ndarray):
            tensor = torch.tensor(value, device=device)
            converted[name] = (
                tensor.to(getattr(torch, dtype)) if value.dtype.kind == "f" else tensor
            )
        else:
            converted[name] = value
    return converted


def as_numpy(array: Any) -> np.ndarray:
    """Return an array or tensor of any float dtype as float64 NumPy, exactly."""
    if hasattr(array, "detach"):
        import torch

        array = array.detach().to("cpu", torch.float64).numpy()
    return np.asarray(array, dtype=np.float64)
