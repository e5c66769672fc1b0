"""TRPO as strangers write it: a whole update, its known bugs, its parts."""

import numpy as np
import pytest

import rlverify

LIBRARY = """
import torch

def flat(layers): return torch.cat([p.reshape(-1) for layer in layers for p in layer])

def trpo_step(params, obs, acts, logp, adv, layer_sizes, activation, distribution, max_kl,
              cg_damping, cg_iters, cg_tol, backtrack_coeff, backtrack_iters):
    act = torch.tanh if activation == "tanh" else torch.relu
    def dist(theta):
        x, start = obs, 0
        for k, (i, o) in enumerate(zip(layer_sizes[:-1], layer_sizes[1:])):
            w = theta[start : start + i * o].reshape(o, i); start += i * o
            x = x @ w.T + theta[start : start + o]; start += o
            x = act(x) if k < len(layer_sizes) - 2 else x
        if distribution == "categorical":
            return torch.distributions.Categorical(logits=x)
        wide = torch.distributions.Normal(x, theta[start:].exp())
        return torch.distributions.Independent(wide, 1)
    old = dist(params.detach())
    def surrogate(theta): return ((dist(theta).log_prob(acts) - logp).exp() * adv).mean()
    def kl(theta): return torch.distributions.kl_divergence(old, dist(theta)).mean()
    theta = params.detach().clone().requires_grad_()
    (g,) = torch.autograd.grad(surrogate(theta), theta)
    if not g.any():
        return params.clone()
    (slope,) = torch.autograd.grad(kl(theta), theta, create_graph=True)
    def hvp(v):
        return torch.autograd.grad(slope @ v, theta, retain_graph=True)[0] + cg_damping * v
    x, r = torch.zeros_like(g), g.clone()
    p, rr = r.clone(), r @ r
    for _ in range(cg_iters):
        if rr <= cg_tol ** 2 * (g @ g): break
        hp = hvp(p)
        alpha = rr / (p @ hp)
        x, r = x + alpha * p, r - alpha * hp
        rr, last = r @ r, rr
        p = r + rr / last * p
    length = torch.sqrt(2 * max_kl / (x @ hvp(x)))
    with torch.no_grad():
        start = surrogate(params)
        for j in range(backtrack_iters):
            new = params + backtrack_coeff ** j * length * x
            if KL(new) <= max_kl and surrogate(new) > start:
                return new
    return LEFT
"""


def stranger_update(kl="kl", left="params.clone()"):
    """Return an update as people write it, with its own names, double backward and all."""
    scope = {}
    exec(LIBRARY.replace("KL(new)", f"{kl}(new)").replace("LEFT", left), scope)
    return scope["trpo_step"]


def test_stranger_with_usual_names_is_right():
    """An update of torch's own distributions, twice differentiated, passes under its own names."""
    verdict = rlverify.check(stranger_update(), "trpo_update", arrays="torch", budget=60)
    assert verdict.ok, verdict
    assert "delta" in verdict.call


@pytest.mark.parametrize(
    ("changes", "bug"), [({"left": "new"}, "F1"), ({"kl": "0 * kl"}, "F2a")], ids=["F1", "F2"]
)
def test_stranger_with_a_known_bug_is_told_which(changes, bug):
    """What it leaves behind after a failed search, and what it accepts, is named."""
    verdict = rlverify.check(
        stranger_update(**changes), "trpo_update", arrays="torch", budget=100
    )  # fmt: skip
    assert verdict.grade == "WRONG"
    assert bug in verdict.qualifier.split(" | "), verdict


def test_stranger_line_search_and_step_length():
    """Both are judged under names that libraries give them."""

    def backtracking(f, kl_fn, x, fullstep, max_kl, backtrack_coeff, backtrack_iters):
        for j in range(backtrack_iters):
            new = x + backtrack_coeff**j * fullstep
            if f(new) > 0 and kl_fn(new) <= max_kl:
                return new, True
        return x.copy(), False

    def length(stepdir, hvp, max_kl):
        return np.sqrt(2 * max_kl / (stepdir @ hvp))

    assert rlverify.check(backtracking, "line_search", budget=60).ok
    assert rlverify.check(length, "step_length", budget=60).ok
