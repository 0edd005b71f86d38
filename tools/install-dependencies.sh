#!/usr/bin/env bash
# Installs the Debian or Ubuntu packages that are missing, asking nothing when run
# as root.
#   tools/install-dependencies.sh run     to build and open the window
#   tools/install-dependencies.sh test    to run the tests as well
set -euo pipefail

readonly min_rust=1.95 min_node=20.19

packages=(build-essential pkg-config libwebkit2gtk-4.1-dev libgl1-mesa-dri fonts-dejavu-core
    python3 python3-venv)
case "${1-}" in
run) ;;
test) packages+=(webkit2gtk-driver xvfb dbus gnome-keyring) ;;
*)
    echo "usage: $0 run|test" >&2
    exit 2
    ;;
esac

# at_least FOUND WANTED: compares dotted numbers.
at_least() { [ "$(printf '%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

require() { # NAME FOUND WANTED WAY-OUT
    if [ -z "$2" ] || ! at_least "$2" "$3"; then
        echo "Moestro needs $1 $3 or newer; found ${2:-none}. $4" >&2
        exit 1
    fi
}

if [ -z "$(command -v cargo)" ] && [ -f "$HOME/.cargo/env" ]; then
    echo "Rust is installed, but not on the PATH. Run: . \"\$HOME/.cargo/env\"" >&2
    exit 1
fi
require Rust "$(rustc --version 2>/dev/null | cut -d' ' -f2 || true)" "$min_rust" \
    "Get it from https://rustup.rs, or run: rustup update stable"
require Node.js "$(node --version 2>/dev/null | tr -d v || true)" "$min_node" \
    "Get it from https://nodejs.org"

if [ -z "$(command -v dpkg-query)" ]; then
    echo "This is no Debian or Ubuntu; install what corresponds to: ${packages[*]}" >&2
    exit 0
fi
missing=()
for package in "${packages[@]}"; do
    status=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

echo "Installing ${#missing[@]} system packages: ${missing[*]}"
as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if [ -z "$(command -v sudo)" ]; then
        echo "Run this as root: apt-get install ${missing[*]}" >&2
        exit 1
    fi
    echo "That needs root; sudo may ask for your password."
    as_root=(sudo)
fi
apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get --quiet "$@"; }
apt update
apt install --yes --no-install-recommends "${missing[@]}"
