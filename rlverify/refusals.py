"""Refusals that more than one function shares; standard library only."""

import math
from typing import Any

from rlverify.errors import HALF, Arguments, dtype_name, layer_parameters

# twice the unit roundoff, of dtypes other than float64
ROUNDING = {"float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}

KL_ESTIMATORS = ("k1", "k2", "k3")


def finite(check: Arguments, **arrays: Any) -> None:
    """Require numbers: neither NaN nor an infinity, which an update would spread everywhere."""
    for name, value in arrays.items():
        # a sum is finite only where its terms are, and is found in one pass without an array;
        # NumPy would warn of a sum that overflows
        if hasattr(value, "isfinite") and bool(abs(value.sum()) < math.inf):
            continue
        if not bool((abs(value) < math.inf).all()):  # NaN fails here too
            word = "NaN" if bool((value != value).any()) else "an infinity"
            remedy = (
                "; NaN often is 0/0, of equal advantages that were normalised without eps"
                if name == "advantages"
                else ""
            )
            raise ValueError(
                f"{check.function}: {name} came with {word} in it, wanted finite numbers{remedy}."
            )


def known_states(check: Arguments, axes: str, below: int, **arrays: Any) -> None:
    """Require int64 arrays of numbers from 0 to `below` - 1: rows of a table of values."""
    for name, value in arrays.items():
        check.integers(axes, least=0, **{name: value})
        if not bool((value < below).all()):
            raise ValueError(
                f"{check.function}: {name} came with {int(value[value >= below][0])} in it, "
                f"wanted states in [0, {below})."
            )


def not_empty(check: Arguments, count: int) -> None:
    """Require a buffer that something was pushed to."""
    if count == 0:
        raise ValueError(f"{check.function}: came empty, wanted a transition to read; push first.")


def clip_levels(check: Arguments, **levels: Any) -> None:
    """Require numbers above 0, infinity among them: it leaves a ratio as it is."""
    for name, value in levels.items():
        check.number(name, value)
        if not value > 0:  # NaN fails here too
            raise ValueError(
                f"{check.function}: {name} came as {value}, wanted a number above 0; "
                f"float('inf') clips nothing."
            )


def check_search(check: Arguments, delta: Any, backtrack: Any, max_backtracks: Any) -> None:
    """Require what a line search within a trust region is told."""
    check.positive("delta", delta)
    check.number("backtrack", backtrack)
    if not 0 < backtrack < 1:  # NaN fails here too
        raise ValueError(
            f"{check.function}: backtrack came as {backtrack}, wanted a number between 0 and 1."
        )
    check.count("max_backtracks", max_backtracks, least=1)


def check_solver(check: Arguments, damping: Any, cg_iterations: Any, cg_tolerance: Any) -> None:
    """Require what the solution of a damped system is told."""
    check.positive("damping", damping)
    check.count("cg_iterations", cg_iterations, least=1)
    check.positive("cg_tolerance", cg_tolerance)


def clip_edges(check: Arguments, clip_range: Any) -> tuple[Any, Any]:
    """Return how far below and above 1 a ratio may lie: one number, or a pair (low, high)."""
    if not isinstance(clip_range, tuple):
        check.positive("clip_range", clip_range)
        return clip_range, clip_range
    if len(clip_range) != 2:
        raise ValueError(
            f"{check.function}: clip_range came with {len(clip_range)} numbers, wanted one, or a "
            f"pair (low, high)."
        )
    for number in clip_range:
        check.positive("clip_range", number)
    return clip_range


def policy_and_critic(
    check: Arguments,
    parameters: Any,
    inputs: Any,
    actions: Any,
    *,
    sizes: Any,
    critic_sizes: Any,
    activation: str,
    distribution: str,
) -> None:
    """Require a policy's network, a critic's unless critic_sizes is None, and samples for them."""
    check.sizes(sizes)
    if critic_sizes is not None:
        critic(check, critic_sizes)
    check.choice("activation", activation, ("tanh", "relu"))
    check.choice("distribution", distribution, ("categorical", "gaussian"))
    check.floats("P", parameters=parameters)
    check.floats("N I", inputs=inputs)
    check.width(sizes, sizes[0], inputs=inputs)
    wanted = layer_parameters(sizes)
    whole = f"sizes {sizes} and a {distribution} policy"
    if distribution == "gaussian":
        wanted += sizes[-1]
    if critic_sizes is not None:
        check.width(critic_sizes, critic_sizes[0], inputs=inputs)
        wanted += layer_parameters(critic_sizes)
        whole = f"sizes {sizes}, critic_sizes {critic_sizes} and a {distribution} policy"
    if parameters.shape[-1] != wanted:
        raise ValueError(
            f"{check.function}: parameters came with shape {tuple(parameters.shape)}, wanted "
            f"{wanted} along the last axis for {whole}."
        )
    if distribution == "categorical":
        check.actions("N", below=sizes[-1], actions=actions)
    else:
        check.floats("N D", actions=actions)
        check.width(sizes, sizes[-1], actions=actions)


def critic(check: Arguments, critic_sizes: Any) -> None:
    """Require the widths of the layers of a network with one output."""
    whole = isinstance(critic_sizes, tuple) and all(
        isinstance(size, int) and not isinstance(size, bool) and size >= 1 for size in critic_sizes
    )
    if not whole or len(critic_sizes) < 2 or critic_sizes[-1] != 1:
        raise ValueError(
            f"{check.function}: critic_sizes came as {critic_sizes!r}, wanted a tuple of at least "
            f"two integers of at least 1, the last of them 1."
        )


def permuted(check: Arguments, permutations: Any, samples: int) -> None:
    """Require a permutation of all samples in every row."""
    check.integers("E N", least=0, permutations=permutations)
    for row in permutations.tolist():
        if max(row) >= samples or len(set(row)) < samples:
            raise ValueError(
                f"{check.function}: permutations came with a row that is none of the numbers 0 to "
                f"{samples - 1}, wanted each of them once."
            )


def mini_batched(check: Arguments, permutations: Any, minibatch_size: Any, samples: int) -> None:
    """Require the order of the samples in every epoch, and how many a mini-batch takes."""
    permuted(check, permutations, samples)
    check.count("minibatch_size", minibatch_size, least=1)


def shares(check: Arguments, **numbers: Any) -> None:
    """Require shares in [0, 1): with one of 1 nothing new would ever count."""
    check.unit(None, **numbers)
    for name, share in numbers.items():
        if share == 1:
            raise ValueError(f"{check.function}: {name} came as {share}, wanted a number below 1.")


def adam_step(
    check: Arguments,
    first: Any,
    second: Any,
    *,
    count: Any,
    least: int,
    learning_rate: Any,
    beta1: Any,
    beta2: Any,
    eps: Any,
) -> None:
    """Require what Adam remembers and is told; `least` is the first value of its count."""
    check.floats("P", first=first, second=second)
    check.count("count", count, least=least)
    check.number("learning_rate", learning_rate)
    shares(check, beta1=beta1, beta2=beta2)
    check.positive("eps", eps)


def kl_term(check: Arguments, beta: Any, kl_estimator: Any) -> None:
    """Require the coefficient of a KL term, 0 or above, and the word for its estimator."""
    check.number("beta", beta)
    if beta != 0:
        check.positive("beta", beta)
    check.choice("kl_estimator", kl_estimator, KL_ESTIMATORS)


def token_loss(
    check: Arguments, clip_range: Any, ratio: Any, aggregation: Any, normalizer: Any
) -> None:
    """Require what the clipped loss over tokens is told, its KL term aside."""
    check.positive("clip_range", clip_range)
    check.choice("ratio", ratio, ("token", "sequence"))
    check.choice("aggregation", aggregation, ("token_mean", "sequence_mean", "constant"))
    check.positive("normalizer", normalizer)


def leading(check: Arguments, axes: str, array: Any) -> str:
    """Return the axes, with dots in front where further ones are there and welcome."""
    named = len(axes.split())
    further = not check.exact and len(getattr(array, "shape", ())) > named
    return f"... {axes}" if further else axes


def distributions(check: Arguments, axes: str, **arrays: Any) -> None:
    """Require probabilities: finite numbers of at least 0, every row of which sums to one.

    x/Σx carries N − 1 roundings of the sum and one of the quotient; summing it here carries N − 1
    more: 2N units of roundoff, and a unit is half of eps (Higham 2002, §4.2).
    """
    for name, array in arrays.items():
        check.floats(leading(check, axes, array), **{name: array})
        finite(check, **{name: array})
        if bool(array.min() < 0):
            least = float(array[array < 0][0])
            raise ValueError(f"{check.function}: {name} came with {least}, wanted probabilities.")
        dtype = dtype_name(array)
        wide = array.float() if dtype in HALF else array
        sums = (wide if len(array.shape) > 1 else wide[None]).sum(-1)
        away = abs(sums - 1)
        allowed = array.shape[-1] * ROUNDING.get(dtype, 2.0**-52)
        if bool((away > allowed).any()):
            total = float(sums[away > allowed][0])
            raise ValueError(
                f"{check.function}: {name} came with a row of sum {total}, wanted 1; divide each "
                f"row by its sum."
            )


def process(check: Arguments, transition: Any, terminal: Any, reward: Any = None) -> None:
    """Require the arrays of a finite Markov decision process, the rewards where there are any."""
    distributions(check, "S A S", transition=transition)
    if transition.shape[-1] != transition.shape[-3]:
        raise ValueError(
            f"{check.function}: transition came with shape {tuple(transition.shape)}, wanted "
            f"[S, A, S] with as many next states as states."
        )
    if reward is not None:
        check.floats(leading(check, "S A S", reward), reward=reward)
        finite(check, reward=reward)
    check.flags(leading(check, "S A S", terminal), terminal=terminal)


def discounted(check: Arguments, gamma: Any) -> None:
    """Require a discount in [0, 1)."""
    check.unit(gamma=gamma)
    if gamma == 1:
        raise ValueError(
            f"{check.function}: gamma came as {gamma}, wanted a number below 1; without discount "
            f"values need an end that every policy reaches."
        )


def legal_unless(check: Arguments, legal: Any, terminated: Any) -> None:
    """Require a legal action in each row that something follows on; None for all legal."""
    if legal is None:
        return
    check.flags("N A", legal=legal)
    if not bool((legal.any(-1) | terminated).all()):
        raise ValueError(
            f"{check.function}: legal came with a row without a True element that did not "
            f"terminate, wanted at least one legal action in each of these."
        )


def sorted_edges(check: Arguments, edges: Any) -> None:
    """Require rows of edges that do not decrease, and cells whose numbers stay exact."""
    components, count = edges.shape
    holds = bool((edges == edges).all()) and bool((edges[:, 1:] >= edges[:, :-1]).all())
    if not holds:
        raise ValueError(
            f"{check.function}: edges came with a row that decreases or holds NaN, wanted rows "
            f"that do not decrease."
        )
    if (count + 1) ** components >= 2**53:
        raise ValueError(
            f"{check.function}: edges came with shape {tuple(edges.shape)}, which makes "
            f"{count + 1}^{components} cells, wanted fewer than 2^53; take fewer cells."
        )


def continued(check: Arguments, observations: Any, next_observations: Any, ended: Any) -> None:
    """Require that each row begins where the one before led to, unless an episode ended there."""
    same = (observations[1:] == next_observations[:-1]).all(-1)
    if not bool((same | ended[:-1]).all()):
        raise ValueError(
            f"{check.function}: observations came with a row that is not what the row before led "
            f"to, wanted its next_observations where no episode ended; pass shared=False."
        )


def as_before(check: Arguments, observations: Any, shape: Any) -> None:
    """Require as many environments and components as the rows of a buffer have."""
    if tuple(observations.shape) != tuple(shape):
        raise ValueError(
            f"{check.function}: observations came with shape {tuple(observations.shape)}, wanted "
            f"{tuple(shape)} as in the rows before."
        )
