"""The command `mtsccd-jax`. Each file declares and runs one group of commands and holds no logic of its own.

The last line on standard output is one JSON object; everything for people goes to standard error. Exit status: 0 done,
2 the input is wrong, 3 the run failed and can be resumed, 130 or 143 stopped by a signal after saving.
"""

import errno
import json
import logging
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mtsccd_jax import __version__
from mtsccd_jax.cli import bench, data, demo, evaluate, lists, profile, report, reproduce, train
from mtsccd_jax.cli.options import Json, Parser
from mtsccd_jax.errors import InputError, RunError
from mtsccd_jax.files import utf8
from mtsccd_jax.host_memory import keep_freed_memory
from mtsccd_jax.progress import ConsoleHandler, console
from tfds_builders.reading.names import as_text

# Error numbers of the operating system, by who has to act on them.
FULL_DISK = (errno.ENOSPC, errno.EDQUOT)
BROKEN_DISK = (errno.EIO, errno.EFBIG)
WRONG_PATH = (
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST),
    *(errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    if "run" not in options:
        parser.print_help(sys.stderr)
        return 2
    options.quiet = options.quiet or options.json
    show_logs(options.quiet)
    keep_freed_memory()  # before threads allocate memory of their own
    try:
        result = options.run(options)
    except Exception as error:
        return fail(parser.prog, error)
    except KeyboardInterrupt:
        print(f"{parser.prog}: interrupted", file=sys.stderr)
        return 130
    if result is not None:
        print(as_json(result))
    return int(options.status)


def make_parser() -> Parser:
    """Return the parser of the whole command line."""
    parser = Parser(
        prog="mtsccd-jax",
        description="Land-use scene classification and change detection in JAX: data sets, training, change, report.",
        epilog="start with: mtsccd-jax demo",
    )
    parser.add_argument("--version", action="version", version=f"mtsccd-jax {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for group in (demo, train, data, lists, evaluate, reproduce, report, bench, profile):
        group.add(commands)
    return parser


def show_logs(quiet: bool) -> None:
    """Show the log of this project on standard error unless `quiet`; hide those of its libraries."""
    console.quiet = quiet
    for name, level in (("mtsccd_jax", logging.INFO), ("tfds_builders", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [ConsoleHandler()], False
        logger.setLevel(level)
    logging.getLogger("absl").setLevel(logging.CRITICAL)  # orbax logs every save, and errors that it raises as well
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def fail(prog: str, error: Exception) -> int:
    """Print one line for an error that the user can act on and return its exit status; raise any other error again."""
    from mtsccd_jax.engine.loop import Stopped

    # Looked up, because importing the builders would import TFDS; what is not imported has not raised either.
    archives = sys.modules.get("tfds_builders.reading.archive")
    if isinstance(error, InputError) or (archives and isinstance(error, archives.ArchiveError)):
        status = 2
    elif isinstance(error, ModuleNotFoundError) and not is_ours(error.name):
        status = 2
        error = InputError(f"{error.name} is not installed and this command needs it; install it with pip")
    elif isinstance(error, RunError):
        status = 3
    elif isinstance(error, Stopped):
        status = 128 + error.signum
    elif isinstance(error, OSError) and error.errno in FULL_DISK:
        status = 3
        error = RunError(f"{error.filename or 'the disk'}: no space left; free some and run the same command again")
    elif isinstance(error, ChildProcessError) or (isinstance(error, OSError) and error.errno in BROKEN_DISK):
        status = 3  # a worker was killed or the disk failed; all files are whole, and the same command continues
    elif isinstance(error, OSError) and error.errno in WRONG_PATH and error.filename:
        status = 2
        reason = os.strerror(error.errno).lower()
        error = InputError(f"{error.filename}: {reason}; choose another path")
    else:
        raise error
    print(f"{prog}: {as_text(' '.join(str(error).split()))}", file=sys.stderr)
    return status


def is_ours(module: str | None) -> bool:
    """Return whether a module belongs to this project: its absence is a bug."""
    return module is None or module.partition(".")[0] in ("mtsccd_jax", "tfds_builders")


def as_json(result: Json) -> str:
    """Return the result as one line that any terminal takes."""
    return utf8(json.dumps(finite(result), ensure_ascii=False)).decode()


def finite(value: Any) -> Any:
    """Return the value for JSON: paths as absolute text, numbers that are not finite as None."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    if isinstance(value, Path):
        return str(value.resolve())
    return None if isinstance(value, float) and not math.isfinite(value) else value
