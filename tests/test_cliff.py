"""The cliff, claim C35: a step that is short among parameters may be far among policies.

One step, a Gaussian policy, and an edge. J and its gradient are in closed form, so the numbers
below are those of the problem, not of a sample.
"""

import math

import pytest


class Edge:
    """𝒩(μ, σ) takes a; a pays itself short of the edge at 1, and −100 beyond it."""

    def __init__(self, sigma):
        self.sigma = sigma

    def parts(self, mu):
        z = (1 - mu) / self.sigma
        return math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi), math.erfc(z / math.sqrt(2)) / 2

    def objective(self, mu):
        density, beyond = self.parts(mu)
        return mu * (1 - beyond) - self.sigma * density - 100 * beyond

    def gradient(self, mu):
        density, beyond = self.parts(mu)
        return 1 - beyond - 101 * density / self.sigma

    def euclidean(self, mu, length):
        """A step of that length along ∇J."""
        return mu + math.copysign(length, self.gradient(mu))

    def constrained(self, mu, delta):
        """√(2δ/(gᵀF⁻¹g)) F⁻¹g with F = 1/σ²: KL of the step is δ, without approximation."""
        gradient, inverse = self.gradient(mu), self.sigma**2
        return mu + math.sqrt(2 * delta / (gradient**2 * inverse)) * inverse * gradient


NARROW, WIDE = Edge(0.2), Edge(10.0)  # the two widths of the notes


@pytest.mark.claim("C35")
def test_a_euclidean_step_falls_off_the_cliff():
    """Length 1 gains 3.4 for the wide policy and loses 49.5 for the narrow one."""
    assert WIDE.objective(WIDE.euclidean(0, 1)) - WIDE.objective(0) > 3.4
    assert abs(NARROW.objective(0)) < 1e-4
    assert NARROW.euclidean(0, 1) == 1
    assert NARROW.objective(1) < -49.5


@pytest.mark.claim("C35")
def test_a_constrained_step_does_not():
    """δ = 1/200, which is what that step costs the wide policy, gains for both; and so does ½."""
    for edge, delta in ((WIDE, 1 / 200), (NARROW, 1 / 200), (NARROW, 1 / 2)):
        assert edge.objective(edge.constrained(0, delta)) > edge.objective(0)
    assert NARROW.constrained(0, 1 / 200) < 0.03  # a fiftieth, where the Euclidean step is 1
    # and it never does: further steps end where the edge is felt, three widths before it
    mu, worth = 0.0, NARROW.objective(0)
    for _ in range(40):
        mu = NARROW.constrained(mu, 1 / 200)
        assert NARROW.objective(mu) > worth
    assert 0.2 < NARROW.objective(mu) < mu < 0.4
