# shellcheck shell=bash
# What all live tests share: a folder for their work, one line a check with its time, two lanes side by side, a copy of the
# project, images built and unpacked, and the box that they run in. Sourced by `run`, by `ci/nightly`, and by tests that are
# also started alone.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
project=$PWD
# buildah makes an image name of the path, so it must be lower-case
work=${TMPDIR:-/tmp}/sockel-live-$$
mkdir "$work" || exit 1
: >"$work/pids"
: >"$work/results"
# what this run starts inherits it, and a number that the kernel gave to somebody else's process since does not have it
export SOCKEL_LIVE_FOLDER=$work
cleanup() {
    while read -r pid; do
        if grep -qzxF "SOCKEL_LIVE_FOLDER=$work" "/proc/$pid/environ" 2>/dev/null; then kill "$pid" 2>/dev/null; fi
    done <"$work/pids"
    chmod -R u+w "$work" 2>/dev/null
    rm -rf "$work"
}
trap cleanup EXIT

exec 3>&1 # for what a check has to tell although it is fine
# Lanes print at the same time, so a result and what belongs to it are written at once.
result() { # result ok|FAILED|SKIPPED TEXT [MILLISECONDS [MORE LINES]]
    local time=''
    [[ -z ${3:-} ]] || time=$(printf '(%d.%d s)' $(($3 / 1000)) $(($3 % 1000 / 100)))
    printf '%s\t%s\t%s\n' "$1" "${3:-0}" "$2" >>"$work/results"
    printf '%-8s %s %s\n%s' "$1" "$2" "$time" "${4:+$4$'\n'}"
}
ok() { result ok "$1" "${2:-}"; }
bad() { result FAILED "$*"; }
skip() { result SKIPPED "$*"; }
milliseconds() { echo $(($(date +%s%N) / 1000000)); }
check() { # check NAME COMMAND…: quiet when it works, its output when not
    local name=$1 log start
    shift
    start=$(milliseconds)
    if log=$("$@" 2>&1); then
        ok "$name" $(($(milliseconds) - start))
    else
        result FAILED "$name" $(($(milliseconds) - start)) "$(tail -15 <<<"$log" | sed 's/^/         | /')"
    fi
}
silent() { # silent COMMAND…: works, and warns of nothing
    local log
    log=$("$@" 2>&1 >/dev/null) || { echo "$log"; return 1; }
    ! grep -i 'warn' <<<"$log"
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
    local name=$1 log cause code=0 start
    log=$(mktemp -p "$work")
    shift
    start=$(milliseconds)
    "$@" >"$log" 2>&1 || code=$?
    if ((code == 0)); then
        ok "$name" $(($(milliseconds) - start))
    elif cause=$(archive_moved "$log") || { ((code == 77)) && cause=$(tail -1 "$log"); }; then
        skip "$name: THE ARCHIVES OF TODAY DO NOT ALLOW IT: $cause"
        return 1
    else
        result FAILED "$name" $(($(milliseconds) - start)) "$(tail -15 "$log" | sed 's/^/         | /')"
        return 1
    fi
}
lanes() { # lanes A B: two functions at the same time, since most checks wait for one process
    "$1" &
    local first=$!
    "$2"
    wait "$first"
}
own_mirror() { # prints the address of Debian's archive that this machine uses itself, or nothing
    sed -nE 's#^(URIs: *|deb (\[[^]]*\] )?)(https?://[^ ]*/debian)/? *.*#\3#p' /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | head -1
}
debian_archive() { # prints an address: that of the recipes, or where it cannot be reached the mirror that this machine uses itself
    local debian
    debian=$(sed -nE 's#^    uri: (.*/debian)$#\1#p' recipes/debian.yaml)
    curl -sfo /dev/null --max-time 20 "$debian/dists/trixie/InRelease" || debian=$(own_mirror)
    echo "$debian"
}
test_program() { # test_program TARGET: prints the path of a compiled test program of this project
    cargo test --locked --no-run --test "$1" --message-format json 2>/dev/null | python3 -c '
import json, sys
made = [json.loads(line) for line in sys.stdin]
print([one["executable"] for one in made if one.get("target", {}).get("name") == sys.argv[1] and one.get("executable")][-1])' "$1"
}
finish() { # finish [NAME]: the count; 1 where something failed
    local name=${1:-live}
    local passed failed skipped
    passed=$(grep -c '^ok' "$work/results") failed=$(grep -c '^FAILED' "$work/results") skipped=$(grep -c '^SKIPPED' "$work/results")
    printf '\nslowest:\n'
    sort -t$'\t' -k2,2nr "$work/results" | head -8 | awk -F'\t' '{ printf "%8.1f s  %s\n", $2 / 1000, $3 }'
    printf '\n%s: %d passed, %d failed, %d skipped, %d s\n' "$name" "$passed" "$failed" "$skipped" "$SECONDS"
    if ((skipped)); then echo "$name: SOME CHECKS COULD NOT RUN HERE, see above" >&2; fi
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
    (
        # the lanes ask for the same images
        flock 9
        [[ -d $bundle ]] || umoci unpack --rootless --image "$work/out:$(tag "$1")-$arch" "$bundle" >"$bundle.log" 2>&1
    ) 9>"$bundle.lock" || return 1
    if grep -qi 'warn' "$bundle.log"; then return 1; fi
    echo "$bundle/rootfs"
}
box() { # box ROOT OPTIONS… -- COMMAND…: read-only root, uid 10001, no capabilities
    local root=$1
    shift
    bwrap --ro-bind "$root" / --proc /proc --dev /dev --unshare-user --unshare-pid --unshare-ipc --unshare-uts \
        --uid 10001 --gid 10001 --cap-drop ALL --new-session --die-with-parent --clearenv "$@"
}
