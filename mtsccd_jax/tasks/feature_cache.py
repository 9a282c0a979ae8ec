"""A trained network and what it has said of each split, so that every protocol shares one pass over the images."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from mtsccd_jax.data.sources import Source, open_pairs, open_source
from mtsccd_jax.engine.evaluate import Embedding, Trained, embed
from mtsccd_jax.engine.export import seen_data
from mtsccd_jax.engine.tasks import check_labels, check_scenes
from mtsccd_jax.errors import InputError
from mtsccd_jax.recipes.config import Data

T = TypeVar("T")


@dataclass(frozen=True)
class Pass:
    """A split and what the network says of each of its images.

    Attributes:
        source: the split.
        split: its name.
        images: what the network says, by image field.
        images_per_s: how fast it was said.
        seconds: how long it took.
    """

    source: Source
    split: str
    images: Mapping[str, Embedding]
    images_per_s: float
    seconds: float

    @property
    def started(self) -> float:
        """`time.perf_counter()` as it would read had the pass just been made: what follows is timed as if it were."""
        return time.perf_counter() - self.seconds


class Embedded:
    """A trained network, the data it is evaluated on, and every pass over a split that has been made so far.

    What is made once is kept: the features of a split, the SVM on them, the dictionary of visual words. So share one
    object between the protocols of a network, and drop it with the network.

    Args:
        trained: the network.
        data: what it is evaluated on; None for the data it was trained on.
    """

    def __init__(self, trained: Trained, data: Data | None = None):
        self.trained = trained
        self.data = trained.recipe.data if data is None else data
        # Where TFDS data lie now, which need not be where they lay at the training.
        self.training_data = dataclasses.replace(trained.recipe.data, data_dir=self.data.data_dir)
        self._made: dict[Any, Any] = {}

    def once(self, key: Any, make: Callable[[], T]) -> T:
        """What `make` returns, made at the first call with this key and kept."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def scene_source(self, split: str, data: Data | None = None) -> Source:
        """The labelled scenes of a split, of `data` or else of the data that the network is evaluated on.

        Raises:
            InputError: they do not exist, are no labelled scenes, or have other classes than the network.
        """
        data = data or self.data
        source: Source = self.once(("scene source", data, split), lambda: open_source(data, split))
        check_scenes(source)
        names = self.trained.class_names
        if tuple(source.class_names) != names:
            raise InputError(
                f"{source.name}: its classes ({', '.join(source.class_names[:4])}, ...) are not those the network of "
                f"{self.trained.workdir} was trained on ({', '.join(names[:4])}, ...); for other images there is "
                "`mtsccd-jax predict`"
            )
        return source

    def scenes(self, split: str, data: Data | None = None) -> Pass:
        """The pass over the scenes of a split, of `data` or else of the data that the network is evaluated on.

        Raises:
            InputError: as `scene_source`.
        """
        data = data or self.data
        source = self.scene_source(split, data)
        return self.once(("scenes", data, split), lambda: self._pass(source, split))

    def label_source(self, split: str) -> Source:
        """The scenes of a split with several labels each, of the data that the network is evaluated on.

        Raises:
            InputError: they do not exist, are no such scenes, have other labels than the network, or the network has
                seen some of them in another data set.
        """
        source: Source = self.once(("label source", split), lambda: open_source(self.data, split))
        check_labels(source)
        names, theirs = self.trained.class_names, source.names["labels"]
        if tuple(theirs) != names:
            raise InputError(
                f"{source.name}: its labels ({len(theirs)}: {', '.join(theirs[:3])}, ...) are not those the network of "
                f"{self.trained.workdir} was trained on ({len(names)}: {', '.join(names[:3])}, ...)"
            )
        self.once(("leak", split), lambda: self._refuse_leak(source, split))
        return source

    def _refuse_leak(self, source: Source, split: str) -> None:
        """Raises ArchiveError where the network has learned from the same images under another name."""
        from tfds_builders.leaks import refuse_leak

        names = [name for name in ("s2v1_name", "patch_id") if name in source.fields]
        for trained_on in seen_data(self.trained.workdir):
            refuse_leak(
                trained_on=trained_on,
                trained_split="train",
                evaluated_on=source.name,
                split=split,
                v1_name_n=source.column(names[0]) if names else (),
            )

    def labelled(self, split: str) -> Pass:
        """The pass over the scenes of a split with several labels each.

        Raises:
            InputError: as `label_source`.
        """
        source = self.label_source(split)
        return self.once(("labelled", split), lambda: self._pass(source, split))

    def search_source(self, split: str) -> Source:
        """The images of a split with a class or labels, whichever they are: a search asks nothing of the network's own.

        Raises:
            InputError: they do not exist, or are no such images.
        """
        source: Source = self.once(("search source", split), lambda: open_source(self.data, split))
        if "labels" in source.names:
            check_labels(source)
        else:
            check_scenes(source)
        return source

    def gallery(self, split: str) -> Pass:
        """The pass over the images of a split that are searched.

        Raises:
            InputError: as `search_source`.
        """
        source = self.search_source(split)
        key = ("labelled", split) if "labels" in source.names else ("scenes", self.data, split)
        return self.once(key, lambda: self._pass(source, split))

    def queries(self, split: str) -> Pass:
        """The pass over the images of a split that a search is measured on.

        Raises:
            InputError: as `search_source`, or the network has seen some of them in another data set.
        """
        source = self.search_source(split)
        self.once(("leak", split), lambda: self._refuse_leak(source, split))
        return self.gallery(split)

    def pair_source(self, split: str) -> Source:
        """The labelled pairs of a split.

        Raises:
            InputError: they do not exist.
        """
        return self.once(("pair source", split), lambda: open_pairs(self.data, split))

    def pairs(self, split: str) -> Pass:
        """The pass over both dates of the pairs of a split.

        Raises:
            InputError: as `pair_source`.
        """
        source = self.pair_source(split)
        return self.once(("pairs", split), lambda: self._pass(source, split))

    def _pass(self, source: Source, split: str) -> Pass:
        started = time.perf_counter()
        images, images_per_s = embed(self.trained, source)
        return Pass(source, split, images, images_per_s, time.perf_counter() - started)
