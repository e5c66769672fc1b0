"""Tables that learn: their states, who acts, in which order each rule is applied, refusals."""

from fractions import Fraction
from typing import Any

import gymnasium
import numpy as np
import pytest

from rlverify.reference.categorical import epsilon_greedy_probabilities
from rlverify.reference.tabular_q import discretize
from rlverify.training import correction
from rlverify.training.commanding import task_of
from rlverify.training.computation import Fast, Reference
from rlverify.training.configuration import RULES, Tabular
from rlverify.training.discretization import Table, table_of
from rlverify.training.exploration import NOBODY, Passage, collect_transitions, looked_up
from rlverify.training.initialization import ORDER, Moment, State, Task
from rlverify.training.interaction import episode_seed
from rlverify.training.learning import world_of
from rlverify.training.running import Run
from short_runs import task

# states


def settings(*given: str, environment: str = "CartPole-v1") -> Tabular:
    found = task_of("q_learning", environment, list(given), None, 0).settings
    assert isinstance(found, Tabular)
    return found


@pytest.mark.parametrize("cells", ["3", "1,2,5,3"])
def test_rows_are_those_of_the_reference(cells: str):
    table = table_of("CartPole-v1", settings(f"cells={cells}"))
    rng = np.random.default_rng(0)
    observations = rng.normal(size=(2000, 4)) * [2.4, 3, 0.21, 3]
    for d, edges in enumerate(table.edges):  # on every edge there is, too
        finite = [edge for edge in edges if np.isfinite(edge)]
        if finite:
            observations[:500, d] = rng.choice(finite, 500)
    rows = table.rows(observations)
    np.testing.assert_array_equal(rows, discretize(observations, table.grid))
    widths = [int(n) for n in cells.split(",")] * (1 if "," in cells else 4)
    assert len(np.unique(rows)) == np.prod(widths)
    assert rows.max() < table.states == max(widths) ** 4


def test_cells_are_equal_and_the_outer_ones_endless():
    table = table_of("CartPole-v1", settings("cells=4,1,2,1", "low=-2,0,-1,0", "high=2,1,1,1"))
    end = np.inf
    assert table.edges == ((-1.0, 0.0, 1.0), (end,) * 3, (0.0, end, end), (end,) * 3)


def test_bounds_of_the_environment_are_the_grid_if_nothing_is_said():
    table = table_of("MountainCar-v0", settings("cells=2", environment="MountainCar-v0"))
    env = gymnasium.make("MountainCar-v0")
    low, high = (
        x.astype(np.float64) for x in (env.observation_space.low, env.observation_space.high)
    )
    np.testing.assert_array_equal(table.grid, np.linspace(low, high, 3)[1:-1].T)
    assert table.states == 4
    env.close()


@pytest.mark.parametrize(
    ("name", "full", "states", "actions"),
    [
        ("FrozenLake-v1", "FrozenLake-v1", 16, 4),
        ("CliffWalking", "CliffWalking-v1", 48, 4),
        ("Taxi", "Taxi-v4", 500, 6),
        ("CartPole-v1", "CartPole-v1", 8**4, 2),
    ],
)
def test_problems_have_tables(name: str, full: str, states: int, actions: int):
    table = task_of("q_learning", name, [], None, 0).problem
    assert isinstance(table, Table)
    assert (table.name, table.states, table.outputs) == (full, states, actions)


# acting


def test_actions_are_drawn_with_the_probabilities_of_the_policy():
    """Of 48 uniform numbers in equal distances each action gets exactly its share."""
    values = np.array([[2.0, 1.0, 2.0, 0.0], [0.0, 0.0, 0.0, 3.0]])
    policy = epsilon_greedy_probabilities(values, epsilon=0.5)
    uniforms = (np.arange(48) + 0.5) / 48
    for row in policy:
        actions = looked_up(np.tile(row, (48, 1)), uniforms)
        np.testing.assert_array_equal(np.bincount(actions, minlength=4), row * 48)


def test_rounding_gives_nothing_to_an_action_without_a_share():
    share = np.array([[0.1] * 10 + [0.0]])  # sums to less than 1
    assert share.cumsum()[-1] < 1
    assert looked_up(share, np.array([np.nextafter(1, 0)])).tolist() == [9]


