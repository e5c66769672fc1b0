"""Grounding: the floors that times are seen against, what no version can be expected to beat.

copy       a copy whose traffic is the bytes that a function must read and write
gradient   one loss of the same network and its gradient, for what is about a network's
           parameters: products and updates are counted in gradients
"""

from collections.abc import Callable, Mapping
from typing import Any

from rlverify.contract import Contract

NETWORK = ("parameters", "inputs", "sizes", "activation")


def floor_of(contract: Contract, arguments: Mapping[str, Any], outputs: Mapping[str, Any],
             gradients: bool) -> tuple[str, Callable[[], object]]:  # fmt: skip
    """Return the name of a contract's floor and the action that takes that long.

    Args:
        contract: what is timed.
        arguments: as tensors.
        outputs: of the fast version, as tensors.
        gradients: whether the gradient of the result is timed too.
    """
    if set(NETWORK) <= set(arguments):
        return "gradient", _gradient(arguments)
    import torch

    tensors = [v for v in (*arguments.values(), *outputs.values()) if isinstance(v, torch.Tensor)]
    if gradients:
        tensors += [arguments[name] for name in contract.gradients]
    moved = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    # a copy reads as much as it writes
    source = torch.ones(max(moved // 2, 1), dtype=torch.uint8, device=tensors[0].device)
    target = torch.empty_like(source)
    return "copy", lambda: target.copy_(source)


def _gradient(arguments: Mapping[str, Any]) -> Callable[[], object]:
    import torch

    from rlverify.errors import layer_parameters
    from rlverify.fast.networks import mlp_forward

    inputs, sizes, activation = (arguments[name] for name in NETWORK[1:])
    layers = arguments["parameters"][: layer_parameters(sizes)]  # a policy may have more

    def action() -> object:
        leaf = layers.detach().requires_grad_()
        outputs = mlp_forward(leaf, inputs, sizes=sizes, activation=activation)
        return torch.autograd.grad(outputs.square().mean(), leaf)

    return action
