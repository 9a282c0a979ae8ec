"""Peak host memory of a streamed training, by the size of its split: it should not depend on it.

    python benchmarks/stream_memory.py [--images 2000 8000] [--batch 64] [--image-size 300] [--out FILE]

Makes noise-textured JPEGs of about 37 KB, builds `mtsccd_lusc` from them in a temporary folder and trains a very small
network on its training split for one epoch, `data.input=stream`, each size in a process of its own: what is measured is
the input. "anonymous" is memory that the process holds (Linux's RssAnon, sampled every 10 ms); "file" are pages of the
records that the kernel has mapped into it and takes back when it needs them (RssFile); "peak" is the most of both
together, as the kernel counted it.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

from record import publish

import tfds_builders
from mtsccd_jax.host_memory import keep_freed_memory
from mtsccd_jax.perf.bench.jpegs import in_archive, write_jpegs
from mtsccd_jax.recipes import get_recipe

EVERY_S = 0.01


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[2000, 8000])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--image-size", type=int, default=300)
    parser.add_argument("--out", type=Path, help="write the JSON there as well")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(train(options.one, options.batch, options.image_size)))
        return
    rows = []
    for images in options.images:
        with tempfile.TemporaryDirectory() as place:
            write_jpegs(Path(place) / "archive", images, in_archive)
            tfds_builders.build("mtsccd_lusc", archive=Path(place) / "archive", data_dir=Path(place) / "tfds")
            conditions = ["--batch", str(options.batch), "--image-size", str(options.image_size)]
            command = [sys.executable, __file__, "--one", place, *conditions]
            said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        rows.append(json.loads(said.splitlines()[-1]))
        shown = "  ".join(f"{name} {rows[-1][f'{name}_bytes'] / 1e6:,.0f} MB" for name in ("anonymous", "file", "peak"))
        print(f"{rows[-1]['examples']:>8,} examples: {shown}", file=sys.stderr)
    publish(
        {
            "benchmark": "peak host memory of a streamed training",
            "image_size": options.image_size,
            "batch": options.batch,
            "rows": rows,
            "anonymous_growth": round(rows[-1]["anonymous_bytes"] / rows[0]["anonymous_bytes"], 4),
        },
        options.out,
    )


def train(place: Path, batch: int, image_size: int) -> dict[str, int]:
    """The examples, decoded bytes and peaks of memory of one epoch in this process."""
    from mtsccd_jax.engine.workdir import load
    from mtsccd_jax.tasks.train import train

    keep_freed_memory()
    recipe = get_recipe("demo")
    recipe = replace(
        recipe,
        data=replace(recipe.data, data_dir=str(place / "tfds"), image_size=image_size, input="stream"),
        model=replace(recipe.model, name="scnn", width=0.0625),
        optim=replace(recipe.optim, warmup_epochs=0),
        engine=replace(recipe.engine, batch_size=batch, epochs=1, validate=False),
    )
    with Sampled() as sampled:
        train(recipe, place / "run")
    examples = load(place / "run").train_examples
    decoded = examples * image_size * image_size * 3
    return {"examples": examples, "decoded_bytes": decoded, **sampled.peaks, "peak_bytes": status()["VmHWM"]}


class Sampled:
    """The largest anonymous and file memory of this process while the block runs."""

    def __enter__(self) -> "Sampled":
        self.peaks = {"anonymous_bytes": 0, "file_bytes": 0}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stop.wait(EVERY_S):
            now = status()
            for name, field in (("anonymous_bytes", "RssAnon"), ("file_bytes", "RssFile")):
                self.peaks[name] = max(self.peaks[name], now[field])


def status() -> dict[str, int]:
    """The bytes of every kind of memory of this process, as Linux counts them."""
    lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
    return {fields[0].rstrip(":"): 1024 * int(fields[1]) for fields in lines if fields[-1] == "kB"}


if __name__ == "__main__":
    main()
