"""`data synth`, `data check`, `data build`, `data convert` and `data audit`: archives and TFDS data sets."""

import argparse
import importlib
from typing import Any

from mtsccd_jax.cli import audit
from mtsccd_jax.cli.options import Json, command, directory, number, path, scale, seed
from mtsccd_jax.data.data_set_name import parse
from mtsccd_jax.errors import InputError
from mtsccd_jax.progress import bar, console
from mtsccd_jax.recipes.ranges import COUNT, Range
from tfds_builders.catalog import ARCHIVES, DATA_SETS

# Names of `tfds_builders.writing.formats.FORMATS`, which takes TFDS to import.
_FORMATS = ("both", "tfrecord", "array_record")


def add(commands: Any) -> None:
    """Declare the commands of this file."""
    data = commands.add_parser(
        "data", help="archives and TFDS data sets", epilog="example: mtsccd-jax data check MtSCCD.zip"
    )
    data.set_defaults(
        run=lambda options: data.error("name one of synth, check, build, convert, audit"), json=False, quiet=False
    )
    of_data = data.add_subparsers(title="commands", metavar="COMMAND")
    for add_command in (_add_synth, _add_check, _add_build, _add_convert, audit.add):
        add_command(of_data)


def _add_synth(of_data: Any) -> None:
    synth = command(
        of_data,
        "synth",
        run_synth,
        "write a generated archive",
        "mtsccd-jax data synth --out archive --scale 0.02",
        "mtsccd-jax data synth --dataset bigearthnet_v2 --out reben --scale 0.002",
    )
    synth.add_argument("--out", type=directory, required=True, help="folder to write to")
    _add_dataset(synth)
    scales = "; ".join(f"{name} {kind.scale:g} of {kind.size:,} {kind.unit}" for name, kind in ARCHIVES.items())
    sizes = [
        f"{name} ({kind.drawing['image_size']})" for name, kind in ARCHIVES.items() if "image_size" in kind.drawing
    ]
    synth.add_argument(
        "--scale", type=scale, default=None, help=f"share of the full size, in (0, 1] (default: {scales})"
    )
    synth.add_argument(
        "--image-size",
        type=number(int, Range(least=8, most=16_384)),
        default=None,
        help=f"pixels a side, by default of {', '.join(sizes)}",
    )
    synth.add_argument(
        "--layout",
        type=number(int, COUNT),
        choices=range(1, 8),
        default=None,
        help="folder layout, of mtsccd (default: 6)",
    )
    synth.add_argument("--seed", type=seed, default=0, help="of everything random (default: 0)")


def _add_check(of_data: Any) -> None:
    check = command(
        of_data,
        "check",
        run_check,
        "compare an archive with the published counts",
        "mtsccd-jax data check MtSCCD.zip",
        "mtsccd-jax data check MLRSNet --dataset mlrsnet",
    )
    check.add_argument("archive", type=path, help="folder, zip or tar")
    _add_dataset(check)
    check.add_argument("--strict", action="store_true", help="fail unless the published counts hold")


def _add_build(of_data: Any) -> None:
    build = command(
        of_data,
        "build",
        run_build,
        "build a TFDS data set",
        "mtsccd-jax data build mtsccd_lusc --archive MtSCCD.zip --data-dir tfds",
        "mtsccd-jax data build bigearthnet_v1/s2_43 --archive BigEarthNet-v1.0 --data-dir tfds --format array_record",
    )
    build.add_argument(
        "name",
        metavar="NAME[/CONFIG]",
        help=f"{', '.join(DATA_SETS)}; of mtsccd the configuration paired is the leak-free split",
    )
    build.add_argument("--archive", type=path, required=True, help="folder, zip or tar")
    _add_place(build)
    build.add_argument(
        "--format",
        choices=_FORMATS,
        default="both",
        help="tfrecord for tfds.load, array_record for tfds.data_source, either for this project (default: both, which "
        "take twice the space)",
    )
    build.add_argument(
        "--exclude", type=path, default=None, metavar="LIST", help="leave out the rows of exclude.csv of `data audit`"
    )
    build.add_argument("--skip-bad", action="store_true", help="skip, count and name what cannot be read")
    build.add_argument(
        "--beam-options",
        nargs="+",
        default=None,
        metavar="NAME=VALUE",
        help="write by an Apache Beam pipeline: runner=DirectRunner direct_num_workers=4 ... (default: here, in "
        "processes); needs the extra 'beam'",
    )


