"""Candidates for copies: equal hashes but for a few bits, and nearest layouts; and which of them are copies.

A million pairs of the nearest layouts are screened first, by their layouts in finer windows and by a coarse overlay.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mtsccd_jax.data.stream import usable_cores
from mtsccd_jax.ops.calls import own_settings
from mtsccd_jax.ops.distance import nearest_neighbors
from mtsccd_jax.ops.hashes import layout
from mtsccd_jax.ops.hashes.hamming import hamming_neighbors
from mtsccd_jax.ops.hashes.screen import screen
from mtsccd_jax.tasks.leaks import registration
from mtsccd_jax.tasks.leaks.images import Images, in_lots
from mtsccd_jax.tasks.leaks.registration import Overlay

# Bits by which the hashes of a candidate may differ, of 64; and how many nearest layouts are candidates.
HASH_RADIUS, NEIGHBORS = 10, 5
# The least correlation of the quick look; measured copies are above it in more than 99.5 % of the cases.
LEAST_SCREEN = 0.45

_WINDOWS = 2  # that a pair is screened in: those of the nearest layouts
_AT_ONCE = 2048

# Says what is being done, and how much of how much is.
Progress = Callable[[str, int, int], object]


class Pairs(NamedTuple):
    """Pairs of an image of the queries and one of the gallery, (p,) indices."""

    query: np.ndarray
    gallery: np.ndarray


@dataclass(frozen=True)
class Verdicts:
    """What was found of pairs: how the gallery's image lies on the query's, and whether they are copies."""

    overlay: list[Overlay]
    is_copy: np.ndarray
    is_plain: np.ndarray  # too plain to tell


def duplicates(digest_n2: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Return the index of the first image with the same digest, in an order of the images, (n,)."""
    _, first, group = np.unique(digest_n2[order], axis=0, return_index=True, return_inverse=True)
    kept = np.empty(len(order), np.int64)
    kept[order] = order[first[group.ravel()]]
    return kept


def candidates(query: Images, gallery: Images, metric: np.ndarray, progress: Progress, *, itself: bool) -> Pairs:
    """Return the pairs that may be copies, without those that a quick look rules out.

    With `itself` the gallery is the queries: no image is paired with itself, and each pair is returned once.
    """
    near = _near_layouts(query, gallery, metric, progress)
    near = Pairs(
        *(
            np.concatenate(parts)
            for parts in zip(near, _near_hashes(query, gallery, progress, itself=itself), strict=True)
        )
    )
    if itself:
        near = Pairs(*(side[near.query != near.gallery] for side in near))
    near = _unique(near)
    passed = _screened(query, gallery, metric, near, progress)
    near = Pairs(near.query[passed], near.gallery[passed])
    return _unique(Pairs(np.minimum(*near), np.maximum(*near))) if itself else near


def _unique(pairs: Pairs) -> Pairs:
    both = np.unique(np.stack(pairs, 1), axis=0)
    return Pairs(both[:, 0], both[:, 1])


def _near_hashes(query: Images, gallery: Images, progress: Progress, *, itself: bool) -> Pairs:
    """Return pairs of almost equal hashes; those of images without structure say nothing."""
    queries, others = (np.flatnonzero(side.structure >= registration.LEAST_STRUCTURE) for side in (query, gallery))
    near = hamming_neighbors(
        query.hashes[queries],
        np.ascontiguousarray(gallery.hashes[others, 0]),
        HASH_RADIUS,
        itself=itself,
        progress=lambda done, total: progress("compare hashes", done, total),
    )
    return Pairs(queries[near.query], others[near.gallery])


def _near_layouts(query: Images, gallery: Images, metric: np.ndarray, progress: Progress) -> Pairs:
    """Return the queries' nearest images by layout: theirs whole, the other's whole or in a coarse window."""
    whole = query.layouts[:, 0] @ metric
    found: list[np.ndarray] = []
    for window in range(layout.COARSE.stop):
        k = min(NEIGHBORS + 1, len(gallery))
        _, index_nk = nearest_neighbors(whole, gallery.layouts[:, window] @ metric, k)
        found.append(np.asarray(index_nk, np.int64))
        progress("compare layouts", window + 1, layout.COARSE.stop)
    nearest = np.concatenate(found, 1)
    return Pairs(np.repeat(np.arange(len(query)), nearest.shape[1]), nearest.ravel())


def _screened(query: Images, gallery: Images, metric: np.ndarray, pairs: Pairs, progress: Progress) -> np.ndarray:
    """Return which pairs pass the quick look, (p,) bool; pairs without structure pass, to be told apart later."""
    passed = np.zeros(len(pairs.query), bool)
    for start in range(0, len(passed), _AT_ONCE):
        some = Pairs(*(side[start : start + _AT_ONCE] for side in pairs))
        whole, other = query.layouts[some.query, 0], gallery.layouts[some.gallery]
        window = in_lots(partial(_nearest_windows, metric=metric), whole, other, most=_AT_ONCE)
        score = in_lots(screen, query.contrast[some.query], gallery.contrast[some.gallery], window, most=_AT_ONCE)
        is_plain = _structure(query, gallery, some) < registration.LEAST_STRUCTURE
        passed[start : start + _AT_ONCE] = is_plain | (score >= LEAST_SCREEN)
        progress("look at pairs", start + len(is_plain), len(passed))
    return passed


def _structure(query: Images, gallery: Images, pairs: Pairs) -> np.ndarray:
    """Return the structure of pairs, the mean of both images': a copy that was blurred or compressed has less."""
    mean: np.ndarray = (query.structure[pairs.query] + gallery.structure[pairs.gallery]) / 2
    return mean


@own_settings()
def _nearest_windows(whole_pd: np.ndarray, other_pwd: np.ndarray, metric: np.ndarray) -> np.ndarray:
    """Return the windows of the other image that are nearest, numbered as in `screen`, (p, k)."""
    return np.asarray(_windows_of(whole_pd, other_pwd, metric))


@jax.jit
def _windows_of(whole_pd: jax.Array, other_pwd: jax.Array, metric: jax.Array) -> jax.Array:
    windows = jnp.concatenate([other_pwd[:, layout.WHOLE], other_pwd[:, layout.FINE]], 1)
    difference = (windows.astype(jnp.float32) - whole_pd.astype(jnp.float32)[:, None]) @ metric
    window: jax.Array = jax.lax.top_k(-jnp.square(difference).sum(-1), _WINDOWS)[1]
    return window


def verify(query: Images, gallery: Images, pairs: Pairs, progress: Progress) -> Verdicts:
    """Lay the images of every pair over each other, and decide which are copies."""
    structure = _structure(query, gallery, pairs)
    is_plain = structure < registration.LEAST_STRUCTURE
    overlay = [Overlay(-1.0, 0, 1.0, 0)] * len(structure)

    def lay(index: int) -> Overlay:
        first, second = query.contrast[pairs.query[index]], gallery.contrast[pairs.gallery[index]]
        return registration.overlay(first.astype(np.float32), second.astype(np.float32))

    told = np.flatnonzero(~is_plain).tolist()
    with ThreadPoolExecutor(usable_cores()) as pool:
        for done, (index, found) in enumerate(zip(told, pool.map(lay, told), strict=True), start=1):
            overlay[index] = found
            if done % 64 == 0 or done == len(told):
                progress("lay pairs over each other", done, len(told))
    needed = np.array([registration.needed(value) for value in structure])
    correlation = np.array([one.correlation for one in overlay])
    return Verdicts(overlay, ~is_plain & (correlation >= needed), is_plain)
