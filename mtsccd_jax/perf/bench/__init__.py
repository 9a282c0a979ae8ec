"""The engine's own rows: networks, input, distances, thresholds and builds, all timed in the same way."""
