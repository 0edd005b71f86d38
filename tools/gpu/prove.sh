#!/usr/bin/env bash
# Proves and measures everything about the GPU that docs/gpu.md lists as unproven, in
# order of value, from the kit that `make prove-gpu-kit` packs. Needs an NVIDIA driver
# and nothing else; what curl, nvidia-smi or compute-sanitizer would add is left out
# where they are missing.
#
#     prove.sh KIT [REPORT]
#
# KIT is the folder or the .tar.gz; REPORT a folder, ./gpu-report if not given. After
# every step REPORT/report.md is whole, and REPORT/N-name.log holds what was printed.
# Ends with 1 if a step failed.
#
# Variables make it smaller, or larger (defaults are those of docs/gpu.md):
#   LAYERS=48 EXPERTS= VOCABULARY=   of the model that is made
#   VRAM=14GB VRAM_LESS=8GB          the budget, and that of the resize
#   PROMPT=512 GENERATE=128 TOKENS=96 SETTLE=64
#   MODEL_FOLDER=                    for 49 GB; /dev/shm or REPORT if not given
#   ONLY="3 4"                       numbers of the steps to run
set -uo pipefail

kit=${1:?the kit: a folder or a .tar.gz}
report=$(mkdir -p "${2:-gpu-report}" && cd "${2:-gpu-report}" && pwd)
if [ -f "$kit" ]; then
    mkdir -p "$report/kit"
    tar -xzf "$kit" -C "$report/kit" || exit 1
    kit=$report/kit
fi
kit=$(cd "$kit" && pwd)
moestro=$kit/moestro
# Settings and profiles of an earlier run change nothing here.
export HOME=$report/home MOESTRO_FIXTURES=$kit/fixtures MOESTRO_TEST_GPU=0
mkdir -p "$HOME"
unset XDG_CACHE_HOME XDG_DATA_HOME XDG_CONFIG_HOME

: "${LAYERS:=48}" "${EXPERTS:=}" "${VOCABULARY:=}" "${VRAM:=14GB}" "${VRAM_LESS:=8GB}"
: "${PROMPT:=512}" "${GENERATE:=128}" "${TOKENS:=96}" "${SETTLE:=64}" "${ONLY:=}"

number=0
failed=0
table=$report/.table
details=$report/.details
: >"$table"
: >"$details"

write_report() {
    {
        echo "# What the GPU did"
        echo
        echo "$(date -u '+%Y-%m-%d %H:%M UTC'), $(nproc) cores, $(gpu_name)"
        echo
        echo "| step | result | seconds |"
        echo "|-|-|-:|"
        cat "$table"
        cat "$details"
    } >"$report/report.md"
}

gpu_name() {
    nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>/dev/null |
        head -n 1 || true
}

# step NAME SECONDS LINES COMMAND...: runs it for so long at most; its last LINES go to
# the report.
step() {
    local name=$1 limit=$2 lines=$3 log start code result seconds
    shift 3
    number=$((number + 1))
    if [ -n "$ONLY" ] && [[ " $ONLY " != *" $number "* ]]; then
        return 0
    fi
    log=$report/$number-${name// /-}.log
    echo "--- $number $name"
    start=$(date +%s.%N)
    # A process group of its own, so that nothing of it outlives its time.
    setsid timeout --kill-after=5 "$limit" "$@" >"$log" 2>&1
    code=$?
    seconds=$(awk -v a="$start" -v b="$(date +%s.%N)" 'BEGIN { printf "%.1f", b - a }')
    case $code in
        0) result=passed ;;
        77) result="left out" ;;
        124 | 137) result="**cut off at $limit s**" ;;
        *) result="**failed ($code)**" ;;
    esac
    case $code in 0 | 77) ;; *) failed=1 ;; esac
    echo "| $number $name | $result | $seconds |" >>"$table"
    {
        echo
        echo "## $number $name"
        echo
        echo '```'
        tail -n "$lines" "$log" | cut -c -200
        echo '```'
    } >>"$details"
    write_report
    tail -n 3 "$log"
    return $code
}

# For functions of this script, which `timeout` cannot run by themselves.
part() {
    local name=$1 limit=$2 lines=$3
    shift 3
    step "$name" "$limit" "$lines" bash -c "$(declare -f)"$'\n'"$*"
}
export moestro kit report LAYERS EXPERTS VOCABULARY VRAM VRAM_LESS PROMPT GENERATE TOKENS SETTLE

machine() {
    nvidia-smi || echo "no nvidia-smi"
    nvidia-smi --query-gpu=name,compute_cap,pcie.link.gen.current,pcie.link.width.current,clocks.max.memory,power.limit \
        --format=csv 2>/dev/null
    grep -m1 "model name" /proc/cpuinfo
    echo "$(nproc) cores"
    free -g
    df -h "$report" /dev/shm 2>/dev/null
    "$moestro" plan
}

