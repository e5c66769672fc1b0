"""What a call can express of a case, and the nearest case that it can express whole.

A *source* is something computed from a case and handed to a parameter: one of the
contract's own arguments, or another form of the same facts, such as T+1 values or flags
that mark the first step of an episode. Each source *tells* some facts. Where the sources of
a call together tell less than a case holds, the case is projected: both flags become one,
next values become the values one step later, and so on. A projected case is an ordinary
case, so the reference needs to know nothing of any of this.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rlverify.calling.arrangement import without_leading
from rlverify.contract import Argument, Case


@dataclass(frozen=True)
class Source:
    """One form in which facts of a case are handed over.

    Where the form is a rounded function of an argument, the argument is *blurred*: what the
    rounding costs is allowed for.

    Attributes:
        text: what it is, in terms of the contract's arguments.
        needs: arguments that the contract must have.
        tells: facts; names of arguments, or `done`, `done but last`, `last done`, `bootstrap`.
        build: computes it from the arguments of a case.
        blurs: the argument that it cannot hand over exactly; empty for none.
    """

    text: str
    needs: tuple[str, ...]
    tells: tuple[str, ...]
    build: Callable[[Mapping[str, Any]], Any]
    blurs: str = ""


def _done(case: Mapping[str, Any]) -> np.ndarray:
    terminated: np.ndarray = case["terminated"]
    return terminated | case["truncated"] if "truncated" in case else terminated


def _starts(case: Mapping[str, Any]) -> np.ndarray:
    """Return T+1 start flags. No case knows what came before row 0, so that row is False."""
    done = _done(case)
    return np.concatenate([np.zeros_like(done[:1]), done])


def _values(case: Mapping[str, Any]) -> np.ndarray:
    """Return T+1 values, the last one following the last step."""
    following = case["next_values"]
    # without values of its own the contract reads row t+1 only; row 0 is any number
    first = case["values"] if "values" in case else np.concatenate([following[:1], following[:-1]])
    return np.concatenate([first, following[-1:]])


def _discounts(case: Mapping[str, Any]) -> np.ndarray:
    running = ~case["terminated"]
    return np.where(running, case["gamma"], 0.0)


def _negated(name: str) -> Callable[[Mapping[str, Any]], Any]:
    return lambda case: -case[name]


def _times(factor: float, name: str) -> Callable[[Mapping[str, Any]], Any]:
    return lambda case: factor * case[name]


def _exponential(name: str) -> Callable[[Mapping[str, Any]], Any]:
    return lambda case: np.exp(case[name])


def _clip_range(case: Mapping[str, Any]) -> Any:
    return case["clip_range"]


_END = ("terminated",)
EXPONENTIALS = {
    "std": "log_std",
    "std_p": "log_std_p",
    "std_q": "log_std_q",
    "ratios": "log_ratios",
}
# of Huber's loss: a δ that no error reaches makes it the squared one
NEVER_REACHED = 2.0**20
SOURCES: dict[str, Source] = {
    "done:after": Source("terminated|truncated (done:after)", _END, ("done",), _done),
    "done:start": Source(
        "start flags, true one row after terminated|truncated (done:start)",
        _END,
        ("done but last",),
        lambda case: _starts(case)[:-1],
    ),
    "done:start+next": Source(
        "T+1 start flags, true one row after terminated|truncated (done:start+next)",
        _END,
        ("done",),
        _starts,
    ),
    "next_done": Source(
        "(terminated|truncated)[-1]", _END, ("last done",), lambda case: _done(case)[-1]
    ),
    "not_done:after": Source(
        "1-(terminated|truncated) (not_done:after)", _END, ("done",), lambda case: ~_done(case)
    ),
    "not_done:start": Source(
        "1-start flags (not_done:start)",
        _END,
        ("done but last",),
        lambda case: ~_starts(case)[:-1],
    ),
    "not_done:start+next": Source(
        "1-T+1 start flags (not_done:start+next)", _END, ("done",), lambda case: ~_starts(case)
    ),
    "not_terminated": Source("1-terminated", _END, _END, lambda case: ~case["terminated"]),
    "not_truncated": Source(
        "1-truncated", ("truncated",), ("truncated",), lambda case: ~case["truncated"]
    ),
    "discounts": Source(
        "gamma*(1-terminated)",
        ("gamma", "terminated"),
        ("gamma", "terminated"),
        _discounts,
    ),
    "values+bootstrap": Source(
        "values and next_values[-1] (T+1 rows)",
        ("next_values",),
        ("values", "bootstrap"),
        _values,
    ),
    "values": Source("values", ("next_values",), ("values",), lambda case: _values(case)[:-1]),
    "bootstrap": Source(
        "next_values[-1]", ("next_values",), ("bootstrap",), lambda case: case["next_values"][-1]
    ),
    "gamma:steps": Source(
        "gamma, one a step",
        ("gamma", "rewards"),
        ("gamma",),
        lambda case: np.broadcast_to(np.float64(case["gamma"]), case["rewards"].shape).copy(),
    ),
    # what is handed over is rounded, and known no better than that
    **{
        name: Source(f"exp({of}) ({name})", (of,), (of,), _exponential(of), blurs=of)
        for name, of in EXPONENTIALS.items()
    },
    # twice a number is as exact as the number
    **{
        f"log_var{of}": Source(
            f"2*log_std{of} (log_var{of})",
            (f"log_std{of}",),
            (f"log_std{of}",),
            _times(2, f"log_std{of}"),
        )
        for of in ("", "_p", "_q")
    },
    # a negated log-probability is as exact as the log-probability
    "-log_probs": Source("-log_probs", ("log_probs",), ("log_probs",), _negated("log_probs")),
    "-old_log_probs": Source(
        "-old_log_probs", ("old_log_probs",), ("old_log_probs",), _negated("old_log_probs")
    ),
    "not_mask": Source(
        "~mask (True where padded)", ("mask",), ("mask",), lambda case: ~case["mask"]
    ),
    # halves are exact, and so is their difference
    **{
        f"{policy}_log_probs": Source(
            f"{sign}log_ratios/2 ({policy}_log_probs)",
            ("log_ratios",),
            ("log_ratios",),
            _times(half, "log_ratios"),
        )
        for policy, sign, half in (("target", "", 0.5), ("behaviour", "-", -0.5))
    },
    # every case has one range for both sides
    "clip_low": Source("clip_range", ("clip_range",), ("clip_range",), _clip_range),
    "clip_high": Source("clip_range", ("clip_range",), ("clip_range",), _clip_range),
    "group_size": Source(
        "members of a group, which stand together (group_size)",
        ("group_ids",),
        ("group_size",),
        lambda case: int((case["group_ids"] == case["group_ids"][0]).sum()),
    ),
    "steps": Source("T", ("rewards",), (), lambda case: int(case["rewards"].shape[0])),
    "batch": Source("B", ("rewards",), (), lambda case: int(case["rewards"].shape[1])),
}


def source(name: str, arguments: tuple[str, ...]) -> Source | None:
    """Return the source of that name for a contract with these arguments, if there is one."""
    if name in arguments:  # a contract's own argument stands for itself
        return Source(name, (name,), (name,), lambda case: case[name])
    found = SOURCES.get(name)
    return found if found and all(need in arguments for need in found.needs) else None


def source_names(arguments: tuple[str, ...]) -> list[str]:
    """Return the names of all sources for a contract with these arguments."""
    return list(dict.fromkeys([*arguments, *(name for name in SOURCES if source(name, arguments))]))


def untold(sources: Iterable[str], arguments: tuple[Argument, ...]) -> list[Argument]:
    """Return the arguments without which a call means nothing and that no source tells."""
    names = tuple(item.name for item in arguments)
    known: set[str] = set()
    for name in sources:
        told = source(name, names)
        known |= set(told.tells) if told else set()
    # where nothing is known to have moved, no range holds anything
    open_ = {"next_values", "start_steps", "old_values"}
    if "old_values" in names and "old_values" not in known:
        open_.add("clip_range")
    if "group_size" in known:
        known.add("group_ids")
    return [
        item
        for item in arguments
        if item.kind not in ("mask", "legal", "flag")
        and item.name not in open_
        and item.name not in known
    ]


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return one is other or (
            one.dtype == other.dtype
            and one.shape == other.shape
            and one.tobytes() == other.tobytes()  # NaN equals itself, -0 differs from 0
        )
    return type(one) is type(other) and bool(one == other)


@dataclass(frozen=True)
class Expression:
    """What a call expresses.

    Attributes:
        arguments: the contract's.
        tells: all facts that the sources of the call tell.
        scalars: discounts of which the call takes one for all steps.
        whole: masks for which the call does not take None.
        fixed: arguments whose value the function has built in.
        blurred: arguments that it is given rounded functions of.
        tried: those of `fixed` that nobody declared.
        single: whether the call takes arrays without leading axes only.
    """

    arguments: tuple[Argument, ...]
    tells: frozenset[str]
    scalars: frozenset[str] = frozenset()
    whole: frozenset[str] = frozenset()
    fixed: Mapping[str, Any] = field(default_factory=dict)
    blurred: tuple[str, ...] = ()
    tried: frozenset[str] = frozenset()
    single: bool = False

    def project(self, case: Case) -> Case:
        """Return the nearest case that the call expresses; the same object if it is that case."""
        changed = dict(case.arguments)
        if self.single:
            changed = without_leading(self.arguments, changed)
        for item in self.arguments:
            self._project_argument(item, changed)
        self._project_ends(changed)
        chained = self._project_next_values(changed)
        same = all(_same(value, case[name]) for name, value in changed.items())
        if same and case.blurred == self.blurred:
            return case
        return Case(changed, "chained" if chained else case.kind, case.label, self.blurred)

    def _project_argument(self, item: Argument, changed: dict[str, Any]) -> None:
        name, value = item.name, changed[item.name]
        if name in self.fixed:
            changed[name] = self.fixed[name]
        elif name in self.scalars and isinstance(value, np.ndarray):
            changed[name] = float(value.flat[0])
        elif name in ("terminated", "truncated", "next_values"):
            return  # other sources may tell them too
        elif item.kind in ("mask", "legal") and value is None and name in self.whole:
            # the arguments of its own axes; an argument that broadcasts comes later
            like = next(changed[a.name] for a in self.arguments if a.axes == item.axes)
            changed[name] = np.ones(like.shape, dtype=bool)
        elif name == "huber" and value is None and name in self.whole:
            changed[name] = NEVER_REACHED
        elif item.kind in ("mask", "legal") and name not in self.tells:
            if value is not None:
                self._uncover(item, changed)
            changed[name] = None
        elif name == "old_values" and name not in self.tells:
            changed[name] = changed["values"].copy()
        elif name == "group_ids" and "group_size" in self.tells:
            # as many groups as there are, if they can be equally large; else a single one
            groups, samples = len(np.unique(value)), len(value)
            size = samples // groups if samples % groups == 0 else samples
            changed[name] = np.arange(samples) // size
        elif item.is_array and item.kind not in ("mask", "legal") and name not in self.tells:
            changed[name] = np.zeros_like(value)

    def _uncover(self, hidden: Argument, changed: dict[str, Any]) -> None:
        """Put 0 where something was masked or illegal: it was not meant to be read, and now is."""
        for item in self.arguments:
            if item.kind == "float" and item.axes == hidden.axes:
                changed[item.name] = np.where(changed[hidden.name], changed[item.name], 0.0)

    def _project_ends(self, changed: dict[str, Any]) -> None:
        if "terminated" not in changed:
            return
        told = self.tells & {"terminated", "truncated", "done", "done but last"}
        terminated = changed["terminated"]
        truncated = changed.get("truncated", np.zeros_like(terminated))
        if told == {"truncated"}:
            truncated, terminated = terminated | truncated, np.zeros_like(terminated)
        elif not told:
            truncated, terminated = np.zeros_like(truncated), np.zeros_like(terminated)
        elif len(told) == 1:
            terminated, truncated = terminated | truncated, np.zeros_like(truncated)
        elif "terminated" not in told:
            # done and truncated: terminated is what is done and not truncated
            truncated = truncated & ~terminated
        if self._blind_at_the_end():
            terminated, truncated = terminated.copy(), truncated.copy()
            terminated[-1] = truncated[-1] = False
        changed["terminated"] = terminated
        if "truncated" in changed:
            changed["truncated"] = truncated

    def _blind_at_the_end(self) -> bool:
        ends = self.tells & {"terminated", "truncated", "done", "done but last", "last done"}
        return ends == {"done but last"}

    def _project_next_values(self, changed: dict[str, Any]) -> bool:
        """Project next values; return whether they became the values one step later."""
        if "next_values" not in changed or "next_values" in self.tells:
            return False
        given = changed["next_values"]
        following = np.zeros_like(given)
        shifted = "values" in changed and "values" in self.tells
        if shifted:
            following[:-1] = changed["values"][1:]
        elif "values" in self.tells:  # the contract has none: row t+1 is free to be anything
            following[:-1] = given[:-1]
        if "bootstrap" in self.tells:
            following[-1] = given[-1]
        changed["next_values"] = following
        return shifted

    def notes(self) -> tuple[str, ...]:
        """Return what the projection takes away, one sentence each."""
        names = {item.name for item in self.arguments}
        told = self.tells & {"terminated", "truncated", "done", "done but last"}
        found = [
            f"{name} is {value!r} in every case, as "
            + ("found by trial; declare it to be sure" if name in self.tried else "declared")
            for name, value in self.fixed.items()
        ]
        if "terminated" in names and not told:
            found.append("no argument says where an episode ends: judged without ends")
        elif "truncated" in names and told == {"truncated"}:
            found.append("terminated steps are judged as truncated: the call has one flag")
        elif "truncated" in names and len(told) == 1:
            found.append("truncated steps are judged as terminated: the call has one done flag")
        if self._blind_at_the_end():
            found.append("no argument says whether the last step ends: judged as if it did not")
        if "next_values" in names and "next_values" not in self.tells:
            if "values" in self.tells & names:
                found.append("next values are the values one step later: judged on such inputs")
            elif "values" not in self.tells:
                found.append("no argument for next values inside the recording: judged with zeros")
            if "bootstrap" not in self.tells:
                found.append("no argument for the value after the last step: judged with zero")
        for item in self.arguments:
            if item.name in self.tells or item.name in self.fixed:
                continue
            if item.name == "group_ids" and "group_size" in self.tells:
                found.append("groups stand together and are equally large: judged on such inputs")
                continue
            if item.kind == "mask":
                found.append(f"no argument for {item.name}: every element is real")
            elif item.kind == "legal":
                found.append(f"no argument for {item.name}: every action is legal")
            elif item.name == "old_values":
                found.append("no argument for old_values: judged where nothing has moved")
            elif item.name == "start_steps":
                found.append("no argument for start_steps: every column begins an episode")
            elif item.kind == "float" and item.name != "next_values":
                found.append(f"no argument for {item.name}: judged with zeros")
        found += [
            f"{name} is handed over as a rounded function of it: bounds allow for that rounding"
            for name in self.blurred
        ]
        found += [f"{name} is one number for all steps" for name in sorted(self.scalars)]
        found += ["it takes no leading axes: judged without"] * self.single
        return tuple(found)
