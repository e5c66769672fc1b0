"""Contracts of the topic `optimizers`: one step of SGD, Adam and RMSprop, and clipping."""

import numpy as np

from rlverify.contract import (
    Argument,
    BadInput,
    Case,
    Contract,
    Convention,
    Equivalent,
    Example,
    KnownBug,
    Law,
)
from rlverify.contracts import _optimizer_laws as laws
from rlverify.contracts._refusals import bad
from rlverify.fast import optimizers as fast
from rlverify.reference import optimizers as reference


def vectors(*names: str) -> tuple[Argument, ...]:
    """Return vectors, one number a parameter."""
    return tuple(Argument(name, "float", "P") for name in names)


def numbers(*names: str) -> tuple[Argument, ...]:
    """Return numbers."""
    return tuple(Argument(name, "number") for name in names)


def good(*names: str, **knobs: float) -> Case:
    """Return a good case of two parameters."""
    return Case({**{name: np.array([1.0, 2.0]) for name in names}, **knobs}, label="good")


def bad_vectors(function: str, *others: str) -> tuple[BadInput, ...]:
    """Return the refusals of vectors [2]."""
    first = others[0]
    return (
        bad(function, first, "a list", np.ndarray.tolist, TypeError,
            f"{first} came as list, wanted a floating-point array [P]."),
        bad(function, first, "integers", lambda x: x.astype(np.int64), TypeError,
            f"{first} came as dtype int64, wanted a floating-point dtype."),
        bad(function, first, "a matrix", lambda x: x[None], ValueError,
            f"{first} came with shape (1, 2), wanted [P]."),
        *(bad(function, name, "one short", lambda x: x[1:], ValueError,
              f"{name} has shape (1,), but {first} has shape (2,); they must agree.")
          for name in others[1:]),
    )  # fmt: skip


def bad_share(function: str, name: str) -> tuple[BadInput, ...]:
    """Return the refusals of a share in [0, 1)."""
    return (
        bad(function, name, "one", lambda _: 1.0, ValueError,
            f"{name} came as 1.0, wanted a number below 1."),
        bad(function, name, "above one", lambda _: 1.5, ValueError,
            f"{name} came as 1.5, wanted a number in [0, 1]."),
    )  # fmt: skip


def bad_eps(function: str) -> BadInput:
    """Return the refusal of an ε of 0."""
    return bad(function, "eps", "zero", lambda _: 0.0, ValueError,
               "eps came as 0.0, wanted a finite number above 0.")  # fmt: skip


UPHILL = "parameters[i] - learning_rate"
UPHILL_BUG = KnownBug("O6", UPHILL, "parameters[i] + learning_rate")

# --- SGD -----------------------------------------------------------------------------------------

SGD_ARRAYS = ("parameters", "gradients", "velocity")
SPEED = "momentum * velocity[i] + gradients[i]"


