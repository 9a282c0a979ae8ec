"""Published counts of BigEarthNet v2: patches by split, country and class, of both metadata tables.

They are those of the official files (md5 55687065e77b6d0b0f1ff604a6e7b49c and fe31856f4986d446c9468b59d6387c91).
"""

from tfds_builders.bigearthnet.nomenclature import CLASSES_19

# The recommended patches, and those with seasonal snow, or else with clouds or their shadows.
RECOMMENDED, SNOW, CLOUD = "recommended", "snow", "cloud_or_shadow"

# All counts are in the order train, validation, test.
PATCHES: dict[str, tuple[int, int, int]] = {
    RECOMMENDED: (237_871, 122_342, 119_825),
    SNOW: (29_148, 15_452, 16_173),
    CLOUD: (5_525, 1_783, 1_369),
}
ALL_PATCHES = sum(map(sum, PATCHES.values()))  # 549,488
# Recommended patches that are in the official train list of v1.
SEEN_IN_V1_TRAIN = (125_699, 62_089, 60_886)
S2_PRODUCTS = 115
S1_SCENES = 312

Counts = tuple[int, int, int]
# Recommended patches by country, and those with snow, clouds or shadows.
PATCHES_OF_COUNTRY: dict[str, tuple[Counts, Counts]] = {
    "Austria": ((24_972, 10_649, 8_176), (855, 546, 693)),
    "Belgium": ((7_837, 3_217, 142), (111, 5, 2)),
    "Finland": ((74_293, 40_132, 40_802), (28_532, 14_372, 13_818)),
    "Ireland": ((22_482, 12_687, 13_157), (2_096, 649, 634)),
    "Kosovo": ((849, 487, 280), (363, 115, 106)),
    "Lithuania": ((23_170, 12_128, 13_067), (1_007, 750, 1_416)),
    "Luxembourg": ((1_888, 1_131, 441), (117, 33, 13)),
    "Portugal": ((43_721, 22_862, 23_209), (60, 3, 0)),
    "Serbia": ((36_967, 17_906, 18_512), (1_527, 753, 860)),
    "Switzerland": ((1_692, 1_143, 2_039), (5, 9, 0)),
}
# The same by class.
PATCHES_OF_CLASS: dict[str, tuple[Counts, Counts]] = {
    "Urban fabric": ((33_626, 17_308, 12_824), (1_997, 1_026, 880)),
    "Industrial or commercial units": ((6_398, 2_726, 2_018), (474, 291, 213)),
    "Arable land": ((88_236, 49_737, 50_052), (6_216, 3_140, 3_261)),
    "Permanent crops": ((15_190, 8_688, 5_710), (85, 31, 29)),
    "Pastures": ((42_968, 25_915, 26_722), (1_911, 1_007, 1_607)),
    "Complex cultivation patterns": ((51_034, 26_486, 22_078), (1_456, 1_068, 1_047)),
    CLASSES_19[6]: ((60_127, 32_736, 29_846), (7_409, 4_279, 4_639)),
    "Agro-forestry areas": ((15_082, 8_157, 9_942), (25, 0, 0)),
    "Broad-leaved forest": ((64_164, 35_387, 36_377), (4_604, 2_413, 2_534)),
    "Coniferous forest": ((76_344, 39_554, 39_043), (23_516, 11_305, 11_775)),
    "Mixed forest": ((78_791, 42_705, 44_284), (19_687, 10_218, 10_267)),
    "Natural grassland and sparsely vegetated areas": ((6_984, 2_687, 2_211), (1_072, 337, 400)),
    "Moors, heathland and sclerophyllous vegetation": ((6_329, 3_806, 3_759), (462, 157, 124)),
    "Transitional woodland, shrub": ((64_198, 36_429, 40_523), (12_159, 5_966, 6_236)),
    "Beaches, dunes, sands": ((738, 426, 152), (25, 10, 0)),
    "Inland wetlands": ((11_344, 5_056, 4_519), (4_092, 1_747, 1_390)),
    "Coastal wetlands": ((670, 610, 117), (137, 58, 28)),
    "Inland waters": ((30_466, 15_900, 16_846), (13_174, 6_598, 6_265)),
    "Marine waters": ((35_914, 14_064, 11_854), (4_070, 2_114, 2_285)),
}
