# The bundler's .rpm lists files only, so their folders stay behind.
# $1: how many versions of the package are left.
if [ "$1" = 0 ]; then
    rmdir /usr/lib/Moestro/models/demo /usr/lib/Moestro/models /usr/lib/Moestro 2>/dev/null || true
fi
