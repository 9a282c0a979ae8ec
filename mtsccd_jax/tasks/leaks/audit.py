"""An audit: which images are copies of which, within splits, across splits and across data sets."""

import itertools
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from mtsccd_jax.ops.hashes.hamming import hamming_neighbors
from mtsccd_jax.tasks.leaks import registration, search, sensitivity
from mtsccd_jax.tasks.leaks.hash_lists import HashList
from mtsccd_jax.tasks.leaks.images import Images, chosen, read
from mtsccd_jax.tasks.leaks.inputs import Part, rank

# Kinds of pairs: what is proven of them.
EXACT, NEAR, HASH, PLACE = "exact", "near", "hash", "same place, other date"

# Bits that may differ from a hash of a list, whose images nobody can lay over each other.
LIST_RADIUS = 4

# Splits of a pair, the earlier first.
Where = tuple[str, str]


@dataclass(frozen=True, order=True)
class Member:
    """One image of a pair: where it is, and its name. Members are ordered by when their split comes."""

    rank: int
    input: int  # place among the inputs
    row: int
    view: int
    dataset: str
    split: str
    label: str
    name: str


@dataclass(frozen=True)
class Pair:
    """Two images that are copies: the one to keep, and the other one.

    Attributes:
        kind: EXACT, NEAR, or HASH where images of a list cannot be looked at.
        relation: How the copy was made from the one that is kept.
        correlation: Of the two laid over each other; None of a hash list.
        bits: In which their perceptual hashes differ.
    """

    kept: Member
    copy: Member
    kind: str
    relation: str
    correlation: float | None
    bits: int

    @property
    def is_leak(self) -> bool:
        """Whether the copy is in a later split than the other: what is learned, or chooses, is tested on."""
        return self.copy.rank > self.kept.rank

    @property
    def where(self) -> Where:
        """The splits of the pair."""
        return self.kept.label, self.copy.label


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What an audit found.

    Attributes:
        pairs: Copies, the most certain first.
        places: Pairs of images of one place at two dates, by their splits, as the names tell.
        plain: Candidates that are too plain to tell, by their splits.
        planted: Of copies planted among these images, how many were found of how many, by kind.
        seconds: Of every stage.
    """

    parts: Sequence[Part]
    lists: Sequence[HashList]
    images: Images
    pairs: list[Pair]
    places: Counter[Where]
    plain: Counter[Where]
    planted: dict[str, tuple[int, int]]
    skipped: list[str]
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def leaks(self) -> list[Pair]:
        """The pairs across splits of different kinds."""
        return [pair for pair in self.pairs if pair.is_leak]


def audit(
    parts: Sequence[Part],
    lists: Sequence[HashList],
    progress: search.Progress,
    *,
    skip_bad: bool = False,
    seed: int = 0,
) -> Audit:
    """Find the copies among the images of all parts, and between them and the hash lists.

    Of images with equal pixels the first, in the order of the splits, stands for all in the search of other copies.

    Raises:
        InputError: An image cannot be read (without `skip_bad`), or there are none.
    """
    seconds: dict[str, float] = {}
    with _timed(seconds, "read"):
        images, skipped = read(parts, skip_bad, lambda done, total: progress("read images", done, total))
    members = _Members(parts, images)
    with _timed(seconds, "plant"):
        planted = sensitivity.plant(parts, images, seed)
        metric = sensitivity.learn(images, planted.half(False))
    kept = search.duplicates(images.digest, members.order)
    first = np.flatnonzero(kept == np.arange(len(images)))
    some = chosen(images, first)
    with _timed(seconds, "search"):
        near = search.candidates(some, some, metric, progress, itself=True)
        near = _within(near, members, first)
    with _timed(seconds, "verify"):
        verdicts = search.verify(some, some, near, progress)
    with _timed(seconds, "planted"):
        counts = sensitivity.found(images, planted.half(True), metric, progress)
    pairs = list(members.exact_pairs(kept))
    sides = [(int(first[a]), int(first[b])) for a, b in zip(near.query, near.gallery, strict=True)]
    pairs += [members.near(*sides[at], verdicts.overlay[at]) for at in np.flatnonzero(verdicts.is_copy).tolist()]
    with _timed(seconds, "hash lists"):
        pairs += [pair for number, one in enumerate(lists) for pair in _in_list(members, one, len(parts) + number)]
    return Audit(
        parts=parts,
        lists=lists,
        images=images,
        pairs=sorted(pairs, key=_certainty),
        places=members.places(),
        plain=Counter(members.where(*sides[at]) for at in np.flatnonzero(verdicts.is_plain).tolist()),
        planted=counts,
        skipped=skipped,
        seconds=seconds,
    )


class _Members:
    """The images of an audit as members of pairs."""

    def __init__(self, parts: Sequence[Part], images: Images):
        self.parts, self.images = parts, images
        self._ranks = np.array([rank(part.split) for part in parts])
        self.order = np.lexsort((images.view, images.row, images.part, self._ranks[images.part]))
        self._against = np.array([part.against for part in parts])[images.part]
        columns = [part.places for part in parts]
        self._place, self._date = (
            np.concatenate([columns[p][of][images.row[at], images.view[at]] for p, at in self._by_part()])
            for of in (0, 1)
        )

    def _by_part(self) -> Iterator[tuple[int, np.ndarray]]:
        return ((part, np.flatnonzero(self.images.part == part)) for part in range(len(self.parts)))

    def member(self, index: int) -> Member:
        images, number = self.images, int(self.images.part[index])
        part, row, view = self.parts[number], int(images.row[index]), int(images.view[index])
        name = str(part.names[row, view])
        return Member(rank(part.split), number, row, view, part.dataset, part.split, part.label, name)

    def where(self, first: int, second: int) -> Where:
        kept, copy = sorted((self.member(first), self.member(second)))
        return kept.label, copy.label

    def is_asked(self, first: int, second: int) -> bool:
        """Return whether a pair is one that was asked for: not both are only to compare with."""
        return not (self._against[first] and self._against[second])

    def is_one_place(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Return which pairs show one place at two dates, as their names tell."""
        same: np.ndarray = (self._place[first] == self._place[second]) & (self._place[first] != "")
        same &= self._date[first] != self._date[second]
        return same

    def exact_pairs(self, kept: np.ndarray) -> Iterator[Pair]:
        """Yield a pair of each copy and the first image of its kind, or the first of each earlier split."""
        of_kind: dict[int, list[int]] = {}
        for index in self.order.tolist():
            of_kind.setdefault(int(kept[index]), []).append(index)
        for copies in (copies for copies in of_kind.values() if len(copies) > 1):
            first_of_part: dict[int, int] = {}
            for index in copies:
                part = int(self.images.part[index])
                earlier = [at for other, at in first_of_part.items() if self._ranks[other] < self._ranks[part]]
                for other in earlier or copies[:1]:
                    if other != index and self.is_asked(other, index):
                        yield Pair(self.member(other), self.member(index), EXACT, "equal pixels", 1.0, 0)
                first_of_part.setdefault(part, index)

    def near(self, first: int, second: int, overlay: registration.Overlay) -> Pair:
        kept, copy = self.member(first), self.member(second)
        if copy < kept:
            kept, copy, overlay = copy, kept, overlay.reversed()
        bits = np.bitwise_count(self.images.hashes[first] ^ self.images.hashes[second, 0]).min()
        return Pair(kept, copy, NEAR, registration.described(overlay), overlay.correlation, int(bits))

    def places(self) -> Counter[Where]:
        """Count the pairs of images of one place at two dates, those of one example aside, by their splits."""
        of_place: dict[str, list[int]] = {}
        for index, place in enumerate(self._place.tolist()):
            if place:
                of_place.setdefault(place, []).append(index)
        counts: Counter[Where] = Counter()
        for members in of_place.values():
            for first, second in itertools.combinations(members, 2):
                one_example = (self.images.part[first], self.images.row[first]) == (
                    self.images.part[second],
                    self.images.row[second],
                )
                if self._date[first] != self._date[second] and not one_example and self.is_asked(first, second):
                    counts[self.where(first, second)] += 1
        return counts


