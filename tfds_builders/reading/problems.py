"""Tell one bad file from an archive that follows another convention."""

import re
from collections.abc import Sequence

# So many files are looked at, and so many tell a convention from chance.
MANY, FEW = 100, 10
CONVENTION = "fail alike: this is how the archive was made, not one bad file; convert or rename all of them"
_NUMBERS = re.compile(r"0x[0-9a-f]+|\d+")


def alike(problems: Sequence[str]) -> bool:
    """Return whether ten problems or more, "place: reason" each, have one reason, numbers in it aside."""
    return len(problems) >= FEW and len({_NUMBERS.sub("#", line.rpartition(": ")[2]) for line in problems}) == 1
