"""An update that is there to be taken apart: regression on mini-batches, with an early stop."""

from typing import NamedTuple

import numpy as np
import torch

from rlverify.errors import layer_parameters
from rlverify.fast import networks as fast_networks
from rlverify.fast import optimizers as fast_optimizers
from rlverify.reference import networks, optimizers
from rlverify.reference._functions import reached


class Regression(NamedTuple):
    parameters: object
    first: object
    second: object
    count: int


def untraced(stage, outputs):
    return outputs


def regression_update(
    parameters, inputs, targets, permutations, first, second,
    *, count, sizes, minibatch_size, enough, max_norm, learning_rate, trace=untraced,
):  # fmt: skip
    network = {"sizes": sizes, "activation": "tanh"}
    for epoch, permutation in enumerate(permutations, 1):
        for batch in range(len(permutation) // minibatch_size):
            stage = f"epoch {epoch}, mini-batch {batch + 1}: "
            chosen = permutation[batch * minibatch_size : (batch + 1) * minibatch_size]
            x = inputs[chosen]
            errors = networks.mlp_forward(parameters, x, **network) - targets[chosen]
            errors = trace(stage + "errors", {"errors": errors})["errors"]
            total = 0
            for n, o in np.ndindex(errors.shape):
                total = total + errors[n, o] * errors[n, o]
            stop = trace(stage + "enough", {"stop": reached(total, enough)})["stop"]
            if stop > 0.5:
                break
            gradients = networks.mlp_backward(parameters, x, errors, **network)
            gradients = trace(stage + "gradient", {"gradients": gradients})["gradients"]
            clipped = optimizers.clip_grad_norm(gradients, max_norm=max_norm)
            gradients = trace(stage + "clip", clipped._asdict())["gradients"]
            count += 1
            after = optimizers.adam(
                parameters, gradients, first, second,
                count=count, learning_rate=learning_rate, beta1=0.5, beta2=0.75, eps=2.0**-10,
            )  # fmt: skip
            after = trace(stage + "step", {**after._asdict(), "count": count})
            parameters, first, second, count = (
                after[name] for name in ("parameters", "first", "second", "count")
            )
    return Regression(parameters, first, second, count)


def fast_regression_update(
    parameters, inputs, targets, permutations, first, second,
    *, count, sizes, minibatch_size, enough, max_norm, learning_rate, trace=untraced,
):  # fmt: skip
    network = {"sizes": sizes, "activation": "tanh"}
    for epoch, permutation in enumerate(permutations, 1):
        for batch in range(len(permutation) // minibatch_size):
            stage = f"epoch {epoch}, mini-batch {batch + 1}: "
            chosen = permutation[batch * minibatch_size : (batch + 1) * minibatch_size]
            x = inputs[chosen]
            errors = fast_networks.mlp_forward(parameters, x, **network) - targets[chosen]
            errors = trace(stage + "errors", {"errors": errors})["errors"]
            stop = (errors.square().sum() <= enough).to(errors.dtype)
            stop = trace(stage + "enough", {"stop": stop})["stop"]
            if stop > 0.5:
                break
            gradients = fast_networks.mlp_backward(parameters, x, errors, **network)
            gradients = trace(stage + "gradient", {"gradients": gradients})["gradients"]
            clipped = fast_optimizers.clip_grad_norm(gradients, max_norm=max_norm)
            gradients = trace(stage + "clip", clipped._asdict())["gradients"]
            count += 1
            after = fast_optimizers.adam(
                parameters, gradients, first, second,
                count=count, learning_rate=learning_rate, beta1=0.5, beta2=0.75, eps=2.0**-10,
            )  # fmt: skip
            after = trace(stage + "step", {**after._asdict(), "count": count})
            parameters, first, second, count = (
                after[name] for name in ("parameters", "first", "second", "count")
            )
    return Regression(parameters, first, second, count)


def regression(seed=0, *, sizes=(3, 4, 4, 2), samples=8, enough=2.0**-20):
    rng = np.random.default_rng(seed)
    number = layer_parameters(sizes)
    return {
        "parameters": rng.normal(size=number),
        "inputs": rng.normal(size=(samples, sizes[0])),
        "targets": rng.normal(size=(samples, sizes[-1])),
        "permutations": np.stack([rng.permutation(samples) for _ in range(2)]),
        "first": np.zeros(number),
        "second": np.zeros(number),
        "count": 0,
        "sizes": sizes,
        "minibatch_size": samples // 2,
        "enough": enough,
        "max_norm": 0.5,
        "learning_rate": 0.125,
    }


def spoilt(fast, stage, spoil):
    """Return an update of which one stage (every one whose name ends so) goes wrong."""

    def update(*, trace=untraced, **arguments):
        def spoiling(name, outputs):
            return trace(name, spoil(outputs) if name.endswith(stage) else outputs)

        return fast(**arguments, trace=spoiling)

    return update


def all_true(array):
    return bool(torch.as_tensor(array).all())
