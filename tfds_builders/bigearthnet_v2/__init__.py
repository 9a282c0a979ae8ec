"""BigEarthNet v2 (reBEN): Sentinel-1 and Sentinel-2 patches with labels, reference maps and a geographic split."""
