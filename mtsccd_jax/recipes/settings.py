"""Every setting of a recipe, explained: its meaning, its range, its default and the recipe's value."""

import dataclasses
import re
import typing
from dataclasses import dataclass
from typing import Any

from mtsccd_jax.recipes.config import RULES, Recipe
from mtsccd_jax.recipes.values import kind, shown


@dataclass(frozen=True)
class Setting:
    """One setting: its key for `--set`, and what there is to know of it."""

    key: str
    value: Any
    default: Any
    meaning: str
    range: str  # its type or choices, and what else its values must be

    def __str__(self) -> str:
        """Return the setting as one line."""
        setting = f"{self.key}={shown(self.value)}"
        return f"{setting:<46} {self.meaning} [{self.range}; default {shown(self.default) or 'empty'}]"


def settings(recipe: Recipe) -> list[Setting]:
    """Return every setting of a recipe in the order of its parts."""
    default, found = Recipe("", ""), []
    for part in dataclasses.fields(Recipe):
        owner = getattr(recipe, part.name)
        if dataclasses.is_dataclass(owner):
            found += _of_part(owner, getattr(default, part.name), f"{part.name}.")
        elif part.name in meanings_of(Recipe):  # its own; name and summary are no settings
            found += [_setting(recipe, default, "", part.name)]
    return found


def _of_part(owner: Any, default: Any, prefix: str) -> list[Setting]:
    """Return the settings of one part of a recipe."""
    return [_setting(owner, default, prefix, field.name) for field in dataclasses.fields(owner)]


def _setting(owner: Any, default: Any, prefix: str, name: str) -> Setting:
    hint, meaning = typing.get_type_hints(type(owner))[name], meanings_of(type(owner)).get(name, "")
    rules = dict.fromkeys(expected for key, _, expected in RULES if key == prefix + name)
    return Setting(
        prefix + name, getattr(owner, name), getattr(default, name), meaning, "; ".join([kind(hint), *rules])
    )


def meanings_of(part: type) -> dict[str, str]:
    """Return the meaning of each attribute that the docstring of a class explains, in one line."""
    attributes = (part.__doc__ or "").partition("Attributes:\n")[2]
    entries = re.findall(r"^ {8}(\w+): (.+(?:\n {12}.+)*)", attributes, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}
