"""What a command prints for programs: lines on standard output, of which the last may be JSON."""

import json
import math
import os
import re
import sys
from pathlib import Path
from typing import Any

from mtsccd_jax.progress import discard
from tfds_builders.reading.names import as_text

# Controls that JSON leaves as they are, and separators of lines.
_OBEYED = re.compile("[\x7f-\x9f\u2028\u2029]")


def write(text: str) -> None:
    """Write lines to standard output at once; a reader that has gone away, such as `head`, is no error."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        discard(sys.stdout)


def keep_for_ourselves() -> None:
    """Write alone to standard output from now on: what libraries in C print there goes to standard error."""
    ours = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding=sys.stdout.encoding)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    sys.stdout = ours


def write_json(value: Any) -> None:
    """Write a value as one line of JSON, in characters that standard output can hold."""
    write(as_json(value, getattr(sys.stdout, "encoding", None) or "utf-8"))


def as_json(value: Any, encoding: str = "utf-8") -> str:
    """Return a value as one line of JSON.

    What the encoding lacks, as a path's byte that is no UTF-8, is escaped, and so is what a terminal would obey.
    """
    text = json.dumps(finite(value), ensure_ascii=False)
    text = _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return json.dumps(finite(value))
    return text


def complain(text: str) -> None:
    """Write one line to standard error, in characters that every terminal shows."""
    if sys.stderr is None:  # closed, and `print` would take standard output
        return
    try:
        print(as_text(" ".join(text.split())), file=sys.stderr, flush=True)
    except BrokenPipeError:
        discard(sys.stderr)


def flush() -> None:
    """Flush standard output before Python does, which would tell of a reader that has gone away."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        discard(sys.stdout)


def finite(value: Any) -> Any:
    """Return the value for JSON: paths as absolute text, numbers that are not finite as None."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    if isinstance(value, Path):
        return str(value.resolve())
    return None if isinstance(value, float) and not math.isfinite(value) else value
