# shellcheck shell=bash
# Passwords and tokens never show: a marker password is given in every way that there is, to commands that work and to
# commands that fail, as talkative as can be; then all that was written is searched for it.

given=$lab/given   # what we write passwords into
heard=$lab/heard   # what sockel says
runs=0
mkdir -p "$given" "$heard"

tell() { # tell ARGUMENTS…: runs the command in both forms; how it ends is looked at elsewhere
    local form
    for form in '-v' '-v --log-format json --format json'; do
        runs=$((runs + 1))
        # shellcheck disable=SC2086 # several options
        RUST_LOG=trace RUST_BACKTRACE=full CI='' sockel "$@" $form >"$heard/$runs.out" 2>"$heard/$runs.err" </dev/null
        printf '%s\n' $? >"$heard/$runs.code"
    done
}
tell_with() { # tell_with NAME=VALUE… -- ARGUMENTS…: values are in no command line
    (
        while [[ $1 != -- ]]; do export "${1?}"; shift; done
        shift
        tell "$@"
    )
    runs=$((runs + 2)) # counted in a shell of its own
}
tell_elsewhere() { # tell_elsewhere ARGUMENTS…: with the recipes of nobody's archive; only in a shell of its own
    sockel() { "$SOCKEL" -C "$lab/project" "$@"; }
    tell "$@"
}
secret() { # secret FILE TEXT: a file with the password
    mkdir -p "$(dirname "$given/$1")"
    printf '%s' "$2" >"$given/$1"
}
watch() { # watch: keeps the command lines of all processes
    exec python3 - "$lab/command-lines" <<'PY'
import glob, sys, time
seen = set()
while True:
    for name in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            line = open(name, "rb").read().replace(b"\0", b" ")
        except OSError:
            continue
        if line and line not in seen:
            seen.add(line)
            with open(sys.argv[1], "ab") as file:
                file.write(line + b"\n")
    time.sleep(0.02)
PY
}

