"""Read archives: folders, zip and tar files, image headers, GeoTIFF."""
