"""From the names in a signature to what each parameter is given.

Names decide, never shapes: `last_value` is the value that follows the last step, `dones`
marks the last step of an episode unless `next_done` stands beside it. Where a name has more
than one reading in its company, nothing is guessed: the error lists the readings, each with
the call that declares it.
"""

import re
from collections.abc import Collection, Sequence

from rlverify.calling.asking import Choice, call_line, guesses, lines
from rlverify.calling.declaration import CallError, Declaration, Given
from rlverify.calling.description import Parameter, Signature
from rlverify.calling.expression import source, untold
from rlverify.calling.synonyms import SYNONYMS
from rlverify.contract import Argument

# what a word may mean: `mask` is one thing beside token rewards and another beside logits
_MEANINGS: dict[str, list[str]] = {}
for _source, _words in SYNONYMS.items():
    for _synonym in (_source, *_words.split()):
        _MEANINGS.setdefault(_synonym, []).append(_source)
_NEXT = ("next_values", "bootstrap", "values+bootstrap")
_PLAIN = ("value", "values")
_PADDING = ("padding_mask", "pad_mask")
_UNCLEAR = ("mask", "discount", *_PADDING)
# settings that are no part of the mathematics, with the value every machine has
_SETTINGS = {"device": "cpu"}


def _word(name: str) -> str:
    return name.lower().strip("_")


def _choices(parameter: str, **readings: str) -> list[Choice]:
    return [Choice(Given(parameter, name), text) for name, text in readings.items()]


def _meanings(parameter: Parameter, arguments: tuple[str, ...]) -> list[str]:
    """Return the sources that a name may stand for."""
    if parameter.name in arguments:
        return [parameter.name]
    word = _word(parameter.name)
    # `mb_returns`, `returns_batch`: of a mini-batch
    bare = re.sub(r"^(b|mb|batch)_|_(b|t|batch)$", "", word)
    meanings = _MEANINGS.get(word) or _MEANINGS.get(bare, [])
    return [meaning for meaning in meanings if source(meaning, arguments)]


def _alone(meanings: list[str]) -> str:
    return meanings[0] if len(meanings) == 1 else ""


class _Company:
    """The names of one signature, each read in the company of the others."""

    def __init__(self, parameters: Sequence[Parameter], arguments: tuple[str, ...]) -> None:
        self.arguments = arguments
        self.words = {_word(item.name) for item in parameters}
        possible = {item.name: _meanings(item, arguments) for item in parameters}
        taken = {_alone(meanings) for meanings in possible.values()}
        # beside `params`, the `x` of a network can only be its inputs
        found = {
            name: _alone(meanings) or _alone([item for item in meanings if item not in taken])
            for name, meanings in possible.items()
        }
        fresh = [name for name, meaning in found.items() if meaning == "values"]
        if "old_values" in arguments and "old_values" not in taken and len(fresh) == 2:
            # beside `vpreds` or `new_values`, plain `values` were predicted at the rollout
            found |= dict.fromkeys((name for name in fresh if _word(name) in _PLAIN), "old_values")
        # a parameter that nothing is known about and that has a default is left alone
        self.meanings = {
            item.name: found[item.name]
            for item in parameters
            if found[item.name] or not item.optional or _word(item.name) in _UNCLEAR
        }
        self.told = set(self.meanings.values())

    def readings(self) -> dict[str, list[Choice]]:
        """Return every parameter's readings; none where its name says nothing."""
        return {
            name: self._dependent(name, meaning)
            or _choices(name, **({meaning: ""} if meaning else {}))
            for name, meaning in self.meanings.items()
        }

    def _dependent(self, name: str, meaning: str) -> list[Choice] | None:
        """Return the readings of a parameter whose meaning depends on the others."""
        if meaning == "done:after":
            return self._done(name)
        if meaning == "values":
            return self._values(name)
        if meaning == "discounts" and "gamma" in self.told:
            return _choices(
                name, discounts="gamma * (1 - terminated)", not_terminated="1 - terminated"
            )
        return None if meaning else self._nameless(name)

    def _done(self, name: str) -> list[Choice] | None:
        if "next_done" in self.told:  # the buffer of CleanRL and of baselines' ppo2
            return _choices(name, **{"done:start": "flags of the first step of an episode"})
        after = {"done:after": "flags of the last step of an episode, whatever ended it"}
        if "done:start" in self.told:
            return _choices(name, next_done="a flag a column: the last step ended", **after)
        if "truncated" in self.told and "terminated" not in self.told:
            return _choices(name, terminated="termination only", **after)
        return None

    def _values(self, name: str) -> list[Choice] | None:
        unknown = any(not meaning for meaning in self.meanings.values())
        if self.told & set(_NEXT) or unknown or "next_values" not in self.arguments:
            return None
        readings = {
            "values+bootstrap": "T+1 values, the last one following the last step",
            "values": "T values, and nothing follows the last step",
        }
        if "values" not in self.arguments:
            readings["next_values"] = "values of the states that steps lead to"
        return _choices(name, **readings)

    def _nameless(self, name: str) -> list[Choice] | None:
        word = _word(name)
        if word in _SETTINGS:
            return [Choice(Given(name, "", _SETTINGS[word]))]
        if word == "v_t" and "v_tm1" in self.words and "next_values" in self.arguments:
            return _choices(name, next_values="")
        if word in _PADDING and "mask" in self.arguments:
            return _choices(name, mask="True where real", not_mask="True where padded")
        if word == "mask" and "terminated" in self.arguments:
            return _choices(
                name,
                **{
                    "not_done:after": "0 on the last step of an episode",
                    "not_done:start": "0 on the first step of an episode",
                },
            )
        if word == "discount" and "gamma" in self.arguments:
            flags = any("done" in told or "terminated" in told for told in self.told)
            if flags or "terminated" not in self.arguments:
                return _choices(name, gamma="")
            return _choices(
                name, gamma="one number", discounts="gamma * (1 - terminated), one a step"
            )
        return None


