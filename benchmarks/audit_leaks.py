"""What `data audit` finds of planted copies, what it reports that is none, and how long it takes.

    python benchmarks/audit_leaks.py NAME|DIR ... [--data-dir TFDS] [--sample 1000] [--out FILE]

Every input is audited by itself, as the command does it. Of each input `--sample` images that have structure get a
copy of every kind; the first half of them teaches the metric, and the other half is searched for among all images.
Beside the kinds of the command, crops of 90 and 70 % of the side are planted, which teach nothing. A pair that is
reported although nobody planted it is false, unless it is one of equal pixels or of one place at two dates; of real
data such pairs may be true, so their names are printed to be looked at. `closest` is the highest correlation of pairs
that were laid over each other and not reported, and `plain_share` the share of images that are too plain to tell.
Seconds are of the wall clock and of the processors.
"""

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from record import make_parser, publish

from mtsccd_jax.ops.hashes import layout
from mtsccd_jax.tasks.leaks import planted, registration, search, sensitivity
from mtsccd_jax.tasks.leaks.audit import audit
from mtsccd_jax.tasks.leaks.images import Images, chosen
from mtsccd_jax.tasks.leaks.inputs import open_parts


def cropped(share: float) -> planted.Plant:
    """Return what cuts a window with a share of the sides out of an image, anywhere."""

    def crop(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        height, width = image.shape[:2]
        rows, columns = round(height * share), round(width * share)
        top, left = generator.integers(0, height - rows + 1), generator.integers(0, width - columns + 1)
        return np.ascontiguousarray(image[top : top + rows, left : left + columns])

    return crop


BESIDE = {"crop of 90 %": cropped(0.9), "crop of 70 %": cropped(0.7)}


def of_input(name: str, data_dir: Path | None, sample: int) -> dict[str, Any]:
    """Audit one input and return its figures."""
    parts = open_parts(name, data_dir=data_dir)
    wall, processors = time.perf_counter(), time.process_time()
    found = audit(parts, [], lambda *_: None)
    seconds = {"wall": time.perf_counter() - wall, "processors": time.process_time() - processors}
    near = [pair for pair in found.pairs if pair.kind != "exact"]
    for pair in near:
        print(f"{pair.correlation:.3f} {pair.relation}: {pair.kept.name} and {pair.copy.name}", file=sys.stderr)
    images = found.images
    of_command = sensitivity.plant(parts, images, 1, sample)
    metric = sensitivity.learn(images, of_command.half(False))
    beside = sensitivity.plant(parts, images, 1, sample, BESIDE)
    hits = {
        **sensitivity.found(images, of_command.half(True), metric, lambda *_: None),
        **sensitivity.found(images, beside.half(True), metric, lambda *_: None),
    }
    return {
        "input": f"{len(parts)} splits of {parts[0].dataset}",
        "generated": parts[0].source.generated,
        "images": len(images),
        "exact": len(found.pairs) - len(near),
        "near": len(near),
        "same_place_other_date": sum(found.places.values()),
        "plain_share": round(float((images.structure < registration.LEAST_STRUCTURE).mean()), 4),
        "planted": {kind: {"found": hit, "of": n, "share": round(hit / n, 4)} for kind, (hit, n) in hits.items()},
        "closest": closest(images, metric),
        "hash_pairs": {str(bits): near_hashes(images, bits) for bits in (0, 2, 4, 6, 8)},
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
        "stages": found.seconds,
    }


def closest(images: Images, metric: np.ndarray) -> float | None:
    """Return the highest correlation of at most 2,000 pairs that passed the quick look and are no copies."""
    some = chosen(images, np.random.default_rng(0).permutation(len(images))[:20_000])
    pairs = search.candidates(some, some, metric, lambda *_: None, itself=True)
    pairs = search.Pairs(pairs.query[:2000], pairs.gallery[:2000])
    verdicts = search.verify(some, some, pairs, lambda *_: None)
    others = [one.correlation for one, copy in zip(verdicts.overlay, verdicts.is_copy, strict=True) if not copy]
    return round(max(others), 4) if others else None


def near_hashes(images: Images, bits: int) -> int:
    """Return how many pairs of different images with structure have hashes that differ in at most so many bits."""
    from mtsccd_jax.ops.hashes.hamming import hamming_neighbors

    hashes = images.hashes[images.structure >= registration.LEAST_STRUCTURE]
    return len(hamming_neighbors(hashes, np.ascontiguousarray(hashes[:, 0]), bits, itself=True).query)


def main() -> None:
    parser = make_parser(__doc__, rounds=None, sample=1000)
    parser.add_argument("inputs", nargs="+")
    parser.add_argument("--data-dir", type=Path)
    arguments = parser.parse_args()
    results = []
    for name in arguments.inputs:
        results.append(of_input(name, arguments.data_dir, arguments.sample))
        print(results[-1], file=sys.stderr)
    publish({"benchmark": "audit_leaks", "crop": layout.CROP, "inputs": results}, arguments.out)


if __name__ == "__main__":
    main()
