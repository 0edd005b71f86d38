#!/usr/bin/env bash
# Installs the .deb into a fresh Debian, opens the window on a virtual screen, writes an
# answer with the command, opens a model file as a double-click does, and removes the
# package again; then the same with the .rpm, by Debian's rpm and without its dependencies,
# whose names are those of other systems. Needs root, debootstrap and xvfb; changes nothing
# outside its own folder.
#   tools/package/try.sh MOESTRO.deb MOESTRO.rpm
set -euo pipefail

deb=$(realpath "$1")
rpm=$(realpath "$2")
root=$(mktemp -d)
chmod 755 "$root"
clean() {
    umount "$root/proc" 2>/dev/null || true
    rm -rf --one-file-system "$root"
}
trap clean EXIT

# In the new system, with nothing of this one.
inside() { chroot "$root" env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"; }

# Does what is installed work?
use() {
    inside moestro generate --max-tokens 32 --temperature 0 "What is 2+2?"
    inside desktop-file-validate /usr/share/applications/Moestro.desktop
    inside update-desktop-database -q
    inside update-mime-database /usr/share/mime
    cp "$root/usr/lib/Moestro/models/demo/moestro-demo.gguf" "$root/root/given.gguf"
    grep -q 'application/x-gguf:\*.gguf' "$root/usr/share/mime/globs2"
    grep -q 'application/x-gguf=Moestro.desktop' "$root/usr/share/applications/mimeinfo.cache"
    [ -s "$root/usr/share/icons/hicolor/128x128/apps/moestro-desktop.png" ]
    inside man --path moestro >/dev/null
    inside bash -n /usr/share/bash-completion/completions/moestro
    echo "the command, its manual, the icon, and the type of .gguf files are there"

    rm -rf "$root/root/.config/app.moestro.desktop" "$root/root/.local/share/app.moestro.desktop"
    inside timeout 90 xvfb-run --auto-servernum sh -ec '
        moestro-desktop /root/given.gguf &
        timeout 30 xdotool search --sync --onlyvisible --name "^Moestro$" >/dev/null
        for second in $(seq 30); do
            grep -qs given.gguf /root/.config/app.moestro.desktop/settings.json && break
            sleep 1
        done
        kill $!'
    grep -q given.gguf "$root/root/.config/app.moestro.desktop/settings.json"
    echo "the window opened with the given file"
}

# Is everything gone again?
gone() {
    local left
    left=$(find "$root/usr" -iname '*moestro*' -not -path '*/mime/*')
    [ -z "$left" ] || { printf 'left behind:\n%s\n' "$left" >&2; exit 1; }
    echo "removed, nothing left behind"
}

debootstrap --variant=minbase bookworm "$root" >/dev/null
mount -t proc proc "$root/proc"
# Services have no business in there.
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod +x "$root/usr/sbin/policy-rc.d"
cp "$deb" "$root/moestro.deb"
cp "$rpm" "$root/moestro.rpm"
inside apt-get --quiet --quiet update
inside apt-get --quiet --quiet --yes --no-install-recommends install \
    /moestro.deb xvfb xauth xdotool shared-mime-info desktop-file-utils man-db rpm >/dev/null
echo "the .deb is installed"
use
# The libraries stay for the .rpm.
inside dpkg --purge moestro >/dev/null
gone

inside rpm --initdb
inside rpm --install --nodeps /moestro.rpm
inside rpm --verify --nodeps moestro
echo "the .rpm is installed; it wants:"
inside rpm --query --requires moestro | sort -u | sed 's/^/    /'
use
inside rpm --erase moestro
gone
