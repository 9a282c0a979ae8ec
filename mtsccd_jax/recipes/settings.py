"""Every setting of a recipe, explained: its meaning, its range, its default and the recipe's value."""

import re
from dataclasses import dataclass
from typing import Any

from mtsccd_jax.recipes.config import Recipe, typed_settings
from mtsccd_jax.recipes.ranges import RANGES, RULES
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
    found = []
    for (key, value, hint), (_, default, _) in zip(typed_settings(recipe), typed_settings(Recipe("", "")), strict=True):
        part, _, name = key.rpartition(".")
        meaning = meanings_of(type(getattr(recipe, part) if part else recipe)).get(name, "")
        demands = [str(RANGES[key])] if key in RANGES else []
        demands += dict.fromkeys(wanted for of, _, wanted in RULES if of == key)
        found.append(Setting(key, value, default, meaning, "; ".join([kind(hint), *demands])))
    return found


def meanings_of(part: type) -> dict[str, str]:
    """Return the meaning of each attribute that the docstring of a class explains, in one line."""
    attributes = (part.__doc__ or "").partition("Attributes:\n")[2]
    entries = re.findall(r"^ {8}(\w+): (.+(?:\n {12}.+)*)", attributes, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}
