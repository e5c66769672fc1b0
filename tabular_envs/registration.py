"""The processes of this package under Gymnasium ids, for `gymnasium.make` and `make_vec`.

    gymnasium.make("rlverify/Corridor-v0", length=12)
    gymnasium.make_vec("rlverify/Corridor-v0", num_envs=4, autoreset_mode="SameStep")

Other keywords than those of Gymnasium and of the environments go to the process's builder.
"""

from collections.abc import Callable
from typing import Any

import gymnasium

from rlverify.tabular_envs.environments import (
    chain,
    cliff,
    corridor,
    grid,
    sentences,
    two_button_game,
)
from rlverify.tabular_envs.finite_mdp import FiniteMDP
from rlverify.tabular_envs.garnet import garnet
from rlverify.tabular_envs.tabular_env import TabularEnv, TabularVectorEnv

BUILDERS: dict[str, Callable[..., FiniteMDP]] = {
    function.__name__: function
    for function in (two_button_game, chain, corridor, grid, cliff, sentences, garnet)
}

# id: (builder, its arguments, time limit)
ENVIRONMENTS: dict[str, tuple[str, dict[str, Any], int | None]] = {
    "rlverify/TwoButtonGame-v0": ("two_button_game", {}, None),
    "rlverify/TwoButtonGamePlus100-v0": ("two_button_game", {"bonus": 100}, None),
    "rlverify/Chain-v0": ("chain", {"length": 5}, 50),
    "rlverify/Corridor-v0": ("corridor", {"length": 8}, 16),
    "rlverify/Grid-v0": ("grid", {"rows": 4, "columns": 4}, 64),
    "rlverify/Cliff-v0": ("cliff", {}, 200),
    "rlverify/Garnet-v0": (
        "garnet",
        {"states": 10, "actions": 3, "branching": 4, "seed": 0, "ending": 0.0625},
        100,
    ),
}


def make_env(builder: str, **settings: Any) -> TabularEnv:
    """Build the environment that an id stands for; Gymnasium adds the time limit.

    Args:
        builder: name of a function of `BUILDERS`.
        **settings: the builder's arguments.
    """
    return TabularEnv(BUILDERS[builder](**settings))


def make_vector_env(
    builder: str,
    *,
    num_envs: int = 1,
    max_episode_steps: int | None = None,
    autoreset_mode: Any = gymnasium.vector.AutoresetMode.NEXT_STEP,
    **settings: Any,
) -> TabularVectorEnv:
    """Build the vector environment that an id stands for.

    Args:
        builder: name of a function of `BUILDERS`.
        num_envs: number of columns.
        max_episode_steps: the time limit; Gymnasium passes the id's own.
        autoreset_mode: an `AutoresetMode`, or its value as a string.
        **settings: the builder's arguments.
    """
    return TabularVectorEnv(
        BUILDERS[builder](**settings),
        num_envs,
        max_episode_steps=max_episode_steps,
        autoreset_mode=autoreset_mode,
    )


def register_environments() -> None:
    """Register every id of `ENVIRONMENTS`; an id that is already there stays as it is."""
    for env_id, (builder, settings, limit) in ENVIRONMENTS.items():
        if env_id not in gymnasium.registry:
            gymnasium.register(
                env_id,
                entry_point=f"{__name__}:make_env",
                vector_entry_point=f"{__name__}:make_vector_env",
                max_episode_steps=limit,
                kwargs={"builder": builder, **settings},
            )