@pytest.mark.parametrize("rule", ["q_learning", "double_q"])
def test_epsilon_falls_to_its_end_and_the_policy_follows(rule: str):
    """Of two tables it is the sum that acts."""
    given = ["exploration=0.5", "epsilon_start=0.75", "epsilon_end=0.25", f"rule={rule}"]
    small = task("q_learning", *given)
    run = Run(small, Reference())
    assert run.state["epsilon"] == 0.75
    for moment in run.updates():
        wanted = Reference()(
            "linear_schedule", step=float(moment.steps), start=0.75, end=0.25, steps=350.0
        )
        assert run.state["epsilon"] == wanted
        policy = epsilon_greedy_probabilities(run.state["q_values"].sum(axis=0), epsilon=wanted)
        np.testing.assert_array_equal(run.state["policy"], policy)
    assert run.state["epsilon"] == 0.25
    run.close()


# order


def taken_of(run: Run) -> Passage:
    return collect_transitions(run.state, run.moment, run.task, run.world)


def test_transitions_are_in_online_order():
    """Time first, then columns; a column goes on where it was, or in a new episode."""
    small = task("q_learning", "horizon=40")
    run = Run(small, Reference())
    taken = taken_of(run)
    seen, following = (x.reshape(40, 3) for x in (taken.observations, taken.next_observations))
    ended = taken.terminated.reshape(40, 3)
    assert ended.any()  # no time limit within 40 steps
    np.testing.assert_array_equal(np.where(ended[:-1], 0, following[:-1]), seen[1:])
    assert run.world.steps == 120
    run.close()


def test_sarsa_takes_the_action_that_its_target_is_of():
    # who acts at random ends an episode before its time limit does
    small = task("q_learning", "rule=sarsa", "environments=2", "horizon=3", "epsilon_end=1")
    run, actions, nexts, ended = Run(small, Reference()), [], [], []
    while run.going:
        taken = taken_of(run)
        # the run's own collecting is replaced by the one that was just made
        run.state = correction.q_learning(run.state, taken, run.moment, small, run.twins)
        run.moment = Moment(run.moment.update + 1, run.world.steps)
        actions.append(taken.actions.reshape(3, 2))
        nexts.append(taken.next_actions.reshape(3, 2))
        ended.append(taken.terminated.reshape(3, 2))
    run.close()
    acted, meant, over = (np.concatenate(parts) for parts in (actions, nexts, ended))
    assert over.any()
    going = ~over[:-1]
    np.testing.assert_array_equal(acted[1:][going], meant[:-1][going])
    assert (acted[1:] != meant[:-1])[~going].any()


def walk(small: Task) -> tuple[State, Passage]:
    """Return a table of short numbers and transitions that visit few pairs again and again."""
    rng = np.random.default_rng(5)
    count, many = (2 if small.settings.rule == "double_q" else 1), 9  # so that nothing is rounded
    table = rng.permutation(np.arange(count * 64)).reshape(count, 16, 4) / 8
    states, nexts = rng.integers(0, 3, (2, many, 1))
    actions, later = rng.integers(0, 2, (2, many))
    taken = Passage(
        states.astype(float), actions, rng.integers(-8, 9, many) / 4, nexts.astype(float), later,
        rng.random(many) < 0.2, np.full(3, NOBODY),
    )  # fmt: skip
    return {"q_values": table, "epsilon": np.array(0.5)}, taken


@pytest.mark.parametrize("rule", RULES)
def test_rules_are_applied_one_transition_after_another(rule: str):
    """As a plain loop over fractions has it, in which nothing is rounded."""
    small = task("q_learning", f"rule={rule}", "gamma=0.5", "learning_rate=0.5",
                 "anneal_learning_rate=off")  # fmt: skip
    state, taken = walk(small)
    half = Fraction(1, 2)
    tables: Any = [[[Fraction(v) for v in row] for row in table] for table in state["q_values"]]
    coins = small.generator(ORDER, 2).random(len(taken.rewards)) < 0.5
    for n, reward in enumerate(taken.rewards):
        learns = tables[int(coins[n])] if rule == "double_q" else tables[0]
        row = learns[int(taken.next_observations[n, 0])]
        best = row.index(max(row))
        if rule == "q_learning":
            follows = row[best]
        elif rule == "sarsa":
            follows = row[taken.next_actions[n]]
        elif rule == "expected_sarsa":
            follows = half * row[best] + half * sum(row) / 4
        else:
            other = tables[1 - int(coins[n])][int(taken.next_observations[n, 0])]
            follows = other[best]
        if taken.terminated[n]:
            follows = Fraction(0)
        place = learns[int(taken.observations[n, 0])]
        error = Fraction(reward) + half * follows - place[taken.actions[n]]
        place[taken.actions[n]] += half * error
    for twins in (Reference(), Fast()):
        found = correction.q_learning(state, taken, Moment(2, 42), small, twins)["q_values"]
        assert found.tolist() == tables  # floats equal fractions only if they are the same number
        assert (found != state["q_values"]).sum() >= 4


