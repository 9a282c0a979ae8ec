"""`report` and `export`: what leaves a work directory."""

import argparse
from pathlib import Path
from typing import Any

from mtsccd_jax.cli.options import Json, add_workdir, command


def add(commands: Any) -> None:
    """Declares the commands of this file."""
    report = command(commands, "report", run_report, "one page from rows and artefacts", "mtsccd-jax report runs/demo")
    report.add_argument("workdirs", type=Path, nargs="+", metavar="WORKDIR", help="work directories")
    report.add_argument("--out", type=Path, default=None, help="folder to write to (default: WORKDIR/report)")

    export = command(
        commands,
        "export",
        run_export,
        "weights under published names, or the forward pass for cpu, cuda and tpu",
        "mtsccd-jax export runs/demo --format safetensors --out demo.safetensors",
    )
    add_workdir(export)
    export.add_argument("--format", choices=["safetensors", "stablehlo"], required=True, help="what to write")
    export.add_argument("--out", type=Path, default=None, help="file to write (default: WORKDIR/model.FORMAT)")


def run_report(options: argparse.Namespace) -> Json:
    """One self-contained page from rows and artefacts."""
    from mtsccd_jax.report.page import write

    out = options.out or options.workdirs[0] / "report"
    return {"report": write(options.workdirs, out)}


def run_export(options: argparse.Namespace) -> Json:
    """Writes a trained network for others."""
    from mtsccd_jax.engine.evaluate import load_trained
    from mtsccd_jax.engine.export import WRITERS

    out = options.out or options.workdir / f"model.{options.format}"
    WRITERS[options.format](load_trained(options.workdir), out)
    return {"out": out}
