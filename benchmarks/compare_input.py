"""Streamed input (read, decode, batch) from a TFDS build of 300 x 300 JPEGs, against bare `cv2.imdecode`.

    python benchmarks/compare_input.py [--images 4000] [--batch 64] [--image-size 300] [--threads N] [--rounds 7]
        [--out FILE]

Generates JPEGs of about 37 kB, builds a data set from them in a temporary folder and reads all of it in random order.
"bare" decodes the same bytes, already in memory, on the same number of threads and discards the pixels: nothing that
uses OpenCV can be faster. "data_source" is TFDS's own reader: decoded examples, a batch a thread, stacked. Processor
seconds, over all threads, are those of the same passes; they vary less on a busy machine.
"""

import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from record import chosen, make_parser, measure, processor_s, publish, spread

from mtsccd_jax.data import decode
from mtsccd_jax.data.order import batch_indices
from mtsccd_jax.data.stream import stream, usable_cores
from mtsccd_jax.data.tfds_source import tfds_source
from mtsccd_jax.host_memory import keep_freed_memory
from mtsccd_jax.perf.bench.jpegs import DATASET, SIDE, build_jpegs
from mtsccd_jax.perf.timing import Timing

EVERYTHING = "train+validation+test_a+test_b"


def readers(place: Path, batch: int, image_size: int, threads: int) -> tuple[int, dict[str, Callable[[], None]]]:
    """Return the number of images in a pass, and one pass of each way to read them."""
    import tensorflow_datasets as tfds

    source = tfds_source(f"{DATASET}/official", EVERYTHING, data_dir=place / "tfds", image_size=image_size)
    order = batch_indices(0, 0, len(source), batch)
    peer = tfds.data_source(f"{DATASET}/official", split=EVERYTHING, data_dir=place / "tfds")
    encoded = {path.name: np.fromfile(path, np.uint8) for path in (place / "archive").iterdir()}
    in_row_order = [encoded[name] for name in source.column("filename")]
    cv2.setNumThreads(0)

    def streamed() -> None:
        with stream(source, order, threads=threads) as batches:
            for host_batch in batches:
                assert host_batch["image"].shape == (batch, image_size, image_size, 3)

    def on_threads(work: Callable[[np.ndarray], None]) -> None:
        with ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(work, order):
                pass

    def bare(rows: np.ndarray) -> None:
        for row in rows:
            cv2.imdecode(in_row_order[row], cv2.IMREAD_COLOR)

    def data_source(rows: np.ndarray) -> None:
        np.stack([example["image"] for example in peer.__getitems__(rows.tolist())])

    return order.size, {
        "stream": streamed,
        "bare": lambda: on_threads(bare),
        "data_source": lambda: on_threads(data_source),
    }


def timed(call: Callable[[], None], seconds: list[float]) -> None:
    """Call, and append the processor seconds over all threads."""
    seconds.append(processor_s(call)[1])


def main() -> None:
    parser = make_parser(__doc__, images=4000, batch=64, image_size=SIDE, threads=usable_cores())
    arguments = parser.parse_args()
    keep_freed_memory()  # as every command of mtsccd-jax does
    with tempfile.TemporaryDirectory(prefix="compare-input-") as folder:
        image_kb = build_jpegs(Path(folder), arguments.images)
        images, calls = readers(Path(folder), arguments.batch, arguments.image_size, arguments.threads)
        passes: dict[str, list[float]] = {name: [] for name in calls}
        counting = {name: partial(timed, call, passes[name]) for name, call in calls.items()}
        times = measure(counting, rounds=arguments.rounds)
    busy = {name: Timing(tuple(seconds[1:])) for name, seconds in passes.items()}
    result = {
        "benchmark": "input",
        "images": images,
        "image_kb": round(image_kb, 1),
        **chosen(arguments, "batch", "image_size", "threads"),
        "jpeg_decoder": "opencv" if decode.simplejpeg is None else "simplejpeg",
        "images_per_s": {name: round(images / value.median_s) for name, value in times.items()},
        "share_of_bare": spread(times["bare"], times["stream"]),
        "images_per_processor_s": {name: round(images / value.median_s) for name, value in busy.items()},
        "share_of_bare_per_processor_s": spread(busy["bare"], busy["stream"]),
    }
    print(f"images/s: {result['images_per_s']}", file=sys.stderr)
    per_processor_s = result["share_of_bare_per_processor_s"]["median"]
    share = result["share_of_bare"]["median"]
    print(f"stream / bare: {share:.2f}, per processor second {per_processor_s:.2f}", file=sys.stderr)
    publish(result, arguments.out)


if __name__ == "__main__":
    main()
