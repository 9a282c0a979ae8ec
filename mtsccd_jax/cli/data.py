"""`data synth`, `data check` and `data build`: archives and TFDS data sets."""

import argparse
import dataclasses
import importlib
import sys
from pathlib import Path
from typing import Any

from mtsccd_jax.cli.options import Json, at_least, command, scale
from mtsccd_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Archive:
    """A kind of archive: the module that writes generated ones, the one that checks, and what differs between them.

    `options` are those of `data synth` that not every archive has; `counts` are what `data check` reports beside
    problems and differences. A check that looks at every patch takes a while, and says how far it is (`check_reports`).
    """

    synthetic: str
    check: str
    scale: float
    full_size: str
    options: tuple[str, ...]
    counts: tuple[str, ...]
    check_reports: bool = False


# The modules are imported when they are used.
ARCHIVES: dict[str, Archive] = {
    "mtsccd": Archive(
        synthetic="tfds_builders.synthetic",
        check="tfds_builders.mtsccd.check",
        scale=0.02,
        full_size="65,548 images",
        options=("image_size", "layout"),
        counts=("images", "pairs"),
    ),
    "bigearthnet_v1": Archive(
        synthetic="tfds_builders.synthetic.bigearthnet_v1",
        check="tfds_builders.bigearthnet_v1.check",
        scale=0.002,
        full_size="590,326 patches",
        options=(),
        counts=("images", "pairs", "seasons", "countries"),
        check_reports=True,
    ),
    "bigearthnet_v2": Archive(
        synthetic="tfds_builders.synthetic.bigearthnet_v2",
        check="tfds_builders.bigearthnet_v2.check",
        scale=0.002,
        full_size="549,488 patches",
        options=(),
        counts=("images", "pairs", "rows"),
        check_reports=True,
    ),
    "mlrsnet": Archive(
        synthetic="tfds_builders.synthetic.mlrsnet",
        check="tfds_builders.mlrsnet.check",
        scale=0.01,
        full_size="109,161 images",
        options=("image_size",),
        counts=("images", "damage"),
    ),
}


def add(commands: Any) -> None:
    """Declare the commands of this file."""
    data = commands.add_parser(
        "data", help="archives and TFDS data sets", epilog="example: mtsccd-jax data check MtSCCD.zip"
    )
    data.set_defaults(run=lambda options: data.error("name one of synth, check, build"), json=False, quiet=False)
    of_data = data.add_subparsers(title="commands", metavar="COMMAND")
    synth = command(
        of_data,
        "synth",
        run_synth,
        "write a generated archive",
        "mtsccd-jax data synth --out archive --scale 0.02",
        "mtsccd-jax data synth --dataset bigearthnet_v2 --out reben --scale 0.002",
    )
    synth.add_argument("--out", type=Path, required=True, help="folder to write to")
    _add_dataset(synth)
    scales = "; ".join(f"{name} {archive.scale:g} of {archive.full_size}" for name, archive in ARCHIVES.items())
    synth.add_argument(
        "--scale", type=scale, default=None, help=f"share of the full size, in (0, 1] (default: {scales})"
    )
    synth.add_argument(
        "--image-size", type=at_least(8), default=None, help="pixels a side, of mtsccd (default: 300), mlrsnet (256)"
    )
    synth.add_argument(
        "--layout", type=int, choices=range(1, 8), default=None, help="folder layout, of mtsccd (default: 6)"
    )
    synth.add_argument("--seed", type=at_least(0), default=0, help="of everything random (default: 0)")
    check = command(
        of_data,
        "check",
        run_check,
        "compare an archive with the published counts",
        "mtsccd-jax data check MtSCCD.zip",
        "mtsccd-jax data check MLRSNet --dataset mlrsnet",
    )
    check.add_argument("archive", type=Path, help="folder, zip or tar")
    _add_dataset(check)
    check.add_argument("--strict", action="store_true", help="fail unless the published counts hold")
    build = command(
        of_data,
        "build",
        run_build,
        "build a TFDS data set, both file formats",
        "mtsccd-jax data build mtsccd_lusc --archive MtSCCD.zip --data-dir tfds",
        "mtsccd-jax data build bigearthnet_v1/s2_43 --archive BigEarthNet-v1.0 --data-dir tfds",
    )
    build.add_argument(
        "name",
        metavar="NAME[/CONFIG]",
        help="mtsccd_lusc or mtsccd_lucd (/paired: the leak-free split), bigearthnet_v1, bigearthnet_v2, mlrsnet",
    )
    build.add_argument("--archive", type=Path, required=True, help="folder, zip or tar")
    build.add_argument("--data-dir", type=Path, default=None, help="where data sets lie (default: TFDS's own)")
    build.add_argument("--skip-bad", action="store_true", help="skip, count and name what cannot be read")
    build.add_argument(
        "--beam-options",
        nargs="+",
        default=None,
        metavar="NAME=VALUE",
        help="write by an Apache Beam pipeline: runner=DirectRunner direct_num_workers=4 ... (default: here, in "
        "processes); needs the extra 'beam'",
    )


def _add_dataset(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dataset", choices=list(ARCHIVES), default="mtsccd", help="which kind of archive (default: mtsccd)"
    )


def run_synth(options: argparse.Namespace) -> Json:
    """Write a generated archive."""
    from mtsccd_jax.progress import bar

    archive = ARCHIVES[options.dataset]
    given = {name: getattr(options, name) for name in ("image_size", "layout") if getattr(options, name) is not None}
    for name in given:
        if name not in archive.options:
            raise InputError(
                f"--{name.replace('_', '-')}: archives of {options.dataset} have no such choice; leave it out"
            )
    write_archive = importlib.import_module(archive.synthetic).write_archive
    with bar("generate scenes", options.quiet) as advance:
        images = write_archive(
            options.out,
            scale=archive.scale if options.scale is None else options.scale,
            seed=options.seed or 0,
            progress=advance,
            **given,
        )
    return {"images": images, "out": options.out}


def run_check(options: argparse.Namespace) -> Json:
    """Compare an archive with the published counts."""
    from mtsccd_jax.progress import bar
    from tfds_builders.reading.archive import ArchiveError

    archive = ARCHIVES[options.dataset]
    check_archive = importlib.import_module(archive.check).check_archive
    try:
        if archive.check_reports:
            with bar("check", options.quiet) as advance:
                report = check_archive(options.archive, progress=advance)
        else:
            report = check_archive(options.archive)
    except ArchiveError as error:
        others = ", ".join(name for name in ARCHIVES if name != options.dataset)
        raise InputError(f"{error} (if this is no archive of {options.dataset}, give --dataset: {others})") from error
    if options.strict and not report.strict_ok:
        raise InputError(
            f"{options.archive}: {len(report.problems)} problems and {len(report.differences)} differences from the "
            f"published tables, the first: {[*report.problems, *report.differences][0]}; all without --strict"
        )
    if not options.quiet:
        print(report.text(), file=sys.stderr)
    counts = {"images": None, "pairs": None} | {name: getattr(report, name) for name in archive.counts}
    return counts | {"problems": report.problems, "differences": report.differences}


def run_build(options: argparse.Namespace) -> Json:
    """Build a TFDS data set in both file formats."""
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
            beam_options=options.beam_options,
        )
    for line in built.skipped:
        console.print(f"skipped: {line}", style="yellow", markup=False)
    return {"splits": built.splits, "skipped": built.skipped, "absent": built.absent, "data_dir": built.data_dir}
