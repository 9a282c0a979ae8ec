"""How fast the engine runs, and what limits it."""