succeeding() { # every form of a login, at a registry that takes it
    local token=$bare encoded
    encoded=$(printf '%s:%s' "$robot" "$marker" | base64 -w0)
    for file in open.yaml basic.yaml token.yaml text.yaml mutual.yaml; do tell publish --registry "$lab/$file" tomcat-11; done
    target fresh.yaml "http://127.0.0.1:${port[token]}/base/fresh" "credentials: robot.json"
    tell publish --registry "$lab/fresh.yaml" tomcat-11 java-25
    tell_with "SOCKEL_REGISTRY_USER=$robot" "SOCKEL_REGISTRY_PASSWORD=$marker" -- publish tomcat-11 --to "$token"
    for folder in docker helper store; do
        tell_with "DOCKER_CONFIG=$lab/$folder" "PATH=$lab/bin:$PATH" -- publish tomcat-11 --to "$token" --dry-run
    done
    secret plain/config.json "{\"auths\": {\"127.0.0.1:${port[token]}\": {\"username\": \"$robot\", \"password\": \"$marker\"}}}"
    secret spaced/config.json "{\"auths\": {\"http://127.0.0.1:${port[token]}/v2/\": {\"auth\": \" $encoded \"}}}"
    for folder in plain spaced; do
        tell_with "DOCKER_CONFIG=$given/$folder" -- publish tomcat-11 --to "$token" --dry-run
    done
    tell_with "REGISTRY_AUTH_FILE=$lab/auth.json" -- publish tomcat-11 --to "$token" --dry-run
}
failing() { # logins that are refused, cannot be read, or meet servers that repeat them
    local name
    secret unknown.json "{\"name\": \"robot\$unknown\", \"secret\": \"$marker\"}"
    secret broken.json "{\"name\": \"robot\$broken\", \"secret\": \"$marker\", "
    secret number.json "{\"name\": \"$marker\", \"secret\": 5}"
    secret alone.json "$marker"
    secret control.json "robot:$marker"$'\x01'
    secret listed.json "[\"$marker\"]"
    for name in unknown broken number alone control listed; do
        target "bad-$name.yaml" "$bare" "credentials: given/$name.json"
        tell publish --registry "$lab/bad-$name.yaml" tomcat-11
    done
    target bad-basic.yaml "https://127.0.0.1:${port[basic]}/base" "credentials: given/unknown.json" "ca-file: tls/ca.crt"
    tell publish --registry "$lab/bad-basic.yaml" tomcat-11
    for name in other reader wrong-token wrong-basic; do tell publish --registry "$lab/$name.yaml" tomcat-11; done
    secret base64/config.json "{\"auths\": {\"127.0.0.1:${port[token]}\": {\"auth\": \"!$marker\"}}}"
    secret colon/config.json "{\"auths\": {\"127.0.0.1:${port[token]}\": {\"auth\": \"$(printf %s "$marker" | base64 -w0)\"}}}"
    secret text/config.json "auth = $marker"
    secret kind/config.json "{\"auths\": \"$marker\"}"
    secret identity/config.json "{\"auths\": {\"127.0.0.1:${port[token]}\": {\"identitytoken\": \"$marker\"}}}"
    secret path/config.json "{\"credsStore\": \"../$marker\"}"
    for name in base64 colon text kind identity path; do
        tell_with "DOCKER_CONFIG=$given/$name" -- publish tomcat-11 --to "$bare"
    done
    for name in "echo $marker" "echo $marker; echo $marker >&2; exit 1" "echo '{\"Username\": \"<token>\", \"Secret\": \"$marker\"}'" \
        "echo '{\"Username\": \"$marker\"}'"; do
        secret bin/docker-credential-of-this-run "#!/bin/sh"$'\n'"cat >/dev/null; $name"$'\n'
        chmod +x "$given/bin/docker-credential-of-this-run"
        tell_with "DOCKER_CONFIG=$lab/store" "PATH=$given/bin:$PATH" -- publish tomcat-11 --to "$bare"
    done
    tell_with "SOCKEL_REGISTRY_PASSWORD=$marker" -- publish tomcat-11 --to "$bare"
    tell_with "SOCKEL_REGISTRY_USER=robot" "SOCKEL_REGISTRY_PASSWORD=$marker"$'\n'"$marker" -- publish tomcat-11 --to "$bare"
    # a token server that repeats what it was given
    tokens 300 300 '"parrot": true,'
    tell publish --registry "$lab/token.yaml" tomcat-11
    tokens 300 300
    # nobody there
    target gone.yaml "http://127.0.0.1:$(free_port)/base" "credentials: robot.json"
    tell publish --registry "$lab/gone.yaml" tomcat-11
}
setups() { # Harbor's commands against what is none
    local name
    for name in "http://127.0.0.1:${port[token]}" "https://localhost:${port[basic]}" "http://127.0.0.1:${port[open]}"; do
        target setup.yaml "$name" "projects: { staging: base, release: release }" "credentials: robot.json" \
            "release-credentials: robot.txt" "ca-file: tls/ca.crt" "setup: { robots: new-robots }"
        # an administrator's login comes from the environment
        tell_with "SOCKEL_REGISTRY=$name" "SOCKEL_REGISTRY_USER=$robot" "SOCKEL_REGISTRY_PASSWORD=$marker" -- publish --registry "$lab/setup.yaml" --setup --dry-run
        tell_with "DOCKER_CONFIG=$lab/docker" -- publish --registry "$lab/setup.yaml" --setup --dry-run
        tell_with "SOCKEL_REGISTRY=$name" "SOCKEL_REGISTRY_USER=$robot" "SOCKEL_REGISTRY_PASSWORD=$marker" -- publish --registry "$lab/setup.yaml" --setup
        tell publish --registry "$lab/setup.yaml" tomcat-11
    done
}
addresses() { # passwords where they do not belong: these are in our own command line, and must not come back
    local name
    for name in "https://robot:$marker@127.0.0.1:${port[basic]}/base" "http://robot:$marker@registry.example/base" \
        "robot:$marker@registry.example/base" "robot:$marker@127.0.0.1/base" "https://registry.example:99999/base?key=$marker" \
        "https://robot:$marker@registry.example:99999/base" "https://registry.example/base?key=$marker" \
        "https://robot:$marker@[broken/base" "ftp://robot:$marker@registry.example/"; do
        tell publish tomcat-11 --to "$name"
        secret address.yaml "target: $name"
        tell publish --registry "$given/address.yaml" tomcat-11
    done
    secret hook.yaml "target: http://127.0.0.1:${port[token]}
projects: { staging: base, release: release }
credentials: ../robot.json
setup: { webhook: \"https://robot:$marker@hooks.example/x?key=$marker\" }
mirrors: { ubuntu: [ \"http://robot:$marker@127.0.0.1:9/ubuntu\" ] }
"
    tell publish --registry "$given/hook.yaml" --setup --dry-run
    tell publish tomcat-11 --to "$bare" --mirror "ubuntu=http://robot:$marker@127.0.0.1:9/ubuntu"
    tell publish tomcat-11 --to "$bare" --mirror "ubuntu=robot:$marker@127.0.0.1:9/ubuntu"
    tell publish tomcat-11 --to "$bare" --mirror "http://robot:$marker@127.0.0.1:9/ubuntu"
    tell_with "SOCKEL_MIRRORS=robot:$marker@127.0.0.1:9" -- publish tomcat-11 --to "$bare"
    # an archive and a mirror that nobody serves
    cp -r "$work/project" "$lab/project"
    sed -i -E 's#https?://[^ ",]+/(ubuntu|debian)[^ ",]*#http://127.0.0.1:9/\1#' "$lab/project"/recipes/*.yaml
    with "SOCKEL_STORE=$lab/empty-store" "SOCKEL_MIRRORS=ubuntu=http://robot:$marker@127.0.0.1:9/ubuntu" -- tell_elsewhere lock ubuntu-26.04
    runs=$((runs + 2))
    tell_with "https_proxy=http://robot:$marker@127.0.0.1:$(free_port)" -- publish tomcat-11 --to https://registry.example/base
}

patterns() { # the marker, its base64 at every offset, and the tokens' signatures
    python3 - "$marker" "$lab/token-server/issued" <<'PY'
import base64, sys
marker = sys.argv[1].encode()
print(marker.decode())
for offset in range(3):
    # characters that depend on neighbours are left out
    print(base64.b64encode(b"x" * offset + marker)[4 if offset else 0:-4].decode())
for line in open(sys.argv[2]):
    print(line.strip().rsplit(".", 1)[1])
PY
}
silence() { # silence: nothing that was written has a secret, except what we put there
    local found
    patterns >"$given/patterns"
    # a search that finds nothing proves nothing: it finds what we wrote ourselves
    for file in "$lab/robot.json" "$lab/docker/config.json" "$lab/token-server/issued"; do
        grep -qaFf "$given/patterns" "$file" || { echo "the search does not work on $file"; return 1; }
    done
    found=$(
        {
            find "$work" -type f ! -path "$given/*" ! -path "$work/bundle-*" ! -path "$lab/robot.json" ! -path "$lab/robot.txt" \
                ! -path "$lab/reader.json" ! -path "$lab/narrow.json" ! -path "$lab/auth.json" ! -path "$lab/helper-answer.json" \
                ! -path "$lab/docker/config.json" ! -path "$lab/runtime/*" ! -path "$lab/token-server/settings.json" \
                ! -path "$lab/token-server/issued" -print0
            find "$SOCKEL_STORE" -type f \( -newer "$lab/begun" -o -cnewer "$lab/begun" \) -print0
        } | xargs -0 grep -laFf "$given/patterns"
    )
    [[ -z $found ]] || {
        for file in $found; do echo "$file: $(grep -aFf "$given/patterns" "$file" | head -1 | cut -c1-600)"; done
        return 1
    }
}
failures() { # the commands did what they were to do: the first worked, the others failed, none broke
    local run
    printf '         secrets: %s commands, exit codes: %s; %s bytes said\n' "$runs" \
        "$(cat "$heard"/*.code | sort | uniq -c | awk '{ printf "%s×%s ", $1, $2 }')" "$(cat "$heard"/*.out "$heard"/*.err | wc -c)" >&3
    for ((run = 1; run <= runs; run++)); do
        if ((run <= worked)); then [[ $(cat "$heard/$run.code") = 0 ]]; else [[ $(cat "$heard/$run.code") != 0 ]]; fi ||
            { echo "command $run of $worked that work and $runs in all:"; cat "$heard/$run".*; return 1; }
    done
    ! grep -lxE '70|101|1[3-9][0-9]' "$heard"/*.code | head -3
}

if [[ ! -e $lab/robot.json ]]; then
    skip "secrets: THERE ARE NO REGISTRIES"
else
    watch 3>&- >/dev/null 2>&1 &
    watcher=$!
    echo "$watcher" >>"$work/pids"
    succeeding
    worked=$runs
    failing
    setups
    kill "$watcher" && wait "$watcher" 2>/dev/null
    addresses
    check "secrets: all commands ran, none broke" failures
    check "secrets: no password or token in anything that was written" silence
fi
