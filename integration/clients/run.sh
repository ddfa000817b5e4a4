#!/usr/bin/env bash
# Real clients against a started server. README.md beside this file is the contract that every client fulfils.
#   run.sh                                    all clients against this repository's server
#   ONLY=kafkajs-2.2.4,java-4.4.0 run.sh      some of them, by clients.txt
#   SERVER=cluster run.sh                     against three nodes of it, with three replicas of each topic
#   SERVER=kafka [KAFKA_VERSION=3.9.1] run.sh against Apache Kafka: the suite's own proof
# RECORDS (2000) per produce step, JOBS (2) clients at a time, CHURN (25) seconds for each mixture of members (0: none;
# CHURN_SEED repeats what is done to them), CLIENTS_CACHE (.cache beside this file) for what it installs.
# Prints `ok|FAIL client step detail` for each step, a table that also stands in $CLIENTS_CACHE/table.md, and
# `N passed, N failed`; a failure keeps the logs and makes the exit code 1.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
cache=${CLIENTS_CACHE:-$here/.cache}
export RECORDS=${RECORDS:-2000} PARTITIONS=3 REPLICATION=1
PATIENCE=150 # seconds that one phase of one client may take
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/chronik-clients.XXXXXX")
server_pid="" # of the process that is killed half-way
other_pids=() # of a cluster's other nodes

. "$here/install.sh"
. "$here/server-${SERVER:-chronik}.sh"

# ---- clients.txt
names=()
declare -A codecs features command peers
read_clients() {
  local name c f cmd p
  while IFS='|' read -r name c f cmd p; do
    name=$(xargs <<<"$name")
    [ -z "${ONLY:-}" ] || [[ ",$ONLY," == *",$name,"* ]] || continue
    names+=("$name")
    codecs[$name]=$(xargs <<<"$c") features[$name]=$(xargs <<<"$f") command[$name]=$(xargs <<<"$cmd") peers[$name]=$(xargs <<<"$p")
  done < <(grep -v '^#' "$here/clients.txt")
  [ "${#names[@]}" -gt 0 ] || { echo "ONLY=$ONLY names no client of clients.txt" >&2; exit 2; }
}
has() { [[ " ${features[$1]} " == *" $2 "* ]]; }
total() { local n; n=$(wc -w <<<"${codecs[$1]}"); has "$1" idempotent && n=$((n * 2)); echo $((n * RECORDS)); }
ran() { [[ " ${names[*]} " == *" $1 "* ]]; }
failed() { grep -qs '^FAIL' "$work/results/$1."*; }
peers_of() { # NAME: the clients whose topics it reads, as far as they are in this run; those of applications hold something else
  local peer others
  others=("${peers[$1]}")
  [ "${peers[$1]}" != "*" ] || others=("${names[@]}")
  for peer in "${others[@]}"; do
    if [ "$peer" != "$1" ] && ran "$peer" && ! has "$peer" application; then echo "$peer"; fi
  done
}
topics_of_peers() { # NAME: topic:total of what it can read; the topic of a client that failed proves nothing
  local peer
  for peer in $(peers_of "$1"); do
    if ! failed "$peer"; then printf '%s ' "$peer:$(($(total "$peer") + RECORDS))"; fi
  done
}
steps_of() { # NAME PHASE: the steps that the phase must report
  local c
  if has "$1" share; then
    case $2 in
      1) printf '%s\n' version create implicit explicit lock renew limit killed half ;;
      2) printf '%s\n' resume tools ;;
    esac
    return
  fi
  if has "$1" application; then
    case $2 in
      1) printf '%s\n' version create count killed ;;
      2)
        printf '%s\n' resume scale
        if has "$1" groups; then echo groups; fi
        echo alone
        ;;
    esac
    return
  fi
  case $2 in
    1)
      printf '%s\n' version create
      for c in ${codecs[$1]}; do echo "produce-$c"; done
      if has "$1" idempotent; then for c in ${codecs[$1]}; do echo "idempotent-$c"; done; fi
      printf '%s\n' consume commit
      if has "$1" offsets-for-times; then echo time; fi
      for c in configs offsets; do if has "$1" "$c"; then echo "$c"; fi; done
      ;;
    2)
      printf '%s\n' after resume
      for c in groups flows; do if has "$1" "$c"; then echo "$c"; fi; done
      ;;
    3) if [ -n "$(peers_of "$1")" ]; then echo peers; fi ;;
    raw) echo raw ;;
  esac
}

