# What the clients need, from the registries, each in its pinned version, into $cache. Sourced by run.sh. A thing that is
# there already, by version or by the hash of its pins, is left alone.

# need PACKAGE COMMAND...: installs a Debian package unless the command succeeds.
need() {
  local package=$1
  shift
  "$@" >/dev/null 2>&1 && return
  command -v apt-get >/dev/null || { echo "install $package: '$*' fails and there is no apt-get" >&2; return 1; }
  [ -n "${apt_updated:-}" ] || { as_root apt-get update -qq; apt_updated=1; }
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq -o DPkg::Lock::Timeout=120 "$package" >/dev/null
  "$@" >/dev/null || { echo "$package is installed, but '$*' still fails" >&2; return 1; }
}
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }

# once DIR COMMAND...: runs the command unless it has succeeded for this DIR before; a failed one leaves nothing behind.
once() {
  local dir=$1
  shift
  [ -f "$dir/.installed" ] && return
  rm -rf "$dir"
  mkdir -p "$dir"
  "$@" >&2
  touch "$dir/.installed"
}
digest() { cat "$@" | sha256sum | cut -c1-12; }

# maven FOLDER VERSION: the jars that FOLDER/pom.xml asks for, Kafka's in VERSION; prints where.
maven() {
  local lib=$cache/maven-$1-$2-$(digest "$here/$1/pom.xml")
  once "$lib" mvn -q -B -Dstyle.color=never -f "$here/$1/pom.xml" -Dkafka.version="$2" dependency:copy-dependencies -DoutputDirectory="$lib"
  echo "$lib"
}

# python CLIENT: a virtual environment with requirements-CLIENT.txt; prints its interpreter.
python() {
  local pins=$here/python/requirements-$1.txt venv
  venv=$cache/venv-$1-$(digest "$pins")
  once "$venv" venv_with "$venv" "$pins"
  echo "$venv/bin/python"
}
venv_with() { python3 -m venv "$1" && "$1/bin/pip" install -q --disable-pip-version-check -r "$2"; }

# node_modules: kafkajs and its codecs as package-lock.json has them; prints where.
node_modules() {
  local dir
  dir=$cache/kafkajs-$(digest "$here"/kafkajs/package*.json)
  once "$dir" npm_ci "$dir"
  echo "$dir/node_modules"
}
npm_ci() { cp "$here"/kafkajs/package*.json "$1" && (cd "$1" && npm ci --silent --ignore-scripts --no-audit --no-fund); }

# classes VERSION LIB [FOLDER]: a folder's Java programs, with what they share, compiled against that version; prints the class path.
classes() {
  local dir folder=$here/${3:-java}
  dir=$cache/classes-$1-$(digest "$folder"/*.java "$here"/steps/*.java)
  once "$dir" javac -nowarn -cp "$2/*" -d "$dir" "$folder"/*.java "$here"/steps/*.java
  echo "$dir:$2/*"
}
