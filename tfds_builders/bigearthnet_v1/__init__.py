"""BigEarthNet v1: 590,326 Sentinel-2 patches of Europe with their land-cover classes, and Sentinel-1 beside them."""
