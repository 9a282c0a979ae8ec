"""From a TFDS data set, class folders or a pair list to batches on the devices."""