# ---- what the clients are run by
install() {
  need python3-venv python3 -c 'import ensurepip, venv'
  need curl curl --version
  need default-jdk-headless javac -version
  need maven mvn --version
  need npm npm --version
  need kcat kcat -V
  local go
  go=$("$root/.ci/go")
  prepare_server
  (cd "$root" && "$go" build -buildvcs=false -o "$cache/franz" ./integration/clients/franz)
  export FRANZ=$cache/franz TOOLS_LIB TOOLS_CLASSES NODE_PATH
  local name
  for name in "${names[@]}"; do install_"${command[$name]%% *}" ${command[$name]#* }; done
}
install_franz() { :; }
install_kcat() { :; }
install_kafka_python() { python "kafka-python-$1" >/dev/null; }
install_confluent() { python confluent-kafka >/dev/null; }
install_kafkajs() { NODE_PATH=$(node_modules); }
install_java() { classes "$1" "$(maven java "$1")" >/dev/null; }
install_tools() { TOOLS_LIB=$(maven tools "$1"); TOOLS_CLASSES=$(classes "$1" "$TOOLS_LIB" tools); }
install_streams() { classes "$1" "$(maven streams "$1")" streams >/dev/null; TOOLS_LIB=$(maven tools "$3"); }
install_share() { classes "$1" "$(maven java "$1")" share >/dev/null; TOOLS_LIB=$(maven tools "$2"); }

bounded() { timeout --kill-after=5 "$PATIENCE" "$@"; }
run_franz() { bounded "$FRANZ" scenario; }
run_kcat() { bounded bash "$here/kcat/scenario.sh"; }
run_kafka_python() { API_VERSION=${2:-} bounded "$(python "kafka-python-$1")" -B "$here/python/kafka_python.py"; }
run_confluent() { bounded "$(python confluent-kafka)" -B "$here/python/confluent.py"; }
run_kafkajs() { bounded node "$here/kafkajs/scenario.js"; }
run_java() {
  bounded java -Xmx512m -XX:+UseSerialGC -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "$(classes "$1" "$(maven java "$1")")" Scenario
}
run_tools() { bounded bash "$here/tools/scenario.sh"; }
run_streams() { # VERSION PROTOCOL
  PROTOCOL=$2 bounded java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dorg.slf4j.simpleLogger.defaultLogLevel=warn \
    -cp "$(classes "$1" "$(maven streams "$1")" streams)" Scenario
}
run_share() {
  bounded java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$(classes "$1" "$(maven java "$1")" share)" Scenario
}

member() { # NAME COMMAND [ARGUMENT...]: the process, without a shell before it, that is a member of a group
  case $2 in
    franz) echo "$FRANZ member" ;;
    kafka_python) echo "$(python "kafka-python-$3") -B $here/python/kafka_python.py" ;;
    confluent) echo "$(python confluent-kafka) -B $here/python/confluent.py" ;;
    kafkajs) echo "node $here/kafkajs/scenario.js" ;;
    java) echo "java -Xmx128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp $(classes "$3" "$(maven java "$3")") Scenario" ;;
    *) echo "$1 can be no member of a group" >&2; return 1 ;;
  esac
}

