"""Log-probabilities of the tokens of answers in PyTorch, from the logits over a vocabulary.

A language model is a categorical policy with one state a position: logits `[B, L, V]`, of which
the tokens `[B, L]` that were written are wanted, at the temperature that they were written with:

    log π(a) = x_a/T − log Σ_b exp(x_b/T)

Softmax and temperature belong together: the logits are divided, never the log-probabilities, and
the sum over the vocabulary of exp log π is 1 at every T.

`[B, L, V]` is the largest array of a training step, and a softmax that autograd keeps would be a
second one. Here positions are taken some at a time; two numbers a position are kept, from which
the backward pass makes the gradient, which is then the only array of that size.
"""

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Bool, Float, Int

from rlverify.errors import Arguments
from rlverify.fast.scan import compute_dtype, rounded

# logits of a chunk: some of its arrays fit a cache, on a GPU its launches cost nothing (measured)
CHUNK = {"cpu": 2**17, "cuda": 2**24}


def selected_log_probs(
    logits: Float[torch.Tensor, "B L V"],
    tokens: Int[torch.Tensor, "B L"],
    mask: Bool[torch.Tensor, "B L"] | None,
    *,
    temperature: float,
) -> Float[torch.Tensor, "B L"]:
    """Log-probability of every token that was written.

        log π(a_bt) = x_bt(a_bt)/T − log Σ_v exp(x_bt(v)/T)

    Source: Ouyang et al. 2022, arXiv:2203.02155, section 3.5 (π(y | x) of a language model);
    Sutton & Barto 1998, eq. 2.2 (softmax with a temperature).
    Ours: token t is scored by the logits at t; what predicts it stands one position earlier in
    a model's output, and the caller has shifted. The greatest logit is subtracted before the
    division, so nothing overflows however small T is.

    Args:
        logits: x, of the policy at each position.
        tokens: a, in [0, V) where real; anything elsewhere, such as −100.
        mask: True where a token is real; None when all are. What stands elsewhere is ignored.
        temperature: T above 0.

    Returns:
        log π, [B, L]; 0 where masked. Gradients flow to the logits at real tokens.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, a real token lies outside [0, V), nothing is real, or the
            temperature is not a finite number above 0.

    Example:
        >>> logits = torch.tensor([[[1.0, 3.0], [1.0, 1.0]]]).log()
        >>> selected_log_probs(logits, torch.tensor([[1, -100]]), torch.tensor([[True, False]]),
        ...     temperature=1.0)
        tensor([[-0.2877,  0.0000]])
    """
    check = Arguments("selected_log_probs", torch.Tensor)
    check.floats("B L V", logits=logits)
    check.integers("B L", least=torch.iinfo(torch.int64).min, tokens=tokens)
    check.mask("B L", mask)
    real = tokens if mask is None else torch.where(mask, tokens, 0)
    check.actions("B L", below=logits.shape[-1], tokens=real)
    check.positive("temperature", temperature)

    warmth = rounded(temperature, logits.dtype)
    if torch.compiler.is_compiling() or torch._C._functorch.peek_interpreter_stack() is not None:
        return _at_once(logits, real, mask, warmth)
    found: torch.Tensor = _Selected.apply(logits, real, mask, warmth)  # type: ignore[no-untyped-call]
    return found


def _at_once(
    logits: torch.Tensor, tokens: torch.Tensor, mask: torch.Tensor | None, warmth: float
) -> torch.Tensor:
    """Compute the same with whole arrays, which compilers and transforms can follow."""
    read = logits.to(compute_dtype(logits.dtype))
    if mask is not None:
        read = torch.where(mask[..., None], read, 0)
    below = (read - read.detach().amax(-1, keepdim=True)) / warmth
    chosen = below.gather(-1, tokens[..., None])[..., 0]
    found = chosen - below.exp().sum(-1).log()
    return (found if mask is None else torch.where(mask, found, 0)).to(logits.dtype)


class _Selected(torch.autograd.Function):
    """The log-probabilities, and their gradient, some positions at a time."""

    @staticmethod
    def forward(
        ctx: Any, logits: torch.Tensor, tokens: torch.Tensor, mask: torch.Tensor | None,
        warmth: float,
    ) -> torch.Tensor:  # fmt: skip
        dtype = compute_dtype(logits.dtype)
        flat, chosen = logits.flatten(0, 1), tokens.flatten()
        log_probs = logits.new_zeros(len(chosen))
        tops, normalizers = (logits.new_zeros(len(chosen), dtype=dtype) for _ in range(2))
        for rows in _positions(flat, mask):
            read = flat[rows].to(dtype)
            top = read.amax(-1)
            below = (read - top[:, None]).div_(warmth)
            taken = below.gather(-1, chosen[rows][:, None])[:, 0]
            normalizer = below.exp_().sum(-1).log_()
            log_probs[rows] = (taken - normalizer).to(logits.dtype)
            tops[rows], normalizers[rows] = top, normalizer
        ctx.save_for_backward(logits, tokens, mask, tops, normalizers)
        ctx.warmth = warmth
        return log_probs.view_as(tokens)

    @staticmethod
    def backward(ctx: Any, *arriving: torch.Tensor) -> Any:
        logits, tokens, mask, tops, normalizers = ctx.saved_tensors
        if torch.is_grad_enabled():  # somebody differentiates once more
            log_probs = _at_once(logits, tokens, mask, ctx.warmth)
            found = torch.autograd.grad(log_probs, logits, arriving[0], create_graph=True)
            return *found, None, None, None
        flat, chosen = logits.flatten(0, 1), tokens.flatten()
        scale = arriving[0].flatten().to(tops.dtype) / ctx.warmth
        # every position that is real is written below
        gradient = torch.empty_like(flat) if mask is None else torch.zeros_like(flat)
        for rows in _positions(flat, mask):
            part = flat[rows].to(tops.dtype) - tops[rows][:, None]
            part.div_(ctx.warmth).sub_(normalizers[rows][:, None]).exp_()
            part.mul_(-scale[rows][:, None])
            part.scatter_add_(-1, chosen[rows][:, None], scale[rows][:, None])
            gradient[rows] = part.to(logits.dtype)
        return gradient.view_as(logits), None, None, None


def _positions(flat: torch.Tensor, mask: torch.Tensor | None) -> Iterator[slice | torch.Tensor]:
    """Yield the real positions, as many at a time as their logits make a chunk."""
    size = max(CHUNK["cpu" if flat.device.type == "cpu" else "cuda"] // flat.shape[-1], 1)
    if mask is None:
        for start in range(0, len(flat), size):
            yield slice(start, start + size)
    else:
        places: torch.Tensor = mask.flatten().nonzero()[:, 0]
        yield from places.split(size)  # type: ignore[no-untyped-call]
