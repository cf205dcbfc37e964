# shellcheck shell=bash
# Patches that really happened: images locked against the release pocket alone, then updated. Uses registry.sh.

old=$work/project-old
older() { # older IMAGE…: a project whose locks know the release pocket only; its recipes know all pockets again
    rm -rf "$old"
    cp -r "$work/project" "$old"
    rm -f "$old"/base-images/*.lock.yaml
    python3 tests/live/release_only.py "$old"/recipes/{ubuntu,debian}.yaml || return 1
    "$SOCKEL" -C "$old" lock "$@" --quiet >/dev/null || return 1
    cp "$work/project"/recipes/{ubuntu,debian}.yaml "$old/recipes/"
}
patches() { # patches IMAGE: what update says about them
    local image=$1
    # 1: something of today needs a decision, and the rest is updated all the same
    "$SOCKEL" -C "$old" update "$image" --format json >"$work/update.json" || (($? == 1)) || return 1
    python3 - "$work/update.json" "$image" >&3 <<'PY'
import json, sys
images = {image["image"]: image for image in json.load(open(sys.argv[1]))["images"]}
image = images[sys.argv[2]]
changes = [p for level in image["difference"]["levels"] for p in level["packages"] if p["old"] != p["new"]]
cves = sorted({fix["cve"] for source in image["fixes"] for fix in source["fixes"]})
print(f"         {sys.argv[2]}: {len(changes)} packages rise, {len(cves)} CVE numbers, {image['urgency']}")
if not changes:
    print("nothing in the archives of today is newer than their release pocket", file=sys.stderr)
    sys.exit(77)
assert all(p["from"].split("/")[1] in ("release", "updates", "security") for p in changes), image
PY
}
as_parsed() { # as_parsed SOURCE PACKAGE: the numbers are those of the package's own log, as dpkg reads it
    local old new deb log
    read -r old new < <(python3 -c 'import json, sys
for image in json.load(open(sys.argv[1]))["images"]:
    for source in image["fixes"]:
        if source["source"] == sys.argv[2]: print(source["old"], source["new"]); sys.exit()' "$work/update.json" "$1")
    [[ $new ]] || { echo "nothing in the archives of today is newer than $1 of the release pocket"; return 77; }
    deb=$(grep -h -A6 "name: $2,.*$new" "$work/project"/base-images/*.lock.yaml | grep -o 'sha256:[0-9a-f]\{64\}' | head -1)
    log=$(dpkg-deb --fsys-tarfile "$SOCKEL_STORE/blobs/sha256/${deb#sha256:}" | tar xO "./usr/share/doc/$2/changelog.Debian.gz" | zcat) || return 1
    printf '%s\n' "$log" >"$work/log.txt"
    # a rebuild for a release has no entry of its own in the next one's log
    grep -qF "$1 ($old)" <<<"$log" || old=${old%~*}
    dpkg-parsechangelog -l "$work/log.txt" --since "$old" | grep -oE 'CVE-[0-9]{4}-[0-9]{4,}' | sort -u >"$work/expected"
    python3 -c 'import json, sys
print(*sorted({f["cve"] for i in json.load(open(sys.argv[1]))["images"] for s in i["fixes"] if s["source"] == sys.argv[2] for f in s["fixes"]}), sep="\n")' \
        "$work/update.json" "$1" >"$work/found"
    printf '         %s %s -> %s: %s numbers, as dpkg-parsechangelog finds them\n' "$1" "$old" "$new" "$(wc -l <"$work/found")" >&3
    diff "$work/expected" "$work/found" && [[ -s $work/found ]]
}
parsed() { # parsed SOURCE PACKAGE: as_parsed, where its tool is there
    if have dpkg-parsechangelog; then
        with_archives "$1: numbers as dpkg finds them" as_parsed "$@"
    else
        skip "$1: numbers of its change log: dpkg-parsechangelog is missing"
    fi
}

if [[ ! ${got[tomcat-11]:-} ]]; then
    skip "updates of Ubuntu: tomcat-11 is not built"
elif with_archives "Ubuntu: locked against the release pocket" older tomcat-11; then
    with_archives "Ubuntu: patches and what they fix" patches tomcat-11 && parsed glibc libc6
fi
if [[ ! ${got[tomcat-10-debian]:-} ]]; then
    skip "updates of Debian: tomcat-10-debian is not built"
elif with_archives "Debian: locked against the release pocket" older tomcat-10-debian; then
    with_archives "Debian: patches and what they fix" patches tomcat-10-debian && parsed openjdk-21 openjdk-21-jre-headless
fi
