#!/usr/bin/env bash
# Installs what the peers of one kind need into DIR/KIND, once per set of pinned versions: install.sh node|python|rust DIR
set -euo pipefail
kind=$1
mkdir -p "$2/$kind"
target=$(cd "$2/$kind" && pwd)
cd "$(dirname "$0")/$kind"

install() {
    case $kind in
        node) npm ci --prefix "$target" --no-fund --no-audit --loglevel=error ;;
        python)
            python3 -m venv "$target"
            "$target/bin/pip" install --quiet --disable-pip-version-check --requirement requirements.txt
            ;;
        rust) cargo build --release --locked --quiet --target-dir "$target" ;;
    esac
}

case $kind in
    node)
        cp -- *.mjs package.json package-lock.json "$target/" # node looks for packages beside the script
        pins=package-lock.json
        ;;
    python) pins=requirements.txt ;;
    rust) pins="Cargo.lock Cargo.toml src/main.rs" ;;
    *) echo "usage: install.sh node|python|rust DIR" >&2 && exit 2 ;;
esac
# shellcheck disable=SC2086 # a list of words
pins=$(cat $pins | cksum | cut -d' ' -f1)
stamp=$target/installed-$pins
[[ -e $stamp ]] && exit 0
echo "installing the peers on $kind into $target" >&2
install >&2
touch "$stamp"
