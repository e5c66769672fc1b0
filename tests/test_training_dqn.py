"""DQN's loop: what is remembered, how it explores, when networks move, and the same for twins."""

import numpy as np
import pytest

from rlverify.training import commanding
from rlverify.training.action import layers
from rlverify.training.computation import Fast, Reference
from rlverify.training.initialization import Moment, beginning
from rlverify.training.learning import ALGORITHMS, world_of
from rlverify.training.running import Run
from rlverify.training.teaching import Teaching
from rlverify.training.valuation import Explorer, dqn_arguments
from short_runs import task

TWINS = {"reference": Reference, "fast": Fast, "both": Teaching}


def lived(small, twins, updates=1):
    """Return the world of a run that has collected some experience and learnt nothing."""
    world, state = world_of(small, twins), beginning(small, twins)
    for update in range(updates):
        ALGORITHMS["dqn"].collect(state, Moment(update, world.steps), small, world)
    return world


def everything(world):
    return world.recall(np.arange(len(world.memory)))


# what is remembered


@pytest.mark.parametrize("kind", TWINS)
def test_the_memory_holds_what_happened(kind):
    """Transitions go on from each other, but where an episode ended; the last ones are kept."""
    small = task("dqn", "capacity=66")
    world = lived(small, TWINS[kind]())
    longer = everything(lived(task("dqn", "capacity=999"), TWINS[kind]()))
    kept = everything(world)
    assert len(world.memory) == 60
    for mine, theirs in zip(kept, longer, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    ALGORITHMS["dqn"].collect(beginning(small, Reference()), Moment(1, 60), small, world)
    later = everything(world)
    assert len(world.memory) == 66
    np.testing.assert_array_equal(later.observations[:6], kept.observations[-6:])
    here, there = (
        array.reshape(22, 3, 4) for array in (later.observations, later.next_observations)
    )
    ended = later.terminated.reshape(22, 3)
    goes_on = (there[:-1] == here[1:]).all(-1)
    np.testing.assert_array_equal(goes_on, ~ended[:-1])
    assert ended.any()
    # an end is stored with the observation it led to: the pole has fallen or the cart is out
    fallen = (np.abs(there[..., 2]) > np.pi / 15) | (np.abs(there[..., 0]) > 2.4)
    np.testing.assert_array_equal(fallen, ended)


def test_a_time_limit_is_no_end():
    """A cut transition is kept with its final observation, as one that goes on."""
    made = commanding.task_of("dqn", "MountainCar-v0", ["horizon=210", "capacity=999"], 9000, 0)
    assert made.problem.limit == 200
    kept = everything(lived(made, Fast()))
    assert not kept.terminated.any()  # nobody climbs the hill by chance
    here, there = (
        array.reshape(-1, 4, 2)[:, 0] for array in (kept.observations, kept.next_observations)
    )
    cut = np.flatnonzero((there[:-1] != here[1:]).any(axis=1))
    np.testing.assert_array_equal(cut, [199])
    assert abs(there[199, 0] - here[199, 0]) < 0.1  # a step of the car, not the reset
    assert here[200, 1] == 0  # which begins at rest


# exploring


def test_one_number_explores_or_not():
    generator = np.random.default_rng(0)
    sizes = (2, 3, 4)
    network = layers(generator.normal(size=3 * 3 + 4 * 4), sizes)
    rows, noise = 4 * generator.normal(size=(8000, 2)), generator.random(8000)
    greedy = Explorer(network, "relu").act(rows, noise)
    np.testing.assert_array_equal(greedy, Explorer(network, "relu").outputs(rows).argmax(axis=1))
    assert np.unique(greedy).size > 1
    mostly = Explorer(network, "relu", epsilon=0.25).act(rows, noise)
    random = noise < 0.25
    np.testing.assert_array_equal(mostly[~random], greedy[~random])
    counts = np.bincount(Explorer(network, "relu", epsilon=1.0).act(rows, noise), minlength=4)
    np.testing.assert_array_equal(counts, np.bincount((4 * noise).astype(int)))
    # within five standard deviations of a quarter each
    some = np.bincount(mostly[random], minlength=4)
    assert (np.abs(some - random.sum() / 4) < 5 * np.sqrt(random.sum() * 3 / 16)).all()


def test_exploration_falls_on_a_line():
    small = task(
        "dqn", "steps=512", "environments=4", "horizon=8", "exploration=0.5", "epsilon_end=0.25",
        "warm_up=512",
    )  # fmt: skip
    run = Run(small, Reference())
    shares = [float(run.state["epsilon"])]
    for moment in run.updates():
        shares.append(float(run.state["epsilon"]))
        assert shares[-1] == max(0.25, 1 - 0.75 * moment.steps / 256)  # exact in binary
    assert len(shares) == 17
    assert shares[0] == 1
    run.close()


# learning


def test_nothing_is_learnt_before_the_warm_up():
    run = Run(task("dqn", "warm_up=120"), Fast())
    first = run.state["parameters"]
    run.advance()
    assert run.state["count"] == 0
    assert run.state["parameters"] is first
    run.advance()
    assert run.state["count"] == 7
    assert (run.state["parameters"] != first).any()
    run.close()


class Recorded(Fast):
    """The fast version, which remembers what it was asked."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def __call__(self, function, /, **arguments):
        answer = super().__call__(function, **arguments)
        self.asked.append((function, arguments, answer))
        return answer


@pytest.mark.parametrize("tau", [1.0, 0.25])
def test_the_target_network_follows_at_its_own_times(tau):
    """Between two of its updates it stands still; they are counted over the run."""
    twins = Recorded()
    run = Run(task("dqn", "warm_up=0", "target_every=5", f"tau={tau}"), twins)
    target = run.state["target"]
    np.testing.assert_array_equal(target, run.state["parameters"])
    for _ in range(3):
        run.advance()
    run.close()
    moved = 0
    for k, (function, arguments, answer) in enumerate(twins.asked):
        if function == "dqn_update":
            np.testing.assert_array_equal(arguments["target_parameters"], target)
            moved += 1
        if function == "soft_update":
            assert moved % 5 == 0
            (_, _, before) = twins.asked[k - 1]
            np.testing.assert_array_equal(arguments["online"], before.parameters)
            target = answer
            assert (tau == 1) == np.array_equal(target, before.parameters)
    assert moved == 3 * 7
    assert sum(function == "soft_update" for function, _, _ in twins.asked) == 4
    np.testing.assert_array_equal(run.state["target"], target)


def test_batches_are_drawn_anew_from_all_that_is_kept():
    twins = Recorded()
    run = Run(task("dqn", "warm_up=0", "gradient_steps=40", "batch_size=64"), twins)
    run.advance()
    batches = [a["observations"] for f, a, _ in twins.asked if f == "dqn_update"]
    drawn = np.concatenate(batches)
    assert batches[0].shape == (64, 4)
    assert len(np.unique(drawn, axis=0)) == 60  # every one of the sixty transitions
    assert not np.array_equal(batches[0], batches[1])
    run.close()


def test_the_learning_rate_falls_unless_told_otherwise():
    small = task("dqn", "learning_rate=0.5", "steps=240", "warm_up=0")
    for given, wanted in ((small, [0.5, 0.375, 0.25, 0.125]),
                          (task("dqn", "learning_rate=0.5", "steps=240", "warm_up=0",
                                "anneal_learning_rate=off"), [0.5] * 4)):  # fmt: skip
        twins = Recorded()
        run = Run(given, twins)
        for _ in run.updates():
            pass
        rates = [a["learning_rate"] for f, a, _ in twins.asked if f == "dqn_update"]
        assert rates[::7] == wanted
        run.close()


def test_what_updates_are_given():
    small = task("dqn", "double=off", "huber=none", "max_norm=none", "gamma=0.5")
    world, state = lived(small, Reference()), beginning(small, Reference())
    batch = world.recall(np.array([3, 1]))
    given = dqn_arguments(state, batch, 0.125, small)
    assert given["huber"] is None
    assert given["max_norm"] is None
    assert given["double"] is False
    assert (given["gamma"], given["learning_rate"], given["count"]) == (0.5, 0.125, 0)
    np.testing.assert_array_equal(given["rewards"], [1, 1])
    for name in ("parameters", "target_parameters"):
        np.testing.assert_array_equal(given[name], state["parameters"])


# the memory of both


def test_a_memory_that_differs_is_told(monkeypatch):
    from rlverify.fast.replay import ReplayBuffer

    read = ReplayBuffer.read
    monkeypatch.setattr(
        ReplayBuffer, "read", lambda self, picks: read(self, (picks + 1) % len(self))
    )
    teaching = Teaching()
    world = lived(task("dqn"), teaching)
    right = everything(lived(task("dqn"), Reference()))
    found = world.recall(np.arange(4))
    for array, wanted in zip(found, right, strict=True):  # the reference's, all the same
        np.testing.assert_array_equal(array, wanted[:4])
    (call,) = teaching.taken(1).calls
    assert call.function == "replay_transitions"
    assert not call.lockstep.ok


# an end of learning


def test_a_network_that_is_good_enough_is_left_as_it_is(tmp_path):
    """Once the last five episodes earn 20 on average; afterwards no return brings it back."""
    words = ("enough=20", "enough_episodes=5", "steps=3000", "warm_up=0", "target_every=1000")
    run = Run(task("dqn", *words), Fast())
    for moment in run.updates():
        before, returns = run.state["parameters"], run.totals[-5:]
        assert (run.state["count"] == 7 * moment.update) == (len(returns) < 5 or
                                                             np.mean(returns) < 20)  # fmt: skip
        if len(returns) == 5 and np.mean(returns) >= 20:
            break
    count, settled = int(run.state["count"]), run.state["returns"]
    assert count == 7 * (moment.update - 1) > 0
    np.testing.assert_array_equal(settled, returns)
    for _ in range(10):
        run.advance()
    assert run.state["count"] == count
    assert run.state["parameters"] is before
    np.testing.assert_array_equal(run.state["returns"], settled)
    run.close()
    assert task("dqn").settings.enough == 475  # what Gymnasium calls solved
    assert task("dqn", "enough=none").settings.enough is None
    assert task("dqn", environment="Acrobot-v1").settings.enough is None
