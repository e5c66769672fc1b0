"""Inputs of whole updates: a rollout of a few samples, a policy and a critic of a few parameters.

An update is many functions in a row and each is tested by itself, so the networks are as small
as shows that nothing is confused: mostly linear, at most two hidden units. Each step multiplies
what rounding has done before, so there are few of them. Where the policy and the critic stand
beside what they were during the rollout decides what is clipped; both are drawn around what
they now say, rounded to eighths. All numbers are exact in every float dtype.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from rlverify.contract import Case
from rlverify.errors import layer_parameters
from rlverify.inputs import distinct
from rlverify.reference._updates import Evaluation, evaluate

WIDTHS = {
    "categorical": ((1, 2), (2, 2), (2, 3), (1, 1, 2)),
    "gaussian": ((1, 2), (1, 1), (2, 2), (1, 1, 1)),
}
CRITICS = ((1,), (1,), (1, 1))  # linear, or one hidden unit
RATES = (0.125, 0.03125, 0.01)
SHARES = (0.0, 0.5, 0.75, 0.9)
EPSILONS = (0.125, 0.5, 1e-3)
# after the first step the sign of a small gradient may be undecided, and Adam divides by its size
CALM_RATES = (0.03125, 0.01)
CALM_EPSILONS = (0.125, 0.5)
# what e^(k/8 + something) and a difference of eighths and something do not come near
RATIO_RANGES = (0.1, 0.2, 0.3)
VALUE_RANGES = (0.2, 0.8125, 2.0625)


def parameters_of(
    sizes: tuple[int, ...], critic_sizes: tuple[int, ...] | None, distribution: str
) -> int:
    """Return how many parameters there are."""
    deviations = sizes[-1] if distribution == "gaussian" else 0
    critic = 0 if critic_sizes is None else layer_parameters(critic_sizes)
    return layer_parameters(sizes) + deviations + critic


def network(case: Case | dict[str, Any]) -> dict[str, Any]:
    """Return what says which networks the parameters are those of."""
    names = ("sizes", "critic_sizes", "activation", "distribution")
    return {name: case[name] for name in names}


def predictions(case: Case | dict[str, Any]) -> Evaluation:
    """Return what policy and critic say about the samples before the update."""
    return evaluate(case["parameters"], case["inputs"], case["actions"], **network(case))


def rollout(
    draw: st.DrawFn, rng: np.random.Generator, samples: int, distribution: str
) -> dict[str, Any]:
    """Draw a policy, a critic, and what they were given."""
    sizes = draw(st.sampled_from(WIDTHS[distribution]))
    critic_sizes = (sizes[0], *draw(st.sampled_from(CRITICS)))
    count = parameters_of(sizes, critic_sizes, distribution)
    parameters, inputs, advantages, returns, moves = distinct(
        rng, (count,), (samples, sizes[0]), (samples,), (samples,), (samples, sizes[-1])
    )
    actions = rng.integers(0, sizes[-1], samples) if distribution == "categorical" else moves / 16
    return {
        "parameters": parameters / 32,
        "inputs": inputs / 16,
        "actions": actions,
        "advantages": advantages / 16,
        "returns": returns / 16,
        "sizes": sizes,
        "critic_sizes": critic_sizes,
        "activation": draw(st.sampled_from(("tanh", "relu"))),
        "distribution": distribution,
    }


def eighths(array: np.ndarray) -> np.ndarray:
    """Return the nearest multiples of 1/8."""
    return np.round(8 * array) / 8


def permutations(draw: st.DrawFn, rng: np.random.Generator, samples: int) -> dict[str, Any]:
    """Draw one or two epochs, and mini-batches, the last of which may be smaller: two steps."""
    size = draw(st.sampled_from((samples - 1, samples, samples - 1, samples, (samples + 1) // 2)))
    batches = -(-samples // size)
    epochs = draw(st.integers(1, 2)) if batches == 1 else 1
    orders = np.array([rng.permutation(samples) for _ in range(epochs)])
    return {"permutations": orders, "minibatch_size": size}


def moments(
    draw: st.DrawFn, rng: np.random.Generator, count: int, batches: dict[str, Any]
) -> dict[str, Any]:
    """Draw what Adam remembers, and its settings: calm ones where there are several steps."""
    calm = batches["permutations"].size > batches["minibatch_size"]
    steps = draw(st.sampled_from((0, 0, 1, 4)))
    first, second = distinct(rng, (count,), (count,))
    return {
        "first": first / 32 if steps else np.zeros(count),
        "second": abs(second) / 32 if steps else np.zeros(count),
        "count": steps,
        "learning_rate": draw(st.sampled_from(CALM_RATES if calm else RATES)),
        "beta1": draw(st.sampled_from(SHARES)),
        "beta2": draw(st.sampled_from(SHARES[1:] if calm else (*SHARES[1:], 0.999))),
        "eps": draw(st.sampled_from(CALM_EPSILONS if calm else EPSILONS)),
    }


def kind_of(drawn: dict[str, Any]) -> str:
    """Return `single` where the update is one step, else `several`."""
    return "single" if drawn["permutations"].size <= drawn["minibatch_size"] else "several"


def seeded(draw: st.DrawFn) -> np.random.Generator:
    """Draw what fills in the numbers."""
    return np.random.default_rng(draw(st.integers(0, 2**32 - 1)))


@st.composite
def ppo_cases(draw: st.DrawFn, names: tuple[str, ...]) -> Case:
    """Draw an update of PPO."""
    distribution = draw(st.sampled_from(("categorical", "gaussian")))
    samples, rng = draw(st.sampled_from((3, 2, 4, 3))), seeded(draw)
    drawn = rollout(draw, rng, samples, distribution)
    now = predictions(drawn)
    drawn |= permutations(draw, rng, samples)
    drawn |= moments(draw, rng, len(drawn["parameters"]), drawn)
    ddof = draw(st.sampled_from((0, 1)))
    smallest = samples % drawn["minibatch_size"] or drawn["minibatch_size"]
    near = draw(st.booleans())  # two or three eighths, or up to one and a half
    steps = rng.integers(1, 4 if near else 13, samples) * rng.choice((-1, 1), samples) / 8
    drawn |= {
        "old_log_probs": eighths(now.log_probs) - steps,
        "old_values": eighths(now.values) - rng.integers(-16, 17, samples) / 8,
        "normalize": draw(st.sampled_from((True, True, False))) and smallest > ddof,
        "ddof": ddof,
        # of a single advantage nothing is left, but rounding, which a small ε would enlarge
        "advantage_eps": draw(st.sampled_from((1e-5, 0.25, 0.5) if smallest > 1 else (0.25, 0.5))),
        "clip_range": draw(st.sampled_from(RATIO_RANGES)),
        "value_clip_range": draw(st.sampled_from((None, *VALUE_RANGES))),
        "value_coefficient": draw(st.sampled_from((0.5, 1.0, 0.25))),
        "entropy_coefficient": draw(st.sampled_from((0.0, 0.125, 0.5))),
        "max_norm": draw(st.sampled_from((None, 0.5, 64.0, 0.0625))),
        "target_kl": draw(st.sampled_from((None, 0.01, 8.0, None, 0.01, 8.0, None))),
    }
    return Case({name: drawn[name] for name in names}, kind_of(drawn))


@st.composite
def value_cases(draw: st.DrawFn, names: tuple[str, ...]) -> Case:
    """Draw a fit of a critic."""
    samples, rng = draw(st.sampled_from((3, 2, 4, 3))), seeded(draw)
    drawn = rollout(draw, rng, samples, "categorical")
    count = layer_parameters(drawn["critic_sizes"])
    drawn["critic_parameters"] = drawn["parameters"][:count]
    drawn |= permutations(draw, rng, samples)
    drawn |= moments(draw, rng, count, drawn)
    return Case({name: drawn[name] for name in names}, kind_of(drawn))


@st.composite
def a2c_cases(draw: st.DrawFn, names: tuple[str, ...]) -> Case:
    """Draw an update of A2C; the kind is the distribution."""
    distribution = draw(st.sampled_from(("categorical", "gaussian")))
    samples, rng = draw(st.integers(1, 4)), seeded(draw)
    drawn = rollout(draw, rng, samples, distribution)
    (squares,) = distinct(rng, drawn["parameters"].shape)
    start = draw(st.sampled_from((0.0, 1.0, 1 / 32)))  # torch's, TensorFlow's, some time later
    drawn |= {
        "squares": abs(squares) * start if start == 1 / 32 else np.full(squares.shape, start),
        "value_coefficient": draw(st.sampled_from((0.5, 1.0, 0.25))),
        "entropy_coefficient": draw(st.sampled_from((0.0, 0.125, 0.5))),
        "max_norm": draw(st.sampled_from((None, 0.5, 64.0, 0.0625))),
        "learning_rate": draw(st.sampled_from(RATES)),
        "decay": draw(st.sampled_from(SHARES)),
        "eps": draw(st.sampled_from(EPSILONS)),
        "eps_inside": draw(st.booleans()),
    }
    return Case({name: drawn[name] for name in names}, distribution)


def plain(
    names: tuple[str, ...],
    samples: int,
    size: int,
    widths: dict[str, tuple[int, ...]],
    **knobs: Any,
) -> dict[str, Any]:
    """Return the arguments of an update of a categorical policy with ordinary numbers."""
    sizes, critic_sizes = widths["sizes"], widths["critic_sizes"]
    rng, count = np.random.default_rng(0), parameters_of(sizes, critic_sizes, "categorical")
    drawn: dict[str, Any] = {
        "parameters": rng.normal(size=count) / np.sqrt(max(sizes)),
        "inputs": rng.normal(size=(samples, sizes[0])),
        "actions": rng.integers(0, sizes[-1], samples),
        "old_log_probs": -rng.random(samples) - 0.25,
        **{name: rng.normal(size=samples) for name in ("advantages", "returns", "old_values")},
        "permutations": np.array([rng.permutation(samples)]), "minibatch_size": size,
        "sizes": sizes, "critic_sizes": critic_sizes,
        "activation": "tanh", "distribution": "categorical",
    }  # fmt: skip
    if "critic_parameters" in names:
        count = layer_parameters(critic_sizes)
        drawn["critic_parameters"] = drawn["parameters"][-count:]
    drawn |= {"first": np.zeros(count), "second": np.zeros(count), "squares": np.ones(count)}
    drawn |= knobs
    return {name: drawn[name] for name in names}


def sized(names: tuple[str, ...], **knobs: Any) -> Callable[[tuple[int, ...]], Case]:
    """Return what makes cases of a benchmark size: samples, mini-batch, then hidden widths."""

    def of(shape: tuple[int, ...]) -> Case:
        samples, size, *hidden = shape
        widths = {"sizes": (4, *hidden, 2), "critic_sizes": (4, *hidden, 1)}
        return Case(plain(names, samples, size, widths, **knobs), "categorical", "timing")

    return of


def good(names: tuple[str, ...], **knobs: Any) -> Case:
    """Return the good case that bad inputs spoil: four samples, widths (2, 3, 2) and (2, 1)."""
    widths: dict[str, tuple[int, ...]] = {"sizes": (2, 3, 2), "critic_sizes": (2, 1)}
    return Case(plain(names, 4, 2, widths, **knobs), "categorical", "good")
