"""The speed of the engine, and its limits."""
