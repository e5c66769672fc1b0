"""The topic `token_log_probs`: the contract tests, and what the chunks must not change."""

import pytest
import torch

from rlverify.fast import categorical, token_log_probs
from support import *  # noqa: F403 - the contract tests, spread over TOPIC

TOPIC = "token_log_probs"


def drawn(shape=(3, 5, 7), dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(shape, generator=generator, dtype=dtype, requires_grad=True)
    tokens = torch.randint(0, shape[-1], shape[:2], generator=generator)
    mask = torch.rand(shape[:2], generator=generator) < 0.75
    return logits, tokens, mask


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("chunk", [1, 15, 2**17])
def test_chunks_change_nothing(chunk, masked, monkeypatch):
    """Of one position, of two with a rest, of all: the same numbers and the same gradient."""
    logits, tokens, mask = drawn()
    given = (tokens, mask if masked else None)
    wanted = token_log_probs.selected_log_probs(logits, *given, temperature=0.5)
    (slope,) = torch.autograd.grad(wanted.sum(), logits)
    monkeypatch.setitem(token_log_probs.CHUNK, "cpu", chunk)
    got = token_log_probs.selected_log_probs(logits, *given, temperature=0.5)
    assert torch.equal(got, wanted)
    assert torch.equal(torch.autograd.grad(got.sum(), logits)[0], slope)


def test_derivatives_of_both_orders():
    logits, tokens, mask = drawn((2, 2, 3))

    def function(x):
        return token_log_probs.selected_log_probs(x, tokens, mask, temperature=2.0)

    assert torch.autograd.gradcheck(function, logits)
    assert torch.autograd.gradgradcheck(function, logits)
    mapped = torch.func.jacrev(function)(logits.detach()).sum((0, 1))
    (wanted,) = torch.autograd.grad(function(logits).sum(), logits)
    # probabilities by way of a quotient or of a difference of logarithms: numbers below 1
    assert (mapped - wanted).abs().max() < 8 * torch.finfo(torch.float64).eps


def test_of_temperature_one_is_the_categorical_policy():
    logits, tokens, _ = drawn(dtype=torch.float32)
    found = token_log_probs.selected_log_probs(logits, tokens, None, temperature=1.0)
    wanted = categorical.categorical_log_prob(logits.double(), tokens, None)
    # the largest logit, the exponentials and the logarithm: a few roundings of a number below 8
    assert (found - wanted).abs().max() < 8 * 8 * torch.finfo(torch.float32).eps


def sizes_made(profile):
    """Return how many bytes each operation allocated itself."""
    return [event.self_cpu_memory_usage for event in profile.events()]


def test_nothing_of_the_size_of_the_logits_is_made():
    """The value needs some arrays of a chunk, the gradient one array more, its own."""
    logits, tokens, mask = drawn((4, 64, 4096), torch.float32)
    whole = logits.numel() * logits.element_size()
    with torch.profiler.profile(profile_memory=True) as profile:
        found = token_log_probs.selected_log_probs(logits, tokens, mask, temperature=0.5)
    assert max(sizes_made(profile)) <= token_log_probs.CHUNK["cpu"] * 4 < whole / 4
    with torch.profiler.profile(profile_memory=True) as profile:
        torch.autograd.grad(found.sum(), logits)
    assert sum(size >= whole for size in sizes_made(profile)) == 1
