# Apache Kafka as the server under test, to prove the suite itself: one KRaft node that is broker and controller.
# Sourced by run.sh. KAFKA_VERSION chooses it; versions before 4.0 also take the clients that speak the old protocol.
KAFKA_VERSION=${KAFKA_VERSION:-4.3.0}
server_name="Apache Kafka $KAFKA_VERSION"

prepare_server() { kafka_lib=$(maven tools "$KAFKA_VERSION"); }

kafka() { java -Xmx512m -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "$kafka_lib/*" "$@"; }

launch_server() {
  local settings=$1/server.properties
  if [ ! -f "$settings" ]; then
    cat >"$settings" <<SETTINGS
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$raft_port
listeners=PLAINTEXT://127.0.0.1:$kafka_port,CONTROLLER://127.0.0.1:$raft_port
advertised.listeners=PLAINTEXT://127.0.0.1:$kafka_port
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs=$1/data
num.partitions=$PARTITIONS
group.initial.rebalance.delay.ms=0
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
SETTINGS
    kafka kafka.tools.StorageTool format -t "$(kafka kafka.tools.StorageTool random-uuid)" -c "$settings" >>"$1/log" 2>&1
  fi
  # not through kafka(): the process id must be the server's, not a subshell's
  java -Xmx512m -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "$kafka_lib/*" kafka.Kafka "$settings" >>"$1/log" 2>&1 </dev/null &
  server_pid=$!
}

server_answers() { (: >"/dev/tcp/127.0.0.1/$kafka_port") 2>/dev/null; }
