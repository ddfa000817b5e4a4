#!/usr/bin/env bash
# Installs Apache Kafka from Maven Central, and Java where there is none, as the client suites do. Prints the folder of its jars.
# With the argument python: installs confluent-kafka instead, and prints the interpreter that has it.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../clients" && pwd)
cache=${CLIENTS_CACHE:-$here/.cache}
mkdir -p "$cache"
. "$here/install.sh"
if [ "${1:-}" = python ]; then
  need python3-venv python3 -c 'import ensurepip'
  python confluent-kafka
  exit
fi
need default-jdk-headless javac -version
need maven mvn --version
maven tools "${KAFKA_VERSION:-4.3.0}"
