"""Measurement: functions of the suite and of other libraries, judged and then timed in turns."""

import contextlib
import functools
import importlib
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rlverify.benchmarking.contention import half_right, twin_truth
from rlverify.benchmarking.grounding import floor_of
from rlverify.benchmarking.production import elements, judged_shape, timed_shapes
from rlverify.benchmarking.timing import Action, Timing, in_turns
from rlverify.calling import Failure, Result
from rlverify.checking import judge_case, truth
from rlverify.comparison import rounded
from rlverify.contract import Case, Contract
from rlverify.differentiation import worst_gradient
from rlverify.peers import Peer, missing, peers_of, version
from rlverify.twinning import Canonical, as_numpy, as_torch
from rlverify.verifying import timing_case

SECONDS = 0.1
REFERENCE, FAST = "reference", "fast"


@dataclass(frozen=True)
class Row:
    """One runner at one size.

    Attributes:
        contract: what is computed.
        shape: of the inputs.
        elements: how many there are.
        runner: `reference`, `fast`, the name of a peer; `+ gradient` where it is differentiated.
        dtype: what it was given.
        timing: how long it takes; None where it was not timed.
        floor: `copy` or `gradient`.
        least: how long that takes.
        problem: why it was not timed; empty where it was.
    """

    contract: str
    shape: tuple[int, ...]
    elements: int
    runner: str
    dtype: str
    timing: Timing | None
    floor: str
    least: float
    problem: str = ""

    @property
    def key(self) -> tuple[Any, ...]:
        """Return what the same row of another run has too."""
        return self.contract, self.shape, self.runner, self.dtype

    @property
    def nanoseconds(self) -> float | None:
        """Return the time of an element."""
        return None if self.timing is None else 1e9 * self.timing.seconds / self.elements

    @property
    def multiple(self) -> float | None:
        """Return how many times as long as the floor it takes."""
        return None if self.timing is None else self.timing.seconds / self.least


@dataclass(frozen=True)
class Runner:
    """Something to be timed.

    Attributes:
        name: as `Row.runner`.
        function: it takes canonical arguments.
        arrays: `numpy`, `torch` or `jax`.
        dtype: what it is given.
        fixed: arguments that it does not take, with the value it takes for granted.
    """

    name: str
    function: Callable[..., Any]
    arrays: str
    dtype: str
    fixed: Mapping[str, Any]


def chained(contract: Contract, case: Case) -> Case:
    """Return a case whose next values are the values of the next step, where no cut lies between.

    Other libraries know no others.
    """
    names = set(case.arguments)
    if not {"values", "next_values", "terminated"} <= names:
        return case
    cut = case["terminated"] | (case["truncated"] if "truncated" in names else False)
    following = np.where(cut[:-1], case["next_values"][:-1], case["values"][1:])
    return case.but(next_values=np.concatenate([following, case["next_values"][-1:]]))


def given_to(runner: Runner, case: Case, device: str) -> dict[str, Any]:
    """Return the arguments of a runner as it takes them."""
    left = {name: v for name, v in case.arguments.items() if name not in runner.fixed}
    if runner.arrays == "torch":
        return as_torch(left, runner.dtype, device)
    if runner.arrays == "jax":
        import jax.numpy as jnp

        return {name: _as_jax(jnp, v, runner.dtype) for name, v in left.items()}
    return {
        name: v.astype(runner.dtype) if isinstance(v, np.ndarray) and v.dtype.kind == "f" else v
        for name, v in left.items()
    }


def _jax() -> Any:
    return importlib.import_module("jax")


def _as_jax(jnp: Any, value: Any, dtype: str) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    return jnp.asarray(value, dtype=dtype if value.dtype.kind == "f" else None)


def action_of(runner: Runner, case: Case, device: str) -> Action:
    """Return a call; JAX is waited for."""
    arguments = given_to(runner, case, device)
    function = runner.function
    if runner.arrays != "jax":
        return lambda: function(**arguments)
    wait = _jax().block_until_ready
    return lambda: wait(function(**arguments))


