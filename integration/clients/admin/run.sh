#!/usr/bin/env bash
# The Java admin client's methods against this repository's server, compared with Apache Kafka's answers: README.md.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
root=$(cd "$here/../.." && pwd)
cache=${CLIENTS_CACHE:-$here/.cache}
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/chronik-admin.XXXXXX")
server_pid=""
trap '[ -z "$server_pid" ] || kill "$server_pid" 2>/dev/null; rm -rf "$work"' EXIT

. "$here/install.sh"
need curl curl --version
need default-jdk-headless javac -version
need maven mvn --version
lib=$(maven java 4.4.0)
classes=$cache/admin-$(digest "$here"/admin/*.java)
once "$classes" javac -nowarn -cp "$lib/*" -d "$classes" "$here"/admin/*.java
make -C "$root" --no-print-directory build

"$root/bin/chronik-server" --data-dir "$work/data" --bind-addr 127.0.0.1 --kafka-port 0 --http-port 0 --node-id 1 \
  --set group.initial.rebalance.delay.ms=0 >"$work/log" 2>&1 </dev/null &
server_pid=$!
for _ in $(seq 100); do
  address=$(sed -n 's/.*msg=serving kafka=\([^ ]*\) .*/\1/p' "$work/log")
  [ -z "$address" ] || break
  kill -0 "$server_pid" || { cat "$work/log"; exit 1; }
  sleep 0.1
done
timeout 240 java -Xmx256m -XX:TieredStopAtLevel=1 -cp "$classes:$lib/*" AdminCalls "$address" >"$work/answers" 2>"$work/errors" ||
  { tail -n 20 "$work/errors"; exit 1; }

python3 - "$here/admin" "$work/answers" <<'PY'
import pathlib, sys
here, answers = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
def by_case(text):
    lines = [l for l in text.splitlines() if l and not l.startswith("#")]
    return {tuple(l.split(" | ")[:2]): l for l in lines if l.count(" | ") == 2}
kafka, chronik, meant = (by_case(p.read_text()) for p in (here / "kafka-4.4.txt", answers, here / "meant.txt"))
# Which configs there are is compared by kafka/config; here only what both have.
for case in kafka.keys() ^ chronik.keys():
    if case[1].endswith(" to bad values") and case not in meant:
        kafka.pop(case, None), chronik.pop(case, None)
failed = 0
for case in kafka | chronik | meant:
    differs = kafka.get(case) != chronik.get(case)
    if differs != (case in meant):
        failed += 1
        print("FAIL", " | ".join(case), "differs" if differs else "does not differ, and stands in meant.txt")
        print("  kafka  ", kafka.get(case), "\n  chronik", chronik.get(case))
print(f"{len(kafka) - failed} passed, {failed} failed")
sys.exit(failed > 0)
PY
