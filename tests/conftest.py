"""Settings of the whole test run: Hypothesis profiles, NaN-filled memory, devices, contracts.

Profiles (`HYPOTHESIS_PROFILE`): `dev` is quick, `ci` draws the same cases every time, `night`
draws many fresh ones and prints the seed they follow from.
"""

import os
import secrets

import pytest
import torch
from hypothesis import HealthCheck, settings

from command_line import CANDIDATES, runner, shower
from rlverify.contracts import contracts

pytest.register_assert_rewrite("support")

_COMMON = {
    "deadline": None,  # a first call imports and compiles; time is measured elsewhere
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large],
}
settings.register_profile("dev", max_examples=30, **_COMMON)
settings.register_profile("ci", max_examples=60, derandomize=True, **_COMMON)
settings.register_profile("night", max_examples=2000, print_blob=True, **_COMMON)
PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev")
settings.load_profile(PROFILE)

# test processes share the cores; a second thread in each only waits
torch.set_num_threads(1)
# memory that nobody wrote must not look like an answer
torch.use_deterministic_algorithms(True)
torch.utils.deterministic.fill_uninitialized_memory = True

DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


def pytest_configure(config):
    """Choose and remember a fresh seed for the night profile."""
    if PROFILE == "night" and config.getoption("hypothesis_seed", None) is None:
        config.option.hypothesis_seed = str(secrets.randbits(32))


def pytest_report_header(config):
    """Say which draws these are."""
    seed = config.getoption("hypothesis_seed", None)
    return f"rlverify: profile {PROFILE}, hypothesis seed {seed or 'derived'}, devices {DEVICES}"


def _together(name):
    """Run tests in one process: what was drawn and computed for a contract is remembered there."""
    return pytest.mark.xdist_group(name)


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items):
    """Keep what is no test of a contract together by module, as its fixtures are shared."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(_together(item.module.__name__ if item.module else item.path.stem))


def pytest_generate_tests(metafunc):
    """Spread the contract tests of `support` over the contracts of a module's TOPIC."""
    topic = getattr(metafunc.module, "TOPIC", None)
    if topic is None or "contract" not in metafunc.fixturenames:
        return
    chosen = [contract for contract in contracts() if contract.topic == topic]
    if metafunc.function.__name__.startswith(("test_twin", "test_gradient", "test_constants")):
        chosen = [contract for contract in chosen if contract.fast is not None]
    if metafunc.function.__name__.startswith("test_gradient"):
        chosen = [contract for contract in chosen if contract.gradients]
    parts = {"law": "laws", "example": "examples", "bad": "bad_inputs", "bug": "known_bugs",
             "equivalent": "equivalents", "convention": "conventions"}  # fmt: skip
    part = next((name for name in parts if name in metafunc.fixturenames), None)
    if part is None:
        alone = [pytest.param(c, id=c.name, marks=_together(c.name)) for c in chosen]
        metafunc.parametrize("contract", alone)
    else:
        pairs = [(c, item) for c in chosen for item in getattr(c, parts[part])]
        params = [
            pytest.param(
                c,
                item,
                id=f"{c.name}-{getattr(item, 'id', '') or item.name}",
                # a law that makes a claim of the source documents executable says so
                marks=[
                    _together(c.name),
                    *([pytest.mark.claim(claim)] if (claim := getattr(item, "claim", "")) else []),
                ],
            )
            for c, item in pairs
        ]
        metafunc.parametrize(("contract", part), params)


@pytest.fixture(scope="session", params=DEVICES)
def device(request):
    """Every device that is there."""
    return request.param


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run the command line in a folder that holds candidates."""
    (tmp_path / "mine.py").write_text(CANDIDATES, encoding="utf-8")
    return runner(tmp_path, monkeypatch, capsys)


@pytest.fixture
def terminal(run, monkeypatch):
    """Run the command line on a terminal of a width, and return what it shows."""
    return shower(run, monkeypatch)
