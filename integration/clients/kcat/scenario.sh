#!/usr/bin/env bash
# kcat, and with it Debian's librdkafka, under the contract of README.md beside run.sh; it checks every CRC. It has no admin
# calls, so its topic is made by the broker; it cannot set timestamps, so its time is the moment before the second half.
set -Eeuo pipefail
total=$((RECORDS * $(wc -w <<<"$CODECS") * 2))
format='%p\t%o\t%k\t%s\n'
trap 'echo "FAIL $step exit code $? at line $LINENO"' ERR

member() { # GROUP COUNT: that many records as a group's only member; leaving commits exactly what was printed
  kcat -b "$BOOTSTRAP" -G "$1" -X auto.offset.reset=earliest -X check.crcs=true -c "$2" -f "$format" "$TOPIC"
}
reader() { # TOPIC OFFSET: all from there on
  kcat -b "$BOOTSTRAP" -C -t "$1" -o "$2" -e -q -X check.crcs=true -f "$format"
}
produce() { # FIRST CODEC IDEMPOTENT
  "$FRANZ" records "$1" "$2" |
    kcat -b "$BOOTSTRAP" -P -t "$TOPIC" -K '\t' -Z -z "$2" -H "codec=$2" -X acks=all -X enable.idempotence="$3" -X linger.ms=20
}
step_of() { # PREFIX CODEC IDEMPOTENT
  step=$1$2
  produce "$first" "$2" "$3"
  first=$((first + RECORDS))
  echo "ok $step $RECORDS records"
}

phase_1() {
  step=version
  echo "ok version $(kcat -V | sed -n 's/^Version \([0-9.]*\).*/\1/p')"

  step=create
  for _ in $(seq 50); do
    found=$(kcat -b "$BOOTSTRAP" -L -t "$TOPIC" | sed -n "s/.*topic \"$TOPIC\" with \([0-9]*\) partitions:.*/\1/p")
    [ "$found" = "$PARTITIONS" ] && break
    sleep 0.1
  done
  [ "$found" = "$PARTITIONS" ]
  echo "ok create $found partitions, by the broker"

  first=0
  for codec in $CODECS; do step_of produce- "$codec" false; done
  sleep 0.01; marked=$(date +%s%3N); sleep 0.01
  for codec in $CODECS; do step_of idempotent- "$codec" true; done

  step=consume
  member "$GROUP-all" "$total" | "$FRANZ" check 0 "$total"
  echo "ok consume $total records, each once"

  step=commit
  member "$GROUP" $((total / 2)) >"$STATE.half"
  [ "$(wc -l <"$STATE.half")" = $((total / 2)) ]
  echo "ok commit $((total / 2)) records"

  step=time
  reader "$TOPIC" "s@$marked" | "$FRANZ" check $((total / 2)) "$total"
  echo "ok time $((total / 2)) records from $marked on"
}
phase_2() {
  step=after
  produce "$total" "${CODECS##* }" true
  echo "ok after $RECORDS records"

  # what the group got before the crash and what it gets now is every record once, in order
  step=resume
  rest=$((total + RECORDS - total / 2))
  member "$GROUP" "$rest" >"$STATE.rest"
  cat "$STATE.half" "$STATE.rest" | "$FRANZ" check 0 $((total + RECORDS))
  echo "ok resume $rest records from the committed offsets on"
}
phase_3() {
  step=peers
  for peer in $PEERS; do reader "${peer%:*}" beginning | TOPIC=${peer%:*} "$FRANZ" check 0 "${peer#*:}"; done
  echo "ok peers read" $(sed 's/:[0-9]*//g' <<<"$PEERS")
}
"phase_$PHASE"
