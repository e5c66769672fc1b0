"""Compiled backends of the recurrences: Numba for the CPU, Triton for CUDA.

    rows       how the CPU kernels sweep an array, compiled by Numba
    recurrences  what they compute with its elements
    losses     PPO's and GRPO's losses with their slopes
    loading    compiled code, kept on disk, loaded without Numba
    calling    which arguments a kernel takes as they are, and how they are handed over
    cpu        the functions: plain tensors in and out, or None where a kernel does not apply
    plain      the same recurrence in PyTorch, in three orders
    running    which of all these is chosen for a tensor
    operator   the recurrence as one operator, for compilers
    blocks     the arithmetic of the CUDA kernels, compiled by Triton
    cuda       their launches, and which of them a shape is given to

Nothing here is needed for a right answer: every call of `scan`, `returns`, `advantages` and
`traces` falls back on plain PyTorch. docs/decisions/0014-kernels.md says when, and what it costs.
"""
