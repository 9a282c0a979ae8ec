"""What ends all processes of a command when one of them fails or is gone.

A process that waits for a lost one would wait for ever. So each says every second that it lives, and a thread of the
first looks at what they say. A process that fails says so before it ends. The others end with status 3, in one line.
"""

import atexit
import ctypes
import faulthandler
import os
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from typing import Any, NoReturn

# Seconds without a sign of life after which a process is lost. The interpreter may be busy for some of them.
LOST_AFTER_S = float(os.environ.get("MTSCCD_LOST_AFTER_S", "40"))
# Seconds that a process has to end by itself, with a reason and a status of its own.
_GRACE_S = 3.0
_EVERY_S = 1.0
_STATES, _REASON = "mtsccd-jax/states", "mtsccd-jax/reason"
_RESUME = "run the same command again, on as many processes or fewer"

_ABORTED = ctypes.CFUNCTYPE(None, ctypes.c_int)


class Watch(threading.Thread):
    """The thread that says that this process lives; in the first process it also looks at the others.

    Args:
        client: The client of JAX's coordination service, which lives in the first process.
        own: The number of this process.
    """

    def __init__(self, client: Any, own: int):
        super().__init__(daemon=True, name="watch-processes")
        self._client, self._own, self._host = client, own, socket.gethostname()
        self._seen: dict[str, tuple[str, float]] = {}
        self._is_over, self._speaking = False, threading.Lock()

    def run(self) -> None:
        """Watch until this process ends, or ends for the sake of another."""
        turn = 0
        while not self._is_over:
            turn += 1
            try:
                with self._speaking:
                    if not self._is_over:
                        self._say(f"{turn} {self._host}")
                reason = self._find_failed() if self._own == 0 else self._read(_REASON).get("0")
            except Exception:  # the runtime's own
                reason = None if self._is_over else f"process 0 is lost; {_RESUME}"
            if reason and not self._is_over:
                time.sleep(_GRACE_S)
                _end(reason)
            time.sleep(_EVERY_S)

    def _find_failed(self) -> str | None:
        """Return which process is lost or has failed, and tell the others; None where all live."""
        now, reason = time.monotonic(), None
        for process, text in self._read(_STATES).items():
            if self._seen.get(process, ("",))[0] != text:
                self._seen[process] = text, now
            if text.startswith("failed"):
                reason = f"process {process} {text}"
            elif now - self._seen[process][1] > LOST_AFTER_S:
                reason = f"process {process} on {text.partition(' ')[2]} is lost; {_RESUME}"
        if reason:
            self._client.key_value_set(f"{_REASON}/0", reason, allow_overwrite=True)
        return reason

    def _read(self, folder: str) -> dict[str, str]:
        return {key.rpartition("/")[2]: value for key, value in self._client.key_value_dir_get(f"{folder}/")}

    def _say(self, text: str) -> None:
        self._client.key_value_set(f"{_STATES}/{self._own}", text, allow_overwrite=True)

    def fail(self, text: str) -> None:
        """Tell the others that this process fails; the first one, with whom the others speak, stays until they end."""
        try:
            with self._speaking:
                self._is_over = True
                self._say(f"failed: {text}")
            if self._own == 0:
                self._find_failed()
                deadline = time.monotonic() + _GRACE_S + 2 * _EVERY_S
                while time.monotonic() < deadline and not self._all_failed():
                    time.sleep(_EVERY_S / 4)
        except Exception:  # the coordinator is gone, and so are the others
            return

    def _all_failed(self) -> bool:
        return all(text.startswith("failed") for text in self._read(_STATES).values())

    def stop(self) -> None:
        """Watch no more: this process is about to end well."""
        self._is_over = True


_watches: list[Watch] = []
_handlers: list[Any] = []  # C holds no reference to a function of Python


def on_abort(reason: str | None) -> None:
    """End with status 3 and this reason where JAX's runtime aborts the process: it does so when it loses the first.

    None is the usual end.
    """
    if reason is None:
        ctypes.CDLL(None).signal(signal.SIGABRT, None)
        return
    _handlers.append(_ABORTED(lambda signum: _end(reason)))
    ctypes.CDLL(None).signal(signal.SIGABRT, _handlers[-1])


def watch(client: Any, own: int) -> None:
    """Begin to watch the processes of this command."""
    on_abort(f"another process is lost, probably the first; {_RESUME}")
    faulthandler.register(signal.SIGQUIT)  # shows where a process waits
    thread = Watch(client, own)
    _watches.append(thread)
    thread.start()
    atexit.register(thread.stop)  # before the runtime's own end, which came first


def is_watching() -> bool:
    """Return whether this process is one of several."""
    return bool(_watches)


def wait_for_loss() -> None:
    """Wait until a lost process is found, which ends this one; return where none is."""
    time.sleep(LOST_AFTER_S + _GRACE_S + 3 * _EVERY_S)


def leave(status: int, failure: str) -> int:
    """End this process, which has failed, without waiting for the others; return the status where it is alone."""
    if _watches:
        _watches[-1].fail(failure)
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):  # closed, or nobody reads it
                stream.flush()
        os._exit(status)
    return status


def _end(reason: str) -> NoReturn:
    os.write(2, f"mtsccd-jax: {reason}\n".encode())
    os._exit(3)
