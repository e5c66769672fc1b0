"""Small cases of every whole update, and updates of which one stage goes wrong."""

import numpy as np

from rlverify.errors import layer_parameters
from rlverify.fast import a2c as fast_a2c
from rlverify.fast import dqn_update as fast_dqn
from rlverify.fast import grpo_update as fast_grpo
from rlverify.fast import ppo_update as fast_ppo
from rlverify.fast import reinforce as fast_reinforce
from rlverify.fast import trpo as fast_trpo
from rlverify.reference import a2c, dqn_update, grpo_update, ppo_update, reinforce, trpo
from rlverify.reference._updates import evaluate, evaluate_policy
from rlverify.reference.categorical import categorical_log_prob
from rlverify.reference.networks import mlp_forward

SIZES, CRITIC_SIZES, SAMPLES = (3, 4, 4, 2), (3, 4, 4, 1), 12
ADAM = {"count": 3, "learning_rate": 2.0**-5, "beta1": 0.9, "beta2": 0.99, "eps": 2.0**-10}
UPDATES = {
    "ppo_update": (ppo_update.ppo_update, fast_ppo.ppo_update),
    "value_update": (ppo_update.value_update, fast_ppo.value_update),
    "a2c_update": (a2c.a2c_update, fast_a2c.a2c_update),
    "trpo_update": (trpo.trpo_update, fast_trpo.trpo_update),
    "reinforce_update": (reinforce.reinforce_update, fast_reinforce.reinforce_update),
    "grpo_update": (grpo_update.grpo_update, fast_grpo.grpo_update),
    "dqn_update": (dqn_update.dqn_update, fast_dqn.dqn_update),
}
# update, distribution
CASES = [
    *((name, d) for name in ("ppo_update", "a2c_update", "trpo_update", "reinforce_update")
      for d in ("categorical", "gaussian")),
    ("value_update", "none"),
    ("grpo_update", "categorical"),
    ("dqn_update", "none"),
]  # fmt: skip


def moments(rng, count):
    return {"first": rng.normal(size=count) / 8, "second": rng.random(count) / 8}


def case(name, distribution, seed=0):
    """Return arguments of an update in which every stage has something to do."""
    rng = np.random.default_rng(seed)
    network = {"sizes": SIZES, "activation": "tanh", "distribution": distribution}
    inputs = rng.normal(size=(SAMPLES, SIZES[0]))
    actions = rng.integers(0, SIZES[-1], SAMPLES)
    if distribution == "gaussian":
        actions = rng.normal(size=(SAMPLES, SIZES[-1]))
    orders = np.stack([rng.permutation(SAMPLES) for _ in range(2)])
    advantages, returns = rng.normal(size=(2, SAMPLES))
    policy = rng.normal(size=layer_parameters(SIZES) + 2 * (distribution == "gaussian")) / 2
    critic = rng.normal(size=layer_parameters(CRITIC_SIZES)) / 2
    both = np.concatenate([policy, critic])
    if name == "value_update":
        return {
            "critic_parameters": critic, "inputs": inputs, "returns": returns,
            "permutations": orders, **moments(rng, len(critic)), "critic_sizes": CRITIC_SIZES,
            "activation": "tanh", "minibatch_size": 5, **ADAM,
        }  # fmt: skip
    if name == "grpo_update":
        return tokens(rng, policy)
    if name == "dqn_update":
        target = rng.normal(size=len(policy)) / 2
        return {
            "parameters": policy, "target_parameters": target, "observations": inputs,
            "actions": actions, "rewards": advantages,
            "next_observations": rng.normal(size=inputs.shape), "terminated": returns > 1,
            **moments(rng, len(policy)), "sizes": SIZES, "activation": "tanh", "gamma": 0.75,
            "double": True, "huber": 0.5, "max_norm": 0.0625, **ADAM,
        }  # fmt: skip
    if name == "reinforce_update":
        return {
            "parameters": policy, "inputs": inputs, "actions": actions, "weights": advantages,
            **moments(rng, len(policy)), **network, **ADAM,
        }  # fmt: skip
    if name == "trpo_update":
        log_probs, _ = evaluate_policy(policy, inputs, actions, **network)
        return {
            "parameters": policy, "inputs": inputs, "actions": actions, "log_probs": log_probs,
            "advantages": advantages, **network, "delta": 0.125, "damping": 2.0**-6,
            "cg_iterations": 10, "cg_tolerance": 2.0**-30, "backtrack": 0.5, "max_backtracks": 6,
        }  # fmt: skip
    network["critic_sizes"] = CRITIC_SIZES
    shared = {
        "parameters": both, "inputs": inputs, "actions": actions, "advantages": advantages,
        "returns": returns, **network, "value_coefficient": 0.5, "entropy_coefficient": 0.125,
        "max_norm": 0.25,
    }  # fmt: skip
    if name == "a2c_update":
        knobs = {"learning_rate": 2.0**-5, "decay": 0.9, "eps": 2.0**-10, "eps_inside": False}
        return {**shared, "squares": rng.random(len(both)) / 8, **knobs}
    was = evaluate(both, inputs, actions, **network)
    return {
        **shared, "old_log_probs": was.log_probs + rng.normal(size=SAMPLES) / 8,
        "old_values": was.values + rng.normal(size=SAMPLES) / 8, "permutations": orders,
        **moments(rng, len(both)), "minibatch_size": 5, "normalize": True, "ddof": 0,
        "advantage_eps": 2.0**-20, "clip_range": 0.125, "value_clip_range": 0.125,
        "target_kl": 0.25, **ADAM,
    }  # fmt: skip


def tokens(rng, policy):
    """Return arguments of `grpo_update`: answers of one to four tokens."""
    inputs = rng.normal(size=(6, 4, SIZES[0]))
    mask = np.arange(4) < np.array([1, 2, 3, 4, 4, 2])[:, None]
    actions = rng.integers(0, SIZES[-1], (6, 4))
    logits = mlp_forward(policy, inputs.reshape(24, -1), sizes=SIZES, activation="tanh")
    log_probs = categorical_log_prob(logits.reshape(6, 4, -1), actions, None)
    return {
        "parameters": policy, "inputs": inputs, "actions": actions,
        "old_log_probs": log_probs + rng.normal(size=(6, 4)) / 8,
        "reference_log_probs": log_probs + rng.normal(size=(6, 4)) / 8,
        "advantages": rng.normal(size=6), "mask": mask,
        "permutations": np.stack([rng.permutation(6) for _ in range(2)]),
        **moments(rng, len(policy)), "sizes": SIZES, "activation": "tanh", "minibatch_size": 4,
        "clip_range": 0.125, "beta": 0.25, "kl_estimator": "k3", "ratio": "token",
        "aggregation": "token_mean", "normalizer": 8.0, "max_norm": 0.25, **ADAM,
    }  # fmt: skip
