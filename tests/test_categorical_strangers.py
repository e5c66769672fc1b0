"""Categorical policies as strangers write them: right forms pass, wrong ones are named."""

import math
import warnings

import numpy as np
import pytest
import torch
from torch.distributions import Categorical

import rlverify

both = pytest.mark.parametrize("dtype", ["float64", "float32"])


def gathered(logits, actions):
    return torch.log_softmax(logits, -1).gather(-1, actions.unsqueeze(-1)).squeeze(-1)


def minus_logsumexp(action_logits, act):
    return action_logits.gather(-1, act[..., None])[..., 0] - torch.logsumexp(action_logits, -1)


def distribution(logits, action, action_mask):
    return Categorical(logits=logits.masked_fill(~action_mask, -math.inf)).log_prob(action)


def in_numpy(logits, a, avail_actions=None):
    read = logits if avail_actions is None else np.where(avail_actions, logits, -np.inf)
    read = read - read.max(-1, keepdims=True)
    log_probs = read - np.log(np.exp(read).sum(-1, keepdims=True))
    return np.take_along_axis(log_probs, a[..., None], -1)[..., 0]


def flat(logits, labels):
    return torch.log_softmax(logits, dim=1)[torch.arange(len(labels)), labels]


def large_negative(logits, action, masks):
    hidden = torch.where(masks, logits, torch.tensor(-1e8, dtype=logits.dtype))
    return Categorical(logits=hidden).log_prob(action)


def masked_entropy(logits, mask):
    return Categorical(logits=logits.masked_fill(~mask, -math.inf)).entropy()


def plain_entropy(logits):
    policy = torch.softmax(logits, -1)
    return -(policy * torch.log_softmax(logits, -1)).sum(-1)


def mean_logit_entropy(logits):
    return torch.logsumexp(logits, -1) - (torch.softmax(logits, -1) * logits).sum(-1)


def difference(logits_p, logits_q):
    log_p, log_q = torch.log_softmax(logits_p, -1), torch.log_softmax(logits_q, -1)
    return (log_p.exp() * (log_p - log_q)).sum(-1)


def torch_divergence(logits1, logits2):
    pair = Categorical(logits=logits1), Categorical(logits=logits2)
    return torch.distributions.kl_divergence(*pair)


def backwards(logits_p, logits_q):
    return difference(logits_q, logits_p)


def outer(logits):
    policy = torch.softmax(logits, -1)
    return torch.diag_embed(policy) - policy[..., :, None] * policy[..., None, :]


def counted(logits, u):
    below = torch.softmax(logits, -1).cumsum(-1)
    return (below <= u[..., None]).sum(-1).clamp(max=logits.shape[-1] - 1)


def first_of_ties(q_values, eps):
    out = np.full_like(q_values, eps / q_values.shape[-1])
    best = q_values.argmax(-1)[..., None]
    np.put_along_axis(out, best, out[..., :1] + 1 - eps, -1)
    return out


def softmax_of_quotients(q, temp):
    return torch.softmax(q / temp, -1)


