"""Copies planted among the audited images: half of them teach the metric, and the others tell what a search finds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mtsccd_jax.errors import InputError
from mtsccd_jax.ops.hashes import layout
from mtsccd_jax.tasks.leaks import metric as metrics
from mtsccd_jax.tasks.leaks import planted, registration, search
from mtsccd_jax.tasks.leaks.images import Images, Seen, Small, chosen, described, joined, seen, small
from mtsccd_jax.tasks.leaks.inputs import Part

SAMPLE = 400  # images that copies are planted of


@dataclass(frozen=True)
class Planted:
    """Images, (n,) indices, and the copies of each, by kind."""

    original: np.ndarray
    copies: dict[str, Images]

    def half(self, second: bool) -> "Planted":
        """Return the first or the second half of the images."""
        middle = len(self.original) // 2
        part = np.arange(middle, len(self.original)) if second else np.arange(max(middle, 1))
        return Planted(self.original[part], {kind: chosen(copies, part) for kind, copies in self.copies.items()})


def plant(
    parts: Sequence[Part],
    images: Images,
    seed: int,
    sample: int = SAMPLE,
    kinds: Mapping[str, planted.Plant] = planted.KINDS,
) -> Planted:
    """Plant copies of each kind of some of the images that have structure; of any where none has."""
    generator = np.random.default_rng(seed)
    able = np.flatnonzero(images.structure >= registration.LEAST_STRUCTURE)
    original = generator.permutation(able if len(able) else len(images))[:sample]
    lots: dict[str, list[tuple[int, int, Small]]] = {kind: [] for kind in kinds}
    for index in original:
        image = seen(parts[images.part[index]], int(images.row[index]))[images.view[index]].image
        if min(image.shape[:2]) < 2:
            raise InputError(f"{parts[images.part[index]].label}: an image of {image.shape[1]}x{image.shape[0]} pixels")
        for kind, make in kinds.items():
            copy = make(image, generator)
            lots[kind].append((0, 0, small(Seen(copy, (copy,)))))
    return Planted(original, {kind: described(0, lot) for kind, lot in lots.items()})


def learn(images: Images, teach: Planted) -> np.ndarray:
    """Return the metric of layouts, learned from planted copies."""
    windows = np.concatenate(
        [images.layouts[teach.original, part] for part in (layout.WHOLE, layout.FINE)], 1, dtype=np.float32
    )
    return metrics.learn(windows, [copies.layouts[:, 0].astype(np.float32) for copies in teach.copies.values()])


def found(images: Images, known: Planted, metric: np.ndarray, progress: search.Progress) -> dict[str, tuple[int, int]]:
    """Return, by kind, how many planted copies a search finds, and of how many."""
    copies, n = joined(list(known.copies.values())), len(known.original)
    original = np.tile(known.original, len(known.copies))
    near = search.candidates(copies, images, metric, progress, itself=False)
    own = (images.digest[near.gallery] == images.digest[original[near.query]]).all(1)
    pairs = search.Pairs(near.query[own], near.gallery[own])
    is_found = np.zeros(len(original), bool)
    is_found[pairs.query[search.verify(copies, images, pairs, progress).is_copy]] = True
    hits = is_found.reshape(len(known.copies), n).sum(1)
    return {kind: (int(hit), n) for kind, hit in zip(known.copies, hits, strict=True)}
