# The server under test: this repository's own. Sourced by run.sh.
server_name="Chronik"

prepare_server() { make -C "$root" --no-print-directory build; }

# launch_server DIR: starts it in the background on DIR and the ports of run.sh, and says its process id in $server_pid.
launch_server() {
  "$root/bin/chronik-server" standalone --data-dir "$1/data" --bind-addr 127.0.0.1 --kafka-port "$kafka_port" \
    --http-port "$http_port" --raft-port "$raft_port" --gossip-port "$gossip_port" \
    --set num.partitions="$PARTITIONS" --set group.initial.rebalance.delay.ms=0 "${streams_soon[@]}" "${share_soon[@]}" >>"$1/log" 2>&1 </dev/null &
  server_pid=$!
}

# server_answers: whether it is ready for clients.
server_answers() { curl -fsS -o /dev/null "http://127.0.0.1:$http_port/readyz" 2>/dev/null; }
