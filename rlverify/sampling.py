"""Checks of what draws its own randomness: fixed n, a stated false-alarm rate, stated power.

What is deterministic given a trajectory is never sampled: `rlverify.expectation` sums over all
of them. A function that draws its own actions leaves no choice, and then blame is split: the
frequencies of the sampler against enumerated probabilities (`frequency_check`), a continuous
sampler against its distribution function (`distribution_check`), and the mean of the estimates
against the exact gradient, given the exact moments of what the estimator is declared to be
(`mean_check`).

A check is made before anything is drawn. It knows its thresholds, which hold for every n
(`rlverify.detection`), and the smallest deviation that it sees with probability 0.999, and it
refuses to be made where that exceeds what was asked: at the top of a test module, this fails
the collection. How it is run, in two stages, stands in `rlverify.staging`.

The one identity to remember: a deviation is called one only where chance has been priced.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

from rlverify.enumeration import Trajectories
from rlverify.errors import Arguments
from rlverify.expectation import Expectation
from rlverify.observation import Distribution, Frequencies, Means
from rlverify.staging import SampledCheck, SampledVerdict, ready
from rlverify.tabular_envs.finite_mdp import require_distributions, require_float64


def mean_check(
    expected: Expectation,
    gradient: Float[np.ndarray, "P"],
    *,
    n: int,
    rate: float,
    visible: float,
    seed: int,
    batch: int = 1,
) -> SampledCheck:
    """Plan a check that the mean of estimates is the gradient.

        max_i |Z̄ᵢ − ∇Jᵢ| / εᵢ ≤ 1        √n ‖Σ^{+½}(Z̄ − ∇J)‖ ≤ T        Z̄ the mean of n

    The first sees a bias of one element, the second one that is spread over many; each has half
    the rate. ε is Bernstein's with the exact variance (or the normal one, where Berry and Esseen
    allow it), T is Bousquet's. Elements that never vary must be right in every draw.

    Source: `rlverify.detection.mean_threshold`, `rlverify.detection.norm_threshold`.

    A bias is seen as stated in an estimator that otherwise scatters as declared. One that
    scatters more may be reported too; it is not what was declared.

    Args:
        expected: mean and moments of one estimate, of `exact_expectation` on an estimator of the
            form that the candidate is declared to have.
        gradient: what the mean must be, such as `true_gradient` gives; [P] or [S, A].
        n: number of calls, at least 1.
        rate: of false alarms, below 1/1000.
        visible: the bias of an element that must be seen, in the unit of the gradient.
        seed: of the draws.
        batch: number of independent such estimates that one call averages.

    Returns:
        The check; `run(estimate)` runs it.

    Raises:
        TypeError: an argument is of another type.
        ValueError: it is outside its range, sizes disagree, or n is too small to see `visible`;
            the message says which n would do.
    """
    function = "mean_check"
    if not isinstance(expected, Expectation):
        raise TypeError(
            f"{function}: expected came as {type(expected).__name__}, wanted an Expectation."
        )
    arguments = Arguments(function, np.ndarray, exact=True)
    arguments.floats("...", gradient=gradient)
    arguments.count("batch", batch, least=1)
    if gradient.size != expected.mean.size:
        raise ValueError(
            f"{function}: gradient came with shape {gradient.shape}, wanted {expected.mean.size} "
            f"elements as the estimates have."
        )
    wanted = gradient.ravel().astype(np.float64)
    require_float64(function, gradient=wanted)
    observation = Means(expected, wanted, batch)
    return ready(observation, n=n, rate=rate, visible=visible, seed=seed)


def frequency_check(
    probabilities: Float[np.ndarray, "K"], *, n: int, rate: float, visible: float, seed: int
) -> SampledCheck:
    """Plan a check that outcomes come up as often as they should, by the G-test.

        G = 2 Σₖ cₖ log(cₖ / npₖ) ≤ g

    An outcome of probability 0 must never come up. Outcomes expected fewer than 5 times share a
    cell; what may change among them is added to what is promised to be seen. The threshold is
    that of the multinomial distribution itself where its tables can be listed, else Agrawal's
    bound; the χ² quantile is a limit for many draws and neither.

    Source: `rlverify.detection.entropy_threshold`, `rlverify.detection.exact_entropy_threshold`.

    Args:
        probabilities: of the outcomes 0 … K−1, float64 or `Fraction` objects, [K].
        n: number of draws, at least 1.
        rate: of false alarms, below 1/1000.
        visible: the total variation distance that must be seen.
        seed: of the draws.

    Returns:
        The check; `run(sample)` runs it.

    Raises:
        TypeError: an argument is of another type.
        ValueError: it is outside its range, the probabilities are no distribution, or n is too
            small to see `visible`; the message says which n would do.
    """
    function = "frequency_check"
    Arguments(function, np.ndarray, exact=True).floats("K", probabilities=probabilities)
    numbers = probabilities.astype(np.float64)
    require_float64(function, probabilities=numbers)
    require_distributions(function, "probabilities", numbers)
    return ready(Frequencies(numbers), n=n, rate=rate, visible=visible, seed=seed)


def distribution_check(
    cdf: Callable[[Any], Any], *, n: int, rate: float, visible: float, seed: int
) -> SampledCheck:
    """Plan a check that real numbers follow a distribution, by Kolmogorov's distance.

        sup_x |Fₙ(x) − F(x)| ≤ ε

    Source: `rlverify.detection.kolmogorov_threshold`.

    Args:
        cdf: the distribution function F, from float64 [n] to float64 [n].
        n: number of draws, at least 1.
        rate: of false alarms, below 1/1000.
        visible: the distance of the distribution functions that must be seen.
        seed: of the draws.

    Returns:
        The check; `run(sample)` runs it.

    Raises:
        TypeError: an argument is of another type.
        ValueError: it is outside its range, or n is too small to see `visible`; the message
            says which n would do.
    """
    if not callable(cdf):
        raise TypeError(f"distribution_check: cdf came as {type(cdf).__name__}, wanted a function.")
    return ready(Distribution(cdf), n=n, rate=rate, visible=visible, seed=seed)


def sampled_check(
    estimate: Callable[[np.random.Generator], Any],
    expected: Expectation,
    gradient: Float[np.ndarray, "P"],
    *,
    n: int,
    rate: float,
    visible: float,
    seed: int,
    batch: int = 1,
) -> SampledVerdict:
    """Judge an estimator that draws its own actions: `mean_check`, run.

    Args, Raises: those of `mean_check`; `estimate` is called with a `numpy.random.Generator`, n
    times, and gives one estimate, [P].

    Example:
        >>> from rlverify.enumeration import rational_policy, weighted_scores
        >>> from rlverify.expectation import exact_expectation, true_gradient
        >>> from rlverify.tabular_envs.environments import two_button_game
        >>> game, policy = two_button_game(), rational_policy([[3, 1], [1, 1]])
        >>> def declared(trajectories):
        ...     return weighted_scores(trajectories, policy, trajectories.rewards)
        >>> def estimate(generator):  # 1 for left, −1 for right, times the score
        ...     left = generator.random() < 0.75
        ...     return [0.25, -0.25, 0, 0] if left else [0.75, -0.75, 0, 0]
        >>> verdict = sampled_check(
        ...     estimate,
        ...     exact_expectation(declared, game, policy, horizon=1),
        ...     true_gradient(game, policy, gamma=1, horizon=1),
        ...     n=2000, rate=1e-6, visible=0.05, seed=0,
        ... )
        >>> verdict.ok
        True
    """
    check = mean_check(expected, gradient, n=n, rate=rate, visible=visible, seed=seed, batch=batch)
    return check.run(estimate)


def trajectory_numbers(trajectories: Trajectories) -> dict[tuple[int, ...], int]:
    """Number each trajectory, for `frequency_check(trajectories.probabilities, …)`.

    Source: none; a table.

    Args:
        trajectories: of `enumerate_trajectories`.

    Returns:
        From (s₀, a₀, s₁, a₁, …, s_T), T the number of steps taken, to its column.

    Example:
        >>> from rlverify.enumeration import enumerate_trajectories, rational_policy
        >>> from rlverify.tabular_envs.environments import chain
        >>> every = enumerate_trajectories(chain(1), rational_policy([[1, 1]] * 2), horizon=2)
        >>> trajectory_numbers(every)
        {(0, 0, 0, 0, 0): 0, (0, 0, 0, 1, 1): 1, (0, 1, 1): 2}
    """
    if not isinstance(trajectories, Trajectories):
        raise TypeError(
            f"trajectory_numbers: trajectories came as {type(trajectories).__name__}, wanted "
            f"Trajectories."
        )
    steps = trajectories.mask.sum(axis=0)
    numbers = {}
    for column, taken in enumerate(steps.tolist()):
        pairs = zip(
            trajectories.states[:taken, column].tolist(),
            trajectories.actions[:taken, column].tolist(),
            strict=True,
        )
        path = [number for pair in pairs for number in pair]
        numbers[(*path, int(trajectories.states[taken, column]))] = column
    return numbers