# ---- the server
# Members of streams groups hear of a change within a second, are gone six seconds after they were killed, and another has a copy
# of their state.
streams_soon=(
  --set group.streams.initial.rebalance.delay.ms=0 --set group.streams.num.standby.replicas=1
  --set group.streams.min.heartbeat.interval.ms=500 --set group.streams.heartbeat.interval.ms=500
  --set group.streams.min.session.timeout.ms=6000 --set group.streams.session.timeout.ms=6000
)
# The same for share groups, where a record may be locked for as little as a second.
share_soon=(
  --set group.share.min.heartbeat.interval.ms=500 --set group.share.heartbeat.interval.ms=500
  --set group.share.min.session.timeout.ms=6000 --set group.share.session.timeout.ms=6000
  --set group.share.min.record.lock.duration.ms=1000
)
free_ports() { # four, below those that outgoing connections take: one of these could hold the port while the server is down
  python3 -c '
import random, socket
free = []
while len(free) < 4:
    with socket.socket() as s:
        try: s.bind(("127.0.0.1", random.randrange(15000, 32000)))
        except OSError: continue
        free.append(s.getsockname()[1])
print(*free)'
}
start_server() {
  launch_server "$work/server"
  local n
  for n in $(seq 600); do
    if server_answers; then return; fi
    kill -0 "$server_pid" 2>/dev/null || break
    sleep 0.1
  done
  give_up "FAIL server start not ready after $((n / 10)) s"
}
crash_server() {
  kill -9 "$server_pid" 2>/dev/null || give_up "FAIL server alive it ended by itself"
  wait "$server_pid" 2>/dev/null || true
  server_pid=""
}
give_up() { # LINE: the run is over, because there is no server
  echo "$1" | tee "$work/results/server"
  summary
  exit 1
}
clean_up() {
  local status=$?
  trap - EXIT
  for pid in $server_pid "${other_pids[@]}"; do
    kill -9 "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true # or bash says «Killed» after the last line
  done
  for pid in "${running[@]}"; do # a client_phase, whose child is a `timeout` that passes the signal on
    kill "$pid" $(cat "/proc/$pid/task/$pid/children" 2>/dev/null) 2>/dev/null || true
  done
  if [ "$status" = 0 ]; then rm -rf "$work"; else echo "the logs are in $work" >&2; fi
  exit "$status"
}

# ---- the phases
running=()
contract() { # NAME PHASE: the environment that README.md describes
  export BOOTSTRAP=127.0.0.1:$kafka_port TOPIC=$1 GROUP=group-$1 PHASE=$2 CODECS=${codecs[$1]} FEATURES=${features[$1]}
  export PEERS STATE=$work/state/$1
  PEERS=$(topics_of_peers "$1")
}
perform() { # NAME PHASE: a client that failed goes no further
  contract "$1" "$2"
  if [ "$2" != raw ] && failed "$1"; then echo "an earlier phase failed"; return 1; fi
  if [ "$2" = 3 ] && [ -z "$PEERS" ]; then echo "the clients whose topics it reads failed"; return 1; fi
  case $2 in
    raw) bounded "$FRANZ" verify $(($(total "$1") + RECORDS)) ;;
    *) "run_${command[$1]%% *}" ${command[$1]#* } ;;
  esac
}
client_phase() { # NAME PHASE: runs one phase of one client and prints its lines, and a FAIL for what it did not report
  local log=$work/logs/$1.$2 status=0 bad=0 step outcome
  perform "$1" "$2" >"$log" 2>&1 </dev/null || status=$?
  {
    for step in $(steps_of "$1" "$2"); do
      outcome=$(grep -m 1 -E "^(ok|FAIL) $step( |$)" "$log" || echo "FAIL $step not reached, exit code $status")
      if [ "$step" = version ] && [[ "$1-" != *"-${outcome#ok version }-"* ]]; then outcome="FAIL version not that: $outcome"; fi
      case $outcome in FAIL*) bad=1 ;; esac
      echo "$outcome"
    done
    if [ "$status" != 0 ] && [ "$bad" = 0 ]; then echo "FAIL end exit code $status after phase $2"; fi
  } | sed -E "s/^(ok|FAIL) /\1 $1 /" >"$work/results/$1.$2"
  cat "$work/results/$1.$2"
  if grep -q '^FAIL' "$work/results/$1.$2"; then grep -vE '^ok ' "$log" | tail -n 15 | cut -c1-500 | sed "s/^/  $1: /"; fi
}
phase() { # PHASE: of every client, JOBS at a time
  local name
  for name in "${names[@]}"; do
    [ -n "$(steps_of "$name" "$1")" ] || continue
    client_phase "$name" "$1" &
    running+=($!)
    if [ "${#running[@]}" -ge "${JOBS:-2}" ]; then wait "${running[0]}"; running=("${running[@]:1}"); fi
  done
  for pid in "${running[@]}"; do wait "$pid"; done
  running=()
}

