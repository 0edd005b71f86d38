#!/usr/bin/env bash
# Installs the .deb into a fresh Debian, opens the window on a virtual screen, writes an
# answer with the command, opens a model file as a double-click does, and removes the
# package again. Needs root, debootstrap and xvfb; changes nothing outside its own folder.
#   tools/package/try.sh MOESTRO.deb
set -euo pipefail

deb=$(realpath "$1")
root=$(mktemp -d)
chmod 755 "$root"
clean() {
    umount "$root/proc" 2>/dev/null || true
    rm -rf --one-file-system "$root"
}
trap clean EXIT

# In the new system, with nothing of this one.
inside() { chroot "$root" env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"; }

debootstrap --variant=minbase bookworm "$root" >/dev/null
mount -t proc proc "$root/proc"
# Services have no business in there.
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod +x "$root/usr/sbin/policy-rc.d"
cp "$deb" "$root/moestro.deb"
inside apt-get --quiet --quiet update
inside apt-get --quiet --quiet --yes --no-install-recommends install \
    /moestro.deb xvfb xauth xdotool shared-mime-info desktop-file-utils man-db >/dev/null
echo "installed"

inside moestro generate --max-tokens 32 --temperature 0 "What is 2+2?"
inside desktop-file-validate /usr/share/applications/Moestro.desktop
cp "$root/usr/lib/Moestro/models/demo/moestro-demo.gguf" "$root/root/given.gguf"
grep -q 'application/x-gguf:\*.gguf' "$root/usr/share/mime/globs2"
grep -q 'application/x-gguf=Moestro.desktop' "$root/usr/share/applications/mimeinfo.cache"
inside man --path moestro >/dev/null
inside bash -n /usr/share/bash-completion/completions/moestro
echo "the command, its manual, and the type of .gguf files are there"

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

inside apt-get --quiet --quiet --yes purge moestro >/dev/null
for left in /usr/bin/moestro /usr/bin/moestro-desktop /usr/lib/Moestro /usr/share/applications/Moestro.desktop; do
    [ ! -e "$root$left" ] || { echo "$left was left behind" >&2; exit 1; }
done
echo "removed, nothing left behind"