@both
@pytest.mark.parametrize(
    ("function", "name", "declared"),
    [
        (gathered, "categorical_log_prob", []),
        (minus_logsumexp, "categorical_log_prob", []),
        (distribution, "categorical_log_prob", []),
        (in_numpy, "categorical_log_prob", []),
        (flat, "categorical_log_prob", ["leading=flattened"]),
        (large_negative, "categorical_log_prob", ["illegal=unspecified"]),
        (masked_entropy, "categorical_entropy", []),
        (plain_entropy, "categorical_entropy", []),
        (mean_logit_entropy, "categorical_entropy", []),
        (difference, "categorical_kl", []),
        (torch_divergence, "categorical_kl", ["underflow=infinite"]),
        (backwards, "categorical_kl", ["direction=reverse"]),
        (outer, "categorical_fisher", []),
        (counted, "categorical_sample", []),
        (first_of_ties, "epsilon_greedy_probabilities", ["ties=first"]),
        (softmax_of_quotients, "boltzmann_probabilities", []),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_right_forms_of_strangers_pass(function, name, declared, dtype):
    verdict = rlverify.check(function, name, dtype=dtype, budget=60, conventions=declared)
    assert verdict.ok, (verdict.title, verdict.diagnosis)
    if declared:
        assert verdict.title == f"CONVENTION({declared[0]})"
        assert not rlverify.check(function, name, dtype=dtype, budget=60).ok


def test_right_form_of_a_stranger_in_jax_passes():
    jax = pytest.importorskip("jax")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")

        def in_jax(logits, actions):
            log_probs = jax.nn.log_softmax(logits)
            return jax.numpy.take_along_axis(log_probs, actions[..., None], -1)[..., 0]

        verdict = rlverify.check(
            # JAX compiles for every new shape, which takes longer than all the rest
            in_jax,
            "categorical_log_prob",
            arrays="jax",
            dtype="float32",
            budget=6,
        )
    assert verdict.ok, verdict.diagnosis


def never_masked(logits, action, action_mask):
    return Categorical(logits=logits).log_prob(action)


def masked_afterwards(logits, action, action_mask):
    log_probs = torch.log_softmax(logits, -1).masked_fill(~action_mask, -math.inf)
    return log_probs.gather(-1, action[..., None])[..., 0]


def mask_added(logits, action, action_mask):
    hidden = logits + torch.log(action_mask.to(logits.dtype))
    return torch.log_softmax(hidden, -1).gather(-1, action[..., None])[..., 0]


def without_maximum(logits, actions):
    policy = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    return np.log(np.take_along_axis(policy, actions[..., None], -1)[..., 0])


def log_of_softmax(logits, actions):
    return torch.log(torch.softmax(logits, -1)).gather(-1, actions[..., None])[..., 0]


def zero_times_infinity(logits, mask):
    log_probs = torch.log_softmax(logits.masked_fill(~mask, -math.inf), -1)
    return -(log_probs.exp() * log_probs).sum(-1)


def of_the_best_action(logits):
    best = logits.argmax(-1, keepdim=True)
    term = torch.softmax(logits, -1) * torch.log_softmax(logits, -1)
    return -term.gather(-1, best)[..., 0]


def log_probs_over_temperature(q_values, temperature):
    return torch.exp(torch.log_softmax(q_values, -1) / temperature)


def nearly_greatest(q_values, epsilon):
    best = q_values.max(-1, keepdims=True) - q_values <= 1e-6
    return epsilon / q_values.shape[-1] + (1 - epsilon) * best / best.sum(-1, keepdims=True)


@pytest.mark.parametrize(
    ("function", "name", "bug"),
    [
        (masked_afterwards, "categorical_log_prob", "D18"),
        (mask_added, "categorical_log_prob", "K6"),
        (without_maximum, "categorical_log_prob", "D25b"),
        (log_of_softmax, "categorical_log_prob", "D26"),
        (zero_times_infinity, "categorical_entropy", "D16"),
        (of_the_best_action, "categorical_entropy", "D11"),
        (log_probs_over_temperature, "boltzmann_probabilities", "K28a"),
        (nearly_greatest, "epsilon_greedy_probabilities", "G18"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_wrong_forms_of_strangers_are_named(function, name, bug):
    verdict = rlverify.check(function, name, dtype="float64", budget=100)
    assert verdict.title == f"WRONG({bug})"


def test_a_mask_that_is_ignored_is_wrong():
    assert rlverify.check(never_masked, "categorical_log_prob", budget=60).grade == "WRONG"


def selected_afterwards(logits, mask):
    log_probs = torch.log_softmax(logits.masked_fill(~mask, -math.inf), -1)
    policy = log_probs.exp()
    return -torch.where(policy > 0, policy * log_probs, torch.zeros_like(policy)).sum(-1)


def test_a_nan_that_only_the_gradient_shows_is_found():
    verdict = rlverify.check(selected_afterwards, "categorical_entropy", budget=60)
    assert verdict.grade == "WRONG"
    assert "its values are right, its gradient is not" in verdict.diagnosis
