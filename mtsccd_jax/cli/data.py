"""`data synth`, `data check` and `data build`: archives and TFDS data sets."""

import argparse
import sys
from pathlib import Path
from typing import Any

from mtsccd_jax.cli.options import Json, at_least, command, scale
from mtsccd_jax.errors import InputError


def add(commands: Any) -> None:
    """Declares the commands of this file."""
    data = commands.add_parser(
        "data", help="archives and TFDS data sets", epilog="example: mtsccd-jax data check MtSCCD.zip"
    )
    data.set_defaults(run=lambda options: data.error("name one of synth, check, build"), json=False, quiet=False)
    of_data = data.add_subparsers(title="commands", metavar="COMMAND")
    synth = command(
        of_data, "synth", run_synth, "write a generated archive", "mtsccd-jax data synth --out archive --scale 0.02"
    )
    synth.add_argument("--out", type=Path, required=True, help="folder to write to")
    synth.add_argument("--dataset", choices=["mtsccd"], default="mtsccd", help="which archive (default: mtsccd)")
    synth.add_argument(
        "--scale", type=scale, default=0.02, help="share of the 65,548 images, in (0, 1] (default: 0.02)"
    )
    synth.add_argument("--image-size", type=at_least(8), default=300, help="pixels a side (default: 300)")
    synth.add_argument("--layout", type=int, choices=range(1, 8), default=6, help="folder layout (default: 6)")
    synth.add_argument("--seed", type=at_least(0), default=0, help="of everything random (default: 0)")
    check = command(
        of_data, "check", run_check, "compare an archive with the published counts", "mtsccd-jax data check MtSCCD.zip"
    )
    check.add_argument("archive", type=Path, help="folder, zip or tar")
    check.add_argument("--dataset", choices=["mtsccd"], default="mtsccd", help="which archive (default: mtsccd)")
    check.add_argument("--strict", action="store_true", help="fail unless Tables 2 to 5 hold")
    build = command(
        of_data,
        "build",
        run_build,
        "build a TFDS data set, both file formats",
        "mtsccd-jax data build mtsccd_lusc --archive MtSCCD.zip --data-dir tfds",
    )
    build.add_argument("name", help="mtsccd_lusc or mtsccd_lucd, with /paired for the leak-free split")
    build.add_argument("--archive", type=Path, required=True, help="folder, zip or tar")
    build.add_argument("--data-dir", type=Path, default=None, help="where data sets lie (default: TFDS's own)")
    build.add_argument("--skip-bad", action="store_true", help="skip, count and name what cannot be read")


def run_synth(options: argparse.Namespace) -> Json:
    """Writes a generated archive."""
    from mtsccd_jax.progress import bar
    from tfds_builders import synthetic

    with bar("generate scenes", options.quiet) as advance:
        images = synthetic.write_archive(
            options.out,
            scale=options.scale,
            image_size=options.image_size,
            layout=options.layout,
            seed=options.seed or 0,
            progress=advance,
        )
    return {"images": images, "out": options.out}


def run_check(options: argparse.Namespace) -> Json:
    """Compares an archive's names with the published counts."""
    from tfds_builders.mtsccd.check import check_archive

    report = check_archive(options.archive)
    if options.strict and not report.strict_ok:
        raise InputError(
            f"{options.archive}: {len(report.problems)} problems and {len(report.differences)} differences from the "
            f"published tables, the first: {[*report.problems, *report.differences][0]}; all without --strict"
        )
    if not options.quiet:
        print(report.text(), file=sys.stderr)
    return {
        "images": report.images,
        "pairs": report.pairs,
        "problems": report.problems,
        "differences": report.differences,
    }


def run_build(options: argparse.Namespace) -> Json:
    """Builds a TFDS data set in both file formats."""
    import tfds_builders
    from mtsccd_jax.progress import bar, console

    with bar(f"build {options.name}", options.quiet) as advance:
        name, _, config = options.name.partition("/")
        built = tfds_builders.build(
            name,
            archive=options.archive,
            data_dir=options.data_dir,
            skip_bad=options.skip_bad,
            config=config or "official",
            progress=advance,
        )
    for line in built.skipped:
        console.print(f"skipped: {line}", style="yellow", markup=False)
    return {"splits": built.splits, "skipped": built.skipped, "data_dir": built.data_dir}