def test_one_table_learns_at_a_time():
    small = task("q_learning", "rule=double_q")
    run = Run(small, Reference())
    for _ in run.updates():
        pass
    first, second = run.state["q_values"]
    assert (first != second).any()
    assert (first != 1).any()
    assert (second != 1).any()
    run.close()


def test_a_time_limit_is_no_end():
    """Of a truncated episode the last transition says that something follows."""
    given = ["steps=600", "environments=1", "horizon=300", "epsilon_end=1"]
    small = task_of("q_learning", "Taxi", given, None, 0)
    state = correction.start(small, Reference())
    world = world_of(small, Reference())
    taken = collect_transitions(state, Moment(), small, world)
    assert [episode.length for episode in world.ended] == [200]
    assert not taken.terminated[199]
    world.close()
    # played by hand, the episode ends in the state that the last transition leads to
    env = gymnasium.make("Taxi-v4")
    env.reset(seed=episode_seed(small.seed, 0, 0))
    for action in taken.actions[:200]:
        final, _, _, cut, _ = env.step(int(action))
    assert cut
    assert taken.next_observations[199] == final != taken.observations[200]
    env.close()


def test_single_precision_has_its_own_edges():
    table = table_of("CartPole-v1", settings("cells=3", "dtype=float32"))
    assert all(np.float32(edge) == edge for edges in table.edges for edge in edges)


# refusals


@pytest.mark.parametrize(
    ("environment", "given", "told"),
    [
        ("Blackjack-v1", [], "its observations are Tuple(Discrete(32), Discrete(11), Discrete(2)), "
         "wanted Discrete, or a flat Box to put a grid on."),
        ("Pendulum-v1", [], "wanted Discrete: a table has a column for each."),
        ("FrozenLak-v1", [], "did you mean 'FrozenLake-v1'?"),
        ("tokens", [], "tokens is not for q_learning"),
        ("CartPole-v1", ["low=none"], "number 1 of its observations has no bound; "
         "--set low=… with a number for each of the 4."),
        ("CartPole-v1", ["high=1,2"], "its observations have 4 numbers, but high has 2"),
        ("CartPole-v1", ["high=-3,3,1,3"], "a grid needs low below high"),
        ("CartPole-v1", ["cells=3,4"], "its observations have 4 numbers, but cells has 2"),
        ("CartPole-v1", ["cells=60"], "its table would have 60^4 rows, wanted more than one and"),
        ("CartPole-v1", ["cells=50"], "its table would have 6250000 rows of 2, wanted at most"),
        ("CartPole-v1", ["cells=1000000000000"], "its table would have 1000000000000^4 rows"),
        ("CartPole-v1", ["cells=1"], "its table would have 1^4 rows, wanted more than one"),
        ("CartPole-v1", ["high=1e308,3,1,3", "low=-1e308,0,0,0"],
         "from -1e+308 to 1e+308 is too far for float64"),
        ("CartPole-v1", ["high=1e39,3,1,3", "dtype=float32"], "is too far for float32"),
        ("CartPole-v1", ["cells=0"], "wanted widths such as 64,64."),
        ("CartPole-v1", ["low=-1,x"], "wanted numbers such as -1,0.5, or none."),
        ("FrozenLake-v1", ["low=0"], "edges of a grid, and FrozenLake-v1 numbers its states."),
        ("FrozenLake-v1", ["rule=td"], "wanted one of q_learning, sarsa, expected_sarsa, double_q"),
        ("FrozenLake-v1", ["steps=15"], "wanted at least the 16"),
        ("FrozenLake-v1", ["hidden=8"], "q_learning has no 'hidden'"),
    ],
)  # fmt: skip
def test_what_no_table_fits_is_refused(environment: str, given: list[str], told: str):
    with pytest.raises(ValueError, match=r"(?s).") as caught:
        task_of("q_learning", environment, given, None, 0)
    assert told in str(caught.value)


def test_settings_of_an_environment_come_before_those_that_are_given():
    assert settings().cells == (3, 3, 8, 8)
    assert settings("cells=4").cells == (4,)
    assert settings(environment="FrozenLake-v1").cells == (8,)
