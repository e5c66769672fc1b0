"""Cases and candidates made from a contract, which the contract tests of `support` judge."""

import numpy as np
import torch

import rlverify
from rlverify.twinning import as_numpy


def good_case(contract):
    """Return the drawn case that bad inputs spoil: the shape their messages name."""
    from rlverify.contracts._recordings import base_case

    if contract.good is not None:
        return contract.good
    names = tuple(argument.name for argument in contract.arguments)
    if "terminated" in names:
        return base_case(names)
    zeros = np.zeros((2, 3))
    values = {"rewards": zeros, "values": zeros, "advantages": zeros, "mask": None,
              "gamma": 0.5, "lam": 0.5, "ddof": 0, "eps": 1.0}  # fmt: skip
    return rlverify.contract.Case({name: values[name] for name in names})


def stranger(function, contract):
    """Return a function with another module and no reference to the suite, canonical names."""
    names = [argument.name for argument in contract.arguments]
    scope = {"function": function}
    exec(
        f"def candidate({', '.join(names)}):\n"
        f"    return function({', '.join(f'{name}={name}' for name in names)})",
        scope,
    )
    return scope["candidate"]


def following(contract, convention):
    """Return a function that reads its arguments as a convention of handing over has it."""

    def unshifted(flags):
        return np.concatenate([flags[1:], np.zeros_like(flags[:1])])

    def function(**arguments):
        if convention.axis == "done":
            changed = {name: unshifted(arguments[name]) for name in ("terminated", "truncated")}
            return contract.reference(**{**arguments, **changed})
        if convention.axis == "leading":
            assert next(v for v in arguments.values() if np.ndim(v)).ndim == 2
            return contract.reference(**arguments)
        if convention.axis == "illegal":
            result = contract.reference(**arguments)
            return np.where(np.isinf(result), -1e8, result)
        if convention.axis == "masked":
            named = contract.named(contract.reference(**arguments))
            mask = True if arguments["mask"] is None else arguments["mask"]
            results = tuple(np.where(mask, array, 7.0) for array in named.values())
            return results if len(results) > 1 else results[0]
        turned = {
            name: value.T.copy() if isinstance(value, np.ndarray) else value
            for name, value in arguments.items()
        }
        named = contract.named(contract.reference(**turned))
        results = tuple(np.ascontiguousarray(array.T) for array in named.values())
        return results if len(results) > 1 else results[0]

    return function


def nonsense(contract, decoy):
    """Return a function of tensors that gives the reference's answers, mistreated."""

    def function(**arguments):
        plain = {
            name: as_numpy(value) if isinstance(value, torch.Tensor) and value.is_floating_point()
            else value.numpy() if isinstance(value, torch.Tensor) else value
            for name, value in arguments.items()
        }  # fmt: skip
        with np.errstate(all="ignore"):
            named = contract.named(contract.reference(**plain))
            results = [torch.from_numpy(np.array(decoy(np.asarray(a)))) for a in named.values()]
        floats = next(v for v in arguments.values()
                      if isinstance(v, torch.Tensor) and v.is_floating_point())  # fmt: skip
        results = [r.to(floats.dtype) if r.is_floating_point() else r for r in results]
        return tuple(results) if len(results) > 1 else results[0]

    return function
