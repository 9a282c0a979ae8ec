"""SIGTERM as an exception, so that a command that is asked to end cleans up."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Terminated(BaseException):
    """SIGTERM arrived; like KeyboardInterrupt, what handles errors does not handle it."""


@contextmanager
def sigterm_raised() -> Iterator[None]:
    """Raise SIGTERM as an exception, so that commands clean up; a second one has its usual effect.

    Training has a handler of its own, which saves.
    """

    def stop(signum: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, before)
        raise Terminated

    def hear(about: Any) -> None:
        if about.exc_type is Terminated:  # raised in garbage collection, where Python drops errors: once more, later
            signal.signal(signal.SIGALRM, stop)
            signal.setitimer(signal.ITIMER_REAL, 0.05)
        else:
            heard(about)

    if threading.current_thread() is not threading.main_thread():  # Python lets no other thread install handlers
        yield
        return
    before, alarm = signal.signal(signal.SIGTERM, stop), signal.getsignal(signal.SIGALRM)
    heard, sys.unraisablehook = sys.unraisablehook, hear
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGTERM, before)
        signal.signal(signal.SIGALRM, alarm)
        if sys.unraisablehook is hear:  # else it is another's, which stands before this one
            sys.unraisablehook = heard