opening() {
    for run in first second; do
        echo "$run start:"
        time "$moestro" generate --raw --max-tokens 1 --temperature 0 --stats Hello || return 1
    done
    echo "as on a GPU newer than Hopper, for which the driver compiles:"
    export CUDA_FORCE_PTX_JIT=1 CUDA_CACHE_PATH=$report/compiled
    for run in first second; do
        echo "$run start:"
        time "$moestro" generate --raw --max-tokens 1 --temperature 0 Hello
    done
    unset CUDA_FORCE_PTX_JIT CUDA_CACHE_PATH
    "$moestro" generate --temperature 0 --max-tokens 64 "Count to 20." >"$report/gpu.txt" || return 1
    "$moestro" generate --temperature 0 --max-tokens 64 --vram-budget 0 "Count to 20." >"$report/cpu.txt" || return 1
    if cmp "$report/gpu.txt" "$report/cpu.txt"; then
        echo "the demo model's answer is the processor's"
    else
        echo "the demo model's answer differs; step 4 tells whether that is more than rounding"
    fi
}

# How long it takes to write so many gigabytes shows in its time.
make_model() {
    local folder=${MODEL_FOLDER:-} need=$((LAYERS * 1100 / 1000 + 1))
    if [ -z "$folder" ]; then
        folder=$report
        [ "$(df --output=avail -BG /dev/shm 2>/dev/null | tail -n 1 | tr -dc 0-9)" -gt "$need" ] && folder=/dev/shm
    fi
    echo "$folder/moestro-prove.gguf" >"$report/.model"
    "$moestro" synthesize --like qwen3-next-80b --layers "$LAYERS" ${EXPERTS:+--experts "$EXPERTS"} \
        ${VOCABULARY:+--vocabulary "$VOCABULARY"} --quant q4_k_m "$(cat "$report/.model")"
}

measure() {
    "$moestro" benchmark --model "$(cat "$report/.model")" --prompt "$PROMPT" --generate "$GENERATE" \
        --repeat 2 --context 4096 --format markdown "$@"
}

# Routing of published locality at the budget, at the smaller one, and back, in one run;
# VRAM by our count beside NVML's.
replayed() {
    "$moestro" replay --model "$(cat "$report/.model")" --tokens "$TOKENS" --settle "$SETTLE" --context 4096 \
        --vram-budget "$VRAM" --vram-budgets "$VRAM_LESS,$VRAM"
}

# Resizes over HTTP while an answer is written.
served() {
    command -v curl >/dev/null || { echo "no curl"; return 77; }
    local writer
    "$moestro" serve --port 18431 --model "$(cat "$report/.model")" --vram-budget "$VRAM" --context 4096 &
    server=$! # seen by the trap, which runs outside of this function
    trap 'kill $server 2>/dev/null' EXIT
    for _ in $(seq 120); do
        ask health 2>/dev/null | grep -q ok && break
        kill -0 $server || return 1
        sleep 1
    done
    ask generate -N -d "{\"prompt\": \"Count.\", \"max_tokens\": $((4 * GENERATE)), \"stream\": true}" \
        >"$report/resized.ndjson" &
    writer=$!
    for budget in "$VRAM" "$VRAM_LESS" "$VRAM"; do
        ask optimize -d "{\"vram_budget\": $(bytes "$budget")}" >"$report/optimized.json" ||
            { cat "$report/optimized.json"; return 1; }
        sleep 3
        echo "budget $budget: $(wc -l <"$report/resized.ndjson") lines of the answer so far"
        ask memory | tr '{' '\n'
        echo
        nvidia-smi --query-compute-apps=pid,used_memory --format=csv,noheader 2>/dev/null
        nvidia-smi --query-gpu=memory.used --format=csv,noheader 2>/dev/null
    done
    wait $writer && tail -n 1 "$report/resized.ndjson"
}

ask() {
    curl -sS --fail-with-body -H "Content-Type: application/json" "127.0.0.1:18431/api/v1/$1" "${@:2}"
}

# As the command understands sizes: GB is 10^9.
bytes() {
    case $1 in
        *GB) echo "${1%GB}000000000" ;;
        *MB) echo "${1%MB}000000" ;;
        *) echo "$1" ;;
    esac
}

sanitized() {
    command -v compute-sanitizer >/dev/null || { echo "no compute-sanitizer"; return 77; }
    compute-sanitizer --tool "$1" --error-exitcode 9 "$kit/cuda-tests" --test-threads=1 --skip every_format
}

part "machine" 30 80 machine
part "opening" 120 60 opening
step "kernels" 120 40 "$kit/cuda-tests" --test-threads=1
step "engine" 180 40 "$kit/engine-tests" --test-threads=1 --nocapture
step "speed of kernels" 90 80 "$kit/cuda-bench"
part "make model" 180 5 make_model
part "benchmark" 150 30 measure --vram-budget "$VRAM"
part "replay" 180 30 replayed
part "benchmark on the processor" 150 30 measure --vram-budget 0
part "resize over HTTP" 120 120 served
part "memcheck" 120 20 sanitized memcheck
part "racecheck" 120 20 sanitized racecheck

[ -z "$ONLY" ] && rm -f "$(cat "$report/.model" 2>/dev/null)"
rm -f "$table" "$details"
echo "written: $report/report.md"
exit $failed
