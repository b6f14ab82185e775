# SPDX-License-Identifier: Apache-2.0
#
# Sourced by ./check and ./demo: brings a bare Debian 12 to the point where flyball builds. Works as root
# or with sudo, installs only what is missing, and starts no service.

BUILD_PACKAGES="gcc g++ meson ninja-build pkg-config libuv1-dev node-llhttp libssl-dev
 libnghttp2-dev libyaml-dev libsqlite3-dev zlib1g-dev libzstd-dev libxxhash-dev libjansson-dev libre2-dev libsnappy-dev
 ca-certificates tzdata"
TEST_PACKAGES="clang-14 libclang-rt-14-dev clang-format-14 libcmocka-dev python3 python3-pytest python3-pytest-xdist
 python3-yaml python3-whisper graphite-web python3-kubernetes hey curl openssl groff-base nghttp2-client
 python3-grpcio python3-protobuf protobuf-compiler protobuf-compiler-grpc procps iproute2 tinyproxy-bin git jq zstd python3-pip"

say() {
    printf '%s %s\n' "$(date -u +%H:%M:%S)" "$*"
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        echo "this needs root or sudo: $*" >&2
        return 1
    fi
}

missing_packages() {
    local p
    for p in "$@"; do
        dpkg-query -W -f '${db:Status-Status}\n' "$p" 2>/dev/null | grep -qx installed || echo "$p"
    done
}

# Debian's mirrors are asked at most once a run.
apt_is_fresh=
apt_update() {
    [ -n "$apt_is_fresh" ] || as_root apt-get update -qq
    apt_is_fresh=1
}

need_packages() {
    local want
    want=$(missing_packages "$@")
    [ -n "$want" ] || return 0
    say "installing:" $want
    apt_update
    # a service that a package would start is refused: nothing may run behind the user's back
    as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
        apt-get install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0 $want >/dev/null
}

# need_peer PACKAGE FILE: downloads a package and unpacks it aside, in build/peers; FILE must be in it.
PEERS=$PWD/build/peers
need_peer() {
    [ -e "$PEERS/$2" ] && return 0
    say "fetching $1 (unpacked aside, not installed)"
    mkdir -p "$PEERS/debs"
    apt_update
    (cd "$PEERS/debs" && apt-get download -qq -o APT::Sandbox::User=root "$1" >/dev/null)
    dpkg-deb -x "$PEERS"/debs/"$1"_*.deb "$PEERS"
    [ -e "$PEERS/$2" ]
}

# The official OpenTelemetry clients, for the tests: npm's metric exporters in build/otel-js, the messages for Python's
# grpcio in build/otel-py. Versions are pinned to what Debian's nodejs and python3-protobuf can run.
need_otel_clients() {
    if ! cmp -s tests/system/otel-js/package.json build/otel-js/installed.json; then
        command -v npm >/dev/null || need_packages nodejs npm || return
        say "fetching OpenTelemetry's exporters (npm, into build/otel-js)"
        rm -rf build/otel-js
        mkdir -p build/otel-js
        cp tests/system/otel-js/package.json build/otel-js/
        (cd build/otel-js && timeout 300 npm install --fetch-retries=3 --no-audit --no-fund --ignore-scripts --loglevel=error >/dev/null) || return
        cp tests/system/otel-js/package.json build/otel-js/installed.json
    fi
    [ -e build/otel-py/opentelemetry/proto/metrics ] && return 0
    say "fetching OpenTelemetry's messages (pip, into build/otel-py)"
    timeout 300 /usr/bin/python3 -m pip install -q --disable-pip-version-check --root-user-action=ignore --no-deps \
        --target build/otel-py opentelemetry-proto==1.27.0
}
