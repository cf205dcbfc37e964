# shellcheck shell=bash
# Debian's own registry on loopback, open, with basic authentication and TLS, with tokens, with client certificates:
# pushes, pulls by others, mounts, what a second push costs, where logins come from, and what is said when they are wrong.

lab=$work/registries
mkdir -p "$lab/home" "$lab/tls"
touch "$lab/begun"
# logins, runtime folders and proxies of whoever runs this would decide what happens
unset SOCKEL_REGISTRY SOCKEL_REGISTRY_USER SOCKEL_REGISTRY_PASSWORD DOCKER_CONFIG REGISTRY_AUTH_FILE XDG_RUNTIME_DIR XDG_CONFIG_HOME
export HOME=$lab/home no_proxy=127.0.0.1,localhost NO_PROXY=127.0.0.1,localhost
declare -A port
marker=Mark3r-$(od -An -N12 -tx1 /dev/urandom | tr -d ' \n')
robot='robot$base+ci'

background() { # background LOG COMMAND…: ended with everything else
    local log=$1
    shift
    "$@" >"$log" 2>&1 </dev/null 3>&- &
    echo $! >>"$work/pids"
}
answers() { # answers NAME: within a minute
    for _ in $(seq 600); do
        (exec 8<>"/dev/tcp/127.0.0.1/${port[$1]}") 2>/dev/null && return 0
        sleep 0.1
    done
    echo "$1 does not answer"
    return 1
}
serve() { # serve NAME: a registry; the part of its configuration that differs comes on standard input
    local name=$1 config=$lab/$1.yml
    printf 'version: 0.1\nlog: { level: info }\nstorage: { filesystem: { rootdirectory: "%s" } }\n' "$lab/$name.data" >"$config"
    printf 'http:\n  addr: 127.0.0.1:%s\n  secret: of-this-run\n' "${port[$name]}" >>"$config"
    cat >>"$config"
    background "$lab/$name.log" docker-registry serve "$config"
    answers "$name"
}
target() { # target FILE URL LINE…: a registry file
    local file=$lab/$1
    printf 'target: %s\n' "$2" >"$file"
    shift 2
    (($# == 0)) || printf '%s\n' "$@" >>"$file"
}
publish() { # publish FILE ARGUMENTS…: to where a registry file says; answer and messages are kept
    local file=$1
    shift
    sockel publish --registry "$lab/$file" --format json "$@" >"$lab/answer" 2>"$lab/said" && return 0
    local code=$?
    cat "$lab/said"
    return $code
}
answer() { python3 -c 'import json, sys; image = json.load(open(sys.argv[1]))["images"][-1]; print(eval(sys.argv[2], image))' "$lab/answer" "$1"; }
refused() { # refused CODE TEXT COMMAND…: ends with this code and says this
    local code=$1 text=$2 found=0 said
    shift 2
    said=$("$@" 2>&1) || found=$?
    [[ $found = "$code" ]] || { echo "exit code $found instead of $code: $said"; return 1; }
    grep -qF -- "$text" <<<"$said" || { echo "not said: $text"; echo "$said"; return 1; }
}
lines() { wc -l <"$1"; }

# blob and manifest requests of an access log from a line on: `put REPOSITORY DIGEST STATUS`, `mount REPOSITORY DIGEST STATUS FROM`, …
traffic() { # traffic NAME LINE
    sleep 0.3 # the log is written after the answer
    python3 - "$lab/$1.log" "$2" <<'PY'
import re, sys, urllib.parse
request = re.compile(r'"([A-Z]+) (/v2/\S*) HTTP/1.1" (\d+) .* "sockel/')
for line in open(sys.argv[1], errors="replace").read().splitlines()[int(sys.argv[2]):]:
    if not (found := request.search(line)):
        continue
    method, address, status = found.groups()
    address = urllib.parse.urlsplit(address)
    query = dict(urllib.parse.parse_qsl(address.query))
    repository, kind, rest = re.match(r"/v2/(.*?)/?(?:(blobs/uploads|blobs|manifests)/(.*))?$", address.path).groups()
    verb = {"PUT": "put", "PATCH": "patch"}.get(method) if kind == "blobs/uploads" else None
    if kind == "blobs/uploads" and method == "POST":
        verb = "mount" if "mount" in query else "post"
    digest = query.get("digest") or query.get("mount") or rest
    print(verb or f"{method.lower()}-{kind}", repository, digest, status, query.get("from", ""))
PY
}
layers() { # layers IMAGE: digests of its layers and sizes
    skopeo inspect --raw "oci:$work/out:$(tag "$1")-$arch" | python3 -c 'import json, sys; [print(l["digest"], l["size"]) for l in json.load(sys.stdin)["layers"]]'
}

cold() { # cold NAME FILE: a first push says and does the same
    local start line puts bytes
    line=$(lines "$lab/$1.log") start=$(milliseconds)
    publish "$2" tomcat-11 || return 1
    printf '         %s: tomcat-11 pushed in %s ms, %s bytes\n' "$1" $(($(milliseconds) - start)) "$(answer 'pushed["uploaded"]["bytes"]')" >&3
    [[ $(answer state) = published && $(answer 'gate["not-available"]["reason"] != ""') = True ]] || { cat "$lab/answer"; return 1; }
    puts=$(traffic "$1" "$line" | grep -c '^put .* 201') bytes=$(layers tomcat-11 | awk '{ sum += $2 } END { print sum }')
    [[ $(answer 'pushed["uploaded"]["count"]') = "$puts" ]] || { echo "$puts uploads in the log: $(cat "$lab/answer")"; return 1; }
    (($(answer 'pushed["uploaded"]["bytes"]') > bytes)) || { echo "layers have $bytes bytes"; cat "$lab/answer"; return 1; }
}
pulled() { # pulled NAME REPOSITORY:TAG OPTIONS…: by skopeo with all below it, unpacked by umoci, the same bytes
    local from="docker://127.0.0.1:${port[$1]}/$2" to=$lab/$1-pulled expected found
    shift 2
    rm -rf "$to" "$to-bundle"
    skopeo copy -q --all --preserve-digests "$@" "$from" "oci:$to:all" && skopeo copy -q --preserve-digests "$@" "$from" "oci:$to:one" || return 1
    expected=$(answer digest)
    found=$(skopeo inspect --raw "oci:$to:all" | sha256sum)
    [[ $expected = "sha256:${found%% *}" ]] || { echo "index ${found%% *} instead of $expected"; return 1; }
    skopeo inspect --raw "oci:$to:one" | cmp - <(skopeo inspect --raw "oci:$work/out:$(tag tomcat-11)-$arch") || return 1
    silent umoci unpack --rootless --image "$to:one" "$to-bundle" || return 1
    diff -r --no-dereference "$to-bundle/rootfs" "$(unpacked tomcat-11)"
    local same=$?
    chmod -R u+w "$to-bundle"
    rm -rf "$to" "$to-bundle"
    return $same
}
again() { # again NAME FILE: a second push sends no blob, and is quick
    local start line time
    line=$(lines "$lab/$1.log") start=$(milliseconds)
    publish "$2" tomcat-11 || return 1
    time=$(($(milliseconds) - start))
    [[ $(answer state) = up-to-date ]] || { cat "$lab/answer"; return 1; }
    ! traffic "$1" "$line" | grep -E '^(put|patch|post|mount|put-manifests) ' || return 1
    printf '         %s: tomcat-11 again: 0 blob bytes, %s ms, %s requests\n' "$1" $time "$(traffic "$1" "$line" | wc -l)" >&3
}
mounted() { # mounted NAME FILE: java-25 sends none of the blobs that tomcat-11 has
    local line shared=0 bytes=0 digest size
    line=$(lines "$lab/$1.log")
    publish "$2" java-25 || return 1
    traffic "$1" "$line" >"$lab/traffic"
    layers tomcat-11 >"$lab/there" && layers java-25 >"$lab/wanted" || return 1
    while read -r digest size; do
        grep -q "^$digest " "$lab/there" || continue
        shared=$((shared + 1)) bytes=$((bytes + size))
        grep -q "^mount base/java $digest 201 base/tomcat" "$lab/traffic" || { echo "$digest is not mounted"; cat "$lab/traffic"; return 1; }
        ! grep "^put base/java $digest " "$lab/traffic" || return 1
    done <"$lab/wanted"
    printf '         %s: java-25 after tomcat-11: %s layers with %s bytes mounted, %s bytes sent\n' "$1" "$shared" "$bytes" "$(answer 'pushed["uploaded"]["bytes"]')" >&3
    ((shared > 0)) && [[ $(answer 'pushed["mounted"]["count"]') = "$shared" && $(answer 'pushed["mounted"]["bytes"]') = "$bytes" ]] ||
        { echo "$shared shared layers"; cat "$lab/answer"; return 1; }
}
round() { # round NAME TEXT SKOPEO-OPTIONS…: all of that
    local name=$1 text=$2
    shift 2
    check "$text: push of tomcat-11" cold "$name" "$name.yaml" || return
    check "$text: skopeo and umoci pull it back, bytes equal" pulled "$name" base/tomcat:11 "$@"
    publish "$name.yaml" tomcat-11
    check "$text: a second push sends nothing" again "$name" "$name.yaml"
    check "$text: java-25 mounts what tomcat-11 has" mounted "$name" "$name.yaml"
}

certificates() { # an own authority; a server for loopback; a client, certificate and key in one file
    local tls=$lab/tls name extension
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj '/CN=Registry CA of this run' -keyout "$tls/ca.key" -out "$tls/ca.crt" \
        -addext basicConstraints=critical,CA:TRUE 2>/dev/null || return 1
    for name in server client; do
        extension=$([[ $name = server ]] && echo 'subjectAltName=DNS:localhost,IP:127.0.0.1' || echo extendedKeyUsage=clientAuth)
        openssl req -newkey rsa:2048 -nodes -subj "/CN=$name" -keyout "$tls/$name.key" -out "$tls/$name.csr" 2>/dev/null &&
            openssl x509 -req -in "$tls/$name.csr" -CA "$tls/ca.crt" -CAkey "$tls/ca.key" -days 2 -CAcreateserial \
                -extfile <(printf 'basicConstraints=CA:FALSE\n%s\n' "$extension") -out "$tls/$name.pem" 2>/dev/null || return 1
    done
    cat "$tls/client.pem" "$tls/client.key" >"$tls/identity.pem"
    # as skopeo wants a folder for one host
    mkdir -p "$tls/skopeo"
    cp "$tls/ca.crt" "$tls/skopeo/ca.crt"
}
logins() { # the same login in all forms that are understood
    local pair
    pair=$(printf '%s:%s' "$robot" "$marker" | base64 -w0)
    mkdir -p "$lab/docker" "$lab/helper" "$lab/store" "$lab/bin" "$lab/wrong" "$lab/runtime/containers"
    printf '{"name": "%s", "secret": "%s"}' "$robot" "$marker" >"$lab/robot.json"
    printf '%s:%s\n' "$robot" "$marker" >"$lab/robot.txt"
    printf '{"auths": {%s}}' "$(for name in "${!port[@]}"; do printf '"127.0.0.1:%s": {"auth": "%s"}\n' "${port[$name]}" "$pair"; done | paste -sd,)" >"$lab/docker/config.json"
    cp "$lab/docker/config.json" "$lab/auth.json"
    cp "$lab/docker/config.json" "$lab/runtime/containers/auth.json"
    printf '{"credHelpers": {"127.0.0.1:%s": "of-this-run"}}' "${port[token]}" >"$lab/helper/config.json"
    printf '{"credsStore": "of-this-run"}' >"$lab/store/config.json"
    printf '{"Username": "%s", "Secret": "%s"}' "$robot" "$marker" >"$lab/helper-answer.json"
    # notes what it was asked for, and the command lines of all that run meanwhile
    cat >"$lab/bin/docker-credential-of-this-run" <<HELPER
#!/bin/sh
{ echo "\$1"; cat; echo; } >>"$lab/helper-asked"
cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' >>"$lab/command-lines"
cat "$lab/helper-answer.json"
HELPER
    chmod +x "$lab/bin/docker-credential-of-this-run"
}
tokens() { # tokens TOLD VALID [MORE]: how long new tokens live, as is said and in truth
    cat >"$lab/token-server/settings.json.new" <<JSON
{"service": "registry of this run", "issuer": "issuer of this run", "told": $1, "valid": $2, ${3:-}
 "accounts": {"$robot": {"password": "$marker", "rights": {"base/": ["pull", "push"]}},
  "robot\$reader": {"password": "$marker", "rights": {"": ["pull"]}},
  "robot\$narrow": {"password": "$marker", "rights": {"base/narrow/java": ["pull", "push"]}}}}
JSON
    mv "$lab/token-server/settings.json.new" "$lab/token-server/settings.json"
}
token_registry() {
    mkdir -p "$lab/token-server"
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj '/CN=Token server of this run' -keyout "$lab/token-server/key.pem" \
        -out "$lab/token-server/certificate.pem" 2>/dev/null || return 1
    tokens 300 300
    background "$lab/token-server/log" python3 tests/live/token_server.py "$lab/token-server" "${port[tokens]}"
    answers tokens && serve token <<YAML
auth:
  token:
    realm: http://127.0.0.1:${port[tokens]}/token
    service: registry of this run
    issuer: issuer of this run
    rootcertbundle: $lab/token-server/certificate.pem
YAML
}
basic_registry() {
    # bcrypt is all that the registry takes; Perl is on every Debian, htpasswd is not
    PASSWORD=$marker perl -e '$h = crypt($ENV{PASSWORD}, q($2y$05$) . "abcdefghijklmnopqrstuu"); die "no bcrypt" if length $h != 60; print "$ARGV[0]:$h\n"' \
        "$robot" >"$lab/htpasswd" || return 1
    serve basic <<YAML
  tls: { certificate: "$lab/tls/server.pem", key: "$lab/tls/server.key" }
auth: { htpasswd: { realm: "of this run", path: "$lab/htpasswd" } }
YAML
}
mutual_registry() {
    serve mutual <<YAML
  tls: { certificate: "$lab/tls/server.pem", key: "$lab/tls/server.key", clientcas: [ "$lab/tls/ca.crt" ] }
YAML
}

several_scopes() { # one token had the rights for both repositories of the mounts
    python3 - "$lab/token-server/requests" <<'PY'
import json, sys
wanted = {"repository:base/java:pull,push", "repository:base/tomcat:pull"}
requests = [json.loads(line) for line in open(sys.argv[1])]
sys.exit(not any(wanted <= set(r["scopes"]) and len(r["granted"]) == len(r["scopes"]) for r in requests if r["known"]))
PY
}
asked() { grep -c '"agent": "sockel' "$lab/token-server/requests"; }
few_tokens() { # a push looks and writes, its repositories of mounts included, a repeated one looks
    local asked
    asked=$(asked)
    printf '         token: %s token requests for two pushes and two repeated ones\n' "$asked" >&3
    ((asked <= 8)) || { cat "$lab/token-server/requests"; return 1; }
}
renews() { # renews NAME TOLD VALID: pushes for about eight seconds through a slow line with tokens that live shorter
    local line refused asked start before same
    line=$(lines "$lab/token.log") asked=$(asked) before=$(lines "$lab/token-server/requests")
    tokens "$2" "$3"
    target slow.yaml "http://127.0.0.1:${port[relay]}/base/$1" "credentials: robot.json"
    start=$(milliseconds)
    publish slow.yaml tomcat-11 || { tokens 300 300; return 1; }
    tokens 300 300
    asked=$(($(asked) - asked)) refused=$(traffic token "$line" | grep -c ' 401 ')
    printf '         token: tokens for %s s, told %s s: push in %s ms, %s token requests, %s refusals\n' "$3" "$2" $(($(milliseconds) - start)) $asked "$refused" >&3
    # the same rights were asked for again
    same=$(tail -n +$((before + 1)) "$lab/token-server/requests" | sort | uniq -c | sort -n | awk 'END { print $1 }')
    [[ $(answer state) = published ]] && ((same >= 2)) || { echo "no token was renewed"; return 1; }
}
logs_in() { # logs_in ORIGIN COMMAND…: works, and the login comes from there
    local origin=$1
    shift
    "$@" || return 1
    grep -qF "as \`$robot\` (from $origin)" "$lab/said" || { echo "not from $origin:"; cat "$lab/said"; return 1; }
}
with() { # with NAME=VALUE… -- COMMAND…: values are in no command line
    (
        while [[ $1 != -- ]]; do export "${1?}"; shift; done
        shift
        "$@"
    )
}
narrow() { # no right to read where the blobs are: they are sent
    target narrow.yaml "http://127.0.0.1:${port[token]}/base/narrow" "credentials: narrow.json"
    target wide.yaml "http://127.0.0.1:${port[token]}/base/narrow" "credentials: robot.json"
    publish wide.yaml tomcat-11 && publish narrow.yaml java-25 || return 1
    [[ $(answer state) = published && $(answer 'pushed["mounted"]["count"]') = 0 ]] || { cat "$lab/answer"; return 1; }
}

if [[ ! ${got[tomcat-11]:-} || ! ${got[java-25]:-} ]]; then
    skip "registries: tomcat-11 or java-25 WAS NOT BUILT"
elif ! have docker-registry || ! have skopeo || ! have umoci || ! have openssl || ! have curl || ! have perl; then
    skip "registries: docker-registry, skopeo, umoci, openssl, curl or perl IS MISSING"
else
    for name in open basic token tokens mutual relay; do port[$name]=$(free_port); done
    check "certificates of this run" certificates
    check "an open registry starts" serve open </dev/null
    check "a registry with basic authentication and TLS starts" basic_registry
    check "a registry with a token server starts" token_registry
    check "a registry that asks for client certificates starts" mutual_registry
    logins
    bare="http://127.0.0.1:${port[token]}/base"

    target open.yaml "http://127.0.0.1:${port[open]}/base"
    round open "open registry" --src-tls-verify=false

    target basic.yaml "https://127.0.0.1:${port[basic]}/base" "credentials: robot.json" "ca-file: tls/ca.crt"
    round basic "basic authentication and TLS" --src-cert-dir "$lab/tls/skopeo" --authfile "$lab/auth.json"
    target basic-no-ca.yaml "https://localhost:${port[basic]}/base" "credentials: robot.json"
    check "TLS: the authority by flag, the host by name" publish basic-no-ca.yaml tomcat-11 --ca-file "$lab/tls/ca.crt"
    check "TLS: an unknown authority is refused, with a remedy" refused 3 "\`--ca-file FILE\`" publish basic-no-ca.yaml tomcat-11

    target token.yaml "$bare" "credentials: robot.json"
    round token "token authentication" --src-tls-verify=false --authfile "$lab/auth.json"
    check "tokens: both repositories of a mount in one token" several_scopes
    check "tokens: few are asked for" few_tokens
    background "$lab/relay.log" python3 tests/live/relay.py "${port[relay]}" "${port[token]}" $(($(layers tomcat-11 | awk '{ sum += $2 } END { print sum }') / 8))
    check "a slow line to it" answers relay
    check "tokens: one that lives for 2 s is renewed during a push" renews short 2 2
    check "tokens: one that ends long before it should is replaced" renews early 300 2

    target bare.yaml "$bare"
    target text.yaml "$bare" "credentials: robot.txt"
    check "login: a robot's JSON file" logs_in "$lab/robot.json" publish token.yaml tomcat-11 --dry-run -v
    check "login: a file with user:password" logs_in "$lab/robot.txt" publish text.yaml tomcat-11 --dry-run -v
    check "login: environment" logs_in environment with "SOCKEL_REGISTRY=127.0.0.1:${port[token]}" "SOCKEL_REGISTRY_USER=$robot" "SOCKEL_REGISTRY_PASSWORD=$marker" -- publish bare.yaml tomcat-11 --dry-run -v
    check "login: REGISTRY_AUTH_FILE" logs_in "$lab/auth.json" with "REGISTRY_AUTH_FILE=$lab/auth.json" -- publish bare.yaml tomcat-11 --dry-run -v
    check "login: Docker's config.json" logs_in "$lab/docker/config.json" with "DOCKER_CONFIG=$lab/docker" -- publish bare.yaml tomcat-11 --dry-run -v
    check "login: a credential helper" logs_in "$lab/helper/config.json" with "DOCKER_CONFIG=$lab/helper" "PATH=$lab/bin:$PATH" -- publish bare.yaml tomcat-11 --dry-run -v
    check "login: a credential store" logs_in "$lab/store/config.json" with "DOCKER_CONFIG=$lab/store" "PATH=$lab/bin:$PATH" -- publish bare.yaml tomcat-11 --dry-run -v
    check "login: podman's runtime folder" logs_in "$lab/runtime/containers/auth.json" with "XDG_RUNTIME_DIR=$lab/runtime" -- publish bare.yaml tomcat-11 --dry-run -v

    printf '{"name": "%s", "secret": "wrong"}' "$robot" >"$lab/wrong.json"
    printf '{"name": "robot$reader", "secret": "%s"}' "$marker" >"$lab/reader.json"
    printf '{"name": "robot$narrow", "secret": "%s"}' "$marker" >"$lab/narrow.json"
    target wrong-basic.yaml "https://127.0.0.1:${port[basic]}/base" "credentials: wrong.json" "ca-file: tls/ca.crt"
    target nobody-basic.yaml "https://127.0.0.1:${port[basic]}/base" "ca-file: tls/ca.crt"
    target wrong-token.yaml "$bare" "credentials: wrong.json"
    target other.yaml "http://127.0.0.1:${port[token]}/other" "credentials: robot.json"
    target reader.yaml "http://127.0.0.1:${port[token]}/other" "credentials: reader.json"
    check "wrong password, basic" refused 1 "cannot log in at \`127.0.0.1:${port[basic]}\` as \`$robot\`: name or password is not accepted" publish wrong-basic.yaml tomcat-11
    check "no login, basic" refused 1 "the registry asks for a login" publish nobody-basic.yaml tomcat-11
    check "wrong password, token without rights" refused 1 "\`$robot\` gets a token without any rights on" publish wrong-token.yaml tomcat-11
    check "no login, token without rights" refused 1 "an anonymous user gets a token without any rights" publish bare.yaml tomcat-11
    check "another project, token without rights" refused 1 "\`$robot\` gets a token without any rights on" publish other.yaml tomcat-11
    check "a robot that may only read" refused 1 "\`robot\$reader\` may not do that" publish reader.yaml tomcat-11
    check "a robot that may not read where blobs could be mounted from sends them" narrow

    target plain.yaml "http://registry.example/base"
    check "plain http to a name that is not this machine" refused 1 "plain http is only for this machine" publish plain.yaml tomcat-11
    check "plain http by flag as well" refused 1 "plain http is only for this machine" publish open.yaml tomcat-11 --to http://registry.example/base

    target mutual.yaml "https://127.0.0.1:${port[mutual]}/base" "ca-file: tls/ca.crt" "client-certificate: tls/identity.pem"
    target mutual-without.yaml "https://127.0.0.1:${port[mutual]}/base" "ca-file: tls/ca.crt"
    check "mutual TLS: push of tomcat-11" cold mutual mutual.yaml
    check "mutual TLS: refused without a certificate" refused 3 "the server asks for a client certificate" publish mutual-without.yaml tomcat-11
fi