def _add_convert(of_data: Any) -> None:
    convert = command(
        of_data,
        "convert",
        run_convert,
        "give a built TFDS data set other file formats",
        "mtsccd-jax data convert bigearthnet_v1/s2_43 --format both --data-dir tfds",
        "mtsccd-jax data convert mtsccd_lusc --format array_record --data-dir tfds",
    )
    convert.add_argument("name", metavar="NAME[/CONFIG]", help="a data set that is built")
    _add_place(convert)
    convert.add_argument(
        "--format",
        choices=_FORMATS,
        required=True,
        help="what it has in the end: missing files are written, and then those of another format removed",
    )


def _add_place(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data-dir", type=directory, default=None, help="where data sets lie (default: TFDS's own)")


def _add_dataset(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dataset", choices=list(ARCHIVES), default="mtsccd", help="which kind of archive (default: mtsccd)"
    )


def run_synth(options: argparse.Namespace) -> Json:
    """Write a generated archive."""
    kind = ARCHIVES[options.dataset]
    given = {name: getattr(options, name) for name in ("image_size", "layout") if getattr(options, name) is not None}
    for name in given:
        if name not in kind.drawing:
            raise InputError(
                f"--{name.replace('_', '-')}: archives of {options.dataset} have no such choice; leave it out"
            )
    share = kind.scale if options.scale is None else options.scale
    write_archive = importlib.import_module(f"tfds_builders.synthetic.{options.dataset}").write_archive
    with bar("generate scenes") as advance:
        images = write_archive(options.out, scale=share, seed=options.seed or 0, progress=advance, **given)
    return {"images": images, "out": options.out}


def run_check(options: argparse.Namespace) -> Json:
    """Compare an archive with the published counts."""
    from tfds_builders.reading.archive import ArchiveError

    check_archive = importlib.import_module(f"tfds_builders.{options.dataset}.check").check_archive
    try:
        with bar("check") as advance:
            report = check_archive(options.archive, progress=advance)
    except ArchiveError as error:
        others = ", ".join(name for name in ARCHIVES if name != options.dataset)
        raise InputError(f"{error} (if this is no archive of {options.dataset}, give --dataset: {others})") from error
    if options.strict and not report.strict_ok:
        raise InputError(
            f"{options.archive}: {len(report.problems)} problems and {len(report.differences)} differences from the "
            f"published tables, the first: {[*report.problems, *report.differences][0]}; all without --strict"
        )
    if not console.quiet:
        console.print(report.text(), markup=False)
    return {**report.counts(), "problems": report.problems, "differences": report.differences}


def run_build(options: argparse.Namespace) -> Json:
    """Build a TFDS data set."""
    import tfds_builders

    wanted = parse(options.name)
    made = tfds_builders.BUILDERS.get(wanted.name, tfds_builders.DualFormatBuilder).VERSION
    if wanted.version and not made.match(wanted.version):
        raise InputError(f"{options.name}: builds are of version {made}; leave :{wanted.version} out")
    with bar(f"build {options.name}") as advance:
        built = tfds_builders.build(
            wanted.name,
            archive=options.archive,
            data_dir=options.data_dir,
            skip_bad=options.skip_bad,
            config=wanted.config or "official",
            progress=advance,
            beam_options=options.beam_options,
            formats=options.format,
            exclude=options.exclude,
        )
    for line in built.skipped:
        console.print(f"skipped: {line}", style="yellow", markup=False)
    return {
        "splits": built.splits,
        "skipped": built.skipped,
        "absent": built.absent,
        "excluded": built.excluded,
        "data_dir": built.data_dir,
    }


def run_convert(options: argparse.Namespace) -> Json:
    """Give a built TFDS data set other file formats."""
    import tfds_builders

    with bar(f"convert {options.name}") as advance:
        folder = tfds_builders.convert(
            options.name, formats=options.format, data_dir=options.data_dir, progress=advance
        )
    return {"formats": options.format, "folder": folder}
