"""The CORINE Land Cover (CLC 2018) nomenclature and the label sets that BigEarthNet makes of it.

Classes are always in the order of their CLC codes: 111, 112, ... 523; a class of the 19-class set stands where the
first of its CLC classes stands. This is the order of every multi-hot vector of the built data sets. (Other software
sorts some of these sets alphabetically: compare names, not positions.)
"""

from dataclasses import dataclass

_AGRICULTURE_AND_NATURE = "Land principally occupied by agriculture, with significant areas of natural vegetation"


@dataclass(frozen=True, slots=True)
class ClcClass:
    """One CLC class of level 3; `class_19` is None where the 19-class set drops it."""

    code: int
    name: str
    class_19: str | None

    @property
    def level_1(self) -> str:
        """The name of its class of level 1."""
        return CLC_LEVEL_1[self.code // 100]

    @property
    def level_2(self) -> str:
        """The name of its class of level 2."""
        return CLC_LEVEL_2[self.code // 10]


# All 44 classes of level 3. The names are those of the archives' files, letter by letter.
CLC_CLASSES: tuple[ClcClass, ...] = (
    ClcClass(111, "Continuous urban fabric", "Urban fabric"),
    ClcClass(112, "Discontinuous urban fabric", "Urban fabric"),
    ClcClass(121, "Industrial or commercial units", "Industrial or commercial units"),
    ClcClass(122, "Road and rail networks and associated land", None),
    ClcClass(123, "Port areas", None),
    ClcClass(124, "Airports", None),
    ClcClass(131, "Mineral extraction sites", None),
    ClcClass(132, "Dump sites", None),
    ClcClass(133, "Construction sites", None),
    ClcClass(141, "Green urban areas", None),
    ClcClass(142, "Sport and leisure facilities", None),
    ClcClass(211, "Non-irrigated arable land", "Arable land"),
    ClcClass(212, "Permanently irrigated land", "Arable land"),
    ClcClass(213, "Rice fields", "Arable land"),
    ClcClass(221, "Vineyards", "Permanent crops"),
    ClcClass(222, "Fruit trees and berry plantations", "Permanent crops"),
    ClcClass(223, "Olive groves", "Permanent crops"),
    ClcClass(231, "Pastures", "Pastures"),
    ClcClass(241, "Annual crops associated with permanent crops", "Permanent crops"),
    ClcClass(242, "Complex cultivation patterns", "Complex cultivation patterns"),
    ClcClass(243, _AGRICULTURE_AND_NATURE, _AGRICULTURE_AND_NATURE),
    ClcClass(244, "Agro-forestry areas", "Agro-forestry areas"),
    ClcClass(311, "Broad-leaved forest", "Broad-leaved forest"),
    ClcClass(312, "Coniferous forest", "Coniferous forest"),
    ClcClass(313, "Mixed forest", "Mixed forest"),
    ClcClass(321, "Natural grassland", "Natural grassland and sparsely vegetated areas"),
    ClcClass(322, "Moors and heathland", "Moors, heathland and sclerophyllous vegetation"),
    ClcClass(323, "Sclerophyllous vegetation", "Moors, heathland and sclerophyllous vegetation"),
    ClcClass(324, "Transitional woodland/shrub", "Transitional woodland, shrub"),
    ClcClass(331, "Beaches, dunes, sands", "Beaches, dunes, sands"),
    ClcClass(332, "Bare rock", None),
    ClcClass(333, "Sparsely vegetated areas", "Natural grassland and sparsely vegetated areas"),
    ClcClass(334, "Burnt areas", None),
    ClcClass(335, "Glaciers and perpetual snow", None),
    ClcClass(411, "Inland marshes", "Inland wetlands"),
    ClcClass(412, "Peatbogs", "Inland wetlands"),
    ClcClass(421, "Salt marshes", "Coastal wetlands"),
    ClcClass(422, "Salines", "Coastal wetlands"),
    ClcClass(423, "Intertidal flats", None),
    ClcClass(511, "Water courses", "Inland waters"),
    ClcClass(512, "Water bodies", "Inland waters"),
    ClcClass(521, "Coastal lagoons", "Marine waters"),
    ClcClass(522, "Estuaries", "Marine waters"),
    ClcClass(523, "Sea and ocean", "Marine waters"),
)

# The names of levels 1 and 2 by code.
CLC_LEVEL_1: dict[int, str] = {
    1: "Artificial surfaces",
    2: "Agricultural areas",
    3: "Forest and semi natural areas",
    4: "Wetlands",
    5: "Water bodies",
}
CLC_LEVEL_2: dict[int, str] = {
    11: "Urban fabric",
    12: "Industrial, commercial and transport units",
    13: "Mine, dump and construction sites",
    14: "Artificial, non-agricultural vegetated areas",
    21: "Arable land",
    22: "Permanent crops",
    23: "Pastures",
    24: "Heterogeneous agricultural areas",
    31: "Forests",
    32: "Scrub and/or herbaceous vegetation associations",
    33: "Open spaces with little or no vegetation",
    41: "Inland wetlands",
    42: "Maritime wetlands",
    51: "Inland waters",
    52: "Marine waters",
}

# CLC knows glaciers; no patch of BigEarthNet v1 has any.
_NOT_IN_V1 = 335
# The code in reference maps of v2 where the CLC map has no class.
UNLABELED_CODE = 999

CODE_OF_NAME: dict[str, int] = {entry.name: entry.code for entry in CLC_CLASSES}
CLASS_OF_CODE: dict[int, ClcClass] = {entry.code: entry for entry in CLC_CLASSES}
CLASSES_43: tuple[str, ...] = tuple(entry.name for entry in CLC_CLASSES if entry.code != _NOT_IN_V1)
# dict.fromkeys keeps the first of equal names, and so the order of the codes.
CLASSES_19: tuple[str, ...] = tuple(dict.fromkeys(entry.class_19 for entry in CLC_CLASSES if entry.class_19))
CLASSES_LEVEL_1: tuple[str, ...] = tuple(CLC_LEVEL_1.values())
CLASSES_LEVEL_2: tuple[str, ...] = tuple(CLC_LEVEL_2.values())
# Index (0 to 18) in `CLASSES_19` of every CLC code that has one.
INDEX_19_OF_CODE: dict[int, int] = {
    entry.code: CLASSES_19.index(entry.class_19) for entry in CLC_CLASSES if entry.class_19
}
