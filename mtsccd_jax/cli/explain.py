"""`explain`: what the numbers of a row mean."""

import argparse
from typing import Any

from mtsccd_jax.cli.options import Json, command, directory


def add(commands: Any) -> None:
    """Declare the command of this file."""
    explain = command(
        commands,
        "explain",
        run_explain,
        "what the numbers of a row mean: averages, denominators, and how others would print the same predictions",
        "mtsccd-jax explain cfsm:test_a",
        "mtsccd-jax explain 3f2a runs/demo",
    )
    explain.add_argument("row", metavar="ROW", help="id of a row, the beginning of one, or PROTOCOL:SPLIT")
    explain.add_argument(
        "workdirs",
        type=directory,
        nargs="*",
        metavar="WORKDIR",
        help="work directories, or folders of them (default: runs)",
    )


def run_explain(options: argparse.Namespace) -> Json:
    """Explain a row."""
    from mtsccd_jax.progress import ErrorConsole, console
    from mtsccd_jax.report.meaning.explain import explain, find
    from mtsccd_jax.report.meaning.printed import printed
    from mtsccd_jax.tasks.reports import REPORTS

    workdir, row = find(options.row, options.workdirs)
    task = next(task for task in REPORTS if row.protocol in {protocol.name for protocol in task.protocols})
    explained = explain(workdir, row, task)
    wide = ErrorConsole(width=max(console.width, 120), quiet=console.quiet)
    for part in printed(explained):
        wide.print(part)
    return explained.record
