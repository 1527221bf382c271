#!/usr/bin/env bash
# How much of bare hyper's throughput is left when `faas dev` serves the same reply. Loopback only.
#
#     faas-emulator/benches/load.sh
#
# Both servers run throughout, and are measured in turn, so that whatever else the machine does hits both alike.
# Needs wrk and curl. See the book's page "Performance".
set -euo pipefail
cd "$(dirname "$0")/../.."

ROUNDS=${ROUNDS:-5}
SECONDS_EACH=${SECONDS_EACH:-4}
CONNECTIONS=${CONNECTIONS:-32}
THREADS=${THREADS:-2}
FAAS_PORT=${FAAS_PORT:-38081}
HYPER_PORT=${HYPER_PORT:-38082}

for tool in wrk curl cargo; do
    command -v "$tool" >/dev/null || { echo "load.sh: $tool is missing (Debian: apt install $tool)" >&2; exit 2; }
done

work=$(mktemp -d)
pids=()
clean_up() {
    local pid
    for pid in "${pids[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
    rm -rf "$work"
}
trap clean_up EXIT
# the EXIT trap cleans up after these too
trap 'exit 130' INT TERM

target=${CARGO_TARGET_DIR:-target}
cargo build --release --package faas-emulator --bin faas --example bare_hyper

# await PID URL: until it answers
await() {
    local tries
    for ((tries = 0; tries < 600; tries++)); do
        curl --silent --fail --output /dev/null --max-time 5 "$2" && return
        kill -0 "$1" 2>/dev/null || { echo "load.sh: the server for $2 has ended:" >&2; tail -n 20 "$work"/*.log >&2; exit 1; }
        sleep 0.2
    done
    echo "load.sh: $2 does not answer" >&2
    exit 1
}

faas_url=http://127.0.0.1:$FAAS_PORT/hello
"$target/release/faas" dev examples/hello --release --no-watch --port "$FAAS_PORT" >"$work/faas.log" 2>&1 </dev/null &
pids+=($!)
await $! "$faas_url"

# the second reply: warm, as nearly all of the measured ones will be
curl --silent --fail --dump-header "$work/head" --output "$work/body" "$faas_url"
hyper_url=http://127.0.0.1:$HYPER_PORT/hello
"$target/release/examples/bare_hyper" "127.0.0.1:$HYPER_PORT" "$work/head" "$work/body" >"$work/hyper.log" 2>&1 </dev/null &
pids+=($!)
await $! "$hyper_url"

# measure URL: requests a second; fails if any reply was not a success
measure() {
    local out
    out=$(wrk --threads "$THREADS" --connections "$CONNECTIONS" --duration "${SECONDS_EACH}s" "$1")
    if grep -E 'Non-2xx|Socket errors' <<<"$out" >&2; then
        echo "load.sh: $1 failed requests" >&2
        return 1
    fi
    awk '/^Requests\/sec:/ { print $2 }' <<<"$out"
}

median() { sort -n | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }

printf '%s rounds of %s s, %s connections, %s threads, %s processors\n' \
    "$ROUNDS" "$SECONDS_EACH" "$CONNECTIONS" "$THREADS" "$(nproc)"
printf '%-8s %14s %14s\n' round 'hyper req/s' 'faas req/s'
for ((round = 1; round <= ROUNDS; round++)); do
    hyper=$(measure "$hyper_url")
    faas=$(measure "$faas_url")
    echo "$hyper" >>"$work/hyper"
    echo "$faas" >>"$work/faas"
    printf '%-8s %14s %14s\n' "$round" "$hyper" "$faas"
done
hyper=$(median <"$work/hyper")
faas=$(median <"$work/faas")
printf '%-8s %14s %14s\n' median "$hyper" "$faas"
awk -v f="$faas" -v h="$hyper" 'BEGIN { printf "faas/hyper %.3f (hyper is %.2f times as fast)\n", f / h, h / f }'
