"""What every benchmark shares: shapes, inputs, a judge before the clock, and the floor.

No time is reported for an output that was not first found right: `judged` compares it with
the float64 reference on the same rounded inputs, within a bound that counts roundings. The
floor is a copy of the bytes that the function must read and write.

Timings are of one thread; rows of one group belong beside each other.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pytest
import torch

from rlverify.checking import judge_case, truth
from rlverify.comparison import rounded
from rlverify.contracts import contracts, find
from rlverify.twinning import Canonical, as_torch

SHAPES = [(128, 8), (2048, 1), (2048, 8), (128, 4096), (1024, 256)]
GAMMA, LAM = 0.99, 0.95
JUDGED_COLUMNS = 4  # the reference takes microseconds an element
UNIT = float(np.finfo(np.float32).eps) / 2


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Spread the races of `racing` over the contracts of a module's TOPIC and over its PEERS."""
    if metafunc.function.__module__ != "racing":
        return
    module, names = metafunc.module, ["name", "shape"]
    raced = [c for c in contracts() if c.topic == module.TOPIC and c.fast is not None]
    assert raced, f"{module.TOPIC} is no topic with fast versions"
    runs = [(c.name, shape) for c in raced for shape in c.sizes[1:]]
    ids = [f"{name}-{'x'.join(map(str, shape))}" for name, shape in runs]
    if "peer" in metafunc.fixturenames:
        names = ["name", "peer", "shape"]
        assert set(module.PEERS) <= {c.name for c in raced}, "a peer of no contract of the topic"
        peers = {k: v if isinstance(v, tuple) else (v,) for k, v in module.PEERS.items()}
        runs = [(name, peer, shape) for name, shape in runs for peer in peers.get(name, ())]
        ids = [f"{n}-{peer.__name__}-{'x'.join(map(str, shape))}" for n, peer, shape in runs]
    metafunc.parametrize(names, runs, ids=ids)


class Recording(NamedTuple):
    """T steps of B columns, in float32."""

    rewards: torch.Tensor
    values: torch.Tensor
    next_values: torch.Tensor
    terminated: torch.Tensor
    truncated: torch.Tensor

    def columns(self) -> list[np.ndarray]:
        """Return the judged columns as the reference takes them."""
        cut = [array[:, :JUDGED_COLUMNS].numpy() for array in self]
        return [array if array.dtype == bool else array.astype(np.float64) for array in cut]


def radius(size: np.ndarray, decay: np.ndarray) -> np.ndarray:
    """Bound the error of yₜ = δₜ + cₜ yₜ₊₁ in any order of summation; |terms of δₜ| ≤ size.

    A term carried over j rows meets at most 4 + 3j roundings, and two for each doubling of the
    rows; forming the return from the advantage, two more.
    """
    steps = len(size)
    extra = 2 * steps.bit_length() + 2
    bound, mass = np.zeros_like(size[0]), np.zeros_like(size[0])
    bounds = np.empty_like(size)
    for t in reversed(range(steps)):
        bound = 4 * size[t] + decay[t] * (bound + 3 * mass)
        mass = size[t] + decay[t] * mass
        bounds[t] = bound + extra * mass
    return UNIT * bounds / (1 - 2 * (3 * steps + extra) * UNIT)


def judged(computed: torch.Tensor, exact: np.ndarray, bound: np.ndarray) -> None:
    """Fail unless every element lies within its bound, and a zero would not."""
    got = computed.double().numpy()
    wrong = ~(np.abs(got - exact) <= bound)
    assert not wrong.any(), f"{wrong.sum()} of {wrong.size} elements are wrong; nothing was timed"
    assert (np.abs(exact) > bound).mean() > 0.5, "the bound is too wide to tell right from zero"


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(params=SHAPES, ids=["x".join(map(str, shape)) for shape in SHAPES])
def recording(request: pytest.FixtureRequest) -> Recording:
    """Return one drawn recording for each shape; 2 % of steps terminate, 1 % are truncated."""
    shape = request.param
    rng = np.random.default_rng(0)
    floats = torch.tensor(rng.normal(size=(3, *shape)), dtype=torch.float32).unbind(0)
    return Recording(*floats, *(torch.tensor(rng.uniform(size=shape) < p) for p in (0.02, 0.01)))


