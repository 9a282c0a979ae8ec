"""Run commands in several processes of this machine that share them; as a script, be one of those processes."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

# A lost process, and a folder that is not shared, are found in seconds. XLA's products on CPU are summed by the threads
# of a pool, as many as there are devices, cores, or here: with equal pools they are equal to the last bit.
ENVIRONMENT = {"MTSCCD_LOST_AFTER_S": "5", "MTSCCD_SEEN_AFTER_S": "3", "NPROC": "8"}


Commands = Sequence[Sequence[Any]]


class Ended(NamedTuple):
    """How a process ended."""

    status: int
    said: str
    complaint: str

    def answers(self) -> list[Any]:
        """The JSON of each of its commands."""
        return [json.loads(line) for line in self.said.splitlines() if line.startswith("{")]


def start(number: int, devices: int, commands: Commands, **environment: str) -> list[subprocess.Popen]:
    """Start processes of some devices each, which run the commands one after the other."""
    return start_each([commands] * number, devices, **environment)


def start_each(commands: Sequence[Commands], devices: int, **environment: str) -> list[subprocess.Popen]:
    """Start a process for each list of commands, of some devices each."""
    asked = [[json.dumps([[str(part) for part in command] for command in its])] for its in commands]
    return start_script(__file__, asked, devices, **environment)


def start_script(
    script: str, arguments: Sequence[Sequence[str]], devices: int, **environment: str
) -> list[subprocess.Popen]:
    """Start a script once for each list of arguments; coordinator, number and own number are its last arguments."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    known = {**os.environ, **ENVIRONMENT, "JAX_NUM_CPU_DEVICES": str(devices), **environment}
    started = []
    for own, its in enumerate(arguments):
        command = [sys.executable, script, *its, f"localhost:{port}", str(len(arguments)), str(own)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        started.append(subprocess.Popen(command, text=True, env=known, **pipes))
    return started


def wait(started: Sequence[subprocess.Popen], timeout_s: float = 240) -> list[Ended]:
    """Wait for the end of processes; those that do not end are killed, and end with status -9."""
    ended, deadline = [], time.monotonic() + timeout_s
    for process in started:
        try:
            said, complaint = process.communicate(timeout=max(deadline - time.monotonic(), 1))
        except subprocess.TimeoutExpired:
            process.kill()
            said, complaint = process.communicate()
        ended.append(Ended(process.returncode, said, complaint))
    return ended


def run(number: int, devices: int, *commands: Sequence[Any], **environment: str) -> list[Ended]:
    """Run commands in several processes and return how each ended."""
    return wait(start(number, devices, commands, **environment))


def main(asked: str, coordinator: str, number: str, own: str) -> int:
    """Run the commands, each as the command line does, until one fails."""
    from mtsccd_jax import cli

    alone = number == "1"
    joined = [] if alone else ["--coordinator", coordinator, "--processes", number, "--process-id", own]
    for command in json.loads(asked):
        if status := cli.main([*command, *joined]):
            return status
    return 0


if __name__ == "__main__":
    sys.path.remove(str(Path(__file__).parent))  # modules of the tests are no modules of the product
    sys.exit(main(*sys.argv[1:]))
