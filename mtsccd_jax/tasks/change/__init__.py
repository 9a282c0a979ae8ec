"""Change detection: did the land use of a scene change between two dates."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Method:
    """A method of change detection, the protocol of its rows.

    Attributes:
        title: its name in the paper.
        trained_as: the value of `model.task` of the networks that it takes.
        has_threshold: whether a pair is changed where its distance reaches a chosen threshold.
    """

    title: str
    trained_as: str
    has_threshold: bool


METHODS: dict[str, Method] = {
    "cfsm": Method("CFSM", "scenes", has_threshold=True),
    "cdc_1": Method("CDC_1", "scenes", has_threshold=False),
    "cdc_2": Method("CDC_2", "scenes", has_threshold=False),
    "sscd": Method("SSCD", "similarity", has_threshold=True),
}
