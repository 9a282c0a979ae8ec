"""Counts of the published label files of MLRSNet, official and corrected, as literal tables.

All are of the 109,161 rows of the authors' repository (cugbrs/MLRSNet) and of the corrected one
(jiecheney/MLRSNet_Dataset), which have the same images. The paper and its README say that an image has 1 to 13 labels;
the official files do not keep to it. Most of the damage looks like a spreadsheet's fill command, drawn over whole
blocks of rows and columns: 35 to 40 labels in `intersection`, 18 to 26 in `parkway`. No image of `stadium` has the
label "stadium" and none of `storage_tank` "tanks".
"""

# Images with a label: (official, corrected), in the order of the columns of the label files.
LABEL_COUNTS: dict[str, tuple[int, int]] = {
    "airplane": (2306, 2306),
    "airport": (2481, 2480),
    "bare soil": (39345, 39345),
    "baseball diamond": (1996, 1996),
    "basketball court": (3726, 3726),
    "beach": (2485, 2485),
    "bridge": (2772, 2772),
    "buildings": (51305, 51305),
    "cars": (34064, 34013),
    "chaparral": (5954, 5903),
    "cloud": (1849, 1798),
    "containers": (2551, 2500),
    "crosswalk": (2724, 2673),
    "dense residential area": (2825, 2774),
    "desert": (2588, 2537),
    "dock": (2543, 2492),
    "factory": (2718, 2667),
    "field": (15193, 15142),
    "football field": (1108, 1057),
    "forest": (3613, 3562),
    "freeway": (2551, 2500),
    "golf course": (2515, 2515),
    "grass": (49390, 49390),
    "greenhouse": (4119, 2601),
    "gully": (3931, 2413),
    "habor": (4010, 2492),
    "intersection": (2548, 2497),
    "island": (4011, 2493),
    "lake": (4017, 2499),
    "mobile home": (4017, 2499),
    "mountain": (6986, 5468),
    "overpass": (4170, 2652),
    "park": (3200, 1682),
    "parking lot": (8579, 7061),
    "parkway": (4481, 2537),
    "pavement": (56383, 56383),
    "railway": (9214, 4399),
    "railway station": (7047, 2187),
    "river": (7308, 2493),
    "road": (37783, 37783),
    "roundabout": (5457, 2039),
    "runway": (5677, 2259),
    "sand": (14432, 11014),
    "sea": (8398, 4980),
    "ships": (7509, 4092),
    "snow": (6982, 3565),
    "snowberg": (5972, 2555),
    "sparse residential area": (5246, 1829),
    "stadium": (3417, 2462),
    "swimming pool": (8495, 5078),
    "tanks": (3417, 2500),
    "tennis court": (5916, 2499),
    "terrace": (5762, 2345),
    "track": (7110, 3693),
    "trail": (15793, 12376),
    "transmission tower": (5917, 2500),
    "trees": (70728, 70728),
    "water": (27834, 27834),
    "wetland": (3417, 3417),
    "wind turbine": (2049, 2049),
}

# Images of a category without a label and with more than 13, where there are some.
LABEL_DAMAGE: dict[str, dict[str, tuple[int, int]]] = {
    "official": {
        "eroded_farmland": (9, 0),
        "golf_course": (0, 51),
        "harbor&port": (0, 1),
        "intersection": (0, 1467),
        "island": (1, 0),
        "parkway": (0, 1933),
        "railway_station": (0, 17),
        "sparse_residential_area": (0, 2),
    },
    "corrected": {
        "eroded_farmland": (9, 0),
        "island": (1, 0),
    },
}

# Images of a category, and cells of its label matrix, in which the corrected labels differ from the official ones.
CORRECTIONS: dict[str, tuple[int, int]] = {
    "airplane": (1, 1),
    "golf_course": (54, 1437),
    "harbor&port": (1, 4),
    "intersection": (1478, 44043),
    "parkway": (2392, 38005),
    "railway": (45, 45),
    "railway_station": (443, 698),
    "sparse_residential_area": (903, 2709),
    "stadium": (2462, 2462),
    "storage_tank": (2500, 2500),
    "vegetable_greenhouse": (21, 63),
}
