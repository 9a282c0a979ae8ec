"""Run a command in this process, and look at what it says."""

import json
from typing import Any

from mtsccd_jax.cli import main


def run(capsys: Any, *arguments: Any) -> tuple[Any, Any, str]:
    """Return the exit status, the JSON of the last line on standard output, and standard error."""
    try:
        status: Any = main([str(argument) for argument in arguments])
    except SystemExit as stop:
        status = stop.code
    captured = capsys.readouterr()
    lines = captured.out.strip().splitlines()
    return status, json.loads(lines[-1]) if lines else None, captured.err


def refused(capsys: Any, *arguments: Any) -> str:
    """Return the single line on standard error of a command that must end with status 2."""
    status, result, err = run(capsys, *arguments)
    assert (status, result) == (2, None), err
    (line,) = err.strip().splitlines()
    return line
