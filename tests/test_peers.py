"""Other libraries: how they are named, what is told where one is missing, and what was found."""

import importlib
import inspect
import re
import warnings
from pathlib import Path

import pytest

from command_line import Run
from rlverify import peers
from rlverify.benchmarking.measurement import Runner, chained, problem_of
from rlverify.contracts import find
from rlverify.peers import LIBRARIES, PEERS, Peer, missing, peer_of
from rlverify.verifying import timing_case

PAGE = (Path(__file__).parents[1] / "docs" / "peers.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: f"{peer.name}-{peer.contract}")
def test_adapters_take_canonical_arguments(peer: Peer):
    """What an adapter has no parameter for stands in `fixed`, and nothing else does."""
    wanted = {argument.name for argument in find(peer.contract).arguments}
    assert set(inspect.signature(peer.load()).parameters) == wanted - set(peer.fixed)
    assert set(peer.fixed) <= wanted


def test_adapters_load_no_library():
    """They can be looked at without what they adapt."""
    for library in LIBRARIES:
        module = importlib.import_module(peers.module_of(library))
        source = inspect.getsource(module)
        name = library.replace("-", "_")
        assert not re.search(rf"^(import|from) {name}\b", source, re.MULTILINE)


def test_calls_say_what_is_taken_for_granted():
    known = {(peer.library, peer.contract): peer for peer in PEERS}
    assert known["rlax", "gae"].call is None
    assert known["torchrl", "vtrace"].call == (
        "vtrace(rewards, values, next_values, log_ratios, terminated, truncated, gamma=gamma, "
        "c_bar=c_bar) where lam=1.0, rho_bar=1.0, rho_bar_advantage=1.0"
    )


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("peer:brax", "wanted one of peer:stable-baselines3"),
        ("peer:rlax.q", "there is no adapter for gae; there are: peer:stable-baselines3"),
    ],
)
def test_what_is_no_peer_is_refused(words: str, told: str, run: Run):
    ran = run("check", words, "--as", "gae")
    assert ran.status == 2
    assert told in ran.err


def test_a_missing_library_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(peers, "missing", lambda library: f"{library} is not installed")
    with pytest.raises(ValueError, match="rlax is not installed"):
        peer_of("peer:rlax", "gae")


def test_missing():
    monkey = Peer("no-such-library", "gae", "gae", "numpy")
    assert "pip install 'rlverify[peers]'" in missing(monkey.library)


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: f"{peer.name}-{peer.contract}")
def test_the_page_tells_of_every_peer(peer: Peer):
    """What was run is written down; what was not is not talked about."""
    assert f"`peer:{peer.name} --as {peer.contract}`" in PAGE


RIGHT = [("tianshou", "gae"), ("rlax", "gae"), ("stable-baselines3", "gae")]


@pytest.mark.parametrize(("library", "contract"), RIGHT)
def test_peers_are_right_on_what_they_can_be_given(library: str, contract: str):
    """Chained values are all that their own callers hand over: there they are timed."""
    if reason := missing(library):
        pytest.skip(reason)
    peer = next(p for p in PEERS if (p.library, p.contract) == (library, contract))
    known = find(contract)
    small = chained(known, timing_case(known, (12, 3)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        runner = Runner(peer.name, peer.load(), peer.arrays, "float32", peer.fixed)
        assert problem_of(known, runner, small, small, "cpu") == ""


def test_compare_takes_peers(monkeypatch: pytest.MonkeyPatch, run: Run):
    asked = {}

    def contest(old: str, new: str, name: str, **options: object) -> None:
        asked.update(old=old, new=new, calls=options["calls"])
        raise ValueError("enough")

    monkeypatch.setattr(peers, "missing", lambda library: "")
    monkeypatch.setattr("rlverify.benchmarking.commanding.contest", contest)
    run("compare", "mine.py:f", "peer:torchrl", "--as", "vtrace", "--call", "f(rewards)")
    assert asked["old"] == "mine.py:f"
    assert asked["new"] == "rlverify.peers.torchrl:vtrace"
    assert asked["calls"] == ("f(rewards)", "f(rewards)")
    run("compare", "mine.py:f", "peer:torchrl", "--as", "vtrace")
    assert asked["calls"][0] is None
    assert asked["calls"][1].endswith("rho_bar_advantage=1.0")
