#!/bin/sh
# Installs what QGUI needs from the system: Python's venv module and the libraries that Qt loads.
#
# What is there already is left alone, so a second run takes a moment. Where apt may not be used (no root, no
# passwordless sudo), it prints the one command a person must run and fails, unless only the libraries of a desktop
# are missing and there is no desktop.
#
# PYTHON names the interpreter the environment is built with (default: python3).

set -eu

python=${PYTHON:-python3}
PATH=$PATH:/usr/sbin:/sbin

# soname and package; a bar separates names the package has in different Debian releases.
everywhere='
libEGL.so.1 libegl1
libGL.so.1 libgl1
libdbus-1.so.3 libdbus-1-3
libfontconfig.so.1 libfontconfig1
libxkbcommon.so.0 libxkbcommon0
libglib-2.0.so.0 libglib2.0-0t64|libglib2.0-0
libgssapi_krb5.so.2 libgssapi-krb5-2
'
on_a_desktop='
libX11-xcb.so.1 libx11-xcb1
libxcb-cursor.so.0 libxcb-cursor0
libxcb-icccm.so.4 libxcb-icccm4
libxcb-image.so.0 libxcb-image0
libxcb-keysyms.so.1 libxcb-keysyms1
libxcb-randr.so.0 libxcb-randr0
libxcb-render.so.0 libxcb-render0
libxcb-render-util.so.0 libxcb-render-util0
libxcb-shape.so.0 libxcb-shape0
libxcb-shm.so.0 libxcb-shm0
libxcb-sync.so.1 libxcb-sync1
libxcb-xfixes.so.0 libxcb-xfixes0
libxcb-xkb.so.1 libxcb-xkb1
libxkbcommon-x11.so.0 libxkbcommon-x11-0
libwayland-cursor.so.0 libwayland-cursor0
libwayland-egl.so.1 libwayland-egl1
'
# Qt's web engine, in which the graph is drawn; without it that opens in the browser.
for_the_graph='
libX11.so.6 libx11-6
libXcomposite.so.1 libxcomposite1
libXdamage.so.1 libxdamage1
libXext.so.6 libxext6
libXfixes.so.3 libxfixes3
libXrandr.so.2 libxrandr2
libXrender.so.1 libxrender1
libXtst.so.6 libxtst6
libasound.so.2 libasound2t64|libasound2
libdrm.so.2 libdrm2
libexpat.so.1 libexpat1
libgbm.so.1 libgbm1
libnss3.so libnss3
libxcb-dri3.so.0 libxcb-dri3-0
libxkbfile.so.1 libxkbfile1
'

# Reads a table and prints the packages whose library does not load.
missing_of() {
    printf '%s' "$1" | "$python" -c '
import ctypes
import sys

for line in filter(None, map(str.strip, sys.stdin)):
    soname, package = line.split()
    try:
        ctypes.CDLL(soname)
    except OSError:
        print(package)
'
}

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "QGUI needs Python 3.11 or newer; '$python' is not that. Install one, or name it: make PYTHON=python3.12" >&2
    exit 1
fi

needed=$(missing_of "$everywhere")
desktop=$(missing_of "$on_a_desktop")
wanted="$desktop $(missing_of "$for_the_graph")"
wanted=${wanted# }
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    needed="python$version-venv|python3-venv $needed"
fi
[ -n "$needed$wanted" ] || exit 0

# Of the names a package may have, prints the first one that apt knows here, or the last.
names_here() {
    for choice in "$@"; do
        for name in $(printf '%s' "$choice" | tr '|' ' '); do
            if apt-cache show --no-all-versions "$name" >/dev/null 2>&1; then
                break
            fi
        done
        printf '%s ' "$name"
    done
}

# Without a desktop QGUI runs offscreen, and needs none of a desktop's libraries.
unless_enough() {
    if [ -n "$needed" ] || { [ -n "$desktop" ] && [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; }; then
        exit 1
    fi
    echo "Only a window on a desktop, or the graph inside the window, needs them; going on without." >&2
    exit 0
}

# The lists of packages are meant to be split into words.
# shellcheck disable=SC2046,SC2086
{
    if ! command -v apt-get >/dev/null; then
        echo "QGUI needs these libraries of the system (Debian's names of the packages), please install them:" >&2
        echo $needed $wanted >&2
        unless_enough
    fi

    if [ "$(id -u)" = 0 ]; then
        as_root=
    elif sudo -n true 2>/dev/null; then
        as_root='sudo -n'
    else
        echo "QGUI needs libraries of the system and may not install them itself. Please run:" >&2
        echo "    sudo apt-get install --no-install-recommends $(names_here $needed $wanted)" >&2
        unless_enough
    fi

    $as_root apt-get update -q || echo "The package lists could not be updated; using those that are there." >&2
    $as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -q -y --no-install-recommends $(names_here $needed $wanted) || unless_enough
}
