#!/bin/sh
# Installs a bundle for one person or for all: program, desktop entry, icons, AppStream metadata.
#
#   sh packaging/install-bundle.sh [PREFIX]      default: ~/.local; to remove it again, see packaging/README.md

set -eu

cd "$(dirname "$0")/.."
prefix=${1:-$HOME/.local}

if [ ! -x dist/qgui/qgui ]; then
    echo "There is no bundle in dist/qgui. Build it with: make bundle" >&2
    exit 1
fi

rm -rf "$prefix/lib/qgui"
mkdir -p "$prefix/bin" "$prefix/lib" "$prefix/share/applications" "$prefix/share/metainfo" "$prefix/share/icons"
cp -a dist/qgui "$prefix/lib/qgui"
ln -sf ../lib/qgui/qgui "$prefix/bin/qgui"
cp -r build/icons/hicolor "$prefix/share/icons/"
cp packaging/qgui.desktop "$prefix/share/applications/"
cp packaging/io.github.qgui.QGUI.metainfo.xml "$prefix/share/metainfo/"
echo "QGUI is installed in $prefix; $prefix/bin/qgui starts it."
