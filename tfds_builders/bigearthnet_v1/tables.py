"""The published counts of BigEarthNet v1 as literal tables."""

# The kinds of list that take patches out of the splits.
SNOW, CLOUD, NO_TARGET = "seasonal snow", "cloud or shadow", "no class of the 19"

PATCHES = 590_326

# Table 2: patches per class, by the code of the CLC class. (In a common rendering of the paper the names of its tail
# have slipped by a row; "Sparsely vegetated areas" has 1,563.)
TABLE_2: dict[int, int] = {
    111: 10_784,
    112: 69_872,
    121: 12_895,
    122: 3_384,
    123: 509,
    124: 979,
    131: 4_618,
    132: 959,
    133: 1_174,
    141: 1_786,
    142: 5_353,
    211: 196_695,
    212: 13_589,
    213: 3_793,
    221: 9_567,
    222: 4_754,
    223: 12_538,
    231: 103_554,
    241: 7_022,
    242: 107_786,
    243: 147_095,
    244: 30_674,
    311: 150_944,
    312: 211_703,
    313: 217_119,
    321: 12_835,
    322: 5_890,
    323: 11_241,
    324: 173_506,
    331: 1_780,
    332: 3_277,
    333: 1_563,
    334: 328,
    411: 6_236,
    412: 23_207,
    421: 1_562,
    422: 424,
    423: 1_003,
    511: 10_572,
    512: 83_811,
    521: 1_498,
    522: 1_086,
    523: 81_612,
}

# Section 3: patches per season.
SEASON_PATCHES: dict[str, int] = {"winter": 117_156, "spring": 189_276, "summer": 128_951, "autumn": 154_943}

# The official lists (for the 19 classes): lines per list. The paper has 70,987 patches with snow, cloud or shadow.
LIST_PATCHES: dict[str, int] = {
    "train": 269_695,
    "validation": 123_723,
    "test": 125_866,
    SNOW: 61_707,
    CLOUD: 9_280,
    NO_TARGET: 57,  # two of them are on the other two lists as well
}
