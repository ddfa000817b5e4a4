#!/usr/bin/env bash
# Apache Kafka's own command-line tools under the contract of README.md beside run.sh. The console producer cannot set
# timestamps, so the time step starts from the moment before the second half.
set -Eeuo pipefail
total=$((RECORDS * $(wc -w <<<"$CODECS") * 2))
trap 'echo "FAIL $step exit code $? at line $LINENO"' ERR

tool() { # CLASS ARGS...: JVMs that live a second are better off without their second compiler
  java -Xmx256m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "$TOOLS_LIB/*" \
    "$@" --bootstrap-server "$BOOTSTRAP"
}
topics() { tool org.apache.kafka.tools.TopicCommand "$@"; }
configs() { tool kafka.admin.ConfigCommand --entity-type topics --entity-name "$TOPIC" "$@"; }
get_offsets() { tool org.apache.kafka.tools.GetOffsetShell --topic "$TOPIC" "$@"; }
groups() { tool org.apache.kafka.tools.consumer.group.ConsumerGroupCommand "$@"; }
consume() { # ARGS...: lines as `franz check` reads them
  tool org.apache.kafka.tools.consumer.ConsoleConsumer --command-property check.crcs=true --formatter-property print.key=true \
    --formatter-property print.partition=true --formatter-property print.offset=true --formatter-property null.literal=NULL "$@" |
    sed -e 's/^Partition:\([0-9]*\)\tOffset:/\1\t/' -e 's/\tNULL\t/\t\t/'
}
produce() { # FIRST CODEC IDEMPOTENT
  HEADER_LINES=1 NULL_KEY=NULL "$FRANZ" records "$1" "$2" |
    tool org.apache.kafka.tools.ConsoleProducer --topic "$TOPIC" --compression-codec "$2" --timeout 20 \
      --command-property enable.idempotence="$3" --command-property request.timeout.ms=10000 --reader-property parse.key=true \
      --reader-property parse.headers=true --reader-property null.marker=NULL >/dev/null
}
step_of() { # PREFIX CODEC IDEMPOTENT
  step=$1$2
  produce "$first" "$2" "$3"
  first=$((first + RECORDS))
  echo "ok $step $RECORDS records"
}
sum() { awk -F: '{ n += $3 } END { print n + 0 }'; }
committed() { # the sum of the group's offsets over the topic's partitions
  groups --describe --group "$1" | awk -v topic="$TOPIC" '$2 == topic { n += $4 } END { print n + 0 }'
}
flows() { # FILE: its commands in one JVM; prints those that fail
  java -Xmx256m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Dorg.slf4j.simpleLogger.defaultLogLevel=error \
    -Djava.io.tmpdir="$(dirname "$STATE")" -cp "$TOOLS_CLASSES" \
    Flows "$server" "$BOOTSTRAP" "$(dirname "${BASH_SOURCE[0]}")/$1"
}
expect() { # WHAT GOT WANT
  [ "$2" = "$3" ] || { echo "FAIL $step $1: $2, not $3"; trap - ERR; exit 1; }
}

phase_1() {
  step=version
  echo "ok version $(topics --version | tail -n 1)"

  step=create
  topics --create --topic "$TOPIC" --partitions 2 --replication-factor "$REPLICATION" >/dev/null
  topics --alter --topic "$TOPIC" --partitions "$PARTITIONS"
  found=$(topics --describe --topic "$TOPIC" | grep -c "Partition: [0-9].*Leader: [0-9]")
  expect partitions "$found" "$PARTITIONS"
  expect listed "$(topics --list | grep -cx "$TOPIC")" 1
  echo "ok create $found partitions"

  step=configs
  configs --alter --add-config max.message.bytes=2000000 >/dev/null
  expect "described" "$(configs --describe | grep -c 'max.message.bytes=2000000 ')" 1
  configs --alter --delete-config max.message.bytes >/dev/null
  expect "described after deletion" "$(configs --describe | grep -c 'max.message.bytes=' || true)" 0
  expect "default" "$(configs --describe --all | grep -c ' max.message.bytes=1048588 ')" 1
  echo "ok configs add, describe, delete"

  first=0
  for codec in $CODECS; do step_of produce- "$codec" false; done
  sleep 0.01; marked=$(date +%s%3N); sleep 0.01
  for codec in $CODECS; do step_of idempotent- "$codec" true; done

  step=offsets
  expect latest "$(get_offsets | sum)" "$total"
  expect earliest "$(get_offsets --time earliest | sum)" 0
  expect "maximum timestamp" "$(get_offsets --time max-timestamp | wc -l)" "$PARTITIONS"
  echo "ok offsets latest, earliest, max-timestamp"

  step=consume
  consume --topic "$TOPIC" --group "$GROUP-all" --from-beginning --max-messages "$total" | "$FRANZ" check 0 "$total"
  echo "ok consume $total records, each once"

  step=commit
  consume --topic "$TOPIC" --group "$GROUP" --from-beginning --max-messages $((total / 2)) >"$STATE.half"
  expect committed "$(committed "$GROUP")" $((total / 2))
  echo "ok commit $((total / 2)) records"

  step=time
  get_offsets --time "$marked" >"$STATE.from"
  get_offsets --time latest >"$STATE.ends"
  paste -d: "$STATE.from" "$STATE.ends" | while IFS=: read -r _ partition from _ _ end; do
    consume --topic "$TOPIC" --partition "$partition" --offset "$from" --max-messages $((end - from)) </dev/null
  done | "$FRANZ" check $((total / 2)) "$total"
  echo "ok time $((total / 2)) records from $marked on"
}
phase_2() {
  step=after
  produce "$total" "${CODECS##* }" true
  echo "ok after $RECORDS records"

  # what the group got before the crash and what it gets now is every record once, in order
  step=resume
  expect "committed after the crash" "$(committed "$GROUP")" $((total / 2))
  rest=$((total + RECORDS - total / 2))
  consume --topic "$TOPIC" --group "$GROUP" --max-messages "$rest" >"$STATE.rest"
  cat "$STATE.half" "$STATE.rest" | "$FRANZ" check 0 $((total + RECORDS))
  echo "ok resume $rest records from the committed offsets on"

  step=groups
  expect listed "$(groups --list | grep -cx "$GROUP")" 1
  expect committed "$(committed "$GROUP")" $((total + RECORDS))
  groups --reset-offsets --to-earliest --topic "$TOPIC" --group "$GROUP" --execute >/dev/null
  expect "committed after the reset" "$(committed "$GROUP")" 0
  groups --delete --group "$GROUP-all" >/dev/null
  expect "listed after deletion" "$(groups --list | grep -cx "$GROUP-all" || true)" 0
  echo "ok groups list, describe, reset, delete"

  step=flows
  server=${SERVER:-chronik}
  flows flows.txt
  if [ "$server" = cluster ]; then flows flows-cluster.txt; fi
  echo "ok flows as in flows.txt"
}
phase_3() {
  step=peers
  for peer in $PEERS; do
    consume --topic "${peer%:*}" --from-beginning --max-messages "${peer#*:}" | TOPIC=${peer%:*} "$FRANZ" check 0 "${peer#*:}"
  done
  echo "ok peers read" $(sed 's/:[0-9]*//g' <<<"$PEERS")
}
"phase_$PHASE"
