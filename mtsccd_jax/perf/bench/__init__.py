"""The engine's own rows: networks, input, distances, thresholds and builds, all by one protocol."""
