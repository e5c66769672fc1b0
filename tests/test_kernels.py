"""The compiled recurrences: that they are used, agree, refuse nothing new, and can be done without.

What they compute is judged by the contract tests of returns, advantages and traces, which take
the same way as every other call; here the shapes are those that take another way through a
kernel, and the bounds those of `exact_recurrences`.
"""

import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from exact_recurrences import Case, recurrence, within
from rlverify.fast import advantages, returns, traces
from rlverify.fast.kernels import calling, cpu, loading
from rlverify.fast.scan import reverse_linear_recurrence

pytest.importorskip("numba")

# one column, eight in a register, other short rows, long rows, more than one piece of a row
SHAPES = [(1, 1), (1, 9), (2, 1), (1100, 1), (140, 8), (300, 5), (40, 47), (9, 48), (3, 2100)]
DISCOUNTS = {"gamma": 0.9, "lam": 0.8}
LEVELS = {"rho_bar": 1.5, "c_bar": 1.0, "rho_bar_advantage": math.inf}


def recording(shape: tuple[int, int], dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Return arrays by the names of the arguments, with NaN where nothing may be read."""
    generator = torch.Generator().manual_seed(shape[0])
    names = ("rewards", "values", "next_values", "log_ratios")
    numbers = torch.randint(-8, 9, (4, *shape), generator=generator).to(dtype) / 8
    arrays = dict(zip(names, numbers.unbind(0), strict=True))
    for name in ("terminated", "truncated"):
        arrays[name] = torch.rand(shape, generator=generator) < 0.2
    arrays["terminated"][:, 0] = False  # where it is a mask, a token of each sequence is real
    arrays["next_values"] = arrays["next_values"].masked_fill(arrays["terminated"], math.nan)
    return arrays


def called(name: str, arrays: dict[str, Tensor]) -> tuple[Tensor, ...]:
    """Call a public function on a recording."""
    r, v, following, logs, over, stopped = arrays.values()
    calls: dict[str, Callable[[], Any]] = {
        "gae": lambda: advantages.gae(r, v, following, over, stopped, **DISCOUNTS),
        "sequence_gae": lambda: advantages.sequence_gae(r, v, ~over, **DISCOUNTS),
        "lambda_return": lambda: returns.lambda_return(r, following, over, stopped, **DISCOUNTS),
        "discounted_return": lambda: returns.discounted_return(
            r, following, over, stopped, gamma=0.9
        ),
        "off_policy_return": lambda: traces.off_policy_return(
            r, v, following, logs, over, stopped, gamma=0.9
        ),
        "retrace": lambda: traces.retrace(r, v, following, logs, over, stopped, **DISCOUNTS),
        "vtrace": lambda: traces.vtrace(
            r, v, following, logs, over, stopped, **DISCOUNTS, **LEVELS
        ),
    }
    result = calls[name]()
    return result if isinstance(result, tuple) else (result,)


NAMES = [
    "gae",
    "sequence_gae",
    "lambda_return",
    "discounted_return",
    "off_policy_return",
    "retrace",
    "vtrace",
]
KERNELS = {
    "sequence_gae": "sequences",
    "lambda_return": "returned",
    "discounted_return": "returned",
    "off_policy_return": "corrected",
    "retrace": "corrected",
}


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, bool]]:
    """Return the kernels that were asked for since."""
    asked: list[tuple[str, str, bool]] = []
    real = loading.kernel

    def kernel(name: str, number: str, strided: bool = False) -> loading.Call | None:
        asked.append((name, number, strided))
        return real(name, number, strided)

    monkeypatch.setattr(loading, "kernel", kernel)
    return asked


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("number", [True, False], ids=["number", "array"])
def test_every_way_through_a_kernel(
    shape: tuple[int, int], number: bool, used: list[tuple[str, str, bool]]
) -> None:
    generator = torch.Generator().manual_seed(0)
    x, decay = torch.randint(-8, 9, (2, *shape), generator=generator) / 8
    cut = torch.rand(shape, generator=generator) < 0.2
    case = Case(x, 0.75 if number else decay, cut, x)
    within(reverse_linear_recurrence(x, case.decay, cut), recurrence(case))
    assert used == [("linear", "float32", False)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_a_column_does_not_depend_on_the_way(
    name: str, shape: tuple[int, int], used: list[tuple[str, str, bool]]
) -> None:
    """A column alone, in a register, is what it is among others, bit by bit."""
    arrays = recording(shape)
    whole = called(name, arrays)
    few = 1 if name == "sequence_gae" else shape[1]
    for column in {0, few // 2, few - 1}:
        part = slice(None) if name == "sequence_gae" else slice(column, column + 1)
        alone = called(name, {key: array[:, part].contiguous() for key, array in arrays.items()})
        for one, all_of_them in zip(alone, whole, strict=True):
            assert torch.equal(one, all_of_them[:, part])
    assert {key[0] for key in used} == {KERNELS.get(name, name)}


@pytest.mark.parametrize("name", NAMES)
def test_layout_does_not_matter(name: str, used: list[tuple[str, str, bool]]) -> None:
    arrays = recording((21, 19))
    wanted = called(name, arrays)
    batch_major = {key: array.T.contiguous().T for key, array in arrays.items()}
    every_second = {key: array.repeat_interleave(2, 0)[::2] for key, array in arrays.items()}
    for laid in (batch_major, every_second):
        for got, right in zip(called(name, laid), wanted, strict=True):
            assert torch.equal(got, right)
    assert name == "sequence_gae" or (KERNELS.get(name, name), "float32", True) in used


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", NAMES)
def test_half_precision_is_rounded_once(name: str, dtype: torch.dtype) -> None:
    arrays = recording((12, 8), dtype)
    wide = {
        key: array.float() if array.is_floating_point() else array for key, array in arrays.items()
    }
    for got, right in zip(called(name, arrays), called(name, wide), strict=True):
        assert torch.equal(got, right.to(dtype))


@pytest.mark.parametrize("name", NAMES)
def test_threads_share_the_columns(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = recording((130, 130))
    wanted = called(name, arrays)
    shared: list[int] = []
    real = calling.shared

    def counted(call: loading.Call, words: Any, columns: int, threads: int) -> None:
        shared.append(threads)
        real(call, words, columns, threads)

    monkeypatch.setattr(calling, "SHARED", 1)
    monkeypatch.setattr(calling, "shared", counted)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    for got, right in zip(called(name, arrays), wanted, strict=True):
        assert torch.equal(got, right)
    assert shared == [2]


def test_into_arrays_that_exist() -> None:
    for shape in SHAPES:
        for dtype in (torch.float32, torch.float64, torch.bfloat16):
            r, v, following, _, over, stopped = recording(shape, dtype).values()
            stopped[:-1] = False
            out = advantages.Advantages(torch.empty_like(r), torch.empty_like(r))
            for row in (following, following[-1]):
                given = torch.cat([v[1:], following[-1:]]) if row.dim() == 1 else following
                wanted = advantages.gae(r, v, given, over, stopped, **DISCOUNTS)
                made = advantages.gae_into(out, r, v, row, over, stopped, **DISCOUNTS)
                assert made is out
                for got, right in zip(out, wanted, strict=True):
                    assert torch.equal(got, right)
    stopped[0] = True
    if len(stopped) > 1:
        with pytest.raises(ValueError, match=r"gae_into: next_values came as one row with a trunc"):
            advantages.gae_into(out, r, v, following[-1], over, stopped, **DISCOUNTS)


# who must not take the short way


def test_whatever_is_watched_goes_the_long_way(used: list[tuple[str, str, bool]]) -> None:
    r, v, following, _, over, stopped = recording((4, 3)).values()
    short = (v, following, over, stopped, 0.9, 0.8)
    assert cpu.gae(r, *short) is not None
    assert cpu.gae(r.clone().requires_grad_(), *short) is None
    with torch.no_grad():
        assert cpu.gae(r.clone().requires_grad_(), *short) is not None
    assert cpu.gae(torch.nn.Parameter(r), *short) is None
    assert cpu.gae(r.to("meta"), *short) is None
    with torch.autograd.forward_ad.dual_level():
        assert cpu.gae(r, *short) is None
    assert cpu.gae(torch._neg_view(r), *short) is not None  # a negated view is copied first
    used.clear()
    torch.vmap(lambda x: x.sum() + (cpu.gae(x, *short) is None))(torch.stack([r, r]))
    torch.func.grad(lambda x: x.sum() + (cpu.gae(x, *short) is None))(r)
    assert used == []


@pytest.mark.parametrize("bad", [{"gamma": 2.0}, {"lam": -1.0}, {"gamma": math.nan}, {"lam": True}])
def test_refusals_are_those_of_the_long_way(bad: dict[str, float]) -> None:
    r, v, following, _, over, stopped = recording((4, 3)).values()
    knobs = {**DISCOUNTS, **bad}
    (name,) = bad
    assert cpu.gae(r, v, following, over, stopped, knobs["gamma"], knobs["lam"]) is None
    with pytest.raises((ValueError, TypeError), match=rf"gae: {name} came as"):
        advantages.gae(r, v, following, over, stopped, **knobs)


# compiled code on disk, and none at all


def in_a_process(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program of Python lines in a process of its own."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


USE = """
import sys, torch
from rlverify.fast.scan import reverse_linear_recurrence
x = torch.ones(4, 2)
y = reverse_linear_recurrence(x, 0.5, x > 2)
assert y[:, 0].tolist() == [1.875, 1.75, 1.5, 1.0]
print("numba" in sys.modules)
"""


def test_a_second_process_needs_no_compiler(tmp_path: Path) -> None:
    told = [in_a_process(USE, RLVERIFY_CACHE=str(tmp_path)) for _ in range(2)]
    assert [run.stderr for run in told] == ["", ""]
    assert [run.stdout.strip() for run in told] == ["True", "False"]
    (kept,) = tmp_path.iterdir()
    kept.write_bytes(kept.read_bytes()[:-1] + b"?")  # damaged code is made again, not run
    third = in_a_process(USE, RLVERIFY_CACHE=str(tmp_path))
    assert (third.stderr, third.stdout.strip()) == ("", "True")


def test_without_numba_one_warning_and_the_same_answer(tmp_path: Path) -> None:
    absent = "import sys\nsys.modules['llvmlite'] = sys.modules['numba'] = None\n"
    program = (
        "import warnings\n"
        "with warnings.catch_warnings(record=True) as told:\n"
        "    warnings.simplefilter('always')\n"
        + "".join(f"    {line}\n" for _ in range(2) for line in USE.strip().splitlines())
        + "(only,) = told\nprint(only.message)\n"
    )
    run = in_a_process(absent + program, RLVERIFY_CACHE=str(tmp_path))
    assert run.stderr == ""
    assert "compiled kernels are unavailable, plain PyTorch takes over" in run.stdout
    assert "pip install 'rlverify[speed]'" in run.stdout
