#!/usr/bin/env bash
# Needs:  ssh without a password from here to every host; this folder, mtsccd-jax and the data at the same place on all.
# Start:  HOSTS="node1 node2" benchmarks/launch/ssh.sh train resnet50_scratch --data-dir tfds; then `evaluate ...`, ...
# Change: HOSTS (the first is the coordinator, one process each), PORT, PROGRAM (the path of mtsccd-jax on the hosts).
#
# mtsccd-jax gets --coordinator, --processes and --process-id. When one fails, this script is stopped or killed, or a
# connection breaks, all others get SIGTERM and end: with a checkpoint where all processes live, else with the last one.
# The status is that of the first to fail, and the same line continues.
set -uo pipefail

read -ra hosts <<<"${HOSTS:-}"
port=${PORT:-8476}
program=${PROGRAM:-$(command -v mtsccd-jax)}
if [ $# -eq 0 ] || [ ${#hosts[@]} -eq 0 ] || [ -z "$program" ]; then
    sed -n '2,4s/^# //p' "$0" >&2
    exit 2
fi

# Runs on a host: the end of standard input says "stop", since ssh passes no signals on. One line, for any login shell.
# shellcheck disable=SC2016
remote='cd "$1" || exit 2; shift; exec 3<&0; "$@" </dev/null & process=$!; (read -r <&3; kill -TERM $process) '
# shellcheck disable=SC2016
remote+='>/dev/null 2>&1 & wait $process; status=$?; kill $! 2>/dev/null; exit $status'

scratch=$(mktemp -d) || exit 2
trap 'rm -rf "$scratch"' EXIT
mkfifo "$scratch/open"
exec 3<>"$scratch/open"
exec 4<"$scratch/open" # every ssh reads it, and sees its end when this script no longer holds 3
trap 'exec 3>&-' TERM INT HUP USR1

for i in "${!hosts[@]}"; do
    printf -v line '%q ' bash -c "$remote" remote "$PWD" "$program" "$@" \
        --coordinator "${hosts[0]}:$port" --processes ${#hosts[@]} --process-id "$i"
    {
        ssh -o BatchMode=yes -o ServerAliveInterval=15 "${hosts[$i]}" "$line" <&4 ||
            { echo $? >>"$scratch/failed" && kill -TERM $$; }
    } 3>&- &
done
until wait; do :; done # a signal ends a wait
if [ -s "$scratch/failed" ]; then exit "$(head -n 1 "$scratch/failed")"; fi