@pytest.fixture
def timed(benchmark: Callable, recording: Recording) -> Callable:
    """Return a function that times a call in the group of its estimator and shape."""

    def run(group: str, function: Callable[[], object]) -> None:
        benchmark.group = f"{group} {'x'.join(map(str, recording.rewards.shape))}"
        benchmark.extra_info["elements"] = recording.rewards.numel()
        benchmark(function)

    return run


@pytest.fixture
def judge() -> Callable:
    """Return `judged`, for files that cannot import this one."""
    return judged


@pytest.fixture
def bound(recording: Recording) -> np.ndarray:
    """Return the bound of the judged columns, at a decay that serves every return."""
    rewards, values, next_values, terminated, truncated = recording.columns()
    size = np.abs(rewards) + np.abs(np.where(terminated, 0, next_values)) + np.abs(values)
    return radius(size, np.where(terminated | truncated, 0, GAMMA))


@pytest.fixture
def sequence_bound() -> Callable:
    """Return the same for judged sequences [B, L]: masked tokens add and decay nothing."""

    def of(rewards: np.ndarray, values: np.ndarray, mask: np.ndarray) -> np.ndarray:
        size = np.where(mask, np.abs(rewards) + 2 * np.abs(values).max(), 0)
        return radius(size.T, np.where(mask, GAMMA * LAM, 1).T).T

    return of


@pytest.fixture
def copied(timed: Callable, recording: Recording) -> Callable:
    """Return a function that times a copy whose traffic is `words` floats and `flags` bytes."""

    def run(group: str, words: int, flags: int) -> None:
        half = recording.rewards.numel() * (4 * words + flags) // 2  # read once, written once
        source, target = torch.zeros(half, dtype=torch.uint8), torch.ones(half, dtype=torch.uint8)
        timed(group, lambda: target.copy_(source))
        assert not target.any()

    return run


@pytest.fixture
def race(benchmark: Callable) -> Callable:
    """Return a function that times one runner of a race: the fast version, a peer, or a copy.

    What is timed is first judged by its contract, on the first of its sizes, in float32.
    """

    def run(name: str, shape: tuple[int, ...], function: Callable | None = None) -> None:
        contract = find(name)
        function = function or contract.fast
        small = rounded(contract.sized(contract.sizes[0]), "float32")
        result = Canonical(function, contract, "torch").run([small], "float32")[0]
        found, worst = judge_case(small, result, truth(contract, small, "float32"), "timing")
        assert found is None, f"{worst} bounds from the truth; nothing was timed"
        case = contract.sized(shape)
        arguments = as_torch(dict(case.arguments), "float32")
        benchmark.group = f"{name} {'x'.join(map(str, shape))}"
        benchmark.extra_info["elements"] = case[contract.first.name].size
        benchmark(lambda: function(**arguments))

    return run


@pytest.fixture
def race_copy(benchmark: Callable) -> Callable:
    """Return a function that times a copy of the bytes that a contract's function moves."""

    def run(name: str, shape: tuple[int, ...]) -> None:
        contract = find(name)
        case = contract.sized(shape)
        arguments = as_torch(dict(case.arguments), "float32")
        results = contract.named(contract.fast(**arguments)).values()
        tensors = [v for v in (*arguments.values(), *results) if isinstance(v, torch.Tensor)]
        half = max(sum(t.numel() * t.element_size() for t in tensors) // 2, 1)
        source, target = torch.zeros(half, dtype=torch.uint8), torch.ones(half, dtype=torch.uint8)
        benchmark.group = f"{name} {'x'.join(map(str, shape))}"
        benchmark(lambda: target.copy_(source))
        assert not target.any()

    return run