def gradient_action(contract: Contract, runner: Runner, case: Case, device: str) -> Action:
    """Return a call of a loss that is then differentiated."""
    arguments = given_to(runner, case, device)
    function, names = runner.function, contract.gradients
    if runner.arrays == "jax":
        jax = _jax()
        rest = {name: v for name, v in arguments.items() if name not in names}
        both = jax.jit(jax.value_and_grad(lambda leaves: function(**leaves, **rest)))
        moving = {name: arguments[name] for name in names}
        return lambda: jax.block_until_ready(both(moving))
    import torch

    leaves = [arguments[name].requires_grad_() for name in names]
    return lambda: torch.autograd.grad(_scalar(contract, function(**arguments)), leaves)


def _scalar(contract: Contract, result: Any) -> Any:
    return sum(value.sum() for value in contract.named(result).values())


def problem_of(contract: Contract, runner: Runner, small: Case, case: Case, device: str) -> str:
    """Return what is wrong with a runner on a small case and on the one to be timed, if anything.

    The small one is judged by the contract, the other to half of the digits.
    """
    same = rounded(small.but(**runner.fixed), runner.dtype)
    result = _result(contract, runner, same, device)
    if result.outputs is None:
        return result.failure.sentence if result.failure else "returned no arrays"
    found, worst = judge_case(same, result, truth(contract, same, runner.dtype), "timing")
    if found is not None:
        return f"wrong: {worst:.3g} bounds from the truth"
    if runner.name == FAST and contract.gradient_judged and device == "cpu":
        off = worst_gradient(contract, [same], runner.dtype, device)
        if not off <= 1:
            return f"wrong: its gradient is {off:.3g} bounds from the truth"
    if runner.name == REFERENCE:
        return ""
    large = rounded(case.but(**runner.fixed), runner.dtype)
    got, wanted = _result(contract, runner, large, device), twin_truth(contract)(large)
    if got.outputs is None:
        return got.failure.sentence if got.failure else "returned no arrays"
    if wanted is not None and not half_right(got.outputs, wanted, runner.dtype):
        return "wrong at this size, though right on a small one"
    return ""


def _result(contract: Contract, runner: Runner, case: Case, device: str) -> Result:
    if runner.arrays == "torch" and not runner.fixed:
        return Canonical(runner.function, contract, "torch", device).run([case], runner.dtype)[0]
    try:
        named = contract.named(runner.function(**given_to(runner, case, device)))
    except Exception as error:
        first = "".join(str(error).strip().splitlines()[:1])
        return Result(None, Failure("raised", f"raised {type(error).__name__}: {first}"))
    outputs = {name: as_numpy(value) for name, value in named.items()}
    shapes = contract.shapes(case)
    for name, array in outputs.items():
        if array.shape != shapes[name]:
            told = f"{name} came with shape {array.shape}, wanted {shapes[name]}"
            return Result(None, Failure("shape", told))
    return Result(outputs, None)


def runners_of(
    contract: Contract, dtype: str, peers: bool, device: str, tell: Callable[[str], None]
) -> list[Runner]:
    """Return what computes a contract: the fast version, and the peers that are there."""
    assert contract.fast is not None
    found = [Runner(FAST, contract.fast, "torch", dtype, {})]
    for peer in peers_of(contract.name) if peers else []:
        if reason := missing(peer.library):
            tell(reason)
            continue
        try:
            found.append(_peer(peer, dtype))
        except Exception as error:  # a library that does not go with the others installed
            tell(f"{peer.library} cannot be imported: {type(error).__name__}: {error}")
    if device != "cpu":
        found = [runner for runner in found if runner.arrays != "numpy"]
    return found


def _peer(peer: Peer, dtype: str) -> Runner:
    name = f"{peer.name} {version(peer.library)}"
    return Runner(name, peer.load(), peer.arrays, dtype, peer.fixed)


