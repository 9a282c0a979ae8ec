"""Building both file formats of `mtsccd_lusc` from 300 x 300 JPEGs: images/s and the memory of each process.

    python benchmarks/build_rate.py [--images 8000] [--workers 2] [--rounds 5] [--out FILE]

Every round builds anew in a fresh process (`one_build.py`), as `mtsccd-jax data build` does, with all headers and end
marks checked.
`images_per_s` is of the whole build by the clock, listing and start-up included; `images_per_processor_s` divides by
the processor seconds of all its processes instead, which a busy machine disturbs less.
"""

import tempfile
from pathlib import Path

import numpy as np
from jpegs import write_jpegs
from one_build import measured
from record import make_parser, publish


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
            figures = measured("mtsccd_lusc", archive, Path(folder) / f"tfds-{turn}", options.workers)
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
