"""The published counts of MtSCCD (Tables 2 to 5) as literal tables.

Every tuple of ten runs over the classes in the paper's order (label 0 to 9). The tables agree with one another
exactly: train + validation of Tables 3 and 4 is Table 2 of Hangzhou, Shanghai and Wuhan, and the margins of Table 5 are
the column sums of Table 2.
"""

# Table 2: images per (city, phase) and class.
TABLE_2: dict[tuple[str, int], tuple[int, ...]] = {
    ("hangzhou", 1): (1103, 134, 203, 355, 1892, 2484, 629, 414, 2003, 114),
    ("hangzhou", 2): (1227, 176, 249, 260, 2079, 2108, 636, 394, 1977, 225),
    ("shanghai", 1): (2447, 354, 275, 613, 1447, 45, 352, 453, 9, 206),
    ("shanghai", 2): (2517, 417, 303, 488, 1455, 22, 357, 438, 9, 195),
    ("wuhan", 1): (1019, 163, 207, 342, 923, 987, 2161, 619, 199, 482),
    ("wuhan", 2): (1292, 256, 247, 405, 1269, 346, 2067, 732, 246, 242),
    ("nanjing", 1): (1187, 65, 206, 500, 758, 489, 521, 373, 814, 149),
    ("nanjing", 2): (1339, 79, 247, 436, 910, 176, 493, 398, 794, 190),
    ("hefei", 1): (855, 248, 204, 396, 1357, 1016, 412, 250, 76, 264),
    ("hefei", 2): (1017, 274, 293, 411, 1466, 593, 402, 334, 141, 147),
}

# Table 3: LUSC images per split and class, both phases merged.
TABLE_3: dict[str, tuple[int, ...]] = {
    "train": (7684, 1200, 1187, 1971, 7253, 4794, 4961, 2440, 3554, 1171),
    "validation": (1921, 300, 297, 492, 1812, 1198, 1241, 610, 889, 293),
    "test_a": (1872, 522, 497, 807, 2823, 1609, 814, 584, 217, 411),
    "test_b": (2526, 144, 453, 936, 1668, 665, 1014, 771, 1608, 339),
}

# Table 4: LUCD images per (split, phase) and class. Only its totals and its test columns follow from the split rule:
# the authors drew the train and validation pairs of a city at random, not by class.
TABLE_4: dict[tuple[str, int], tuple[int, ...]] = {
    ("train", 1): (3696, 513, 551, 1058, 3402, 2788, 2512, 1193, 1754, 641),
    ("train", 2): (4073, 671, 644, 925, 3825, 1968, 2446, 1243, 1766, 547),
    ("validation", 1): (873, 138, 134, 252, 860, 728, 630, 293, 457, 161),
    ("validation", 2): (963, 178, 155, 228, 978, 508, 614, 321, 466, 115),
    ("test_a", 1): (855, 248, 204, 396, 1357, 1016, 412, 250, 76, 264),
    ("test_a", 2): (1017, 274, 293, 411, 1466, 593, 402, 334, 141, 147),
    ("test_b", 1): (1187, 65, 206, 500, 758, 489, 521, 373, 814, 149),
    ("test_b", 2): (1339, 79, 247, 436, 910, 176, 493, 398, 794, 190),
}

# Table 4, last row: pairs per split.
TABLE_4_PAIRS: dict[str, int] = {"train": 18108, "validation": 4526, "test_a": 5078, "test_b": 5062}

# Table 5: pairs per class of the first date (rows) and of the second (columns), all five cities.
TABLE_5: tuple[tuple[int, ...], ...] = (
    (6329, 7, 30, 11, 81, 6, 2, 11, 1, 133),
    (5, 940, 0, 1, 13, 0, 0, 2, 0, 3),
    (9, 2, 1076, 0, 4, 0, 1, 0, 0, 3),
    (59, 6, 20, 1764, 115, 5, 0, 24, 2, 211),
    (191, 60, 65, 38, 5943, 11, 6, 45, 8, 10),
    (273, 57, 59, 84, 626, 3175, 63, 312, 106, 266),
    (15, 3, 2, 7, 87, 18, 3812, 66, 4, 61),
    (108, 25, 25, 21, 107, 2, 40, 1715, 25, 41),
    (16, 0, 5, 7, 18, 12, 8, 7, 3009, 19),
    (387, 102, 57, 67, 185, 16, 23, 114, 12, 252),
)

# The number of changed pairs in each test city is not printed, but Table 7's degenerate rows (the predictor that never
# says "changed") and its possible (OA, kappa) pairs leave these values only.
CHANGED_PAIRS: dict[str, int] = {"hefei": 933, "nanjing": 879}

IMAGES = 65548
