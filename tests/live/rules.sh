# shellcheck shell=bash
# Rules that hold for the finished file list, sizes, and equal bytes whatever the surroundings.

hardened() { # hardened IMAGE: kinds, modes and owners of every path, from the layers themselves
    python3 - "$work/out" "$(tag "$1")-$arch" <<'PY'
import collections, json, os, re, sys, tarfile
out, name = sys.argv[1:]
SHELLS = re.compile(r"(^|/)s?bin/(sh|bash|dash|ash|busybox|toybox|apt|apt-get|dpkg|dpkg-deb|perl|python3?)$")
# sticky folders for everybody, which Debian's base-files has; the root is read-only at run time
OPEN = {"tmp", "var/tmp", "run/lock"}
HOME = "home/app"

def wrong(m, promised):
    """Says what is wrong with one member of a layer, if anything."""
    if not (m.isfile() or m.isdir() or m.issym() or m.islnk()):
        return "device, socket or pipe"
    if SHELLS.search(m.name):
        return "shell, interpreter or package manager"
    if m.issym():
        return None
    if m.mode & 0o6000:
        return "setuid or setgid"
    if m.mode & 0o002 and not (m.isdir() and m.name in OPEN and m.mode & 0o1000):
        return "world-writable"
    if m.uid not in (0, 10001):
        return f"owner {m.uid}"
    # users that a cluster chooses are in group 0
    mine = m.uid == 10001 or (m.gid in (10001, 0) and m.mode & 0o020)
    if mine and not (m.isdir() and m.name in promised | OPEN | {HOME}):
        return "writable for the run-time user, which nobody promised"
    return None

# a check that accepts everything proves nothing
Bad = collections.namedtuple("Bad", "name mode uid gid type")
for bad in (Bad("x", 0o4755, 0, 0, tarfile.REGTYPE), Bad("x", 0o2755, 0, 0, tarfile.REGTYPE), Bad("x", 0o666, 0, 0, tarfile.REGTYPE),
            Bad("x", 0o777, 0, 0, tarfile.DIRTYPE), Bad("tmp", 0o777, 0, 0, tarfile.DIRTYPE), Bad("x", 0o644, 10001, 0, tarfile.REGTYPE),
            Bad("x", 0o755, 10001, 0, tarfile.DIRTYPE), Bad("x", 0o664, 0, 10001, tarfile.REGTYPE),
            Bad("x", 0o664, 0, 0, tarfile.REGTYPE), Bad("x", 0o775, 0, 0, tarfile.DIRTYPE), Bad("dev/sda", 0o600, 0, 0, tarfile.BLKTYPE),
            Bad("usr/bin/sh", 0o755, 0, 0, tarfile.SYMTYPE), Bad("usr/bin/dpkg", 0o755, 0, 0, tarfile.REGTYPE)):
    member = tarfile.TarInfo(bad.name)
    member.mode, member.uid, member.gid, member.type = bad[1:]
    assert wrong(member, {"tmp"}), f"{bad} is not noticed"

blob = lambda d: f"{out}/blobs/{d.replace(':', '/')}"
entry = next(m for m in json.load(open(out + "/index.json"))["manifests"] if m["annotations"]["org.opencontainers.image.ref.name"] == name)
manifest = json.load(open(blob(entry["digest"])))
config = json.load(open(blob(manifest["config"]["digest"])))["config"]
promised = {p.strip("/") for p in config["Labels"]["io.sockel.writable"].split(",")}
problems, total = [], 0
for layer in manifest["layers"]:
    seen = set()
    for m in tarfile.open(blob(layer["digest"]), "r:gz"):
        m.name = m.name.removeprefix("./").strip("/")
        total += 1
        if m.name in seen:
            problems.append(f"{m.name} is twice in a layer")
        seen.add(m.name)
        if what := wrong(m, promised):
            problems.append(f"{m.name}: {what} ({m.mode:o} {m.uid}:{m.gid})")
print(total, "members", *problems, sep="\n")
sys.exit(bool(problems) or total < 100)
PY
}
sound() { # sound IMAGE: links and libraries of the unpacked image resolve, nothing in it is forbidden
    local root promised
    root=$(unpacked "$1") || { echo "umoci cannot unpack without a warning"; return 1; }
    promised=$(skopeo inspect --config "oci:$work/out:$(tag "$1")-$arch" | python3 -c 'import json,sys; print(json.load(sys.stdin)["config"]["Labels"]["io.sockel.writable"])') || return 1
    python3 tests/live/contents.py "$root" "$promised"
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
    expected=$(digests "$SOCKEL" --store "$SOCKEL_STORE" -C "$work/project" build tomcat-11 --offline -o "oci:$work/out")
    mkdir -p "$work/far/away"
    # a store is a folder that sockel makes
    "$SOCKEL" --store "$work/cold" cache info >/dev/null || return 1
    cp -r "$work/project" "$work/far/away/p"
    grep -ohE 'sha256: "?sha256:[0-9a-f]{64}' "$work/project/base-images/tomcat-11.lock.yaml" | grep -oE '[0-9a-f]{64}' | sort -u | while read -r digest; do
        # those of scripts are no packages
        [[ ! -e "$SOCKEL_STORE/blobs/sha256/$digest" ]] || cp "$SOCKEL_STORE/blobs/sha256/$digest" "$work/cold/blobs/sha256/"
    done
    # and the signed states that prove the lock
    cp -r "$SOCKEL_STORE/archives" "$work/cold/"
    for threads in 1 8; do
        rm -rf "$work/cold/packages" "$work/cold/results" "$work/again"
        found=$(umask 077 && TZ=Asia/Tokyo LANG=de_DE.UTF-8 LC_ALL=C digests "$SOCKEL" --store "$work/cold" --threads $threads -C "$work/far/away/p" build tomcat-11 --offline -o "oci:$work/again") || return 1
        [[ $found = "$expected" && -n $found ]] || { echo "$threads threads: $found instead of $expected"; return 1; }
    done
    # somebody else, who owns the store and may read the rest
    [[ $(id -u) = 0 ]] && have setpriv || return 0
    rm -rf "$work/cold/packages" "$work/cold/results"
    mkdir "$work/nobody"
    cp "$SOCKEL" "$work/nobody/sockel"
    chown -R 65534:65534 "$work/cold" "$work/nobody" "$work/far"
    found=$(digests setpriv --reuid 65534 --regid 65534 --clear-groups env HOME="$work/nobody" "$work/nobody/sockel" \
        --store "$work/cold" -C "$work/far/away/p" build tomcat-11 --offline -o "oci:$work/nobody/out") || return 1
    [[ $found = "$expected" ]] || { echo "another user: $found instead of $expected"; return 1; }
}
digests() { "$@" --quiet --format json | python3 -c 'import json,sys; print(*(i["digest"] for i in json.load(sys.stdin)["images"]))'; }

for image in tomcat-11 tomcat-10 tomcat-10-debian java-25 java-21 java-21-debian ubuntu-26.04 ubuntu-24.04 debian-13; do
    [[ ${got[$image]:-} ]] || { skip "$image: hardened, links and libraries: IT WAS NOT BUILT"; continue; }
    check "$image is hardened" hardened "$image"
    if have umoci && have readelf; then
        check "$image: links and libraries resolve" sound "$image"
    else
        skip "$image: links and libraries: umoci or readelf is missing"
    fi
done
if [[ ${got[tomcat-11]:-} ]]; then
    check "tomcat-11 fits into 110 MB and 20 packages" fits tomcat-11 110 20
    check "ubuntu-26.04 fits into 15 MB" fits ubuntu-26.04 15 20
    check "same bytes with other folder, umask, time zone, language, threads, store" same_bytes
fi
