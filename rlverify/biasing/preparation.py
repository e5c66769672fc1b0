"""From what a user writes to a situation: processes, policies, critics, numbers.

Numbers are read as the fractions that they are written as, 0.9 as 9/10, so that the answer can
be exact. It is where the process allows it: its rows must sum to exactly 1.
"""

import ast
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from rlverify.biasing.situation import Situation
from rlverify.rationalization import lifted_entries, rational_policy, require_policy
from rlverify.settings import nearest
from rlverify.tabular_envs.finite_mdp import FiniteMDP
from rlverify.tabular_envs.registration import BUILDERS

# two states, a transition that ends; no two rewards are alike and none is 0, so that a
# mistake in any of them shows, and on it variance falls from baseline to better baseline
DEFAULT = "garnet(2, 2, 1, seed=22, ending=0.25)"


def process(written: str) -> FiniteMDP:
    """Return the process that `corridor(3)`, `FILE.npz` or `FILE.json` names.

    Raises:
        ValueError: there is none, or its arguments or the file are refused.
        OSError: the file cannot be read.
    """
    if written.endswith((".npz", ".json")):
        if not Path(written).is_file():
            raise ValueError(f"mdp came as {written!r}, but there is no such file.")
        return FiniteMDP.load(written)
    refusal = ValueError(
        f"mdp came as {written!r}, wanted FILE.npz, FILE.json or a process of tabular_envs with "
        f"its arguments, such as corridor(3); there are {', '.join(sorted(BUILDERS))}."
    )
    try:
        tree = ast.parse(written.strip(), mode="eval").body
    except SyntaxError:
        raise refusal from None
    call = tree if isinstance(tree, ast.Call) else ast.Call(tree, [], [])
    if not isinstance(call.func, ast.Name):
        raise refusal
    if call.func.id not in BUILDERS:
        raise ValueError(
            f"mdp came as {written!r}, but there is no process {call.func.id!r}; "
            f"{nearest(call.func.id, sorted(BUILDERS))}"
        )
    try:
        given = [ast.literal_eval(item) for item in call.args]
        named = {str(item.arg): ast.literal_eval(item.value) for item in call.keywords}
        return BUILDERS[call.func.id](*given, **named)
    except (TypeError, ValueError) as error:
        raise ValueError(f"mdp came as {written!r}, which is refused: {error}") from None


def fraction(name: str, written: Any) -> Fraction:
    """Return the number that `1/2`, `0.5` or 2 stands for; floats as they are printed.

    Raises:
        ValueError: it stands for none.
    """
    try:
        return Fraction(repr(written) if isinstance(written, float) else written)
    except (ValueError, TypeError, ZeroDivisionError, OverflowError):
        raise ValueError(f"{name} came as {written!r}, wanted a number such as 1/2.") from None


def uniform(mdp: FiniteMDP) -> Float[np.ndarray, "S A"]:
    """Every action alike."""
    return rational_policy([[1] * mdp.actions] * mdp.states)


def slanted(mdp: FiniteMDP) -> Float[np.ndarray, "S A"]:
    """Odd weights 1, 3, 5 …, which begin elsewhere in every state: no two actions alike.

    A uniform policy hides mistakes: all scores then have the same length.
    """
    rows = range(mdp.states)
    return rational_policy(
        [[1 + 2 * ((s + a) % mdp.actions) for a in range(mdp.actions)] for s in rows]
    )


POLICIES = {"slanted": slanted, "uniform": uniform}


def policy(name: str, written: Any, mdp: FiniteMDP) -> Float[np.ndarray, "S A"]:
    """Return the policy that `uniform`, `slanted`, `FILE.npy` or `FILE.json` names.

    A file holds probabilities, a row a state; in JSON as numbers or texts such as "1/3".

    Raises:
        ValueError: there is none, or it is none of this process.
        TypeError: it is an array of another type.
    """
    if isinstance(written, str) and written in POLICIES:
        return POLICIES[written](mdp)
    found = numbers(name, written, "FILE.npy, FILE.json, uniform or slanted")
    require_policy("bias", mdp, **{name: found})
    return np.asarray(found)


def numbers(name: str, written: Any, wanted: str) -> Any:
    """Return the array in a file or of a caller; numbers written in JSON as fractions."""
    if isinstance(written, np.ndarray):
        return written
    path = Path(str(written))
    if path.suffix not in (".npy", ".json"):
        raise ValueError(f"{name} came as {written!r}, wanted {wanted}.")
    if not path.is_file():
        raise ValueError(f"{name} came as {written!r}, but there is no such file.")
    try:
        if path.suffix == ".npy":
            return np.load(path, allow_pickle=False)
        rows = json.loads(path.read_text(encoding="utf-8"), parse_float=Fraction)
        found = np.array(rows, dtype=object)
        lifted = np.empty(found.shape, dtype=object)
        lifted.reshape(-1)[:] = [fraction(name, item) for item in found.ravel().tolist()]
        return lifted
    except (ValueError, TypeError, OSError) as error:
        raise ValueError(f"{name}: {written} cannot be read: {error}") from None


