"""Scene classification: the class of a scene."""
