# shellcheck shell=bash
# The whole life of images in a Harbor: set-up, publish, refuse, exempt, promote, update, rebase, prune, quota, restart.
#
# Against the double of the hermetic tests, or against a real Harbor: SOCKEL_LIVE_HARBOR='URL USER PASSWORD' of an
# administrator. It makes projects and robots with names of its own and deletes them at the end. SOCKEL_HARBOR_DISPOSABLE=yes
# allows what others would notice: read-only mode, garbage collection, and a restart by the command in SOCKEL_HARBOR_RESTART.

life=$work/harbor
name=sockel-live-$$
mkdir -p "$life/base-images" "$life/secrets"
cp -r "$work/project/recipes" "$life/"
cp "$work"/project/base-images/{ubuntu-26.04,java-25,tomcat-11}{,.lock}.yaml "$life/base-images/"

harbor_starts() { # the double, as a process of its own; or what is named
    local fifo=$life/stdin
    if [[ ${SOCKEL_LIVE_HARBOR:-} ]]; then
        read -r harbor harbor_user harbor_password <<<"$SOCKEL_LIVE_HARBOR"
        return
    fi
    double=yes
    mkfifo "$fifo"
    cargo test --locked --quiet --test it -- --ignored --exact --nocapture harbor::serve::serves_other_programs <"$fifo" >"$life/double.log" 2>&1 3>&- &
    exec 7>"$fifo" # it serves until this is closed
    for _ in $(seq 3000); do
        read -r _ harbor harbor_user harbor_password < <(grep -m1 '^SERVES' "$life/double.log") && return
        sleep 0.1
    done
    cat "$life/double.log"
    return 1
}
by_hand() { python3 tests/live/harbor.py "$harbor" "$harbor_user" "$harbor_password" "$@"; }
settings() { # settings [LINE…]: the registry file
    cat >"$life/base-images/registry.yaml" <<YAML
target: $harbor
projects: { staging: $name-staging, release: $name }
credentials: ../secrets/$name-pipeline.json
release-credentials: ../secrets/$name-freigabe.json
cache: { repository: $name-cache/results, verify: key.pub, sign: key.pem }
setup: { robots: ../secrets, robot-name: $name, labels: [ freigegeben ], staging-storage: 4GiB, release-storage: 4GiB, cache-keep: 30d }
YAML
    (($# == 0)) || printf '%s\n' "$@" >>"$life/base-images/registry.yaml"
}
as_admin() { SOCKEL_REGISTRY=$harbor SOCKEL_REGISTRY_USER=$harbor_user SOCKEL_REGISTRY_PASSWORD=$harbor_password "$SOCKEL" -C "$life" "$@"; }
as_robots() { "$SOCKEL" -C "$life" "$@"; }
ends() { # ends CODE WORDS COMMAND…: with this exit code and these words
    local wanted=$1 words=$2 code=0
    shift 2
    "$@" >"$life/answer" 2>"$life/said" || code=$?
    if ((code != wanted)) || ! grep -qF -- "$words" "$life/said" "$life/answer"; then
        echo "exit $code instead of $wanted, or no \"$words\":"
        tail -5 "$life/answer" "$life/said"
        return 1
    fi
}
of_answer() { python3 -c 'import json, sys; a = json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' "$life/answer" "$1"; }
states() { [[ $(of_answer '" ".join(i["state"] for i in a["images"])') = "$1" ]] || { cat "$life/answer"; return 1; }; }
change() { # change TEXT: tomcat gets another file, and a lock from the archives as they were locked
    printf 'files: { /etc/tomcat${tomcat}/live.properties: { content: "%s\\n" } }\n' "$1" >"$life/files"
    grep -v '^files: .*live.properties' "$work/project/recipes/tomcat.yaml" | cat - "$life/files" >"$life/recipes/tomcat.yaml"
    as_robots build tomcat-11 --quiet >"$life/said" 2>&1 || { tail -3 "$life/said"; return 1; }
}

sets_up() {
    by_hand state >"$life/before" &&
        openssl genpkey -algorithm ed25519 -out "$life/base-images/key.pem" 2>/dev/null &&
        openssl pkey -in "$life/base-images/key.pem" -pubout -out "$life/base-images/key.pub" &&
        settings && as_admin publish --setup --dry-run >"$life/plan" && ! grep -q ': exists' "$life/plan" && as_admin publish --setup
}
sets_up_again() { as_admin publish --setup >"$life/answer" && ! grep -v ': exists$' "$life/answer"; }
publishes() { ends 0 '' as_robots publish --format json && states 'published published published'; }
publishes_again() { ends 0 '' as_robots publish --format json && states 'up-to-date up-to-date up-to-date'; }
refuses() { # everything that has a severity stops an image now, and nothing that others pull is changed
    before=$(of_answer 'a["images"][2]["digest"]')
    change 'refused' && settings 'gate: { severity: negligible }' || return 1
    ends 4 'refuses it' as_robots publish tomcat-11 --format json && states failed || return 1
    [[ $(by_hand released "$name/tomcat" "$fixed" freigegeben) = "$before" ]]
}
exempts() { # what the gate named, or that nothing was found at all
    settings "$(python3 - "$life/answer" <<'PY'
import json, sys
found = {f["vulnerability"] for i in json.load(open(sys.argv[1]))["images"] for j in i["gate"]["judged"] for f in j["verdict"]["findings"]}
print("gate:\n  severity: negligible\n  nothing-found-pass: true")
if found:
    print("  exemptions:")
for name in sorted(found):
    print(f"    - {{ vulnerability: {name}, reason: a live test, expires: 2099-12-31 }}")
PY
)"
    ends 0 '' as_robots publish tomcat-11 --format json && states published
}
promotes() {
    local digest
    digest=$(of_answer 'a["images"][0]["digest"]')
    [[ $digest != "$before" && $(by_hand released "$name/tomcat" "$(of_answer 'a["images"][0]["tags"][-1]')" freigegeben) = "$digest" ]] &&
        by_hand untagged "$name-staging/tomcat" "$digest"
}
updates() { # news of the archives may be published; nothing may fail
    settings 'gate: { severity: critical, fixable-only: true, nothing-found-pass: true }'
    ends 0 '' as_robots update --publish --format json
}
rebases() {
    by_hand application "$name/tomcat" "$before" "$name-staging/web" 1 || return 1
    ends 0 '' as_admin rebase "$harbor/$name-staging/web:1" --check-files never --format json && [[ $(of_answer 'a["state"]') = rebased ]]
}
prunes() { ends 0 'removed' as_robots cache prune --registry --days 0; }
keeps_to_quotas() { # found before anything is sent
    change 'quota' && by_hand quota "$name" 100 || return 1
    ends 3 'storage quota is used up' as_robots publish tomcat-11 --dry-run && ends 3 'storage quota is used up' as_robots publish tomcat-11 &&
        by_hand quota "$name" -1 && ends 0 '' as_robots publish tomcat-11
}
waits_for_writing() {
    change 'read-only' && by_hand read-only true || return 1
    ends 3 'Harbor is in read-only mode' as_robots publish tomcat-11
    local code=$?
    by_hand read-only false && ((code == 0)) && ends 0 '' as_robots publish tomcat-11
}
collects_garbage() {
    local code=0
    by_hand collect-garbage || code=$?
    ((code == 0)) || return "$code"
    ends 0 '' as_robots publish --format json && states 'up-to-date up-to-date up-to-date'
}
outlasts_a_restart() { # while an image is on its way
    change 'restart' || return 1
    as_robots publish tomcat-11 --format json >"$life/answer" 2>"$life/said" &
    local publishing=$!
    sleep 0.3
    if [[ ${double:-} ]]; then
        local served
        served=$(pgrep -f 'harbor::serve::serves_other_programs' -P "$!" || pgrep -n -f 'exact.*harbor::serve::serves_other_programs')
        kill -STOP "$served" && sleep 5 && kill -CONT "$served"
    else
        bash -c "$SOCKEL_HARBOR_RESTART" >"$life/restart.log" 2>&1
    fi
    wait $publishing && states published || { tail -5 "$life/said"; return 1; }
}
leaves_no_trace() {
    by_hand clean "$name" && by_hand state >"$life/after" && diff "$life/before" "$life/after"
}

if [[ ! ${got[tomcat-11]:-} ]]; then
    skip "the life of images in a Harbor: tomcat-11 could not be built"
elif ! check "Harbor: it is there" harbor_starts; then
    :
else
    harbor_starts_in=${double:+the double}
    check "Harbor: set-up" sets_up
    check "Harbor: set-up again changes nothing" sets_up_again
    check "Harbor: three images are published" publishes
    fixed=$(of_answer 'a["images"][2]["tags"][-1]')
    check "Harbor: and not again" publishes_again
    check "Harbor: the gate refuses" refuses
    check "Harbor: an exemption lets pass" exempts
    check "Harbor: promoted with fixed tag and label" promotes
    check "Harbor: rebase of an application" rebases
    with_archives "Harbor: update" updates
    check "Harbor: the cache is pruned" prunes
    check "Harbor: quota" keeps_to_quotas
    if [[ ${double:-} || ${SOCKEL_HARBOR_DISPOSABLE:-} = yes ]]; then
        check "Harbor: read-only mode" waits_for_writing
        if [[ ${double:-} || ${SOCKEL_HARBOR_RESTART:-} ]]; then
            check "Harbor: an interruption of five seconds" outlasts_a_restart
        else
            skip "Harbor: a restart: SOCKEL_HARBOR_RESTART NAMES NO COMMAND"
        fi
        if [[ ${double:-} ]]; then
            skip "Harbor: garbage collection: THE DOUBLE HAS NONE"
        else
            check "Harbor: garbage collection leaves what is released" collects_garbage
        fi
    else
        skip "Harbor: read-only mode, restart, garbage collection: SOCKEL_HARBOR_DISPOSABLE DOES NOT SAY yes"
    fi
    check "Harbor: it is as it was" leaves_no_trace
fi
exec 7>&- 2>/dev/null
