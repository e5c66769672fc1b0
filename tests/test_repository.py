"""The repository itself: five faces for a topic, twins that agree, documents that run."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from rlverify import contracts
from rlverify.contract import Contract
from rlverify.editing import edited

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

FACES = (
    "reference/{}.py",
    "fast/{}.py",
    "rlverify/contracts/{}.py",
    "tests/test_{}.py",
    "benchmarks/bench_{}.py",
)
NOT_A_TOPIC = {"scan"}  # the primitive under every backward recursion


def found_topics() -> list[str]:
    # tests/ holds more than topics, so it names none
    names = set()
    for face in FACES:
        if not face.startswith("tests"):
            folder, file = (ROOT / face).parent, (ROOT / face).name
            before, after = file.split("{}")
            names |= {path.name[len(before) : -len(after)] for path in folder.glob(before + "*.py")}
    return sorted(name for name in names - NOT_A_TOPIC if not name.startswith("_"))


TOPICS = found_topics()


def project_files() -> list[Path]:
    """Return the files of the project, as git sees them or, outside git, all but what was made."""
    git = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        names = subprocess.run(git, cwd=ROOT, check=True, capture_output=True, text=True).stdout
        paths = [ROOT / name for name in names.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        made = re.compile(r"\.(?!ci$|gitignore$)|(__pycache__|build|dist)$|.*\.egg-info$")
        paths = [
            path
            for path in ROOT.rglob("*")
            if not any(made.match(part) for part in path.relative_to(ROOT).parts)
        ]
    return sorted(path for path in paths if path.is_file())


def public_functions(module: ModuleType) -> dict[str, Callable[..., object]]:
    return {
        name: value
        for name, value in vars(module).items()
        if inspect.isfunction(value)
        and value.__module__ == module.__name__
        and not name.startswith("_")
    }


def contracts_of(topic: str) -> dict[str, Contract]:
    module = importlib.import_module(f"rlverify.contracts.{topic}")
    return {contract.name: contract for contract in module.CONTRACTS}


def imported_by(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} imports relatively"
            # `from rlverify import errors` imports rlverify.errors
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def loaded_by(statement: str) -> set[str]:
    """Return the packages outside the standard library that a fresh Python loads for it."""
    code = (
        f"import sys; before = set(sys.modules); {statement}; "
        "print(*{name.split('.')[0] for name in set(sys.modules) - before})"
    )
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(run.stdout.split()) - set(sys.stdlib_module_names) - {"rlverify"}


# topics and twins


# functions that no contract can hold, and why; their topic's tests do
WITHOUT_CONTRACT = {
    "beta_sample": "draws from a generator: checked by distribution",
    "running_moments_init": "three constants, that do not depend on a number",
    "sgd_update": "is `sgd`, its state as one value: compared with it and with torch.optim",
    "adam_update": "is `adam`, its state as one value: compared with it and with torch.optim",
    "rmsprop_update": "is `rmsprop`, its state as one value: compared with it and torch.optim",
}
# functions that only PyTorch has a use for
ONLY_FAST = {
    "mlp_module": "the same network as a torch.nn.Module",
    "flat_parameters": "the parameters of such a module as one vector",
    "trpo_module_update": "the update of any torch.nn.Module, held against the vector's",
    "gae_into": "is `gae` into arrays that exist: compared with it",
}


def test_no_topic_is_left_out():
    assert sorted(contracts.TOPICS) == TOPICS != []


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("topic", TOPICS)
def test_topic_has_five_faces(topic: str, face: str):
    assert (ROOT / face.format(topic)).is_file()


@pytest.mark.parametrize("topic", TOPICS)
def test_twins_agree(topic: str):
    reference = public_functions(importlib.import_module(f"rlverify.reference.{topic}"))
    fast = public_functions(importlib.import_module(f"rlverify.fast.{topic}"))
    alone = {name for name, contract in contracts_of(topic).items() if contract.fast is None}
    assert set(fast) - set(ONLY_FAST) == set(reference) - alone

    def shape(function: Callable[..., object]) -> list[tuple[str, str, object]]:
        parameters = inspect.signature(function).parameters.values()
        return [(item.name, str(item.kind), item.default) for item in parameters]

    for name in set(fast) & set(reference) - set(WITHOUT_CONTRACT):
        assert shape(fast[name]) == shape(reference[name]), name


@pytest.mark.parametrize("topic", TOPICS)
def test_every_function_has_a_contract(topic: str):
    reference = importlib.import_module(f"rlverify.reference.{topic}")
    found = contracts_of(topic)
    assert set(found) == set(public_functions(reference)) - set(WITHOUT_CONTRACT)
    for name, contract in found.items():
        assert contract.topic == topic
        assert contract.reference is getattr(reference, name)
        if contract.fast is None:
            assert contract.fast_absent, f"{name}: a missing twin needs its reason"
        else:
            assert contract.fast is getattr(importlib.import_module(f"rlverify.fast.{topic}"), name)


@pytest.mark.parametrize("topic", TOPICS)
def test_every_known_bug_and_convention_fits_its_reference(topic: str):
    """An edit whose line has changed is found here in a second, not in each test it breaks."""
    for contract in contracts_of(topic).values():
        for edit in (*contract.known_bugs, *contract.conventions):
            if edit.edits:
                edited(contract.reference, edit.edits, edit.helper)


@pytest.mark.parametrize("topic", TOPICS)
def test_reference_docstrings_are_complete(topic: str):
    module = importlib.import_module(f"rlverify.reference.{topic}")
    assert module.__doc__
    for name, function in public_functions(module).items():
        text = inspect.getdoc(function) or ""
        for section in ("Source:", "Args:", "Returns:", "Raises:"):
            assert re.search(rf"^{section}", text, re.MULTILINE), f"{name} lacks {section}"
        arguments = text.split("\nArgs:\n")[1].split("\n\n")[0]
        named = re.findall(r"^    (\w+):", arguments, re.MULTILINE)
        assert named == list(inspect.signature(function).parameters), name


# imports


@pytest.mark.parametrize("path", sorted((ROOT / "reference").glob("*.py")), ids=lambda p: p.stem)
def test_reference_imports_numpy_and_scipy_only(path: Path):
    allowed = sys.stdlib_module_names | {"numpy", "scipy", "jaxtyping"}
    for name in imported_by(path):
        ours = name.startswith(("rlverify.reference.", "rlverify.errors.", "rlverify.refusals."))
        assert ours or name.split(".")[0] in allowed, name


def test_errors_import_the_standard_library_only():
    for module in ("errors", "refusals"):
        for name in imported_by(ROOT / "rlverify" / f"{module}.py"):
            ours = module == "refusals" and name.startswith("rlverify.errors.")
            assert ours or name.split(".")[0] in sys.stdlib_module_names, name


def test_reference_loads_neither_torch_nor_hypothesis():
    modules = ", ".join(f"rlverify.reference.{topic}" for topic in TOPICS)
    loaded = loaded_by(f"import {modules}")
    assert "numpy" in loaded
    assert not loaded & {"torch", "jax", "hypothesis", "gymnasium", "rich", "typer"}


def test_rlverify_loads_nothing_until_used():
    assert loaded_by("import rlverify") == set()


# packaging


def test_every_package_is_installed():
    setup = PROJECT["tool"]["setuptools"]
    folders = {name: ROOT / folder for name, folder in setup["package-dir"].items()}
    found = {
        ".".join([name, *path.parent.relative_to(folder).parts])
        for name, folder in folders.items()
        for path in folder.rglob("__init__.py")
    }
    assert found == set(setup["packages"])


def test_every_dependency_is_constrained():
    files = (ROOT / "constraints.txt", ROOT / "constraints-peers.txt")
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    pinned = {line.split("==")[0].lower() for line in lines if "==" in line}
    project = PROJECT["project"]
    extras = project["optional-dependencies"].values()
    wanted = [*project["dependencies"], *(item for extra in extras for item in extra)]
    assert {re.match(r"[\w.-]+", item)[0].lower() for item in wanted} <= pinned


# documents


def fenced(path: Path, *languages: str) -> list[str]:
    text = path.read_text(encoding="utf-8")
    blocks = re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [block for language, block in blocks if language in languages]


def shell_lines(command: str) -> Iterator[tuple[str, list[str]]]:
    for path in DOCUMENTS:
        for block in fenced(path, "console", "sh", "bash"):
            for line in block.splitlines():
                words = line.removeprefix("$ ").split("#")[0].split()
                if words[:1] == [command]:
                    yield f"{path.name}: {line}", words[1:]


DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_python_in_documents_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "document"}
    for number, block in enumerate(fenced(path, "python"), start=1):
        exec(compile(block, f"{path.name}, block {number}", "exec"), names)


def test_commands_in_documents_exist():
    from typer.main import get_command

    from rlverify.cli import app

    commands = set(get_command(app).commands)
    lines = list(shell_lines("rlverify"))
    assert lines
    for line, words in lines:
        assert words[0] in commands | {"--version", "--help"}, line


def test_targets_in_documents_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    lines = list(shell_lines("make"))
    assert lines
    for line, words in lines:
        assert {word for word in words if "=" not in word} <= targets, line


def test_readme_begins_with_two_commands():
    assert fenced(ROOT / "README.md", "console", "sh", "bash")[0].splitlines() == [
        "make verify",
        "make test",
    ]


def test_readme_shows_what_check_prints(tmp_path: Path):
    """The verdict and the program in the README are those that the command prints today."""
    readme = ROOT / "README.md"
    (tmp_path / "my_lib").mkdir()
    (tmp_path / "my_lib" / "gae.py").write_text(fenced(readme, "python")[0], encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "rlverify",
        "check",
        "my_lib/gae.py:compute_gae",
        "--as",
        "gae",
    ]
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stdout
    shown = fenced(readme, "text")[0]
    assert shown.splitlines()[0] == told.splitlines()[0]
    marker = "# the smallest input found"
    assert shown[shown.index(marker) :].strip() == told[told.index(marker) :].strip()


def test_decisions_are_numbered():
    names = sorted(path.name for path in (ROOT / "docs" / "decisions").iterdir())
    assert names
    for number, name in enumerate(names, start=1):
        assert re.fullmatch(rf"{number:04}-[a-z0-9-]+\.md", name), name


# every file

TOLERANCE = re.compile(
    r"""\b([ar]tol|rel_tol|abs_tol)["']?(\s*:\s*float)?\s*[:=]\s*[\d.]*[1-9]"""
    r"|\b(allclose|isclose|assert_close|assert_allclose|assert_\w*almost_equal|approx)\("
)
SOMEONES_FOLDER = re.compile(r"(?<![\w.])/(tmp|home|root|Users|mnt|opt|work)/")


def matches(pattern: re.Pattern[str], paths: list[Path]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{number}: {found[0]}"
        for path in paths
        for number, line in enumerate(
            path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1
        )
        if (found := pattern.search(line))
    ]


def test_no_tolerance_is_tuned_by_hand():
    # documents may quote them, as what is not done
    assert matches(TOLERANCE, [path for path in project_files() if path.suffix != ".md"]) == []


def test_no_file_names_someones_folder():
    assert matches(SOMEONES_FOLDER, project_files()) == []


def test_files_are_small():
    assert [path.name for path in project_files() if path.stat().st_size > 2**20] == []


def test_source_files_fit_a_sitting():
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for folder in ("reference", "fast", "rlverify")
        for path in (ROOT / folder).rglob("*.py")
    }
    assert {name: length for name, length in lengths.items() if length > 400} == {}
