"""The CUDA kernels on a machine without a GPU: interpreted, and compiled for two architectures."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from rlverify.fast.kernels import cuda
from rlverify.fast.scan import reverse_linear_recurrence

pytest.importorskip("triton")
HERE = Path(__file__).parent


def printed(script: str) -> str:
    """Return what a script of this folder prints."""
    run = subprocess.run(
        [sys.executable, HERE / script],
        env={**os.environ, "PYTHONPATH": str(HERE)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_interpreted_kernels_agree_with_exact_arithmetic() -> None:
    assert printed("triton_interpreted.py").strip() == "every kernel agrees"


def test_compiled_kernels_spill_nothing() -> None:
    rows = [line.split() for line in printed("triton_registers.py").splitlines()]
    assert {(name, architecture) for name, _, _, architecture, *_ in rows} == {
        (name, architecture) for name in ("columns", "stretches") for architecture in ("80", "90")
    }
    assert {int(spilled) for *_, spilled in rows} == {0}


def test_few_columns_are_scanned_along_time() -> None:
    assert cuda.choose(4096, 8) == "stretches"
    assert cuda.choose(4096, 16384) == "columns"
    assert cuda.choose(16, 8) == "columns"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("way", ["columns", "stretches"])
def test_on_a_gpu(way: str) -> None:
    x = torch.ones(300, 5, device="cuda")
    cut = x > 2
    y = cuda.linear(x, 0.5, cut[:-1], forwards=False, way=way)
    assert torch.equal(y.cpu(), reverse_linear_recurrence(x.cpu(), 0.5, cut.cpu()))
