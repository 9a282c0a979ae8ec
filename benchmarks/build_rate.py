"""Building both file formats of `mtsccd_lusc` from 300 x 300 JPEGs: images/s and the memory of each process.

    python benchmarks/build_rate.py [--images 8000] [--workers 2] [--rounds 5] [--out FILE]

Every round builds anew in a fresh process, as `mtsccd-jax data build` does, with all headers and end marks checked.
`images_per_s` is of the whole build by the clock, listing and start-up included; `images_per_processor_s` divides by
the processor seconds of all its processes instead, which a busy machine disturbs less. Peaks are the operating
system's, of the largest process of each kind.
"""

import json
import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from jpegs import write_jpegs
from record import make_parser, publish

import tfds_builders


def build(archive: Path, place: Path, workers: int) -> dict[str, float]:
    """Seconds, processor seconds and peak memory of one build; to be called in a process of its own."""
    started = time.perf_counter()
    tfds_builders.build("mtsccd_lusc", archive=archive, data_dir=place, workers=workers)
    elapsed_s = time.perf_counter() - started
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return {
        "s": elapsed_s,
        "processor_s": sum(usage.ru_utime + usage.ru_stime for usage in (own, children)),
        "main_mib": own.ru_maxrss / 1024,
        "worker_mib": children.ru_maxrss / 1024,
    }


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--images", type=int, default=8000)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    rounds = []
    with tempfile.TemporaryDirectory(prefix="build-rate-") as folder:
        archive = Path(folder) / "archive"
        image_kb = write_jpegs(archive, options.images)
        for turn in range(1 + options.rounds):
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                figures = pool.apply(build, (archive, Path(folder) / f"tfds-{turn}", options.workers))
            print(json.dumps(figures), file=sys.stderr)
            if turn:
                rounds.append(figures)
    rate = options.images / np.array([figures["s"] for figures in rounds])
    busy = options.images / np.array([figures["processor_s"] for figures in rounds])
    result = {
        "benchmark": "build",
        "images": options.images,
        "image_kb": round(image_kb, 1),
        "workers": options.workers,
        "images_per_s": {name: round(float(np.quantile(rate, q))) for name, q in QUANTILES.items()},
        "images_per_processor_s": round(float(np.median(busy))),
        "main_mib": round(max(figures["main_mib"] for figures in rounds)),
        "worker_mib": round(max(figures["worker_mib"] for figures in rounds)),
    }
    publish(result, options.out)


QUANTILES = {"median": 0.5, "p10": 0.1, "p90": 0.9}

if __name__ == "__main__":
    main()
