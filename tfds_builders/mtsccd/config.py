"""The configurations of `mtsccd_lusc` and `mtsccd_lucd`: how to split, and which cities."""

import dataclasses
from collections.abc import Sequence

import tensorflow_datasets as tfds

from tfds_builders.mtsccd.names import CITIES, City, with_cities


@dataclasses.dataclass(eq=False)
class MtsccdConfig(tfds.core.BuilderConfig):  # type: ignore[misc]
    """A configuration of `mtsccd_lusc` and `mtsccd_lucd`: how to split, and which cities beside the paper's five.

    `paired` puts both dates of a tile in the same split, the same one in both data sets. A city is a `City` or the
    name that files use for it. A city of `train_cities` is split into `train` and `validation`; one of `test_cities`
    becomes the split `test_<city>`. Hangzhou, Shanghai and Wuhan may be listed as test cities. Hefei and Nanjing stay
    `test_a` and `test_b`.

    Raises:
        ValueError: a city is listed twice, Hefei or Nanjing is listed, or a name has letters that a split cannot have.
    """

    paired: bool = False
    train_cities: tuple[City | str, ...] = ()
    test_cities: tuple[City | str, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        self.cities()

    def cities(self, more: Sequence[City] = ()) -> tuple[City, ...]:
        """Return the paper's cities, this configuration's, then `more`; every test city's role is its split."""
        added = [_as_city(city, "train") for city in self.train_cities]
        added += [_as_city(city, "test") for city in self.test_cities]
        return with_cities(CITIES, [*added, *more])


def _as_city(city: City | str, role: str) -> City:
    return dataclasses.replace(City(city) if isinstance(city, str) else city, role=role)


CONFIGS: tuple[MtsccdConfig, ...] = (
    MtsccdConfig("official", description="The archive's own split, or else the paper's rule (section 2.2)."),
    MtsccdConfig("paired", description="Both dates of a tile lie in the same split.", paired=True),
)