churn() { # groups whose members come, go, are killed and held still
  local name word line
  for name in "${names[@]}"; do
    for word in range cooperative consumer; do
      if has "$name" "$word"; then
        echo "$name|${features[$name]}|$(member "$name" ${command[$name]})"
        break
      fi
    done
  done >"$work/members"
  if [ "${CHURN:-25}" = 0 ] || [ ! -s "$work/members" ]; then return; fi
  contract "${names[0]}" member
  export STATE=$work/logs/churn
  while read -r line; do
    case $line in
      restart) crash_server; start_server ;;
      ok\ * | FAIL\ *) sed -E "s/^(ok|FAIL) /\1 groups /" <<<"$line" | tee -a "$work/results/churn" ;;
      *) echo "  churn: $line" ;;
    esac
  done < <("$FRANZ" churn "${CHURN:-25}" "$work/members" 2>&1)
  grep -q . "$work/results/churn" || echo "FAIL groups churn nothing was done" | tee "$work/results/churn"
}

# ---- the table
passed() { grep -hqE "^ok $1 $2( |$)" "$work/results/$1."*; }
mark() { if passed "$1" "$2"; then printf yes; else printf '**no**'; fi; }
codec_cell() { # NAME PREFIX
  local c cell=""
  for c in ${codecs[$1]}; do
    if passed "$1" "$2$c"; then cell+="$c "; else cell+="**no $c** "; fi
  done
  echo "${cell% }"
}
row() {
  local dash='-' name=$1
  printf '| %s | %s | %s | ' "$name" "$(mark "$name" create)" "$(codec_cell "$name" produce-)"
  printf '%s | ' "$(if has "$name" idempotent; then codec_cell "$name" idempotent-; else echo "$dash"; fi)"
  printf '%s | %s | ' "$(mark "$name" consume)" "$(if has "$name" offsets-for-times; then mark "$name" time; else echo "$dash"; fi)"
  printf '%s | %s | ' "$(mark "$name" commit)" "$(mark "$name" resume)"
  printf '%s | %s |\n' "$(if [ -n "$(peers_of "$name")" ]; then mark "$name" peers; else echo "$dash"; fi)" "$(mark "$name" raw)"
}
table() {
  echo "| client | creates its topic | produces | idempotent | a group reads each record once | from a time | commits | goes on after kill -9 | reads another client's topic | its batches, offsets and CRCs |"
  echo "|---|---|---|---|---|---|---|---|---|---|"
  local name
  for name in "${names[@]}"; do
    if ! has "$name" application; then row "$name"; fi
  done
}

summary() {
  local good bad
  good=$(cat "$work"/results/* | grep -c '^ok ' || true)
  bad=$(cat "$work"/results/* | grep -c '^FAIL ' || true)
  if [ "$bad" != 0 ]; then echo "the end of the server's log:"; tail -n 30 "$work/server/log"; fi
  echo "$good passed, $bad failed"
  [ "$bad" = 0 ]
}

# ---- all of it
main() {
  read_clients
  trap clean_up EXIT
  trap 'exit 130' INT TERM
  mkdir -p "$work"/{logs,results,state,server}
  echo "installing into $cache"
  install
  read -r kafka_port http_port raft_port gossip_port < <(free_ports)
  START_TIME=$(date +%s%3N)
  BASE_TIME=$((START_TIME - 3600000))
  export START_TIME BASE_TIME
  local began=$SECONDS
  echo "installed in $began s"
  start_server
  echo "$server_name is ready on 127.0.0.1:$kafka_port; ${#names[@]} clients"
  phase 1
  crash_server
  start_server
  echo "$server_name was killed with -9 and is ready again"
  phase 2
  phase 3
  phase raw
  churn
  table | tee "$cache/table.md"
  echo "the run against $server_name took $((SECONDS - began)) s"
  summary
}
main
