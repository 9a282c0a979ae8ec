"""A trained network with everything that has been computed by it, so that all evaluations share one pass a split."""

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from mtsccd_jax.data.sources import Source, open_pairs, open_source
from mtsccd_jax.engine.evaluate import Embedding, Trained, embed
from mtsccd_jax.recipes.config import Data

T = TypeVar("T")


@dataclass(frozen=True)
class Outputs(Generic[T]):
    """What was computed from a split by the network, and how fast."""

    source: Source
    values: T
    images_per_s: float
    seconds: float

    @property
    def started(self) -> float:
        """`time.perf_counter()` at the start, as if the outputs had been computed just now and not been kept."""
        return time.perf_counter() - self.seconds


# The outputs of every image field of a split.
Features = Outputs[dict[str, Embedding]]


class FeatureCache:
    """A trained network, the data it is evaluated on (by default its own), and what has been computed so far.

    Sources, features, SVMs and dictionaries are made once and kept. Share one cache between all evaluations of a
    network, and drop it with the network.
    """

    def __init__(self, trained: Trained, data: Data | None = None):
        self.trained = trained
        self.data = trained.recipe.data if data is None else data
        # The training data where TFDS data lie now, which need not be where they lay at the training.
        self.training_data = dataclasses.replace(trained.recipe.data, data_dir=self.data.data_dir)
        self._made: dict[Any, Any] = {}

    def once(self, key: Any, make: Callable[[], T]) -> T:
        """Return what `make` returned at the first call with this key."""
        if key not in self._made:
            self._made[key] = make()
        made: T = self._made[key]
        return made

    def outputs(self, key: Any, source: Source, compute: Callable[[], tuple[T, float]]) -> Outputs[T]:
        """Return what `compute` made of a source, `(outputs, images/s)`, at the first call with this key and source."""

        def make() -> Outputs[T]:
            started = time.perf_counter()
            values, images_per_s = compute()
            return Outputs(source, values, images_per_s, time.perf_counter() - started)

        return self.once((key, id(source)), make)  # the kept outputs hold the source, so no other gets its id

    def scenes(self, split: str, data: Data | None = None) -> Source:
        """Open a split of scenes, of `data` or else of the data that the network is evaluated on."""
        data = data or self.data
        return self.once(("scenes", data, split), lambda: open_source(data, split))

    def pairs(self, split: str) -> Source:
        """Open a split of pairs of the data that the network is evaluated on."""
        return self.once(("pairs", split), lambda: open_pairs(self.data, split))

    def features(self, source: Source) -> Features:
        """Return the features and logits of every image of a source."""
        return self.outputs("features", source, lambda: embed(self.trained, source))
