#!/usr/bin/env bash
# Needs:  Slurm with GPUs; mtsccd-jax on the PATH of every node; data and work directory in a folder that all nodes see.
# Start:  sbatch benchmarks/launch/slurm.sh, in the folder of `runs` and `tfds`; the same line again continues a run.
# Change: nodes, GPUs and time in the #SBATCH lines; RECIPE, DATA, WORKDIR, SETTINGS, RESTARTS below, or export them.
#
# One task a GPU: of the GPUs of its node JAX takes the one with the number SLURM_LOCALID, so with one task a node all
# but the first would stand idle. Every task must see all of them: neither --gpus-per-task nor --gpu-bind. mtsccd-jax
# reads SLURM_JOB_ID, SLURM_STEP_NODELIST, SLURM_NTASKS, SLURM_PROCID and SLURM_LOCALID, which srun sets.
#
#SBATCH --job-name=mtsccd
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=12
#SBATCH --mem=0
#SBATCH --time=12:00:00
# Slurm starts the job again where a node is lost or another job takes its place, and the log goes on.
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=mtsccd-%j.log
# Two minutes before the time is over every task gets SIGUSR1: all save a checkpoint and end with status 138.
#SBATCH --signal=USR1@120
set -uo pipefail

recipe=${RECIPE:-resnet50_scratch}
data=${DATA:-tfds}
workdir=${WORKDIR:-runs/$recipe}
read -ra settings <<<"${SETTINGS:-}" # such as "--set engine.batch_size=4096"
restarts=${RESTARTS:-3}              # starts after a failure; those for more time have no limit

# srun does not take it from sbatch (since Slurm 22.05).
if [ -n "${SLURM_CPUS_PER_TASK:-}" ]; then export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK; fi
# A signal that reaches this shell too must not end it before it has asked for another turn.
trap : USR1

status=0
srun mtsccd-jax train "$recipe" --data-dir "$data" --workdir "$workdir" ${settings[@]+"${settings[@]}"} &&
    srun mtsccd-jax evaluate "$workdir" &&
    srun mtsccd-jax change "$workdir" &&
    mtsccd-jax report "$workdir" || status=$?

again() {
    echo "slurm.sh: status $status, $1: job $SLURM_JOB_ID goes back to the queue" >&2
    scontrol requeue "$SLURM_JOB_ID" && exit 0
}
case $status in
138) again "its time is over" ;;
3 | 134 | 137 | 139) # a process was lost, or ended by SIGABRT, SIGKILL or SIGSEGV
    if [ "${SLURM_RESTART_COUNT:-0}" -lt "$restarts" ]; then again "a process failed"; fi
    echo "slurm.sh: status $status after $restarts restarts: see above what failed; sbatch it again to continue" >&2
    ;;
esac
exit $status
