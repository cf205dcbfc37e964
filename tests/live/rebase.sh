# shellcheck shell=bash
# A real application on a real base, moved onto a patched one: tomcat-11 of the release pocket alone and as it is locked,
# an application built by buildah, Debian's own registry. What was transferred is counted in the registry's log.

move=$work/rebase
mkdir -p "$move"

old_base() { # tomcat-11 without any update, published as the newest
    cp -r "$work/project" "$move/project"
    rm -f "$move/project"/base-images/*.lock.yaml
    python3 tests/live/release_only.py "$move/project/recipes/ubuntu.yaml" || return 1
    "$SOCKEL" -C "$move/project" lock tomcat-11 >"$move/lock.log" 2>&1 || { tail -5 "$move/lock.log"; return 1; }
    "$SOCKEL" -C "$move/project" publish tomcat-11 --to "$shelf" --format json >"$move/old.json" 2>"$move/old.log" || { tail -5 "$move/old.log"; return 1; }
}
built_on_it() { # FROM it, by buildah: a page
    local container
    echo 'it works <%= 6*7 %>' >"$move/index.jsp"
    container=$("${buildah[@]}" from --quiet --tls-verify=false "${shelf#http://}/tomcat:11") &&
        "${buildah[@]}" copy --quiet "$container" "$move/index.jsp" /var/lib/tomcat/webapps/hello/index.jsp &&
        "${buildah[@]}" config --env SHOP=open "$container" &&
        "${buildah[@]}" commit --quiet "$container" web &&
        "${buildah[@]}" push --quiet --tls-verify=false web "docker://${shelf#http://}/web:1"
}
rebased() { # rebased ARGUMENTS…: answer kept
    "$SOCKEL" -C "$work/project" rebase "$shelf/web:1" --format json "$@" >"$move/answer" 2>"$move/said" || { local code=$?; tail -8 "$move/said"; return $code; }
}
of_answer() { python3 -c 'import json, sys; a = json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' "$move/answer" "$1"; }
new_base() { sockel publish tomcat-11 --to "$shelf" --format json >"$move/new.json" 2>"$move/new.log" || { tail -5 "$move/new.log"; return 1; }; }
stays() {
    rebased && [[ $(of_answer 'a["state"]') = up-to-date ]] || { cat "$move/answer"; return 1; }
}
moves() { # no layer is read or sent, however often it is tried
    local line start time
    line=$(lines "$lab/shelf.log") start=$(milliseconds)
    rebased --check-files never || return 1
    time=$(($(milliseconds) - start))
    [[ $(of_answer 'a["state"]') = rebased ]] || { cat "$move/answer"; return 1; }
    traffic shelf "$line" >"$move/traffic"
    skopeo inspect --raw --tls-verify=false "docker://${shelf#http://}/web:1" >"$move/manifest.json" || return 1
    # the new configuration is the only blob that was sent, and configurations are the only ones that were read
    python3 - "$move/traffic" "$move/manifest.json" "$move/answer" $time <<'PY' >&3
import json, sys
traffic = [line.split() for line in open(sys.argv[1])]
manifest, answer = json.load(open(sys.argv[2])), json.load(open(sys.argv[3]))
config, layers = manifest["config"]["digest"], {l["digest"] for l in manifest["layers"]}
sent = [t for t in traffic if t[0] in ("put", "patch")]
read = [t for t in traffic if t[0] == "get-blobs"]
mounted = [t for t in traffic if t[0] == "mount" and t[3] == "201"]
assert {t[2] for t in sent} == {config}, sent
assert not any(t[2] in layers for t in read), read
assert answer["transfer"]["uploaded"] == {"count": 1, "bytes": manifest["config"]["size"]} and answer["transfer"]["mounted"]["count"] == len(mounted), answer["transfer"]
p = answer["platforms"][0]
assert p["replaced"] > 0 and p["kept"] > 0 and p["pull-bytes"] < p["total-bytes"], p
print(f'         rebase: {p["kept"]} layers kept, {p["replaced"]} replaced; {p["pull-bytes"]} of {p["total-bytes"]} bytes to pull ({100 * p["pull-bytes"] // p["total-bytes"]} %);',
      f'0 layers read, 0 sent, {len(mounted)} mounted, {len(traffic)} requests, {sys.argv[4]} ms')
PY
}
checked() { # with its files checked: only reads, and the same result
    local line
    skopeo copy --quiet --src-tls-verify=false --dest-tls-verify=false "docker://${shelf#http://}/web@$old_web" "docker://${shelf#http://}/web:1" || return 1
    line=$(lines "$lab/shelf.log")
    local expected
    expected=$(of_answer 'a["new"]')
    rebased --check-files always || return 1
    [[ $(of_answer 'a["new"]') = "$expected" && $(of_answer 'a["files-checked"]') = True ]] || { cat "$move/answer"; return 1; }
    ! traffic shelf "$line" | grep -E '^(put|patch) .*' | grep -v "$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["config"]["digest"])' "$move/manifest.json")"
}
patched() { # prints a library of the base that the updates change
    sockel diff "$shelf/tomcat@$(base_digest old)" "$shelf/tomcat@$(base_digest new)" --format json 2>"$move/diff.log" >"$move/diff.json" || { tail -3 "$move/diff.log" >&2; return 1; }
    python3 -c '
import json, re, sys
files = json.load(open(sys.argv[1]))["files"]
print(next("/" + f["name"] for f in files if re.fullmatch(r"usr/lib/[^/]+-linux-gnu/lib[^/]+\.so[.0-9]*", f["name"]) and str(f["old"]).startswith("file") and f["new"]))' "$move/diff.json"
}
base_digest() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["images"][-1]["digest"])' "$move/$1.json"; }
in_the_way() { # an application that brought its own copy of a library that the updates change is refused
    local container library
    library=$(patched) || return 1
    printf '         rebase: %s is changed by the updates\n' "$library" >&3
    container=$("${buildah[@]}" from --quiet --tls-verify=false "${shelf#http://}/web@$old_web") &&
        "${buildah[@]}" copy --quiet "$container" "$move/index.jsp" "$library" &&
        "${buildah[@]}" commit --quiet "$container" bad &&
        "${buildah[@]}" push --quiet --tls-verify=false bad "docker://${shelf#http://}/web:bad" || return 1
    refused 4 "\`$library\` of package" "$SOCKEL" -C "$work/project" rebase "$shelf/web:bad" --onto "$shelf/tomcat:11" --check-files always
}
runs() { # what consumers pull: the page answers, the application's settings are there, the libraries are the new ones
    local root=$move/bundle/rootfs config entry env=() mounts=() port=${port[web]} code pid
    skopeo copy --quiet --src-tls-verify=false "docker://${shelf#http://}/web:1" "oci:$move/pulled:1" &&
        umoci unpack --rootless --image "$move/pulled:1" "$move/bundle" >"$move/umoci.log" 2>&1 || { tail -3 "$move/umoci.log"; return 1; }
    diff -r --no-dereference -x webapps "$root" "$(unpacked tomcat-11)" || return 1
    config=$(skopeo inspect --config "oci:$move/pulled:1") || return 1
    grep -q '"SHOP=open"' <<<"$config" || return 1
    mapfile -t entry < <(python3 -c 'import json,sys; c=json.load(sys.stdin)["config"]; print(*(c["Entrypoint"]+(c.get("Cmd") or [])), sep="\n")' <<<"$config")
    while IFS='=' read -r name value; do env+=(--setenv "$name" "$value"); done < <(python3 -c 'import json,sys; print(*json.load(sys.stdin)["config"]["Env"], sep="\n")' <<<"$config")
    while read -r path; do mounts+=(--tmpfs "$path"); done < <(python3 -c 'import json,sys; print(*json.load(sys.stdin)["config"]["Labels"]["io.sockel.writable"].split(","), sep="\n")' <<<"$config")
    box "$root" "${mounts[@]}" "${env[@]}" --setenv TOMCAT_HTTP_PORT_NUMBER "$port" --chdir /var/lib/tomcat -- "${entry[@]}" >"$move/tomcat.log" 2>&1 &
    pid=$!
    echo "$pid" >>"$work/pids"
    for _ in $(seq 150); do
        code=$(curl -s -o "$move/page" -w '%{http_code}' "http://127.0.0.1:$port/hello/" || true)
        [[ $code = 200 ]] && break
        sleep 0.1
    done
    kill "$pid" 2>/dev/null
    [[ $code = 200 ]] && grep -q 'it works 42' "$move/page" || { echo "HTTP $code"; tail -5 "$move/tomcat.log"; return 1; }
}

if [[ ! ${got[tomcat-11]:-} ]]; then
    skip "rebase: tomcat-11 WAS NOT BUILT"
elif ! have docker-registry || ! have skopeo || ! have umoci || ! have buildah || ! have bwrap || ! have curl; then
    skip "rebase: docker-registry, skopeo, umoci, buildah, bwrap or curl IS MISSING"
else
    port[shelf]=$(free_port) port[web]=$(free_port)
    shelf="http://127.0.0.1:${port[shelf]}/base"
    buildah=(buildah --root "$move/storage" --runroot "$move/run" --storage-driver vfs)
    check "rebase: a registry of its own" serve shelf </dev/null
    if with_archives "rebase: tomcat-11 without updates" old_base; then
        check "rebase: an application, by buildah" built_on_it
        old_web=$(skopeo inspect --tls-verify=false --format '{{.Digest}}' "docker://${shelf#http://}/web:1")
        check "rebase: on the newest base already" stays
        check "rebase: tomcat-11 with updates" new_base
        check "rebase: moved, and no layer with it" moves
        check "rebase: again, nothing to do" stays
        check "rebase: what comes out runs on the new libraries" runs
        check "rebase: with its files checked, the same image" checked
        check "rebase: an own copy of a patched library is a reason" in_the_way
    fi
fi
