#!/usr/bin/env bash
# Checks and client tests use tools that the engine does not. This installs those named as arguments into target/tools,
# once per version pinned here.
set -euo pipefail
cd "$(dirname "$0")/.."

declare -A version=(
    [buf]=1.75.0
    [cargo-deny]=0.20.2
    [grpcurl]=1.9.4
    [helm]=3.22.0
    [kubernetes-validate]=1.37.0
    [python-grpc]=1.80
)
tools=$PWD/target/tools

go_install() { GOBIN=$tools/bin CGO_ENABLED=0 go install -ldflags '-s -w' "$1"; }

pip_install() {
    [[ -x $tools/venv/bin/pip ]] || python3 -m venv "$tools/venv"
    "$tools/venv/bin/pip" install --quiet --disable-pip-version-check "$@"
}

install() {
    local v=${version[$1]}
    case $1 in
        buf) npm install --prefix "$tools" --no-save --no-fund --no-audit --loglevel=error "@bufbuild/buf@$v" ;;
        # Its release profile is for speed at run time (fat LTO); here the time to build it counts.
        cargo-deny) CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
            cargo install --quiet --locked --root "$tools" "cargo-deny@$v" ;;
        grpcurl) go_install "github.com/fullstorydev/grpcurl/cmd/grpcurl@v$v" ;;
        helm) go_install "helm.sh/helm/v3/cmd/helm@v$v" ;;
        kubernetes-validate) pip_install "kubernetes-validate==$v" ;;
        python-grpc) pip_install "grpcio>=$v,<2" "grpcio-tools>=$v,<2" "grpcio-status>=$v,<2" ;;
    esac
}

for tool in "$@"; do
    stamp=$tools/installed/$tool-${version[$tool]:?no such tool: $tool}
    [[ -e $stamp ]] && continue
    echo "installing $tool ${version[$tool]} into target/tools" >&2
    install "$tool"
    mkdir -p "${stamp%/*}"
    touch "$stamp"
done
