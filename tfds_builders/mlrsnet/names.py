"""The names of MLRSNet as its files spell them, and what a configuration of the data set is."""

import dataclasses

import tensorflow_datasets as tfds

# The 60 labels, in the order of the columns of every label file. This is the order of the feature `labels`.
# "habor" is the authors' spelling.
LABELS: tuple[str, ...] = (
    "airplane",
    "airport",
    "bare soil",
    "baseball diamond",
    "basketball court",
    "beach",
    "bridge",
    "buildings",
    "cars",
    "chaparral",
    "cloud",
    "containers",
    "crosswalk",
    "dense residential area",
    "desert",
    "dock",
    "factory",
    "field",
    "football field",
    "forest",
    "freeway",
    "golf course",
    "grass",
    "greenhouse",
    "gully",
    "habor",
    "intersection",
    "island",
    "lake",
    "mobile home",
    "mountain",
    "overpass",
    "park",
    "parking lot",
    "parkway",
    "pavement",
    "railway",
    "railway station",
    "river",
    "road",
    "roundabout",
    "runway",
    "sand",
    "sea",
    "ships",
    "snow",
    "snowberg",
    "sparse residential area",
    "stadium",
    "swimming pool",
    "tanks",
    "tennis court",
    "terrace",
    "track",
    "trail",
    "transmission tower",
    "trees",
    "water",
    "wetland",
    "wind turbine",
)

# The 46 scene categories and their published numbers of images, in alphabetical order: the folders of the images and
# the names of the label files. "swimmimg_pool" is the authors' spelling.
CATEGORIES: dict[str, int] = {
    "airplane": 1762,
    "airport": 2189,
    "bareland": 1500,
    "baseball_diamond": 2002,
    "basketball_court": 2895,
    "beach": 2500,
    "bridge": 2500,
    "chaparral": 2500,
    "cloud": 1798,
    "commercial_area": 2500,
    "dense_residential_area": 2783,
    "desert": 2539,
    "eroded_farmland": 2500,
    "farmland": 2501,
    "forest": 2501,
    "freeway": 2500,
    "golf_course": 2515,
    "ground_track_field": 2500,
    "harbor&port": 2505,
    "industrial_area": 2110,
    "intersection": 2498,
    "island": 2499,
    "lake": 2500,
    "meadow": 2502,
    "mobile_home_park": 2500,
    "mountain": 2500,
    "overpass": 2500,
    "park": 1682,
    "parking_lot": 2502,
    "parkway": 2537,
    "railway": 2500,
    "railway_station": 2187,
    "river": 2500,
    "roundabout": 2040,
    "shipping_yard": 2500,
    "snowberg": 2555,
    "sparse_residential_area": 1829,
    "stadium": 2462,
    "storage_tank": 2500,
    "swimmimg_pool": 2005,
    "tennis_court": 2500,
    "terrace": 2500,
    "transmission_tower": 2500,
    "vegetable_greenhouse": 2601,
    "wetland": 2612,
    "wind_turbine": 2050,
}

IMAGES = 109161

# The README gives every image 1 to 13 labels.
FEWEST_LABELS, MOST_LABELS = 1, 13

LABEL_SETS = ("official", "corrected")
SPLITS = ("train", "validation", "test")


@dataclasses.dataclass(eq=False)
class MlrsnetConfig(tfds.core.BuilderConfig):
    """A configuration of `mlrsnet`: which labels, and how many percent of the images are for what.

    `labels` is "official" (the authors' files) or "corrected" (those of the same images in the repository
    jiecheney/MLRSNet_Dataset). What is neither in `train` nor in `validation` is in the split `test`.

    Raises:
        ValueError: there are no such labels, or a split would have no percent.
    """

    labels: str = "official"
    train_percent: int = 40
    validation_percent: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        if self.labels not in LABEL_SETS:
            raise ValueError(f"labels '{self.labels}': give one of {', '.join(LABEL_SETS)}")
        if min(self.train_percent, self.validation_percent, 100 - self.train_percent - self.validation_percent) < 1:
            raise ValueError(
                f"{self.train_percent} and {self.validation_percent} percent: each split needs 1 percent or more"
            )


def _configs() -> list[MlrsnetConfig]:
    """Return both label sets with the three splits of the paper; those without a ratio in their names are 40-10-50."""
    configs = []
    for train in (40, 30, 20):
        test = 90 - train
        for labels in LABEL_SETS:
            name = labels if train == 40 else f"{labels}_{train}_10_{test}"
            described = f"The {labels} labels; {train} % train, 10 % validation, {test} % test."
            configs.append(MlrsnetConfig(name=name, description=described, labels=labels, train_percent=train))
    return configs


CONFIGS = _configs()
