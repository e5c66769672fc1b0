"""Is a fast version much slower than it was at another commit? Both are timed in one job.

    python benchmarks/gate.py COMMIT

The files of `fast/` as they were are laid out as a package of their own and compared with those
of the working tree, as `rlverify compare` does. It ends with 1 only where a function is wrong, or
clearly slower: the whole interval of the ratio lies beyond LIMIT. No absolute time matters, so a
slow machine gives the same answer, and a noisy one none.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from rlverify.benchmarking.contesting import Comparison, contest
from rlverify.benchmarking.reporting import comparison_lines
from rlverify.contracts import contracts
from rlverify.tabulation import console, show

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "rlverify_as_it_was"
SOURCES = ("fast", "rlverify/errors.py", "rlverify/refusals.py")
LIMIT = 1.5
# one function for each way in which a fast version can be fast; all but these take too long
WATCHED = (
    "gae", "discounted_return", "vtrace", "categorical_log_prob", "ppo_clip_loss", "grpo_loss",
    "fisher_vector_product", "adam",
)  # fmt: skip
SECONDS, BUDGET, LOOKS = 10.0, 10, (16, 32, 64)


def git(*words: str, root: Path = ROOT) -> str:
    """Return what git says."""
    ran = subprocess.run(
        ["git", "-C", str(root), *words], check=True, capture_output=True, text=True
    )
    return ran.stdout


def lay_out(commit: str, folder: Path, root: Path = ROOT) -> None:
    """Write the sources of a commit as the package PACKAGE, which imports nothing of today's."""
    package = folder / PACKAGE
    names = git("ls-tree", "-r", "--name-only", commit, "--", *SOURCES, root=root).splitlines()
    for name in names:
        if not name.endswith(".py"):
            continue
        path = package / name.removeprefix("rlverify/")
        path.parent.mkdir(parents=True, exist_ok=True)
        text = git("show", f"{commit}:{name}", root=root)
        path.write_text(text.replace("rlverify.", f"{PACKAGE}."), encoding="utf-8")
    package.mkdir(exist_ok=True)
    (package / "__init__.py").touch()


def touched(commit: str, root: Path = ROOT) -> set[str]:
    """Return the sources that differ from a commit, as paths from the root."""
    changed = git("diff", "--name-only", commit, "--", *SOURCES, root=root).splitlines()
    return {name for name in changed if name.endswith(".py")}


def concerned(names: Iterable[str]) -> list[str]:
    """Return the watched functions that a change of some sources may slow down."""
    topics = {name.removeprefix("fast/").removesuffix(".py") for name in names}
    known = {contract.topic for contract in contracts()}
    shared = topics - known  # what several topics stand on
    return [
        contract.name
        for contract in contracts()
        if contract.name in WATCHED and (shared or contract.topic in topics)
    ]


def judged(found: Comparison) -> str:
    """Return what a comparison means here: `fails` or `passes`, and why."""
    old, new = found.verdicts
    if not new.ok:
        return "fails: it is wrong"
    if not old.ok:
        return "passes: as it was, it is wrong by today's contract"
    if found.foul:
        return f"fails: {found.foul}"
    return f"{'fails' if found.verdict == 'SLOWER' else 'passes'}: {found.verdict}"


def there(commit: str, module: str, function: str, root: Path = ROOT) -> bool:
    """Whether a commit has a function."""
    try:
        return f"def {function}(" in git("show", f"{commit}:fast/{module}.py", root=root)
    except subprocess.CalledProcessError:
        return False


def main(words: Sequence[str]) -> int:
    """Compare, print, and return the exit status."""
    (base,) = words or ["HEAD~1"]
    try:
        commit = git("rev-parse", "--verify", "--quiet", f"{base}^{{commit}}").strip()
    except (OSError, subprocess.CalledProcessError):
        print(f"gate: there is no commit {base} here, so there is nothing to compare with")
        return 0
    names = concerned(touched(commit))
    if not names:
        print(f"gate: nothing that is watched differs from {base}")
        return 0
    screen, failed = console(sys.stdout, colour=True), []
    folder = Path(tempfile.mkdtemp())
    sys.path.insert(0, str(folder))  # workers get the same path
    try:
        lay_out(commit, folder)
        for contract in contracts():
            if contract.name not in names:
                continue
            if not there(commit, contract.topic, contract.name):
                print(f"gate: {contract.name} is new\n")
                continue
            place = f"fast.{contract.topic}:{contract.name}"
            found = contest(
                f"{PACKAGE}.{place}", f"rlverify.{place}", contract.name,
                sizes=[contract.sizes[1]], threshold=LIMIT, budget=BUDGET, looks=LOOKS,
                seconds=SECONDS, time_limit=60.0,
            )  # fmt: skip
            show(screen, comparison_lines(found, LIMIT, None))
            told = judged(found)
            print(f"gate: {contract.name} {told}\n")
            failed += [contract.name] if told.startswith("fails") else []
    finally:
        sys.path.remove(str(folder))
        shutil.rmtree(folder)
    print(f"gate: {', '.join(failed)} failed" if failed else "gate: passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