def _within(near: search.Pairs, members: _Members, first: np.ndarray) -> search.Pairs:
    """Return the pairs that were asked for, and are not one place at two dates."""
    left, right = first[near.query], first[near.gallery]
    asked = np.array([members.is_asked(a, b) for a, b in zip(left, right, strict=True)], bool)
    wanted = asked & ~members.is_one_place(left, right)
    return search.Pairs(near.query[wanted], near.gallery[wanted])


def _in_list(members: _Members, listed: HashList, number: int) -> Iterator[Pair]:
    """Yield the pairs of an image of the audit and one of a hash list: equal pixels, or almost equal hashes."""
    images = members.images
    known = {digest: index for index, digest in reversed(list(enumerate(map(bytes, listed.digest))))}
    own = [known.get(bytes(digest)) for digest in images.digest]
    for index, at in enumerate(own):
        if at is not None and not members.parts[images.part[index]].against:
            yield _listed(members.member(index), listed.member(at, number), EXACT, 0)
    able = np.flatnonzero(images.structure >= registration.LEAST_STRUCTURE)
    others = np.flatnonzero(listed.structure >= registration.LEAST_STRUCTURE)
    near = hamming_neighbors(images.hashes[able], listed.hashes[others], LIST_RADIUS)
    for query, gallery, bits in zip(near.query, near.gallery, near.distance, strict=True):
        index = int(able[query])
        if own[index] is None and not members.parts[images.part[index]].against:
            yield _listed(members.member(index), listed.member(int(others[gallery]), number), HASH, int(bits))


def _listed(own: Member, other: Member, kind: str, bits: int) -> Pair:
    kept, copy = sorted((own, other))
    relation = "equal pixels" if kind == EXACT else "almost equal hashes; the list has no image to look at"
    return Pair(kept, copy, kind, relation, 1.0 if kind == EXACT else None, bits)


def _certainty(pair: Pair) -> tuple[object, ...]:
    """Return what pairs are sorted by: leaks first, then the most certain ones."""
    kinds = (EXACT, NEAR, HASH)
    return not pair.is_leak, kinds.index(pair.kind), -(pair.correlation or 0), pair.bits, pair.kept, pair.copy


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    seconds[stage] = round(time.perf_counter() - started, 2)
