"""The TRPO update of a module: moves like the vector's, any spread, frozen parameters."""

import numpy as np
import pytest
import torch
from hypothesis import given

from rlverify.checking import truth
from rlverify.contracts import find
from rlverify.contracts._trpo_cases import good_update, updates
from rlverify.contracts._trpo_update import NARROWING
from rlverify.fast import trpo as fast
from rlverify.fast.networks import flat_parameters, mlp_module
from trpo_runs import bits, knobs_of, samples_of

UPDATE = find("trpo_update")


def module_of(case):
    """Return a module with the parameters of a case; log σ is a parameter of its own."""
    module = mlp_module(sizes=case["sizes"], activation=case["activation"]).double()
    place = torch.tensor(case["parameters"])
    network = place[: flat_parameters(module).numel()]
    torch.nn.utils.vector_to_parameters(network, module.parameters())
    if case["distribution"] == "gaussian":
        module.register_parameter("log_std", torch.nn.Parameter(place[network.numel() :].clone()))
    return module


def placed(module, case):
    """Return the module's parameters in the order of the flat vector."""
    named = dict(module.named_parameters())
    spread = [named.pop("log_std")] if case["distribution"] == "gaussian" else []
    return torch.cat([p.detach().reshape(-1) for p in (*named.values(), *spread)])


@given(case=updates())
def test_module_moves_like_the_vector(case):
    """A module's update lies within the bounds of the same policy as one vector."""
    module = module_of(case)
    found = fast.trpo_module_update(module, *samples_of(case), **knobs_of(case))
    known = truth(UPDATE, case, "float64")
    moved = placed(module, case)
    if not found.accepted:
        assert bits(moved) == case["parameters"].tobytes()
    outputs = {"parameters": moved, **found._asdict(), "parameters": moved}  # noqa: F601
    for name, value in outputs.items():
        away = np.abs(np.asarray(value, dtype=float) - known.value[name])
        assert (away <= known.allowed[name]).all(), name


class Wide(torch.nn.Module):
    """A Gaussian policy whose σ depends on the state."""

    def __init__(self):
        super().__init__()
        self.body, self.mean = torch.nn.Linear(2, 3), torch.nn.Linear(3, 2)
        self.spread = torch.nn.Linear(3, 2)
        self.double()

    def forward(self, inputs):
        hidden = self.body(inputs).tanh()
        return self.mean(hidden), self.spread(hidden)


def kl_between(before, after):
    """Return the mean divergence of two Gaussians, by torch's own formula."""
    old, new = (torch.distributions.Normal(mean, spread.exp()) for mean, spread in (before, after))
    return torch.distributions.kl_divergence(old, new).sum(-1).mean()


def test_module_with_a_spread_of_its_own():
    """Every parameter of a module moves, σ's too; the divergence stays within the bound."""
    torch.manual_seed(0)
    module, inputs = Wide(), torch.randn(64, 2).double()
    with torch.no_grad():
        mean, spread = module(inputs)
        actions = mean + spread.exp() * torch.randn(64, 2).double()
        policy = torch.distributions.Normal(mean, spread.exp())
        log_probs = policy.log_prob(actions).sum(-1)
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    gains = (actions - mean).square().sum(-1) - 2  # wider is better
    knobs = knobs_of(NARROWING, delta=0.01, max_backtracks=10, cg_iterations=30)
    found = fast.trpo_module_update(module, inputs, actions, log_probs, gains, **knobs)
    assert found.accepted
    assert all((p != before[name]).all() for name, p in module.named_parameters())
    with torch.no_grad():
        after = module(inputs)
    kl = kl_between((mean, spread), after)
    # torch's formula is naive: each of its terms is known to a rounding of the largest
    assert abs(kl - found.kl) < 64 * torch.finfo(torch.float64).eps
    assert 0 < found.kl <= 0.01
    assert after[1].mean() > spread.mean()


def test_module_keeps_what_needs_no_gradient():
    """Frozen parameters stay, and no parameter is left with a gradient."""
    module = mlp_module(sizes=(2, 3, 3), activation="tanh").double()
    module[0].weight.requires_grad_(requires_grad=False)
    before = [p.detach().clone() for p in module.parameters()]
    case = good_update()
    inputs, actions, _, advantages = samples_of(case)
    log_probs = module(inputs).log_softmax(-1)[range(4), actions].detach()
    found = fast.trpo_module_update(
        module, inputs, actions, log_probs, advantages, **knobs_of(case)
    )  # fmt: skip
    assert found.accepted
    same = [torch.equal(p, old) for p, old in zip(module.parameters(), before, strict=True)]
    assert same == [True, False, False, False]
    assert all(p.grad is None for p in module.parameters())


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_module_update_refuses_odd_advantages_by_name(number):
    """NaN among the advantages is named before anything is computed."""
    module = torch.nn.Linear(1, 2)
    before = flat_parameters(module).detach()
    inputs, actions = torch.zeros(2, 1), torch.zeros(2, dtype=torch.int64)
    with pytest.raises(ValueError, match="trpo_module_update: advantages came with"):
        fast.trpo_module_update(
            module, inputs, actions, torch.zeros(2), torch.tensor([1.0, number]),
            **knobs_of(NARROWING, distribution="categorical"),
        )  # fmt: skip
    assert torch.equal(flat_parameters(module), before)
