"""How long pathwise gradients take: this library, autograd through the sample, a copy."""

import torch

from racing import test_copy, test_fast, test_peer  # noqa: F401
from rlverify.fast.pathwise import GaussianGradient

TOPIC = "pathwise"


def through_the_sample(
    mean: torch.Tensor,
    log_std: torch.Tensor,
    normals: torch.Tensor,
    reward_gradients: torch.Tensor,
) -> GaussianGradient:
    """Return the gradients of the actions, weighed by the slopes: a backward pass."""
    leaves = [mean.clone().requires_grad_(), log_std.expand_as(mean).clone().requires_grad_()]
    actions = leaves[0] + leaves[1].exp() * normals
    return GaussianGradient(*torch.autograd.grad(actions, leaves, reward_gradients))


PEERS = {"gaussian_pathwise_gradient": through_the_sample}