def heavy_ball(
    parameters: np.ndarray, gradients: np.ndarray, velocity: np.ndarray, *,
    learning_rate: float, momentum: float,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Take the parts of the step one by one."""
    moved = parameters - learning_rate * gradients - learning_rate * momentum * velocity
    return moved, gradients + momentum * velocity


SGD_CONTRACT = Contract(
    name="sgd",
    topic="optimizers",
    summary="one step of gradient descent with momentum",
    source="Polyak 1964, equation 9; Sutskever et al. 2013, equations 1 and 2",
    reference=reference.sgd,
    fast=fast.sgd,
    arguments=(*vectors(*SGD_ARRAYS), *numbers("learning_rate", "momentum")),
    outputs=("parameters", "velocity"),
    inputs=laws.sgd_cases(),
    examples=(
        Example(
            "two parameters",
            Case({"parameters": np.array([1.0, -1.0]), "gradients": np.array([2.0, 3.0]),
                  "velocity": np.array([4.0, 0.0]), "learning_rate": 0.5, "momentum": 0.25},
                 label="worked by hand"),
            {"parameters": ["-1/2", "-5/2"], "velocity": ["3", "3"]},
        ),
    ),
    laws=(
        laws.running_mean("velocity", "velocity", "momentum", 1, weigh=False),
        Law("step-is-velocity", "the step is −learning_rate times the new velocity",
            laws.check_velocity_step),
        laws.ADDITIVE,
    ),
    gradients=(),
    conventions=(
        Convention(
            "velocity", "averaged", "the gradient is weighed with 1 − momentum (dampening)",
            edits=((SPEED, "momentum * velocity[i] + (1 - momentum) * gradients[i]"),),
        ),
        Convention(
            "velocity", "with-learning-rate",
            "the learning rate stands inside the velocity (Sutskever et al. 2013, Keras)",
            edits=((SPEED, "momentum * velocity[i] + learning_rate * gradients[i]"),
                   ("learning_rate * velocities[i]", "velocities[i]")),
        ),
    ),
    known_bugs=(
        UPHILL_BUG,
        KnownBug("O7", "learning_rate * velocities[i]", "learning_rate * velocity[i]"),
        KnownBug("O8", "velocities[i] = " + SPEED, "velocities[i] = gradients[i]"),
        KnownBug("O9", "moved[i] = parameters[i] -", "moved[i] = parameters[i] * 0.75 -"),
    ),
    equivalents=(Equivalent("parts one by one", "θ − lr · g − lr · μ · v", heavy_ball),),
    bad_inputs=(
        *bad_vectors("sgd", *SGD_ARRAYS),
        bad("sgd", "learning_rate", "text", lambda _: "3e-4", TypeError,
            "learning_rate came as str, wanted a number."),
        bad("sgd", "momentum", "above one", lambda _: 1.5, ValueError,
            "momentum came as 1.5, wanted a number in [0, 1]."),
    ),
    sizes=laws.SIZES,
    sized=laws.sized(SGD_ARRAYS, learning_rate=0.5, momentum=0.875),
    good=good(*SGD_ARRAYS, learning_rate=0.5, momentum=0.5),
)  # fmt: skip

# --- Adam ----------------------------------------------------------------------------------------

ADAM_ARRAYS = ("parameters", "gradients", "first", "second")
ADAM_KNOBS = {"learning_rate": 0.5, "beta1": 0.5, "beta2": 0.75, "eps": 1.0}
DIRECTION = "(mean / forgotten1) / (np.sqrt(spread / forgotten2) + eps)"
UNCORRECTED = "mean / forgotten1 * np.sqrt(forgotten2) / (np.sqrt(spread) + eps)"
FORGOTTEN = "forgotten1, forgotten2 = 1 - _power(beta1, count), 1 - _power(beta2, count)"


def effective_rate(
    parameters: np.ndarray, gradients: np.ndarray, first: np.ndarray, second: np.ndarray, *,
    count: int, learning_rate: float, beta1: float, beta2: float, eps: float,
) -> tuple[np.ndarray, ...]:  # fmt: skip
    """Put the corrections into the learning rate, and ε at its proper size."""
    mean = beta1 * first + (1 - beta1) * gradients
    spread = beta2 * second + (1 - beta2) * gradients * gradients
    root = np.sqrt(1 - beta2**count)
    rate = learning_rate * root / (1 - beta1**count)
    return parameters - rate * mean / (np.sqrt(spread) + eps * root), mean, spread


ADAM_CONTRACT = Contract(
    name="adam",
    topic="optimizers",
    summary="one step of Adam",
    source="Kingma and Ba 2015, arXiv:1412.6980, algorithm 1",
    reference=reference.adam,
    fast=fast.adam,
    arguments=(
        *vectors(*ADAM_ARRAYS),
        Argument("count", "count"),
        *numbers("learning_rate", "beta1", "beta2", "eps"),
    ),
    outputs=("parameters", "first", "second"),
    inputs=laws.adam_cases(),
    examples=(
        Example(
            "the first step, and a gradient of 0",
            Case({"parameters": np.array([1.0, 2.0]), "gradients": np.array([3.0, 0.0]),
                  "first": np.zeros(2), "second": np.zeros(2), "count": 1, **ADAM_KNOBS},
                 label="worked by hand"),
            {"parameters": ["5/8", "2"], "first": ["3/2", "0"], "second": ["9/4", "0"]},
        ),
        Example(
            "the second step",  # m̂ = (9/4)/(3/4) = 3, v̂ = 7/(7/16) = 16
            Case({"parameters": np.array([1.0]), "gradients": np.array([4.0]),
                  "first": np.array([0.5]), "second": np.array([4.0]), "count": 2, **ADAM_KNOBS},
                 label="worked by hand"),
            {"parameters": ["7/10"], "first": ["9/4"], "second": ["7"]},
        ),
    ),
    laws=(
        laws.running_mean("first", "first", "beta1", 1, weigh=True),
        laws.running_mean("second", "second", "beta2", 2, weigh=True),
        Law("steady", "after equal gradients the step is lr · g/(|g| + ε), however few",
            laws.check_steady_adam),
        laws.ADDITIVE,
        laws.OWN_GRADIENT,
    ),
    gradients=(),
    conventions=(
        Convention(
            "epsilon", "uncorrected",
            "ε is added to the root of the uncorrected moment (TensorFlow; section 2 of the paper)",
            edits=((DIRECTION, UNCORRECTED),),
        ),
        Convention(
            "epsilon", "under-root", "ε stands under the root (eps_root of optax)",
            edits=((DIRECTION, "(mean / forgotten1) / np.sqrt(spread / forgotten2 + eps)"),),
        ),
        Convention(
            "counting", "from-zero", "`count` counts the steps before this one",
            edits=((FORGOTTEN, FORGOTTEN.replace("count", "count + 1")),),
        ),
    ),
    known_bugs=(
        UPHILL_BUG,
        KnownBug("O9", "moved[i] = parameters[i] -", "moved[i] = parameters[i] * 0.75 -"),
        KnownBug("O10a", "mean / forgotten1", "mean"),
        KnownBug("O10b", "spread / forgotten2", "spread"),
        KnownBug("O10c", FORGOTTEN, "forgotten1, forgotten2 = 1, 1"),
        KnownBug("O11", DIRECTION, DIRECTION.replace("np.sqrt(spread / forgotten2)",
                                                     "spread / forgotten2")),
        KnownBug("O12", "(1 - beta2) * gradients[i] ** 2", "(1 - beta2) * mean * mean"),
        KnownBug("O13", "(1 - beta1) * gradients[i]", "gradients[i]"),
        KnownBug("O14", "(1 - beta2) * gradients[i] ** 2",
                 "(1 - beta2) * sum(gradients * gradients) / len(gradients)"),
    ),
    equivalents=(
        Equivalent("effective rate", "both corrections put into the learning rate and into ε",
                   effective_rate),
    ),
    bad_inputs=(
        *bad_vectors("adam", *ADAM_ARRAYS),
        bad("adam", "count", "zero", lambda _: 0, ValueError,
            "count came as 0, wanted an integer of at least 1."),
        bad("adam", "count", "a float", lambda _: 1.0, TypeError,
            "count came as float, wanted an integer."),
        *bad_share("adam", "beta1"),
        *bad_share("adam", "beta2"),
        bad_eps("adam"),
    ),
    exact=False,
    sizes=laws.SIZES,
    sized=laws.sized(ADAM_ARRAYS, count=3, **ADAM_KNOBS),
    good=good(*ADAM_ARRAYS, count=2, **ADAM_KNOBS),
)  # fmt: skip

# --- RMSprop -------------------------------------------------------------------------------------

RMSPROP_ARRAYS = ("parameters", "gradients", "squares")
RMSPROP_KNOBS = {"learning_rate": 0.5, "decay": 0.75, "eps": 2.0}
ROOT = "np.sqrt(average + eps) if eps_inside else np.sqrt(average) + eps"


def scaled_first(
    parameters: np.ndarray, gradients: np.ndarray, squares: np.ndarray, *,
    learning_rate: float, decay: float, eps: float, eps_inside: bool,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Multiply by the rate before dividing."""
    average = decay * squares + (1 - decay) * gradients * gradients
    divisor = np.sqrt(average + eps * eps_inside) + eps * (not eps_inside)
    return parameters - learning_rate * gradients / divisor, average


RMSPROP_CONTRACT = Contract(
    name="rmsprop",
    topic="optimizers",
    summary="one step of RMSprop",
    source="Tieleman and Hinton 2012, lecture 6e; Mnih et al. 2016, arXiv:1602.01783, eq. 8, 9",
    reference=reference.rmsprop,
    fast=fast.rmsprop,
    arguments=(
        *vectors(*RMSPROP_ARRAYS),
        *numbers("learning_rate", "decay", "eps"),
        Argument("eps_inside", "switch"),
    ),
    outputs=("parameters", "squares"),
    inputs=laws.rmsprop_cases(),
    examples=(
        Example(
            "ε beside the root",  # s = 16/4
            Case({"parameters": np.array([1.0]), "gradients": np.array([4.0]),
                  "squares": np.zeros(1), **RMSPROP_KNOBS, "eps_inside": False},
                 label="worked by hand"),
            {"parameters": ["1/2"], "squares": ["4"]},
        ),
        Example(
            "ε under the root",  # s = 3 + 16/4 = 7, 7 + 2 = 9
            Case({"parameters": np.array([1.0]), "gradients": np.array([4.0]),
                  "squares": np.array([4.0]), **RMSPROP_KNOBS, "eps_inside": True},
                 label="worked by hand"),
            {"parameters": ["1/3"], "squares": ["7"]},
        ),
    ),
    laws=(
        laws.running_mean("squares", "squares", "decay", 2, weigh=True),
        Law("steady", "after ever equal gradients the step is lr · g/(|g| + ε), or its like",
            laws.check_steady_rmsprop),
        laws.ADDITIVE,
    ),
    gradients=(),
    known_bugs=(
        UPHILL_BUG,
        KnownBug("L5a", ROOT, "np.sqrt(average) + eps"),
        KnownBug("L5b", ROOT, "np.sqrt(average + eps)"),
        KnownBug("O9", "moved[i] = parameters[i] -", "moved[i] = parameters[i] * 0.75 -"),
        KnownBug("O11", ROOT, "average + eps"),
        KnownBug("O13", "(1 - decay) * gradients[i] ** 2", "gradients[i] ** 2"),
    ),
    equivalents=(
        Equivalent("rate first", "lr · g divided, rather than g", scaled_first),
    ),
    bad_inputs=(
        *bad_vectors("rmsprop", *RMSPROP_ARRAYS),
        *bad_share("rmsprop", "decay"),
        bad_eps("rmsprop"),
        bad("rmsprop", "eps_inside", "a number", lambda _: 1, TypeError,
            "eps_inside came as int, wanted a bool."),
    ),
    exact=False,
    sizes=laws.SIZES,
    sized=laws.sized(RMSPROP_ARRAYS, **RMSPROP_KNOBS, eps_inside=False),
    good=good(*RMSPROP_ARRAYS, **RMSPROP_KNOBS, eps_inside=True),
)  # fmt: skip

# --- clipping ------------------------------------------------------------------------------------

FACTOR = "max_norm / norm if norm > max_norm else 1"


def smaller_factor(gradients: np.ndarray, *, max_norm: float) -> tuple[np.ndarray, np.ndarray]:
    """Take the smaller of both factors."""
    norm = np.sqrt((gradients * gradients).sum())
    with np.errstate(divide="ignore"):
        return gradients * np.minimum(1.0, np.float64(max_norm) / norm), norm


CLIP_CONTRACT = Contract(
    name="clip_grad_norm",
    topic="optimizers",
    summary="gradients made shorter where they are longer than a norm",
    source="Pascanu et al. 2013, arXiv:1211.5063, algorithm 1",
    reference=reference.clip_grad_norm,
    fast=fast.clip_grad_norm,
    arguments=(*vectors("gradients"), *numbers("max_norm")),
    outputs=("gradients", "norm"),
    axes=("P", ""),
    inputs=laws.clip_cases(),
    examples=(
        Example(
            "halved", Case({"gradients": np.array([3.0, -4.0]), "max_norm": 2.5}, label="by hand"),
            {"gradients": ["3/2", "-2"], "norm": "5"},
        ),
        Example(
            "short enough",
            Case({"gradients": np.array([3.0, -4.0]), "max_norm": 5.0}, label="by hand"),
            {"gradients": ["3", "-4"], "norm": "5"},
        ),
    ),
    laws=(
        Law("norm", "the norm squared is the sum of squares", laws.check_norm),
        Law("length", "afterwards the norm is the smaller of what it was and max_norm",
            laws.check_length),
        Law("direction", "the direction stays", laws.check_direction),
        Law("scale", "four times both, four times the result", laws.check_scaled),
    ),
    gradients=(),
    conventions=(
        Convention(
            "epsilon", "beside-the-norm", "1e-6 is added to the norm it is divided by (torch)",
            edits=((FACTOR, "min(max_norm / (norm + 1e-6), 1)"),),
        ),
    ),
    known_bugs=(
        KnownBug("E38", "range(len(gradients)):\n        total", "range(1):\n        total"),
        KnownBug("E39", "gradients[i] * factor", "gradients[i] * 1"),
        KnownBug("O15", "gradients[i] * factor", "min(max(gradients[i], -max_norm), max_norm)"),
        KnownBug("O16", FACTOR, "max_norm / norm if norm > 0 else 1"),
        KnownBug("O17", "np.sqrt(total)", "total"),
        KnownBug("O18", FACTOR, "1 / norm if norm > max_norm else 1"),
    ),
    equivalents=(
        Equivalent("smaller factor", "min(1, max_norm/‖g‖)", smaller_factor),
    ),
    bad_inputs=(
        *bad_vectors("clip_grad_norm", "gradients"),
        bad("clip_grad_norm", "max_norm", "zero", lambda _: 0.0, ValueError,
            "max_norm came as 0.0, wanted a finite number above 0."),
    ),
    exact=False,
    sizes=laws.SIZES,
    sized=laws.sized(("gradients",), max_norm=0.5),
    good=good("gradients", max_norm=0.5),
)  # fmt: skip

CONTRACTS = (SGD_CONTRACT, ADAM_CONTRACT, RMSPROP_CONTRACT, CLIP_CONTRACT)
