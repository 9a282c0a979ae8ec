"""What the launch scripts start, what they do when a process fails or is to stop, and that the files' fields exist."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path
from shutil import which
from typing import Any

import pytest
import yaml

from mtsccd_jax.cli import make_parser

LAUNCH = Path(__file__).parents[1] / "benchmarks" / "launch"
FILES = sorted(path for path in LAUNCH.iterdir() if path.suffix in (".sh", ".yaml"))
SLURM = Path(__file__).parent / "helpers" / "slurm"
PORT = 8476

# Writes down its process and arguments. Where FAILING is its command and process it fails as soon as OTHERS wait, and
# where WAITING is its command it waits for a signal.
COMMAND = """#!/bin/sh
process=${SLURM_PROCID:-${SKYPILOT_NODE_RANK:-$(echo "$*" | sed 's/.*--process-id //')}}
echo "$process: $*" >>"$CALLS"
if [ "$1 $process" = "$FAILING" ]; then
    until [ "$(grep -c waits "$CALLS")" -ge "$OTHERS" ]; do sleep 0.02; done
    exit "$STATUS"
fi
[ "$1" = "$WAITING" ] || exit 0
trap 'exit 138' USR1
trap 'echo "$process: stopped" >>"$CALLS"; exit 143' TERM
echo "$process: waits" >>"$CALLS"
while :; do sleep 0.02; done
"""
# The command's words go through a shell there, as with the real one; the host "gone" does not answer.
SSH = '#!/bin/sh\nwhile [ "$1" = -o ]; do shift 2; done\n[ "$1" != gone ] || exit 255\nshift\nexec sh -c "$*"\n'


class Desk:
    """A folder with stand-ins of the programs that the scripts call, and what these were asked."""

    def __init__(self, place: Path) -> None:
        self.place, self.calls_file = place, place / "calls"
        for name, text in (("mtsccd-jax", COMMAND), ("ssh", SSH)):
            (place / name).write_text(text)
            (place / name).chmod(0o755)
        self.calls_file.touch()

    def start(self, *command: str, **variables: str) -> subprocess.Popen:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("SLURM")}
        own = {"PATH": f"{SLURM}:{self.place}:{os.environ['PATH']}", "CALLS": str(self.calls_file)}
        own |= {"SCONTROL_CALLS": str(self.place / "scontrol"), "FAILING": "", "OTHERS": "0", "WAITING": ""}
        environment = clean | own | variables
        # What nohup and a shell's background ignore from the start, bash could not catch.
        bash = ["env", "--default-signal=HUP,INT", "bash"]
        return subprocess.Popen([*bash, *command], env=environment, stderr=subprocess.PIPE, text=True)

    def run(self, *command: str, **variables: str) -> tuple[int, str]:
        return ended(self.start(*command, **variables))

    @property
    def calls(self) -> list[str]:
        return self.calls_file.read_text().splitlines()

    @property
    def requeued(self) -> list[str]:
        asked = self.place / "scontrol"
        return asked.read_text().splitlines() if asked.exists() else []

    def wait_for(self, *lines: str) -> None:
        deadline = time.monotonic() + 30
        while not set(lines) <= set(self.calls):
            assert time.monotonic() < deadline, self.calls
            time.sleep(0.02)


def ended(script: subprocess.Popen) -> tuple[int, str]:
    """Return the status of a script and what it said on standard error."""
    said = script.communicate(timeout=60)[1]
    return script.returncode, said


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_three_lines_say_how(path):
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#!")]
    assert [re.match(r"# (\w+): +\S", line).group(1) for line in lines[:3]] == ["Needs", "Start", "Change"]
    assert max(len(line) for line in lines) <= 120


@pytest.mark.parametrize("name", ["slurm.sh", "ssh.sh", "skypilot.yaml"])
def test_the_shell_can_read_it(name):
    text = load(name)["run"] if name.endswith(".yaml") else (LAUNCH / name).read_text()
    checks = [["bash", "-n", "-"]] + ([["shellcheck", "-s", "bash", "-"]] if which("shellcheck") else [])
    for check in checks:
        done = subprocess.run(check, input=text, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


# Slurm


def slurm(desk: Desk, **variables: str) -> subprocess.Popen:
    job = {"SLURM_JOB_ID": "4711", "SLURM_NTASKS": "2", "RECIPE": "resnet18_scratch"}
    return desk.start(str(LAUNCH / "slurm.sh"), **job | variables)


def test_slurm_runs_each_command_on_every_task_and_reports_once(desk):
    assert ended(slurm(desk, SETTINGS="--set engine.epochs=2")) == (0, "")
    run = "runs/resnet18_scratch"
    train = f"train resnet18_scratch --data-dir tfds --workdir {run} --set engine.epochs=2"
    both = [f"{task}: {words}" for words in (train, f"evaluate {run}", f"change {run}") for task in (0, 1)]
    assert sorted(desk.calls[:6]) == sorted(both)
    assert desk.calls[6:] == [f"report {run}: report {run}"], "outside srun there is no task"
    assert desk.requeued == []


@pytest.mark.parametrize(
    ("failing", "status", "restarts", "requeued"),
    [
        ("train 1", 138, 0, True),
        ("train 1", 138, 99, True),  # more time is asked for as often as need be
        ("evaluate 0", 138, 0, True),
        ("train 1", 3, 0, True),
        ("train 0", 137, 2, True),
        ("train 1", 3, 3, False),
        ("train 1", 2, 0, False),
        ("change 1", 143, 0, False),
    ],
)
def test_slurm_asks_for_another_turn(desk, failing, status, restarts, requeued):
    count = {"SLURM_RESTART_COUNT": str(restarts)} if restarts else {}
    code, said = ended(slurm(desk, FAILING=failing, STATUS=str(status), **count))
    assert desk.requeued == (["requeue 4711"] if requeued else []), said
    assert code == (0 if requeued else status)
    command = failing.split()[0]
    assert desk.calls[-1].split()[1] == command, "nothing runs after a failure"
    assert said.count("\n") <= 1


def test_slurm_asks_for_another_turn_when_its_time_is_over(desk):
    script = slurm(desk, WAITING="train")
    desk.wait_for("0: waits", "1: waits")
    (srun,) = Path(f"/proc/{script.pid}/task/{script.pid}/children").read_text().split()
    os.kill(script.pid, signal.SIGUSR1)  # some sites signal the script as well
    os.kill(int(srun), signal.SIGUSR1)
    code, said = ended(script)
    assert "status 138, its time is over" in said
    assert (code, desk.requeued) == (0, ["requeue 4711"])


def test_slurm_is_asked_for_what_the_script_relies_on():
    asked = re.findall(r"^#SBATCH --([\w-]+)(?:=(\S+))?$", (LAUNCH / "slurm.sh").read_text(), re.MULTILINE)
    options = dict(asked)
    assert (options["signal"], options["open-mode"], options["requeue"]) == ("USR1@120", "append", "")
    assert options["ntasks-per-node"] == options["gpus-per-node"]
    assert not {"gpus-per-task", "gpu-bind"} & options.keys()


# ssh


def over_ssh(desk: Desk, **variables: str) -> subprocess.Popen:
    return desk.start(str(LAUNCH / "ssh.sh"), "train", "a b", **{"HOSTS": "first second third"} | variables)


def test_ssh_starts_a_process_on_every_host(desk):
    assert ended(over_ssh(desk)) == (0, "")
    words = f"train a b --coordinator first:{PORT} --processes 3 --process-id"
    assert sorted(desk.calls) == [f"{process}: {words} {process}" for process in range(3)]


def test_ssh_stops_all_when_one_fails(desk):
    assert ended(over_ssh(desk, WAITING="train", FAILING="train 1", OTHERS="2", STATUS="3"))[0] == 3
    assert {"0: stopped", "2: stopped"} <= set(desk.calls)


@pytest.mark.parametrize("hosts", ["gone" + 30 * " other", "first second gone"])
def test_ssh_stops_all_when_a_host_does_not_answer(desk, hosts):
    """Even while others are still to be started."""
    assert ended(over_ssh(desk, HOSTS=hosts, WAITING="train"))[0] == 255


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP, signal.SIGKILL])
def test_ssh_stops_all_when_it_is_stopped_itself(desk, number):
    script = over_ssh(desk, WAITING="train")
    desk.wait_for("0: waits", "1: waits", "2: waits")
    script.send_signal(number)
    assert ended(script) == (-number if number == signal.SIGKILL else 143, "")
    desk.wait_for("0: stopped", "1: stopped", "2: stopped")


@pytest.mark.parametrize("arguments", [[], ["train", "resnet18_scratch"]])
def test_ssh_says_what_is_missing(desk, arguments):
    code, said = desk.run(str(LAUNCH / "ssh.sh"), *arguments)
    assert "HOSTS=" in said
    assert (code, desk.calls) == (2, [])


# Files of other launchers. A shape names every field that may stand there; a field of its resource that none of ours
# uses can be added. "..." is any value.

VOLUME = {"name": str, "persistentVolumeClaim": {"claimName": str}, "emptyDir": {"medium": str}}
CONTAINER = {
    **{"name": str, "image": str, "command": [str], "args": [str], "resources": {"limits": ...}},
    "env": [{"name": str, "value": str, "valueFrom": {"fieldRef": {"fieldPath": str}}}],
    "ports": [{"containerPort": int}],
    "volumeMounts": [{"name": str, "mountPath": str}],
}
POD = {
    **{"restartPolicy": str, "terminationGracePeriodSeconds": int, "nodeSelector": ...},
    **{"containers": [CONTAINER], "volumes": [VOLUME]},
}
EXIT_CODES = {"containerName": str, "operator": str, "values": [int]}
JOB = {
    **{"completionMode": str, "parallelism": int, "completions": int, "backoffLimit": int},
    "podFailurePolicy": {"rules": [{"action": str, "onExitCodes": EXIT_CODES}]},
    "template": {"spec": POD},
}
HEAD = {"apiVersion": str, "kind": str, "metadata": {"name": str}}
JOB_SET = HEAD | {
    "spec": {
        "network": {"enableDNSHostnames": bool, "publishNotReadyAddresses": bool},
        "failurePolicy": {
            "maxRestarts": int,
            "rules": [{"name": str, "action": str, "onJobFailureReasons": [str]}],
        },
        "replicatedJobs": [{"name": str, "replicas": int, "template": {"spec": JOB}}],
    }
}
TRAIN_JOB = HEAD | {
    "spec": {
        "runtimeRef": {"apiGroup": str, "kind": str, "name": str},
        "trainer": {
            **{"numNodes": int, "image": str, "command": [str], "args": [str]},
            "resourcesPerNode": {"limits": ...},
        },
        "podTemplateOverrides": [{"targetJobs": [{"name": str}], "spec": POD}],
    }
}
SKYPILOT = {
    **{"name": str, "num_nodes": int, "workdir": str, "volumes": ..., "envs": ..., "setup": str, "run": str},
    "resources": {
        **{"accelerators": str, "use_spot": bool},
        "job_recovery": {"strategy": str, "max_restarts_on_errors": int},
    },
}
SHAPES = {"jobset.yaml": JOB_SET, "jobset_tpu.yaml": JOB_SET, "kubeflow.yaml": TRAIN_JOB, "skypilot.yaml": SKYPILOT}


def hold(value: Any, shape: Any, where: str) -> None:
    """Fail where the value is not of the shape."""
    if isinstance(shape, dict):
        assert isinstance(value, dict), where
        assert value.keys() <= shape.keys(), f"{where}: no such field: {sorted(value.keys() - shape.keys())}"
        for key, inner in value.items():
            hold(inner, shape[key], f"{where}.{key}")
    elif isinstance(shape, list):
        assert isinstance(value, list), where
        for index, inner in enumerate(value):
            hold(inner, shape[0], f"{where}[{index}]")
    elif shape is not ...:
        assert type(value) is shape, where


def load(name: str) -> dict[str, Any]:
    return yaml.safe_load((LAUNCH / name).read_text())


@pytest.mark.parametrize("name", SHAPES)
def test_fields_are_those_of_the_resource(name):
    hold(load(name), SHAPES[name], name)


def test_a_misspelt_field_is_found():
    file = load("jobset.yaml")
    file["spec"]["replicatedJobs"][0]["template"]["spec"]["paralelism"] = 2
    with pytest.raises(AssertionError, match=r"no such field.*paralelism"):
        hold(file, JOB_SET, "jobset.yaml")


def test_every_file_has_its_shape():
    assert {path.name for path in FILES if path.suffix == ".yaml"} == SHAPES.keys()


@pytest.mark.parametrize(("name", "chips"), [("jobset.yaml", "nvidia.com/gpu"), ("jobset_tpu.yaml", "google.com/tpu")])
def test_a_job_set_starts_as_many_pods_as_processes(name, chips):
    file = load(name)
    assert (file["apiVersion"], file["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    (replicated,) = file["spec"]["replicatedJobs"]
    job = replicated["template"]["spec"]
    (container,) = job["template"]["spec"]["containers"]
    assert job["completionMode"] == "Indexed"
    assert (job["parallelism"], job["backoffLimit"], replicated["replicas"]) == (job["completions"], 0, 1)
    assert container["resources"]["limits"][chips] >= 4
    (ended,) = job["podFailurePolicy"]["rules"]
    assert ended["onExitCodes"] == {"containerName": container["name"], "operator": "In", "values": [2]}
    (rule,) = file["spec"]["failurePolicy"]["rules"]
    assert rule["action"] == "FailJobSet"
    assert re.fullmatch(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?", rule["name"]), "what JobSet takes as a name"
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in job["template"]["spec"]["volumes"]}


def test_the_processes_of_a_job_set_find_each_other():
    file = load("jobset.yaml")
    (replicated,) = file["spec"]["replicatedJobs"]
    job = replicated["template"]["spec"]
    (container,) = job["template"]["spec"]["containers"]
    name, hosts = file["metadata"]["name"], replicated["name"]
    (port,) = container["ports"]
    index = {"fieldRef": {"fieldPath": "metadata.annotations['batch.kubernetes.io/job-completion-index']"}}
    assert {entry.pop("name"): entry for entry in container["env"]} == {
        "JAX_COORDINATOR_ADDRESS": {"value": f"{name}-{hosts}-0-0.{name}:{port['containerPort']}"},
        "JAX_NUM_PROCESSES": {"value": str(job["completions"])},
        "JAX_PROCESS_ID": {"valueFrom": index},
    }
    assert port["containerPort"] == PORT


def test_a_slice_has_a_host_for_every_four_chips():
    (replicated,) = load("jobset_tpu.yaml")["spec"]["replicatedJobs"]
    job = replicated["template"]["spec"]
    rows, columns = job["template"]["spec"]["nodeSelector"]["cloud.google.com/gke-tpu-topology"].split("x")
    assert int(rows) * int(columns) == 4 * job["completions"]


def test_a_train_job_uses_the_runtime_of_jax():
    file = load("kubeflow.yaml")
    assert (file["apiVersion"], file["kind"]) == ("trainer.kubeflow.org/v1alpha1", "TrainJob")
    runtime = {"apiGroup": "trainer.kubeflow.org", "kind": "ClusterTrainingRuntime", "name": "jax-distributed"}
    assert file["spec"]["runtimeRef"] == runtime
    (override,) = file["spec"]["podTemplateOverrides"]
    assert [override["targetJobs"], override["spec"]["containers"][0]["name"]] == [[{"name": "node"}], "node"]


@pytest.mark.parametrize("rank", [0, 1])
def test_skypilot_tells_every_node_its_number(desk, rank):
    file = load("skypilot.yaml")
    nodes = {"SKYPILOT_NODE_IPS": "10.0.0.7\n10.0.0.8", "SKYPILOT_NUM_NODES": str(file["num_nodes"])}
    assert desk.run("-c", file["run"], **file["envs"], **nodes, SKYPILOT_NODE_RANK=str(rank)) == (0, "")
    where = f"--coordinator 10.0.0.7:{PORT} --processes 2 --process-id {rank}"
    assert [call.split()[1] for call in desk.calls] == ["train", "evaluate", "change", *["report"] * (rank == 0)]
    assert all(call.endswith(where) for call in desk.calls[:3])


@pytest.mark.parametrize("name", ["jobset.yaml", "jobset_tpu.yaml", "kubeflow.yaml"])
def test_the_commands_parse(name):
    (arguments,) = re.findall(r"args: \[(.*)\]", (LAUNCH / name).read_text())
    make_parser().parse_args(arguments.split(", "))
