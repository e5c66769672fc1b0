"""Production: inputs for timing, as many different ones of a size as are wanted."""

import contextlib
from collections.abc import Iterator
from unittest import mock

import numpy as np

from rlverify.contract import Case, Contract
from rlverify.verifying import timing_case

SMALL = (32, 4)  # what is judged where a contract does not say


@contextlib.contextmanager
def _reseeded(seed: int) -> Iterator[list[None]]:
    """Let every generator that is made in here depend on one more seed; count them.

    Contracts make a case of a size from a fixed seed, so that it is the same for everybody.
    """
    make, made = np.random.default_rng, list[None]()

    def anew(given: int | None = None) -> np.random.Generator:
        made.append(None)
        return make([seed, 0 if given is None else given])

    with mock.patch("numpy.random.default_rng", anew):
        yield made


def fresh_case(contract: Contract, shape: tuple[int, ...], seed: int) -> Case:
    """Return a case of a size that another seed does not give."""
    with _reseeded(seed) as made:
        case = timing_case(contract, shape)
    if made:
        return case
    # nothing in it was drawn: the same numbers in other places
    name = contract.first.name
    return case.but(**{name: np.roll(case[name], seed, axis=-1)})


def judged_shape(contract: Contract) -> tuple[int, ...]:
    """Return the size that is small enough for the reference."""
    return contract.sizes[0] if contract.sized is not None else SMALL


def timed_shapes(contract: Contract) -> tuple[tuple[int, ...], ...]:
    """Return the sizes that a contract wants to be timed at, the smallest first."""
    shapes = contract.sizes if contract.sized is None else contract.sizes[1:]
    return tuple(sorted(dict.fromkeys(shapes), key=lambda shape: int(np.prod(shape, dtype=object))))


def elements(contract: Contract, case: Case) -> int:
    """Return how many elements a time is divided by: those of the first array."""
    return int(np.size(case[contract.first.name]))
