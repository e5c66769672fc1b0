"""The suite's own samplers that draw from a generator, by distribution: `beta_sample`.

The checks are planned when this module is collected; too few draws would fail there. Samplers
that are given their uniforms or normals are functions, and their contracts hold them.
"""

import numpy as np
import pytest
import scipy.stats
import torch

from rlverify.fast.beta import beta_sample as fast_sample
from rlverify.reference.beta import beta_sample
from rlverify.sampling import distribution_check, frequency_check

# both sides of 1, where the algorithm changes; equal and unequal; near 0 and large
SHAPES = [(2.0, 3.0), (1.0, 1.0), (0.3, 0.7), (0.5, 6.0), (0.0625, 0.125), (1000.0, 10.0)]
SETTINGS = {"rate": 1e-6, "seed": 0}


def planned(twin, pair):
    # the reference draws one number after the other, so most pairs get few; with a wrong
    # acceptance step (0.5, 6) is off by 0.01, more than any other
    n, visible = (60_000, 0.0165) if twin == "fast" or pair == (0.5, 6.0) else (6000, 0.052)
    return distribution_check(scipy.stats.beta(*pair).cdf, n=n, visible=visible, **SETTINGS)


CHECKS = {(twin, pair): planned(twin, pair) for twin in ("reference", "fast") for pair in SHAPES}
# below or above its median: four outcomes of two numbers
QUARTERS = frequency_check(np.full(4, 0.25), n=6000, visible=0.1, **SETTINGS)


def by_reference(generator, alpha, beta):
    return beta_sample(alpha, beta, generator)


def by_fast(generator, alpha, beta):
    own = torch.Generator().manual_seed(int(generator.integers(2**62)))
    return fast_sample(torch.from_numpy(alpha), torch.from_numpy(beta), own).numpy()


TWINS = {"reference": by_reference, "fast": by_fast}
twins = pytest.mark.parametrize("twin", TWINS)


@twins
@pytest.mark.parametrize("pair", SHAPES, ids=str)
def test_beta_samples_follow_the_beta_distribution(twin, pair):
    def sample(generator, n):
        return TWINS[twin](generator, *(np.full((n, 1), x) for x in pair))[:, 0]

    verdict = CHECKS[twin, pair].run(sample)
    assert verdict.ok, str(verdict)


@twins
def test_a_sampler_of_the_neighbouring_distribution_is_found(twin):
    def sample(generator, n):
        return TWINS[twin](generator, np.full((n, 1), 2.0), np.full((n, 1), 3.5))[:, 0]

    assert not CHECKS[twin, (2.0, 3.0)].run(sample).ok


@twins
def test_beta_samples_of_two_dimensions_are_independent(twin):
    median = scipy.stats.beta(2, 3).median()

    def sample(generator, n):
        above = TWINS[twin](generator, np.full((n, 2), 2.0), np.full((n, 2), 3.0)) > median
        return 2 * above[:, 0].astype(int) + above[:, 1]

    verdict = QUARTERS.run(sample)
    assert verdict.ok, str(verdict)


def test_a_number_that_is_used_twice_is_found():
    def sample(generator, n):
        above = generator.random(n) > 0.5
        return 3 * above.astype(int)

    assert not QUARTERS.run(sample).ok
