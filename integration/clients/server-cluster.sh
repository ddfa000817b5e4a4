# The server under test: three nodes of this repository's own, with three replicas of each topic. Sourced by run.sh. Clients
# are told of the first node, which is the one that is killed.
server_name="a cluster of Chronik"
export REPLICATION=3

prepare_server() { make -C "$root" --no-print-directory build; }

# launch_server DIR: starts the nodes that do not run; the first says in $server_pid who it is, the others in $other_pids.
launch_server() {
  if [ "${#other_pids[@]}" = 0 ]; then
    read -r kafka_2 http_2 raft_2 gossip_2 < <(free_ports)
    read -r kafka_3 http_3 raft_3 gossip_3 < <(free_ports)
    launch_node 2 "$1" "$kafka_2" "$http_2" "$raft_2" "$gossip_2"
    other_pids+=($!)
    launch_node 3 "$1" "$kafka_3" "$http_3" "$raft_3" "$gossip_3"
    other_pids+=($!)
  fi
  launch_node 1 "$1" "$kafka_port" "$http_port" "$raft_port" "$gossip_port"
  server_pid=$!
}

launch_node() { # ID DIR KAFKA HTTP RAFT GOSSIP
  "$root/bin/chronik-server" --node-id "$1" --data-dir "$2/data$1" --bind-addr 127.0.0.1 --kafka-port "$3" \
    --http-port "$4" --raft-port "$5" --gossip-port "$6" --bootstrap-expect 3 --cluster-key "of the client suites only" \
    --join "127.0.0.1:$gossip_port,127.0.0.1:$gossip_2,127.0.0.1:$gossip_3" --set num.partitions="$PARTITIONS" \
    --set default.replication.factor=3 --set min.insync.replicas=2 --set group.initial.rebalance.delay.ms=0 \
    "${streams_soon[@]}" "${share_soon[@]}" >>"$2/log" 2>&1 </dev/null &
}

# server_answers: whether all nodes are ready for clients.
server_answers() {
  local port
  for port in "$http_port" "$http_2" "$http_3"; do curl -fsS -o /dev/null "http://127.0.0.1:$port/readyz" 2>/dev/null || return 1; done
}
