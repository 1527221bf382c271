#!/usr/bin/env bash
# How much of bare hyper's throughput is left when `faas dev` serves the same reply. Loopback only.
#
#     faas-emulator/benches/load.sh
#
# Both servers run throughout, and are measured in turn, so that whatever else the machine does hits both alike.
# Needs wrk and curl. With workerd on the PATH, or WORKERD=its path (npm install workerd), the same reply from a Worker is
# measured in the same rounds. See the book's page "Performance".
set -euo pipefail
cd "$(dirname "$0")/../.."

ROUNDS=${ROUNDS:-5}
SECONDS_EACH=${SECONDS_EACH:-4}
CONNECTIONS=${CONNECTIONS:-32}
THREADS=${THREADS:-2}
FAAS_PORT=${FAAS_PORT:-38081}
HYPER_PORT=${HYPER_PORT:-38082}
WORKERD_PORT=${WORKERD_PORT:-38083}
WORKERD=${WORKERD:-$(command -v workerd || true)}

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
cargo build --release --workspace --bin faas --example bare_hyper

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

servers=(hyper faas)
declare -A url=([hyper]=$hyper_url [faas]=$faas_url)
if [ -n "$WORKERD" ]; then
    cat >"$work/hello.capnp" <<EOF
using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [ (name = "main", worker = .hello) ],
  sockets = [ (name = "http", address = "127.0.0.1:$WORKERD_PORT", http = (), service = "main") ]
);
const hello :Workerd.Worker = (
  serviceWorkerScript =
    "addEventListener('fetch', event => event.respondWith(new Response('Hello, world!\\\\n')))",
  compatibilityDate = "2026-01-01"
);
EOF
    "$WORKERD" serve "$work/hello.capnp" >"$work/workerd.log" 2>&1 </dev/null &
    pids+=($!)
    url[workerd]=http://127.0.0.1:$WORKERD_PORT/hello
    await $! "${url[workerd]}"
    if [ "$(curl --silent "${url[workerd]}")" != "$(cat "$work/body")" ]; then
        echo "load.sh: workerd does not reply what faas does" >&2
        exit 1
    fi
    servers+=(workerd)
fi

row() {
    printf '%-8s' "$1"
    shift
    printf ' %16s' "$@"
    printf '\n'
}

printf '%s rounds of %s s, %s connections, %s threads, %s processors\n' \
    "$ROUNDS" "$SECONDS_EACH" "$CONNECTIONS" "$THREADS" "$(nproc)"
row round "${servers[@]/%/ req/s}"
for ((round = 1; round <= ROUNDS; round++)); do
    rates=()
    for server in "${servers[@]}"; do
        rate=$(measure "${url[$server]}")
        echo "$rate" >>"$work/$server"
        rates+=("$rate")
    done
    row "$round" "${rates[@]}"
done
medians=()
for server in "${servers[@]}"; do medians+=("$(median <"$work/$server")"); done
row median "${medians[@]}"
for ((i = 1; i < ${#servers[@]}; i++)); do
    awk -v name="${servers[i]}" -v f="${medians[i]}" -v h="${medians[0]}" \
        'BEGIN { printf "%s/hyper %.3f (hyper is %.2f times as fast)\n", name, f / h, h / f }'
done
