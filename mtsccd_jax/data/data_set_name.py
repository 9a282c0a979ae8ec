"""The name of a TFDS data set as people write it: NAME[/CONFIG][:VERSION]."""

import re
from dataclasses import dataclass, replace

from mtsccd_jax.errors import InputError, nearest

_FORM = re.compile(r"(?P<name>[A-Za-z]\w*)(/(?P<config>\w[\w+-]*))?(:(?P<version>(\d+|\*)\.(\d+|\*)\.(\d+|\*)))?")


@dataclass(frozen=True)
class DataSetName:
    """A data set, its configuration, and its version, in which a star stands for any number."""

    name: str
    config: str | None = None
    version: str | None = None

    def __str__(self) -> str:
        return self.name + (f"/{self.config}" if self.config else "") + (f":{self.version}" if self.version else "")

    def or_config(self, config: str) -> "DataSetName":
        """Return the name with this configuration, if it has none of its own."""
        return self if self.config or not config else replace(self, config=config)


def parse(text: str) -> DataSetName:
    """Return the parts of a name.

    Raises:
        InputError: It has another form, such as "name/config/1.0.0"; the message names the nearest that is known.
    """
    found = _FORM.fullmatch(text)
    if not found:
        from tfds_builders.catalog import DATA_SETS

        hint = nearest(re.split(r"[/:]", text)[0], DATA_SETS)
        raise InputError(f"'{text}' is no name of a data set: write NAME, NAME/CONFIG or NAME/CONFIG:1.0.0.{hint}")
    return DataSetName(found["name"], found["config"], found["version"])
