"""`report`, `verify`, `audit` and `export`: what leaves a work directory, and whether it can be believed."""

import argparse
from typing import Any

from mtsccd_jax.cli.options import Json, add_workdir, command, directory, path


def add(commands: Any) -> None:
    """Declare the commands of this file."""
    report = command(commands, "report", run_report, "one page from rows and artefacts", "mtsccd-jax report runs/demo")
    report.add_argument(
        "workdirs", type=directory, nargs="+", metavar="WORKDIR", help="work directories, or folders of them"
    )
    report.add_argument("--out", type=directory, default=None, help="folder to write to (default: WORKDIR/report)")

    verify = command(
        commands,
        "verify",
        run_verify,
        "recompute every row from its saved predictions and distances (status 3 where one differs)",
        "mtsccd-jax verify runs/demo",
    )
    verify.add_argument("workdir", type=directory, metavar="WORKDIR", help="work directory, or a folder of them")

    audit = command(
        commands,
        "audit",
        run_audit,
        "which published results are possible: overall accuracy with kappa, or scores of several classes or labels",
        "mtsccd-jax audit",
        "mtsccd-jax audit results.csv",
        "",
        "columns of FILE, one result a line; all other columns say what it is of:",
        "two classes       oa,kappa[,n,positives]          0.8533,0.5202,5078,933",
        "several classes   classes,oa,kappa,f1             120;80;40,0.83,0.74,0.91;0.84;0.62",
        "                  classes is their number, or the examples of each",
        "several labels    labels,n,f1_micro,f1_macro      19,500,0.71,0.64",
        "                  labels is their number, or the examples of each",
        "scores            oa, kappa (not of labels); precision, recall, f1: a value a class, - where not known;",
        "                  precision_micro, precision_macro, recall_..., f1_...",
        "decimals          of all values of the line (unless given, as many as are there, at least 4)",
    )
    audit.add_argument(
        "file",
        type=path,
        nargs="?",
        metavar="FILE",
        help="CSV with a header or JSON, a list of objects (default: Table 7 of the MtSCCD paper)",
    )

    export = command(
        commands,
        "export",
        run_export,
        "weights under published names, or the forward pass for JAX (stablehlo) or any other runtime (onnx)",
        "mtsccd-jax export runs/demo --format safetensors --out demo.safetensors",
        "mtsccd-jax export runs/demo --format onnx --out demo.onnx",
    )
    add_workdir(export)
    export.add_argument("--format", choices=["safetensors", "stablehlo", "onnx"], required=True, help="what to write")
    export.add_argument("--out", type=path, default=None, help="file to write (default: WORKDIR/model.FORMAT)")


def run_report(options: argparse.Namespace) -> Json:
    """Write one self-contained page from rows and artefacts."""
    from mtsccd_jax.report.page import write
    from mtsccd_jax.tasks.reports import REPORTS

    out = options.out or options.workdirs[0] / "report"
    return {"report": write(options.workdirs, out, REPORTS)}


def run_verify(options: argparse.Namespace) -> Json:
    """Recompute every row and name what differs; the exit status is 3 where anything does."""
    from dataclasses import asdict

    from mtsccd_jax.progress import bar, console
    from mtsccd_jax.report.verify import verify
    from mtsccd_jax.tasks.table import CHECKS

    checked = 0
    differences = []
    with bar("verifying rows") as advance:
        for _, row, found in verify(options.workdir, CHECKS):
            checked += 1
            differences += found
            advance(checked, checked, row.split)
    for d in differences:
        console.print(f"{d.workdir.name}, row {d.row} ({d.what}): {d.key}: {d.reason}", markup=False)
    wrong = len({(d.workdir, d.row) for d in differences})
    text = "all agree with their artefacts" if not wrong else f"{wrong} differ; evaluate these again"
    console.print(f"{checked} rows: {text}")
    options.status = 3 if differences else 0
    return {"rows": checked, "mismatches": len(differences), "differences": [asdict(d) for d in differences]}


def run_audit(options: argparse.Namespace) -> Json:
    """Print which published results are possible, and the confusion matrix of each that has only one."""
    from rich.table import Table

    from mtsccd_jax.progress import ErrorConsole, bar, console
    from mtsccd_jax.report.published.audit import counts, entries, examine

    given = entries(options.file)
    findings = []
    with bar("auditing") as advance:
        for entry in given:
            findings.append(examine(entry))
            advance(len(findings), len(given))
    titles = list(dict.fromkeys(name for finding in findings for name in finding.entry.label))
    table = Table(box=None)
    for title in (*titles, "OA", "kappa", "largest kappa", "finding"):
        table.add_column(title)
    for finding in findings:
        numbers = ("-" if value is None else f"{value:.4f}" for value in finding.numbers)
        style = {"impossible": "red", "no_table": "yellow"}.get(finding.state)
        table.add_row(*(finding.entry.label.get(title, "") for title in titles), *numbers, finding.text, style=style)
    ErrorConsole(width=max(console.width, 150), quiet=console.quiet).print(table)
    return {**counts(findings), "findings": [finding.record for finding in findings]}


def run_export(options: argparse.Namespace) -> Json:
    """Write a trained network for others."""
    from mtsccd_jax.engine.evaluate import load_trained
    from mtsccd_jax.engine.export.formats import WRITERS
    from mtsccd_jax.engine.export.stablehlo import promise
    from mtsccd_jax.progress import console

    out = options.out or options.workdir / f"model.{options.format}"
    told = WRITERS[options.format](load_trained(options.workdir), out) or {}
    if "readable_until" in told:
        console.print(promise(told), markup=False)
    return {"out": out, **told}
