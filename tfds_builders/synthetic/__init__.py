"""Write generated archives of the supported data sets, for tests, demonstrations and benchmarks.

    write_archive("archive", scale=0.05, image_size=96)

writes a MtSCCD archive in the paper's naming: at scale 1 with exactly the published class counts (Tables 2 to 5), at
any other scale in proportion. The modules `bigearthnet_v1`, `bigearthnet_v2` and `mlrsnet` have a `write_archive` of
their own. The images are drawn and say nothing about the real ones.
"""

from tfds_builders.synthetic.mtsccd import write_archive

__all__ = ["write_archive"]
