#!/usr/bin/env bash
# How much of bare hyper's throughput is left when `faas dev` serves the same reply, from a warm instance and from a fresh
# one for each request. Loopback only.
#
#     faas-emulator/benches/load.sh
#
# All servers run throughout, and are measured in turn, so that whatever else the machine does hits all alike.
# Needs wrk and curl. Measured in the same rounds, the same reply: from a Worker, with workerd on the PATH or WORKERD=its
# path (npm install workerd); and from a component under `wasmtime serve`, as it comes and tuned, with wasmtime on the PATH or
# WASMTIME=its path (rustup target add wasm32-wasip2; cargo install wasmtime-cli --locked). And bare hyper that computes before each
# reply for as many nanoseconds as each word of WORK says: WORK="1000 2000". BUILT=the folder of a release build spares building one. See
# the book's page "Performance".
set -euo pipefail
cd "$(dirname "$0")/../.."

ROUNDS=${ROUNDS:-5}
SECONDS_EACH=${SECONDS_EACH:-4}
CONNECTIONS=${CONNECTIONS:-32}
THREADS=${THREADS:-2}
FAAS_PORT=${FAAS_PORT:-38081}
HYPER_PORT=${HYPER_PORT:-38082}
WORKERD_PORT=${WORKERD_PORT:-38083}
FRESH_PORT=${FRESH_PORT:-38084}
WASMTIME_PORT=${WASMTIME_PORT:-38085}
TUNED_PORT=${TUNED_PORT:-38086}
WORK_PORT=${WORK_PORT:-38087}
WORKERD=${WORKERD:-$(command -v workerd || true)}
WASMTIME=${WASMTIME:-$(command -v wasmtime || true)}

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
if [ -z "${BUILT:-}" ]; then
    cargo build --release --workspace --bin faas --example bare_hyper
    BUILT=$target/release
fi

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

# serve_faas FOLDER PORT PROFILE
serve_faas() {
    "$BUILT/faas" dev "$1" --release --no-watch --port "$2" --as "$3" >"$work/faas-$3.log" 2>&1 </dev/null &
    pids+=($!)
    await $! "http://127.0.0.1:$2/hello"
}

faas_url=http://127.0.0.1:$FAAS_PORT/hello
serve_faas examples/hello "$FAAS_PORT" aws-lambda

# the second reply: warm, as nearly all of the measured ones will be
curl --silent --fail --dump-header "$work/head" --output "$work/body" "$faas_url"
hyper_url=http://127.0.0.1:$HYPER_PORT/hello
# serve_hyper PORT NANOSECONDS
serve_hyper() {
    "$BUILT/examples/bare_hyper" "127.0.0.1:$1" "$work/head" "$work/body" "$2" >"$work/hyper-$1.log" 2>&1 </dev/null &
    pids+=($!)
    await $! "http://127.0.0.1:$1/hello"
}
serve_hyper "$HYPER_PORT" 0

# must_reply_the_same NAME URL
must_reply_the_same() {
    if [ "$(curl --silent "$2")" != "$(cat "$work/body")" ]; then
        echo "load.sh: $1 does not reply what faas does" >&2
        exit 1
    fi
}

# the same function but for its attribute, with the same versions of what it depends on
mkdir "$work/fresh"
cp -r examples/hello/src rust-toolchain.toml Cargo.lock "$work/fresh"
sed -e 's|^name = "hello"|name = "fresh"|' -e "s|^faas-core\.workspace = true|faas-core = { path = \"$PWD/faas-core\" }|" \
    examples/hello/Cargo.toml >"$work/fresh/Cargo.toml"
sed -i 's|^#\[function\]|#[function(isolation = "request")]|' "$work/fresh/src/main.rs"
fresh_url=http://127.0.0.1:$FRESH_PORT/hello
# as the provider that works so: AWS starts a thousand instances in ten seconds and no more
serve_faas "$work/fresh" "$FRESH_PORT" fastly-compute
must_reply_the_same "faas with a fresh instance" "$fresh_url"
curl --silent --fail --dump-header "$work/fresh-head" --output /dev/null "$fresh_url"
if ! grep -qi '^faas-start: cold' "$work/fresh-head"; then
    echo "load.sh: faas does not start an instance for each request" >&2
    exit 1
fi

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

servers=(hyper faas fresh)
declare -A url=([hyper]=$hyper_url [faas]=$faas_url [fresh]=$fresh_url)
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
    must_reply_the_same workerd "${url[workerd]}"
    servers+=(workerd)
fi
if [ -n "$WASMTIME" ]; then
    cargo build --quiet --release --locked --manifest-path faas-core/benches/peers/hello-wasi/Cargo.toml \
        --target wasm32-wasip2 --target-dir "$target/hello-wasi"
    # serve_wasmtime NAME PORT OPTION...: an instance for each request; -S cli links what Rust's std imports
    serve_wasmtime() {
        "$WASMTIME" serve --addr "127.0.0.1:$2" --max-instance-reuse-count 1 -S cli "${@:3}" \
            "$target/hello-wasi/wasm32-wasip2/release/hello_wasi.wasm" >"$work/$1.log" 2>&1 </dev/null &
        pids+=($!)
        url[$1]=http://127.0.0.1:$2/hello
        await $! "${url[$1]}"
        must_reply_the_same "$1" "${url[$1]}"
        servers+=("$1")
    }
    serve_wasmtime wasmtime "$WASMTIME_PORT"
    # all that helps: pooled slots, memory, tables and stacks that stay resident, and are reset by PAGEMAP_SCAN
    serve_wasmtime tuned "$TUNED_PORT" \
        -O pooling-allocator,memory-init-cow,table-lazy-init,pooling-pagemap-scan \
        -O pooling-memory-keep-resident=4194304,pooling-table-keep-resident=65536 \
        -O pooling-async-stack-keep-resident=65536,pooling-max-unused-warm-slots=100
fi

for nanoseconds in ${WORK:-}; do
    serve_hyper "$WORK_PORT" "$nanoseconds"
    url[+${nanoseconds}ns]=http://127.0.0.1:$WORK_PORT/hello
    servers+=("+${nanoseconds}ns")
    WORK_PORT=$((WORK_PORT + 1))
done

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
        echo "$rate" >>"$work/$server.rates"
        rates+=("$rate")
    done
    row "$round" "${rates[@]}"
done
declare -A medians
in_order=()
for server in "${servers[@]}"; do
    medians[$server]=$(median <"$work/$server.rates")
    in_order+=("${medians[$server]}")
done
row median "${in_order[@]}"

# ratio SERVER OF
ratio() {
    [ -n "${medians[$1]:-}" ] && [ -n "${medians[$2]:-}" ] || return 0
    awk -v name="$1/$2" -v a="${medians[$1]}" -v b="${medians[$2]}" 'BEGIN { printf "%s %.3f\n", name, a / b }'
}
for server in "${servers[@]:1}"; do ratio "$server" hyper; done
# each against the peer that works as it does: a warm isolate, and an instance for each request
ratio faas workerd
ratio fresh wasmtime
ratio fresh tuned