def critic(written: Any, mdp: FiniteMDP, horizon: int) -> tuple[Any, Any]:
    """Return (error, table) of the critic that `exact`, `zero`, `+1/2` or a file stands for.

    A file holds V, a number a state or a row of them a time (H + 1 rows).

    Raises:
        ValueError: it stands for none of this process.
    """
    wanted = "exact, zero, a number to add such as +1/2, FILE.npy or FILE.json"
    if isinstance(written, str):
        if written == "exact":
            return None, None
        if written == "zero":
            return None, lifted_entries(np.zeros(mdp.states), True)
        if written[:1] in "+-":
            return np.array([fraction("critic", written)] * mdp.states, dtype=object), None
    found = numbers("critic", written, wanted)
    shapes = ((mdp.states,), (horizon + 1, mdp.states))
    if found.shape not in shapes:
        raise ValueError(
            f"critic came with shape {found.shape}, wanted {shapes[0]} or {shapes[1]}: a number "
            f"a state, or a row of them a time."
        )
    return None, lifted_entries(found, True) if found.dtype != object else found


def situation(
    *,
    mdp: Any = None,
    policy_: Any = None,
    behaviour: Any = None,
    horizon: int,
    gamma: Any,
    lam: Any,
    batch: int,
    critic_: Any = "exact",
    bootstrap: bool = False,
    exact: bool | None = None,
) -> tuple[Situation, tuple[str, ...]]:
    """Return a situation, and notes on what could not be had as asked.

    Args:
        mdp: a process, or words for one; None is `DEFAULT`.
        policy_: probabilities, or words; None is `slanted`.
        behaviour: likewise, or None for the policy itself.
        horizon: number of steps.
        gamma: discount, a number or words.
        lam: λ, likewise.
        batch: number of trajectories in a batch.
        critic_: words, or an array.
        bootstrap: whether the critic counts for what follows the horizon.
        exact: whether to compute in fractions; None: where that is possible.

    Raises:
        TypeError, ValueError: with what was wanted in its place.
    """
    for name, value, least in (("horizon", horizon, 1), ("batch", batch, 1)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"{name} came as {value!r}, wanted an integer of at least {least}.")
    words = mdp if isinstance(mdp, str) else DEFAULT if mdp is None else mdp.name
    chosen = mdp if isinstance(mdp, FiniteMDP) else process(words)
    numbers = {"gamma": fraction("gamma", gamma), "lam": fraction("lam", lam)}
    for name, given in numbers.items():
        if not 0 <= given <= 1:
            raise ValueError(f"{name} came as {given}, wanted a number in [0, 1].")
    target = policy("policy", "slanted" if policy_ is None else policy_, chosen)
    acting = None if behaviour is None else policy("behaviour", behaviour, chosen)
    error, table = critic(critic_, chosen, horizon)
    asked = {"mdp": words, "critic": critic_ if isinstance(critic_, str) else "given"}
    asked["policy"] = policy_ if isinstance(policy_, str) else "slanted" if policy_ is None else ""
    asked["behaviour"] = behaviour if isinstance(behaviour, str) else ""
    found = Situation(
        chosen, target, acting, numbers["gamma"], numbers["lam"], horizon, batch,
        error, table, bootstrap, tuple(asked.items()),
    )  # fmt: skip
    missing = "" if acting is None else _missing(target, acting)
    reason = _inexact(found)
    if exact and reason:
        raise ValueError(f"exact arithmetic is not possible here: {reason}")
    notes: tuple[str, ...] = (missing,) if missing else ()
    if exact is False or reason:
        notes += (f"computed in float64: {reason}",) if reason else ()
        return found.floating(), notes
    return found, notes


def _missing(target: Any, acting: Any) -> str:
    """Say what the target policy does that the acting one never does."""
    lacking = np.argwhere((target > 0) & (acting == 0)).tolist()
    if not lacking:
        return ""
    state, action = lacking[0]
    return (
        f"the behaviour never takes action {action} in state {state}, which the policy takes: "
        f"what follows is missing from every sum, and importance weights cannot bring it back"
    )


def _inexact(found: Situation) -> str:
    """Return why exact arithmetic is not possible; nothing if it is."""
    given = [item for item in (found.policy, found.behaviour) if item is not None]
    if any(item.dtype != object for item in given):
        return "a policy came as floats"
    try:
        require_policy("exact", found.mdp, policy=found.policy)
    except ValueError as refusal:
        return str(refusal).removeprefix("exact: ")
    return ""
