"""`data audit`: leaks by content."""

import argparse
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mtsccd_jax.cli.options import Json, command, directory, seed
from mtsccd_jax.errors import InputError
from mtsccd_jax.progress import bar, console

logger = logging.getLogger(__name__)


def add(of_data: Any) -> None:
    """Declare the command of this file, one of those of `data`."""
    audit = command(
        of_data,
        "audit",
        run,
        "find copies of images within and across splits and data sets, by their content",
        "mtsccd-jax data audit mtsccd_lusc --data-dir tfds --out leaks",
        "mtsccd-jax data audit mlrsnet --against my_images --against other/hashes.npz --out leaks",
        "mtsccd-jax train resnet18_scratch --exclude leaks/exclude.csv",
    )
    audit.add_argument(
        "inputs",
        nargs="+",
        metavar="NAME|DIR",
        help="a built data set (NAME or NAME/CONFIG), or a folder of classes, of pairs (pairs.csv) or of images",
    )
    audit.add_argument(
        "--against",
        action="append",
        default=[],
        metavar="NAME|DIR|HASHES",
        help="compare with these too, but not within them, repeatable; HASHES is the hashes.npz of another audit",
    )
    audit.add_argument("--out", type=directory, required=True, help="folder to write to")
    audit.add_argument("--data-dir", type=directory, default=None, help="where data sets lie (default: TFDS's own)")
    audit.add_argument("--skip-bad", action="store_true", help="skip, count and name what cannot be read")
    audit.add_argument("--seed", type=seed, default=0, help="of the copies that are planted (default: 0)")


def run(options: argparse.Namespace) -> Json:
    """Find copies, and write what was found."""
    from mtsccd_jax.files import check_writable
    from mtsccd_jax.tasks.leaks import hash_lists, outputs, page
    from mtsccd_jax.tasks.leaks.audit import audit
    from mtsccd_jax.tasks.leaks.inputs import open_parts, refuse_same_names

    check_writable(options.out)
    page.index_of(options.out)
    lists = [hash_lists.read(Path(name)) for name in options.against if Path(name).is_file()]
    wanted = [(name, False) for name in options.inputs]
    wanted += [(name, True) for name in options.against if not Path(name).is_file()]
    parts = []
    for name, against in wanted:
        if Path(name).is_file():
            raise InputError(f"{name} is a file; a hash list is given by --against, and a folder or data set here")
        parts += open_parts(name, data_dir=options.data_dir, against=against, skip_bad=options.skip_bad)
    refuse_same_names(parts)
    with bar("audit") as advance:
        found = audit(parts, lists, told(advance), skip_bad=options.skip_bad, seed=options.seed or 0)
    for line in found.skipped:
        console.print(f"skipped: {line}", style="yellow", markup=False)
    told_json = outputs.write(found, options.out)
    index = page.write(found, told_json, options.out)
    for sentence in page.sentences(found, told_json):
        logger.info(sentence)
    kept = ("images", "pairs", "leaks", "excluded", "kinds", "same_place_other_date", "plain_pairs", "planted")
    return {name: told_json[name] for name in kept} | {
        "skipped": len(found.skipped),
        "seconds": round(sum(found.seconds.values()), 1),
        "report": index,
        "out": options.out,
    }


def told(advance: Callable[..., object]) -> Callable[[str, int, int], None]:
    """Return how an audit tells how far it is, on a bar whose text is the stage."""

    def progress(stage: str, done: int, total: int) -> None:
        advance(done, total, stage)

    return progress
