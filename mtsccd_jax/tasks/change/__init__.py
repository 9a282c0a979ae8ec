"""Change detection: did the land use of a scene change between two dates."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Method:
    """A method of change detection, the protocol of its rows."""

    trained_as: str  # the value of `model.task` of the networks that it takes
    has_threshold: bool  # whether a pair is changed where its distance reaches a chosen threshold


METHODS: dict[str, Method] = {
    "cfsm": Method("scenes", has_threshold=True),
    "cdc_1": Method("scenes", has_threshold=False),
    "cdc_2": Method("scenes", has_threshold=False),
    "sscd": Method("similarity", has_threshold=True),
}
