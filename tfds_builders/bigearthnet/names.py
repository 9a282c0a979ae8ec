"""Names of patches in BigEarthNet v1 and v2.

| kind | form |
|---|---|
| Sentinel-2, v1 | `S2[AB]_MSIL2A_<yyyymmdd>T<time>_<x>_<y>` |
| Sentinel-2, v2 | `S2[AB]_MSIL2A_<yyyymmdd>T<hhmmss>_N9999_R<orbit>_T<tile>_<xx>_<yy>`, x and y padded to two digits |
| Sentinel-1, both | `S1[AB]_IW_GRDH_1SDV_<yyyymmdd>T<hhmmss>_<tile>_<x>_<y>`, x and y not padded |

v1 names leave the tile out. To keep names apart, its authors counted the time on, as if it were a plain number, from
one tile of an overpass to the next. Such a time has lost the leading zero of the hour (`T93020`), and its seconds may
exceed 59 (`T094159`, `T94160`, `T94161`). The time in a name is therefore exact only to within some seconds.
"""

import datetime
import re
from dataclasses import dataclass

from tfds_builders.reading.archive import ArchiveError

# Meteorological seasons: with them the 590,326 names of v1 give the published counts (section 3 of the v1 paper).
SEASONS: tuple[str, ...] = ("winter", "spring", "summer", "autumn")
SPLITS: tuple[str, ...] = ("train", "validation", "test")
# 91 whole patches of 1,200 m fit a tile of 109,800 m. The largest x and y of a patch are one less.
PATCHES_PER_SIDE = 91
LAST_PATCH = PATCHES_PER_SIDE - 1


@dataclass(frozen=True, slots=True)
class PatchName:
    """The parts of a patch's name. `x` counts patches from the tile's western edge, `y` from its northern one."""

    platform: str
    time: datetime.datetime
    tile: str | None  # MGRS, such as "35VPK"; Sentinel-2 names of v1 have none
    x: int
    y: int

    @property
    def acquired(self) -> str:
        """The time as ISO 8601, UTC, such as "2018-02-04T09:42:01"."""
        return self.time.isoformat()

    @property
    def season(self) -> str:
        """One of `SEASONS`."""
        return SEASONS[self.time.month % 12 // 3]


@dataclass(frozen=True, slots=True)
class NameForm:
    """The form of the names of one kind of patch; `shown` is what errors call it."""

    pattern: re.Pattern[str]
    shown: str

    def fits(self, name: str) -> bool:
        """Return whether `name` has this form; dates and times are not looked at."""
        return self.pattern.fullmatch(name) is not None

    def parse(self, name: str) -> PatchName:
        """Return the parts of `name`; raise ArchiveError for another form or an impossible date, time or place."""
        match = self.pattern.fullmatch(name)
        if match is None:
            raise ArchiveError(f"{name}: not the name of a patch ({self.shown})")
        x, y = int(match["x"]), int(match["y"])
        if max(x, y) > LAST_PATCH:
            raise ArchiveError(f"{name}: patch {x}, {y} lies outside its tile; x and y run from 0 to {LAST_PATCH}")
        # From the right: the hour may have lost its leading zero. Seconds and minutes above 59 run over.
        clock = match["time"]
        hours, minutes, seconds = int(clock[:-4]), int(clock[-4:-2]), int(clock[-2:])
        try:
            day = datetime.datetime.fromisoformat(match["date"])
        except ValueError as error:
            raise ArchiveError(f"{name}: '{match['date']}' is no date") from error
        if hours > 23:
            raise ArchiveError(f"{name}: '{clock}' is no time of day")
        time = day + datetime.timedelta(hours=hours, minutes=minutes, seconds=seconds)
        return PatchName(match["platform"], time, match.groupdict().get("tile"), x, y)


_TILE = r"(?P<tile>\d{2}[A-Z]{3})"
_X_Y = r"_(?P<x>\d{1,2})_(?P<y>\d{1,2})"
S2_V1_NAME = NameForm(
    re.compile(rf"(?P<platform>S2[AB])_MSIL2A_(?P<date>\d{{8}})T(?P<time>\d{{5,6}}){_X_Y}"),
    "S2[AB]_MSIL2A_<yyyymmdd>T<time>_<x>_<y>",
)
S2_V2_NAME = NameForm(
    re.compile(
        rf"(?P<platform>S2[AB])_MSIL2A_(?P<date>\d{{8}})T(?P<time>\d{{6}})_N\d{{4}}_R\d{{3}}_T{_TILE}"
        r"_(?P<x>\d\d)_(?P<y>\d\d)"
    ),
    "S2[AB]_MSIL2A_<yyyymmdd>T<hhmmss>_N<nnnn>_R<nnn>_T<tile>_<xx>_<yy>",
)
S1_NAME = NameForm(  # the same in v1 and v2
    re.compile(rf"(?P<platform>S1[AB])_IW_GRDH_1SDV_(?P<date>\d{{8}})T(?P<time>\d{{6}})_{_TILE}{_X_Y}"),
    "S1[AB]_IW_GRDH_1SDV_<yyyymmdd>T<hhmmss>_<tile>_<x>_<y>",
)


def s2_v2_product(name: str) -> str:
    """Return the Sentinel-2 product (folder) of a v2 patch: the name without x and y."""
    return name.rsplit("_", 2)[0]


def s1_scene(name: str) -> str:
    """Return the Sentinel-1 scene (folder) of a v2 patch: the name without tile, x and y."""
    return name.rsplit("_", 3)[0]
