"""The machine that something ran on, in words."""

import os
import platform
from pathlib import Path


def processor() -> str:
    """Return the name of the processor, as the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            label, _, value = line.partition(":")
            if label.strip() == "model name":
                return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine() or "unknown processor"


def cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def machine(device: str) -> dict[str, str | int]:
    """Return what the timings were measured on."""
    import torch  # slow to import, and only needed where something is timed

    found: dict[str, str | int] = {
        "processor": processor(),
        "cores": cores(),
        "torch": torch.__version__,
        "device": device,
    }
    if torch.device(device).type == "cuda":
        found["device"] = f"{device} ({torch.cuda.get_device_name(device)})"
    return found


def refuse_device(device: str) -> None:
    """Refuse a device that PyTorch does not find here.

    Raises:
        ValueError: with what PyTorch says about it.
    """
    import torch

    try:
        torch.zeros(1, device=device)
    # what PyTorch raises differs: an unknown name, a build without CUDA, a device that is no more
    # than a name (meta)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(
            f"device came as {device!r}, wanted one that PyTorch can use here, such as cpu: "
            f"{reason}"
        ) from None