@contextlib.contextmanager
def quiet(threads: int) -> Iterator[None]:
    """Let libraries use so many threads, and keep their warnings to themselves."""
    import torch

    before = torch.get_num_threads()
    if threads == 1:  # read when JAX begins
        os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
    torch.set_num_threads(threads)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_num_threads(before)


def measured(
    contract: Contract,
    *,
    dtype: str = "float32",
    device: str = "cpu",
    peers: bool = False,
    shapes: Sequence[tuple[int, ...]] = (),
    seconds: float = SECONDS,
    threads: int = 1,
    seed: int = 0,
    reference: bool = True,
    tell: Callable[[str], None] = lambda line: None,
) -> Iterator[Row]:
    """Judge and time everything that computes a contract, one row a runner and size.

    The smallest size is the one that the reference is timed at too.
    """
    if contract.fast is None:
        return
    with quiet(threads):
        runners = runners_of(contract, dtype, peers, device, tell)
        first = judged_shape(contract)
        small = chained(contract, timing_case(contract, first))
        sizes = list(shapes) or list(dict.fromkeys([first, *timed_shapes(contract)]))
        for shape in sizes:
            case = chained(contract, timing_case(contract, shape))
            here = list(runners)
            if shape == first and reference:
                here.append(Runner(REFERENCE, contract.reference, "numpy", "float64", {}))
            one = _Size(contract, shape, small, case, device, threads, seconds, seed)
            yield from one.rows(here)


@dataclass(frozen=True)
class _Size:
    """One size of one contract."""

    contract: Contract
    shape: tuple[int, ...]
    small: Case
    case: Case
    device: str
    threads: int
    seconds: float
    seed: int

    def rows(self, runners: Sequence[Runner]) -> list[Row]:
        """Return a row for each runner, and one for each that has a gradient."""
        contract, device = self.contract, self.device
        problems = {r.name: problem_of(contract, r, self.small, self.case, device) for r in runners}
        rows = [self._untimed(runner, problems[runner.name]) for runner in runners]
        right = [runner for runner in runners if not problems[runner.name]]
        if contract.gradient_judged:
            differentiable = [r for r in right if r.name != REFERENCE and r.arrays != "numpy"]
            rows += [self._untimed(replace(r, name=f"{r.name} + gradient"), "")
                     for r in differentiable]  # fmt: skip
        actions: dict[str, Action] = {}
        for runner in right:
            actions[runner.name] = action_of(runner, self.case, device)
            if contract.gradient_judged and runner.name != REFERENCE and runner.arrays != "numpy":
                differentiated = gradient_action(contract, runner, self.case, device)
                actions[f"{runner.name} + gradient"] = differentiated
        floors = {"": self._floor(runners[0], gradients=False)}
        if contract.gradient_judged:
            floors[" + gradient"] = self._floor(runners[0], gradients=True)
        actions |= {f"floor{kind}": action for kind, (_, action) in floors.items()}
        wait, clock = self._clock()
        times = in_turns(actions, seconds=self.seconds, clock=clock, wait=wait, seed=self.seed)
        found = []
        for row in rows:
            kind = " + gradient" if row.runner.endswith(" + gradient") else ""
            least = times[f"floor{kind}"].seconds
            timing = times.get(row.runner)
            found.append(replace(row, timing=timing, floor=floors[kind][0], least=least))
        return found

    def _untimed(self, runner: Runner, problem: str) -> Row:
        count = elements(self.contract, self.case)
        return Row(
            self.contract.name, self.shape, count, runner.name, runner.dtype, None, "", 1.0, problem
        )

    def _floor(self, fast: Runner, *, gradients: bool) -> tuple[str, Action]:
        arguments = given_to(fast, self.case, self.device)
        outputs = self.contract.named(fast.function(**arguments))
        return floor_of(self.contract, arguments, outputs, gradients)

    def _clock(self) -> tuple[Action, Callable[[], float]]:
        """Return what waits for the device, and the clock."""
        if self.device == "cpu":
            return (lambda: None), (time.process_time if self.threads == 1 else time.perf_counter)
        import torch

        return functools.partial(torch.cuda.synchronize, self.device), time.perf_counter
