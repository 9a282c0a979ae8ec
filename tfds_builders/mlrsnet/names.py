"""The labels and categories of MLRSNet, as its files spell them."""

from tfds_builders.mlrsnet.tables import LABEL_COUNTS

# The 60 labels, in the order of the columns of every label file and of the feature `labels`. "habor" is the authors'
# spelling.
LABELS: tuple[str, ...] = tuple(LABEL_COUNTS)

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
