"""The command `mtsccd-jax`. Each file declares and runs one group of commands and holds no logic of its own.

The last line on standard output is one JSON object; everything for people goes to standard error. Exit status: 0 done,
2 the input is wrong, 3 the run failed and can be resumed, 130, 138 or 143 stopped by a signal; training saves first.
"""

import argparse
import errno
import gc
import logging
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from mtsccd_jax import __version__, watchdog
from mtsccd_jax.cli import (
    bench,
    certainty,
    data,
    demo,
    evaluate,
    explain,
    lists,
    output,
    profile,
    report,
    reproduce,
    train,
)
from mtsccd_jax.cli.options import Parser
from mtsccd_jax.cli.signals import Terminated, sigterm_raised
from mtsccd_jax.errors import InputError, RunError
from mtsccd_jax.host_memory import keep_freed_memory
from mtsccd_jax.progress import ConsoleHandler, console

PROG = "mtsccd-jax"

# Modules that only some commands need, with the extra of this project that brings them.
EXTRAS = {
    "apache_beam": "beam",
    "flatbuffers": "export",
    "huggingface_hub": "hub",
    "onnx": "onnx",
    "pynvml": "cuda",
    "tensorflow": "tf",
}

# When Python looks for cyclic garbage. By default it looks through the million objects of the imported packages again
# and again, for a tenth of a short command's time.
_COLLECT_SELDOM = (100_000, 50, 50)

# Error numbers of the operating system, by who has to act on them.
FULL_DISK = (errno.ENOSPC, errno.EDQUOT)
FULL_TABLE = (errno.EMFILE, errno.ENFILE)
FAILED_DISK = (errno.EIO, errno.ESTALE, errno.ENODEV)
WRONG_PATH = (
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST),
    *(errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    is_program = arguments is None
    if is_program:
        gc.set_threshold(*_COLLECT_SELDOM)
    try:
        with sigterm_raised():
            try:
                return run(make_parser().parse_args(arguments))
            except Exception as error:
                return fail(error)
    except Terminated:
        output.complain(f"{PROG}: stopped by SIGTERM; run the same command again")
        watchdog.leave(128 + signal.SIGTERM, "stopped by SIGTERM")
        if is_program:  # the whole of it ends, at once: JAX may be compiling in other threads
            output.flush()
            os._exit(128 + signal.SIGTERM)
        return 128 + signal.SIGTERM
    except KeyboardInterrupt:
        output.complain(f"{PROG}: interrupted")
        return watchdog.leave(130, "interrupted")
    finally:
        output.flush()
        if is_program:
            gc.freeze()  # what is left goes with the process; to look through it takes half a second


def run(options: argparse.Namespace) -> int:
    """Run the command of parsed options, print its JSON and return its exit status."""
    if "run" not in options:
        make_parser().print_help(sys.stderr)
        return 2
    options.quiet = options.quiet or options.json
    show_logs(options.quiet)
    keep_freed_memory()  # before threads allocate memory of their own
    if "help" in getattr(options, "set", ()):
        result, speaks = lists.explain_set(options), True
    else:
        speaks = join_processes(options)
        result = options.run(options)
    if result is not None and speaks:
        output.write_json(result)
    leave_processes()
    return int(options.status)


def join_processes(options: argparse.Namespace) -> bool:
    """Join the other processes of a command that several can share; return whether this one speaks for all."""
    if "coordinator" not in options:
        return True
    from mtsccd_jax import processes

    processes.start(options.coordinator, options.processes, options.process_id)
    if processes.count() > 1:
        output.keep_for_ourselves()  # Gloo tells there of its connections
        processes.check_alike(chosen_of(options))
    if not processes.is_first():
        show_logs(quiet=True)
    return processes.is_first()


def chosen_of(options: argparse.Namespace) -> dict[str, str]:
    """Return what must be chosen alike in all processes: all but who they are, what they show, and local paths."""
    own = ("process_id", "coordinator", "run", "json", "quiet", "status")
    return {
        name: str(value) for name, value in vars(options).items() if name not in own and not isinstance(value, Path)
    }


def leave_processes() -> None:
    """Wait for the other processes, where there are any: the first may still write what the command leaves."""
    if watchdog.is_watching():
        from mtsccd_jax import processes

        processes.finish()


def make_parser() -> Parser:
    """Return the parser of the whole command line."""
    parser = Parser(
        prog=PROG,
        description="Land-use scene classification and change detection in JAX: data sets, training, change, report.",
        epilog="start with: mtsccd-jax demo",
    )
    parser.add_argument("--version", action="version", version=f"mtsccd-jax {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for group in (demo, train, data, lists, evaluate, certainty, reproduce, report, explain, bench, profile):
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


def fail(error: Exception) -> int:
    """Print one line for an error that the user can act on and return its exit status; raise any other error again."""
    from mtsccd_jax.engine.loop import Stopped

    if isinstance(error, Stopped):  # in all processes alike
        output.complain(f"{PROG}: {error}")
        leave_processes()
        return 128 + error.signum
    # Looked up, because importing the builders would import TFDS; what is not imported has not raised either.
    archives = sys.modules.get("tfds_builders.reading.archive")
    if isinstance(error, InputError) or (archives and isinstance(error, archives.ArchiveError)):
        status, text = 2, str(error)
    elif isinstance(error, ModuleNotFoundError) and not is_ours(error.name):
        extra = EXTRAS.get(str(error.name).partition(".")[0])
        package = f"'mtsccd-jax[{extra}]'" if extra else error.name
        status, text = 2, f"{error.name} is not installed and this command needs it: pip install {package}"
    elif isinstance(error, RunError | ChildProcessError):  # or a worker was killed: the same command continues
        status, text = 3, str(error)
    elif isinstance(error, OSError):
        status, text = of_system(error)
    elif isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):  # of the host, or of a device
        status, text = 3, "out of memory; take a smaller batch or image, or stop other programs, and run it again"
    elif watchdog.is_watching():
        watchdog.wait_for_loss()  # most likely another process is lost
        traceback.print_exception(error)
        return watchdog.leave(1, type(error).__name__)
    else:
        raise error
    output.complain(f"{PROG}: {text}")
    return watchdog.leave(status, text)


def of_system(error: OSError) -> tuple[int, str]:
    """Return the exit status and the line of an error of the operating system."""
    place, reason = error.filename or "the disk", os.strerror(error.errno or 0).lower()
    if error.errno in FULL_DISK:
        return 3, f"{place}: no space left; free some and run the same command again"
    if error.errno in FULL_TABLE:
        return 3, f"{place}: {reason}; allow more (`ulimit -n 4096`) and run the same command again"
    if error.errno in FAILED_DISK:
        return 3, f"{place}: the disk or the network failed ({reason}); run the same command again"
    if error.errno in WRONG_PATH and error.filename:
        return 2, f"{place}: {reason}; choose another path"
    named = f"{error.filename}: {reason}" if error.filename else str(error)
    return 3, f"{named}; run the same command again"


def is_ours(module: str | None) -> bool:
    """Return whether a module belongs to this project: its absence is a bug."""
    return module is None or module.partition(".")[0] in ("mtsccd_jax", "tfds_builders")
