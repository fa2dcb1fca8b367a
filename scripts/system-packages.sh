#!/bin/sh
# The engine needs the programs of PostgreSQL (a private one for demo and tests) and a linker. This looks whether they
# are there; root gets what is missing from Debian's packages, anyone else is told the line to run.
set -eu

oldest_postgresql=14

has_postgresql() {
    for initdb in /usr/lib/postgresql/*/bin/initdb "$(command -v initdb || true)"; do
        [ -x "$initdb" ] || continue
        major=$("$initdb" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')
        [ "${major:-0}" -ge "$oldest_postgresql" ] && return 0
    done
    return 1
}

missing=
has_postgresql || missing="postgresql"
command -v cc >/dev/null || missing="${missing:+$missing }gcc libc6-dev"
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null; then
    echo "Missing: PostgreSQL $oldest_postgresql or newer (initdb, postgres), or a C compiler. Install them, then try again." >&2
    exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "Missing: $missing. Run this, then try again:" >&2
    echo "    sudo apt-get install -y $missing" >&2
    exit 1
fi

# Debian's package also creates and starts a cluster of its own, unless told otherwise; nothing here uses it.
no_cluster=/etc/postgresql-common/createcluster.d/dialplane.conf
mkdir -p "${no_cluster%/*}"
trap 'rm -f "$no_cluster"' EXIT
echo "create_main_cluster = false" > "$no_cluster"

export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086 # a list of words
install() { apt-get install -y --no-install-recommends $missing; }
apt-cache show postgresql >/dev/null 2>&1 || apt-get update
install || { apt-get update && install; } # lists may be too old

has_postgresql || { echo "This system's PostgreSQL is older than $oldest_postgresql." >&2; exit 1; }
