# shellcheck shell=bash
# What tools that Debian does not have make of tomcat-11: crane, oras, Syft and Trivy where they are on PATH. ci/nightly
# compiles them. Needs the layout in $work/out.

inventory() { # inventory: packages and versions as the image's records name them
    local root
    root=$(unpacked tomcat-11) || return 1
    cat "$root"/var/lib/dpkg/status.d/* | awk '/^Package: / { name = $2 } /^Version: / { print name, $2 }' | LC_ALL=C sort
}
alone() { # alone: prints a layout with tomcat-11 for amd64 and nothing else, as scanners and crane want it
    local alone=$work/peers/layout
    [[ -d $alone ]] || skopeo copy -q "oci:$work/out:$(tag tomcat-11)-amd64" "oci:$alone:tomcat" || return 1
    echo "$alone"
}
same_packages() { # same_packages: what a scanner printed on standard input is what the records say
    LC_ALL=C sort -u | diff - <(inventory) || return 1
    printf '         %s: %s packages\n' "$1" "$(inventory | wc -l)" >&3
}
crane_validates() {
    local server=127.0.0.1:${port[peers]}/base/tomcat:11
    crane push --insecure "$(alone)" "$server" && crane validate --insecure --remote "$server" &&
        crane export --insecure "$server" - | tar -t >"$work/peers/files" && [[ $(wc -l <"$work/peers/files") -gt 100 ]]
}
oras_copies() { # by a name of its own: oras ends a layout's path at the last colon, and ours have one in the name
    local server=127.0.0.1:${port[peers]}/base/tomcat:oras layout
    layout=$(alone)
    oras cp --no-tty --from-oci-layout --to-plain-http "$layout:tomcat" "$server" &&
        [[ $(oras resolve --plain-http "$server") = $(oras resolve --oci-layout "$layout:tomcat") ]]
}
syft_finds() {
    syft scan -q "oci-dir:$(alone)" -o json |
        python3 -c 'import json, sys; [print(a["name"], a["version"]) for a in json.load(sys.stdin)["artifacts"] if a["type"] == "deb"]' |
        same_packages Syft
}
trivy_finds() {
    trivy image --quiet --input "$(alone)" --pkg-types os --offline-scan --skip-db-update --skip-java-db-update --list-all-pkgs \
        --scanners license --format json |
        python3 -c '
import json, sys
for result in json.load(sys.stdin)["Results"]:
    for package in result.get("Packages", []):
        version = package["Version"] + ("-" + package["Release"] if package.get("Release") else "")
        print(package["Name"], f"{package["Epoch"]}:{version}" if package.get("Epoch") else version)' |
        same_packages Trivy
}

mkdir -p "$work/peers"
if [[ -z ${got[tomcat-11]:-} ]] || ! have skopeo || ! have umoci || ! have docker-registry; then
    skip "crane, oras, Syft, Trivy: tomcat-11 is not built, or skopeo, umoci or docker-registry is missing"
else
    port[peers]=$(free_port)
    check "a registry for peers starts" serve peers </dev/null
    for peer in "crane:crane validates and exports it:crane_validates" "oras:oras copies it, same digest:oras_copies" \
        "syft:Syft finds every package:syft_finds" "trivy:Trivy finds every package:trivy_finds"; do
        IFS=: read -r tool title checks <<<"$peer"
        if have "$tool"; then
            check "$title" "$checks"
        else
            skip "$title: $tool IS NOT ON PATH (ci/nightly compiles it)"
        fi
    done
fi