def infer(
    signature: Signature, arguments: tuple[Argument, ...], open_: Collection[str] = ()
) -> Declaration:
    """Return the call that the names of a signature stand for.

    Args:
        signature: of the function.
        arguments: of the contract.
        open_: arguments whose value may be left open.

    Raises:
        CallError: a name is unknown or has several readings, or an argument has no parameter.
    """
    name, parameters = signature.name, signature.parameters
    names = tuple(item.name for item in arguments)
    if parameters is None:
        line = call_line(name, [Given("", item) for item in names], ())
        raise CallError(
            f"{name}: its signature cannot be read; declare the call, in a form such as\n  {line}"
        )
    readings = _Company(parameters, names).readings()
    _only_array(parameters, arguments, readings)
    told = [choice.given.source for several in readings.values() for choice in several]
    missing = [item for item in untold(told, arguments) if item.name not in open_]
    left = [item.name for item in missing]
    if not set(told) & set(_NEXT):
        left += [item for item in ("bootstrap", "next_values") if source(item, names)]
    unknown = [parameter for parameter, several in readings.items() if not several]
    several = [parameter for parameter, choices in readings.items() if len(choices) > 1]
    twice = [item for item in told if item and told.count(item) > 1]
    if unknown:
        problem = f"what its parameter {unknown[0]} means is not known"
    elif several:
        problem = f"its parameter {several[0]} has more than one reading"
    elif twice:
        problem = f"more than one of its parameters reads as {twice[0]}"
    elif missing:
        problem = f"no parameter takes {' and '.join(item.name for item in missing)}"
    else:
        return Declaration(name, tuple(choices[0].given for choices in readings.values()))
    for parameter, given in guesses(unknown, left).items():
        readings[parameter] = [Choice(item, item.source or "nothing") for item in given]
    proposed = lines(signature.name, parameters, arguments, readings, {*unknown, *several})
    raise CallError(
        f"{name}: {problem}. Declare the call that is meant, such as\n" + "\n".join(proposed)
    )


def _only_array(
    parameters: Sequence[Parameter],
    arguments: tuple[Argument, ...],
    readings: dict[str, list[Choice]],
) -> None:
    """Read the one parameter without a meaning as the one array that such a function takes."""
    arrays = [item.name for item in arguments if item.kind in ("float", "integer")]
    unknown = [item.name for item in parameters if readings.get(item.name) == []]
    told = {choice.given.source for several in readings.values() for choice in several}
    if len(arrays) == 1 and len(unknown) == 1 and arrays[0] not in told:
        readings[unknown[0]] = [Choice(Given(unknown[0], arrays[0]))]
