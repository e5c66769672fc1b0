"""Finite MDPs, their exact solutions, and Gymnasium environments.

Importing this package registers its environments (`rlverify/Corridor-v0` and others) with
Gymnasium, and does nothing else.
"""

from rlverify.tabular_envs.environments import (
    chain,
    chain_values,
    cliff,
    corridor,
    grid,
    sentences,
    two_button_game,
)
from rlverify.tabular_envs.exact import (
    PolicyValues,
    objective,
    objective_gradient,
    policy_values,
    visitation,
)
from rlverify.tabular_envs.finite_horizon import (
    horizon_gradient,
    horizon_objective,
    horizon_values,
    horizon_visitation,
)
from rlverify.tabular_envs.finite_mdp import FiniteMDP
from rlverify.tabular_envs.from_gymnasium import from_gymnasium
from rlverify.tabular_envs.garnet import garnet
from rlverify.tabular_envs.matrix_games import (
    best_response,
    expected_payoff,
    guaranteed_payoff,
    rock_paper_scissors,
)
from rlverify.tabular_envs.registration import register_environments
from rlverify.tabular_envs.tabular_env import TabularEnv, TabularVectorEnv

__all__ = [
    "FiniteMDP",
    "PolicyValues",
    "TabularEnv",
    "TabularVectorEnv",
    "best_response",
    "chain",
    "chain_values",
    "cliff",
    "corridor",
    "expected_payoff",
    "from_gymnasium",
    "garnet",
    "grid",
    "guaranteed_payoff",
    "horizon_gradient",
    "horizon_objective",
    "horizon_values",
    "horizon_visitation",
    "objective",
    "objective_gradient",
    "policy_values",
    "register_environments",
    "rock_paper_scissors",
    "sentences",
    "two_button_game",
    "visitation",
]

register_environments()
