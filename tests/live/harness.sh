# shellcheck shell=bash
# What all live tests share: a folder for their work, counted checks, a copy of the project, images built and unpacked, and the
# box that they run in. Sourced by `run`, and by tests that are also started alone.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
project=$PWD
# buildah makes an image name of the path, so it must be lower-case
work=${TMPDIR:-/tmp}/sockel-live-$$
mkdir "$work" || exit 1
: >"$work/pids"
cleanup() {
    while read -r pid; do kill "$pid" 2>/dev/null; done <"$work/pids"
    chmod -R u+w "$work" 2>/dev/null
    rm -rf "$work"
}
trap cleanup EXIT

exec 3>&1 # for what a check has to tell although it is fine
passed=0 failed=0 skipped=0
ok() { printf 'ok       %s\n' "$*"; passed=$((passed + 1)); }
bad() { printf 'FAILED   %s\n' "$*"; failed=$((failed + 1)); }
skip() { printf 'SKIPPED  %s\n' "$*"; skipped=$((skipped + 1)); }
check() { # check NAME COMMAND…: quiet when it works, its output when not
    local name=$1 log
    shift
    if log=$("$@" 2>&1); then ok "$name"; else bad "$name"; printf '%s\n' "$log" | tail -15 | sed 's/^/         | /'; fi
}
have() { command -v "$1" >/dev/null; }
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# The archives of the day are not ours: what they bring or drop must not decide whether sockel is right.
archive_moved() { # archive_moved LOG: prints why the archives of today, and not sockel, are the cause; fails where they are not
    local cause
    cause=$(grep -m1 -E 'no mirror answered|cannot fetch|are not in the script ledger|no archive has .* any more' "$1") || return 1
    printf '%s' "$cause"
}
with_archives() { # with_archives NAME COMMAND…: as `check`, but skipped where the archives of today are the cause, or code 77 says so
    local name=$1 log cause code=0
    log=$(mktemp -p "$work")
    shift
    "$@" >"$log" 2>&1 || code=$?
    if ((code == 0)); then
        ok "$name"
    elif cause=$(archive_moved "$log") || { ((code == 77)) && cause=$(tail -1 "$log"); }; then
        skip "$name: THE ARCHIVES OF TODAY DO NOT ALLOW IT: $cause"
        return 1
    else
        bad "$name"
        tail -15 "$log" | sed 's/^/         | /'
        return 1
    fi
}
finish() {
    printf '\nlive: %d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
    if ((skipped)); then echo "live: SOME CHECKS COULD NOT RUN HERE, see above" >&2; fi
    exit $((failed > 0))
}

if [[ -z ${SOCKEL:-} ]]; then
    cargo build --locked --quiet || exit 1
    SOCKEL=${CARGO_TARGET_DIR:-$project/target}/debug/sockel
fi
# where downloads are kept, as sockel itself would decide
export SOCKEL_STORE=${SOCKEL_STORE:-${XDG_CACHE_HOME:-$HOME/.cache}/sockel}
# the locks in use are a copy: a refresh must not change the checkout
mkdir "$work/project"
cp -r recipes base-images "$work/project/"
sockel() { "$SOCKEL" -C "$work/project" "$@"; }
build() { sockel build --refresh --quiet "$@" >/dev/null; }

declare -A got
build_all() { # build_all IMAGE…: builds into $work/out, and notes in `got` what was built
    local image
    for image in "$@"; do
        if with_archives "build $image" build "$image" -o "oci:$work/out"; then got[$image]=1; fi
    done
}
tag() { # tag IMAGE [LAYOUT]: its first tag
    python3 - "${2:-$work/out}" "$1" <<'PY'
import json, sys
names = [m["annotations"]["org.opencontainers.image.ref.name"] for m in json.load(open(sys.argv[1] + "/index.json"))["manifests"]]
print(sorted((n for n in names if n.split(":")[0] == sys.argv[2] and not n.endswith(("-amd64", "-arm64"))), key=len)[0])
PY
}
arch=$(dpkg --print-architecture 2>/dev/null || echo amd64)

unpacked() { # unpacked IMAGE: prints the root folder, unpacked by umoci
    local bundle=$work/bundle-$1
    [[ -d $bundle ]] || umoci unpack --rootless --image "$work/out:$(tag "$1")-$arch" "$bundle" >"$work/umoci.log" 2>&1 || return 1
    if grep -qi 'warn' "$work/umoci.log"; then return 1; fi
    echo "$bundle/rootfs"
}
box() { # box ROOT OPTIONS… -- COMMAND…: read-only root, uid 10001, no capabilities
    local root=$1
    shift
    bwrap --ro-bind "$root" / --proc /proc --dev /dev --unshare-user --unshare-pid --unshare-ipc --unshare-uts \
        --uid 10001 --gid 10001 --cap-drop ALL --new-session --die-with-parent --clearenv "$@"
}
