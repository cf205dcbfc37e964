# shellcheck shell=bash
# Results shared through Debian's own registry: a machine that has nothing publishes tomcat-11 under a new tag without
# fetching, building or sending a layer. Counted in the registry's access log. Uses the functions of registry.sh.

warm_machine() { # publishes and leaves entries
    openssl genpkey -algorithm ed25519 -out "$lab/cache.pem" && openssl pkey -in "$lab/cache.pem" -pubout -out "$lab/cache.pub" || return 1
    target shared.yaml "http://127.0.0.1:${port[shared]}/base" \
        "cache: { repository: base/cache, verify: $lab/cache.pub, sign: $lab/cache.pem }"
    publish shared.yaml tomcat-11 && [[ $(answer state) = published ]]
}
empty_machine() { # publishes under a new tag
    local line start time sent
    rm -rf "$work/project-neu" "$lab/empty"
    cp -r "$work/project" "$work/project-neu"
    sed -i 's/tags: \[/tags: [ "neu",/' "$work/project-neu/base-images/tomcat-11.yaml"
    # the lock names the file; no package changes
    "$SOCKEL" -C "$work/project-neu" lock tomcat-11 --quiet >/dev/null || return 1
    line=$(lines "$lab/shared.log") start=$(milliseconds)
    "$SOCKEL" -C "$work/project-neu" --store "$lab/empty" publish tomcat-11 --registry "$lab/shared.yaml" --format json >"$lab/answer" || return 1
    time=$(($(milliseconds) - start))
    traffic shared "$line" >"$lab/traffic"
    layers tomcat-11 >"$lab/layers"
    sent=$(awk 'NR == FNR { layer[$1] = 1; next } layer[$3] && $1 ~ /^(put|patch|post|get-blobs)$/' "$lab/layers" "$lab/traffic" | wc -l)
    printf '         empty store, warm registry: %s ms, %s layer transfers, %s requests, %s bytes of documents sent\n' \
        "$time" "$sent" "$(wc -l <"$lab/traffic")" "$(answer 'pushed["uploaded"]["bytes"]')" >&3
    [[ $sent = 0 ]] || { cat "$lab/traffic"; return 1; }
    # documents, the list of files among them, and no layer
    [[ -z $(find "$lab/empty/blobs" -type f -size +1M) ]] || { find "$lab/empty/blobs" -type f -size +1M; return 1; }
    [[ $(skopeo inspect --raw --tls-verify=false "docker://127.0.0.1:${port[shared]}/base/tomcat:neu" | sha256sum) = "$(answer digest | cut -d: -f2)  -" ]]
}
empty_build() { # builds from the cache what was built before
    publish shared.yaml ubuntu-26.04 java-25 || return 1
    cp -r "$work/project" "$work/project-shared"
    cp "$lab/shared.yaml" "$work/project-shared/base-images/registry.yaml"
    "$SOCKEL" -C "$work/project-shared" build tomcat-11 --store "$lab/empty-2" -o "oci:$lab/built" --quiet >/dev/null
}
same_digest() {
    empty_build || return 1
    [[ $(skopeo inspect --raw "oci:$lab/built:$(tag tomcat-11)" | sha256sum) = "$(skopeo inspect --raw "oci:$work/out:$(tag tomcat-11)" | sha256sum)" ]] || return 1
    [[ ! -d $lab/empty-2/packages || -z $(ls "$lab/empty-2/packages") ]] || { echo "packages were unpacked"; return 1; }
}
if ! have docker-registry; then
    skip "results shared through a registry: docker-registry is missing"
elif [[ -z ${got[tomcat-11]:-} ]]; then
    skip "results shared through a registry: tomcat-11 is not built"
else
    port[shared]=$(free_port)
    if serve shared <<<'' >"$work/log" 2>&1; then
        check "a machine leaves what it has built" warm_machine
        check "an empty machine publishes it under a new tag" empty_machine
        check "an empty machine builds it without a package" same_digest
    else
        bad "docker-registry starts: $(cat "$work/log")"
    fi
fi
