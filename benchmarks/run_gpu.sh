#!/usr/bin/env bash
# Measures this checkout on the accelerator of this machine, what matters most first.
#
#     benchmarks/run_gpu.sh OUT [PART...]
#
# The results are a few files in the folder OUT; without parts it runs all of them:
#
#     device    what the device is, what its matrix products and copies reach          a line of OUT/results.jsonl
#     torch     training and inference beside torch.compile, channels-last, bfloat16   OUT/torch.json
#     search    nearest neighbours and threshold search beside PyTorch                 a line of OUT/results.jsonl
#     verdicts  runs of which profile must say what limits them                        a line of OUT/results.jsonl
#     numerics  networks, distances and thresholds against the CPU and float64         a line of OUT/results.jsonl
#     models    bench models: rows in timm's columns                                   OUT/benchmark-*
#     tests     the tests of the numerics on this device                               OUT/log.txt
#
# A call ends within 9 minutes (MTSCCD_SECONDS=540), done or not: with status 0 when every part is done, 3 when the same
# command goes on where this one stopped, 1 when a part failed (the others are tried all the same, and a later call
# tries it again). OUT/log.txt has what the parts said and which are done; those are not run again.
# Nothing is downloaded; the Python that runs it (MTSCCD_PYTHON=python3) needs the base packages and PyTorch,
# torchvision and timm, but neither TFDS, grain nor array_record: images are generated.
#
# MTSCCD_TINY=1 takes minutes on a CPU: small networks and sizes, to try this script out.
set -uo pipefail

if [ $# -lt 1 ] || [ "${1#-}" != "$1" ]; then
    sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" >&2
    exit 2
fi
mkdir -p "$1" || exit 2
out=$(cd "$1" && pwd) || exit 2
shift
all="device torch search verdicts numerics models tests"
parts=${*:-$all}
for part in $parts; do
    case " $all " in
    *" $part "*) ;;
    *) echo "run_gpu.sh: no part $part; there are: $all" >&2 && exit 2 ;;
    esac
done

cd "$(dirname "$0")/.." || exit 2
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1
# What was compiled is kept for the next call, also by the part that was cut off.
compiled=${MTSCCD_COMPILED:-${TMPDIR:-/tmp}/mtsccd-jax-compiled}
export JAX_COMPILATION_CACHE_DIR=$compiled/jax JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0.5
export JAX_PERSISTENT_CACHE_ENABLE_XLA_CACHES=all TORCHINDUCTOR_CACHE_DIR=$compiled/torch
python=${MTSCCD_PYTHON:-python3}
limit_s=${MTSCCD_SECONDS:-540}
touch "$out/log.txt"

# The twelve networks of the paper, those that most is known of first.
networks="resnet50 vit_base_patch16 resnet18 swin_tiny efficientnet_b0 densenet201"
networks="$networks vgg16 seresnet50 resnet101 googlenet alexnet vgg19"
torch="--models $networks --batch 256 --image-size 224 --classes 1000 --precision bfloat16 --rounds 9"
search="--rows 110000 --width 512 -k 100 --pairs 100000000 --rounds 7"
numerics="--models resnet50 vit_base_patch16 swin_tiny efficientnet_b0 --batch 4 --image-size 96"
models="--models $networks --tasks train infer --batch 256 --image-size 224 --precision bfloat16"
verdicts=""
if [ "${MTSCCD_TINY:-0}" = 1 ]; then
    torch="--models resnet18 --batch 2 --image-size 32 --classes 5 --precision bfloat16 --rounds 2 --no-peak"
    search="--rows 2000 --width 32 -k 20 --pairs 100000 --rounds 2"
    numerics="--models resnet18 --batch 2 --image-size 32"
    models="--models resnet18 --tasks infer --batch 2 --image-size 32 --precision float32 --windows 2 --window-s 0.1"
    verdicts="--tiny"
fi

run_part() {
    local bench="$python benchmarks"
    case $1 in
    device) $bench/device_facts.py >>"$out/results.jsonl" ;;
    torch) $bench/compare_torch.py $torch --out "$out/torch.json" >/dev/null ;;
    search) $bench/compare_torch_search.py $search >>"$out/results.jsonl" ;;
    verdicts) three_verdicts >>"$out/results.jsonl" ;;
    numerics) $bench/device_numerics.py $numerics >>"$out/results.jsonl" ;;
    models) $python -m mtsccd_jax bench models $models --out "$out" >/dev/null ;;
    tests) device_tests ;;
    esac
}

# What was compiled before must not pass for a cold start; without grain nothing streams, and nothing starves.
three_verdicts() {
    local runs="--only tiny --only large"
    if $python -c "import grain" >/dev/null 2>&1; then
        runs="--only starved $runs"
    else
        echo "grain is not installed: the run that waits for its input was left out" >&2
    fi
    env -u JAX_COMPILATION_CACHE_DIR $python benchmarks/three_verdicts.py $runs $verdicts
}

# Eight devices, of which some tests speak, exist on CPUs alone; the others run where JAX begins.
device_tests() {
    if ! $python -c "import pytest, filelock" >/dev/null 2>&1; then
        echo "pytest is not installed: the tests were left out"
        return 0
    fi
    MTSCCD_TEST_PLATFORM=$($python -c "import jax; print({'gpu': 'cuda,cpu'}.get(jax.default_backend(), 'cpu'))") \
        $python -m pytest -q -o addopts= -p no:cacheprovider tests/ops/test_distance.py tests/ops/test_threshold.py \
        tests/ops/test_metrics.py
}

started=$SECONDS status=0
for part in $parts; do
    if grep -q "^== $part: status 0 " "$out/log.txt"; then
        echo "$part: done already" >&2
        continue
    fi
    left_s=$((limit_s - SECONDS + started))
    if [ $left_s -le $((limit_s / 20)) ]; then
        echo "$part: no time left; the same command goes on" >&2
        exit 3
    fi
    echo "== $part, $(date -u +%FT%TZ), at most $left_s s" | tee -a "$out/log.txt" >&2
    begun=$SECONDS
    export -f run_part three_verdicts device_tests
    export python out torch search numerics models verdicts
    timeout --kill-after=10 $left_s bash -c "run_part $part" 2>&1 | tee -a "$out/log.txt" >&2
    code=${PIPESTATUS[0]}
    echo "== $part: status $code after $((SECONDS - begun)) s" | tee -a "$out/log.txt" >&2
    if [ $code -eq 124 ] || [ $code -eq 137 ]; then
        echo "$part: cut off; the same command goes on" >&2
        exit 3
    fi
    [ $code -eq 0 ] || status=1
done
exit $status
