# shellcheck shell=bash
# Rules that hold for the finished file list, sizes, and equal bytes whatever the surroundings.

files() { # files IMAGE: every path of all layers as `mode uid path`, from the layers themselves
    python3 - "$work/out" "$(tag "$1")-$arch" <<'PY'
import json, sys, tarfile
out, name = sys.argv[1:]
blob = lambda d: f"{out}/blobs/{d.replace(':', '/')}"
entry = next(m for m in json.load(open(out + "/index.json"))["manifests"] if m["annotations"]["org.opencontainers.image.ref.name"] == name)
for layer in json.load(open(blob(entry["digest"])))["layers"]:
    seen = set()
    for m in tarfile.open(blob(layer["digest"]), "r:gz"):
        assert m.name not in seen, f"{m.name} is twice in a layer"
        seen.add(m.name)
        kind = "d" if m.isdir() else "l" if m.issym() else "h" if m.islnk() else "f" if m.isfile() else "?"
        print(kind, oct(m.mode)[2:], m.uid, m.name)
PY
}
hardened() { # hardened IMAGE
    files "$1" >"$work/files" || return 1
    ! grep -E '^\?' "$work/files" || { echo "devices"; return 1; }
    ! awk '{m=strtonum("0" $2)} and(m, 06000) {print; bad=1} END {exit !bad}' "$work/files" || { echo "setuid or setgid"; return 1; }
    ! grep -E '(^| )(usr/)?s?bin/(sh|bash|dash|busybox|apt|apt-get|dpkg)$' "$work/files" || { echo "shell or package manager"; return 1; }
    ! awk '$3 == 10001 && $1 == "f"' "$work/files" | grep . || { echo "files of the run-time user"; return 1; }
    ! awk '{m=strtonum("0" $2)} $1 != "l" && and(m, 02) && !and(m, 01000)' "$work/files" | grep . || { echo "world-writable"; return 1; }
}
fits() { # fits IMAGE MEGABYTES PACKAGES
    sockel build "$1" --quiet --offline --format json -o "oci:$work/out" | python3 -c '
import json, sys
name, size, packages = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for image in json.load(sys.stdin)["images"]:
    for p in image["platforms"]:
        if image["image"] == name and p["platform"] == "linux/amd64":
            print(name, p["size"], p["packages"], file=sys.stderr)
            sys.exit(p["size"] > size * 10**6 or p["packages"] > packages)
sys.exit(1)' "$1" "$2" "$3"
}
same_bytes() { # the digests of a build with other surroundings and a store that has packages only
    local expected found
    expected=$(digests "$SOCKEL" --store "${SOCKEL_STORE:-$HOME/.cache/sockel}" -C "$work/project" build tomcat-11 --offline -o "oci:$work/out")
    mkdir -p "$work/far/away" "$work/cold/blobs/sha256"
    cp -r "$work/project" "$work/far/away/p"
    grep -ohE 'sha256: "?sha256:[0-9a-f]{64}' "$work/project/base-images/tomcat-11.lock.yaml" | grep -oE '[0-9a-f]{64}' | sort -u | while read -r digest; do
        cp "${SOCKEL_STORE:-$HOME/.cache/sockel}/blobs/sha256/$digest" "$work/cold/blobs/sha256/"
    done
    for threads in 1 8; do
        rm -rf "$work/cold/packages" "$work/cold/results" "$work/again"
        found=$(umask 077 && TZ=Asia/Tokyo LANG=de_DE.UTF-8 LC_ALL=C digests "$SOCKEL" --store "$work/cold" --threads $threads -C "$work/far/away/p" build tomcat-11 --offline -o "oci:$work/again") || return 1
        [[ $found = "$expected" && -n $found ]] || { echo "$threads threads: $found instead of $expected"; return 1; }
    done
}
digests() { "$@" --quiet --format json | python3 -c 'import json,sys; print(*(i["digest"] for i in json.load(sys.stdin)["images"]))'; }

for image in tomcat-11 tomcat-10 tomcat-10-debian; do
    [[ ${got[$image]:-} ]] && check "$image is hardened" hardened "$image"
done
if [[ ${got[tomcat-11]:-} ]]; then
    check "tomcat-11 fits into 110 MB and 20 packages" fits tomcat-11 110 20
    check "ubuntu-26.04 fits into 15 MB" fits ubuntu-26.04 15 20
    check "same bytes with other folder, umask, time zone, language, threads, store" same_bytes
fi
