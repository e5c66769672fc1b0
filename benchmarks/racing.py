"""The races, written once; `bench_<topic>.py` imports them all and sets TOPIC and PEERS.

`conftest.pytest_generate_tests` spreads them over the sizes of the topic's contracts, without
the first, on which a runner is judged. PEERS maps the name of a contract to what else computes
it: one function or several.
"""

from collections.abc import Callable

import pytest

clocked = pytest.mark.benchmark(max_time=0.2, min_rounds=5, warmup=True, warmup_iterations=2)


@clocked
def test_fast(name: str, shape: tuple[int, ...], race: Callable):
    """Time the fast version."""
    race(name, shape)


@clocked
def test_peer(name: str, peer: Callable, shape: tuple[int, ...], race: Callable):
    """Time what else computes the same."""
    race(name, shape, peer)


@clocked
def test_copy(name: str, shape: tuple[int, ...], race_copy: Callable):
    """Time a copy of the bytes, which nothing that moves them can beat."""
    race_copy(name, shape)
