"""Compiles the CUDA kernels for two architectures without a GPU, and says what registers they take.

`python tests/triton_registers.py` prints a line a kernel: registers of a thread, and bytes that
did not fit in them and are spilled.
"""

import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from rlverify.fast.kernels import blocks, cuda

ARCHITECTURES = (80, 90)
BLOCKS = {"columns": cuda.WIDTH, "stretches": cuda.ROWS}
ARGUMENTS = ("x_at", "decay_at", "cut_at", "y_at", "steps", "count")
TOOLS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"


def registers(name: str, real: str, has_decay: bool, architecture: int) -> tuple[int, int]:
    """Return the registers of a thread and the bytes spilled, of the kernel run backwards."""
    kinds = (f"*{real}", f"*{real}", "*u8", f"*{real}", "i32", "i32")
    constants = {"HAS_DECAY": has_decay, "FORWARDS": False, "BLOCK": BLOCKS[name]}
    source = ASTSource(
        fn=getattr(blocks, name),
        signature=dict(zip(ARGUMENTS, kinds, strict=True)) | dict.fromkeys(constants, "constexpr"),
        constexprs=constants,
    )
    target, options = GPUTarget("cuda", architecture, 32), {"enable_fp_fusion": True}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "kernel.cubin"
        file.write_bytes(triton.compile(source, target=target, options=options).asm["cubin"])
        command = [TOOLS / "cuobjdump", "--dump-resource-usage", file]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    used, stack, local = re.findall(r"REG:(\d+) STACK:(\d+) .*LOCAL:(\d+)", told)[0]
    return int(used), int(stack) + int(local)


def table() -> Iterator[tuple[str, str, str, int, int, int]]:
    """Yield kernel, number type, kind of decay, architecture, registers and spilled bytes."""
    for name in BLOCKS:
        for real in ("fp32", "fp64"):
            for has_decay in (False, True):
                for architecture in ARCHITECTURES:
                    decay = "array" if has_decay else "number"
                    counts = registers(name, real, has_decay, architecture)
                    yield name, real, decay, architecture, *counts


if __name__ == "__main__":
    for row in table():
        print(*row)
