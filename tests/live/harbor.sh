# shellcheck shell=bash
# The whole life of images in a Harbor: set-up, publish, refuse, exempt, promote, rebase, update, prune, quota, read-only mode,
# restart, garbage collection. Also started alone: bash tests/live/harbor.sh
#
# Against the double of the hermetic tests, or against a real Harbor: SOCKEL_LIVE_HARBOR='URL USER PASSWORD' of an
# administrator. It makes projects and robots with names of its own and deletes them at the end. SOCKEL_HARBOR_DISPOSABLE=yes
# allows what others would notice: read-only mode, garbage collection, and a restart by the command in SOCKEL_HARBOR_RESTART.

if [[ -z ${work:-} ]]; then
    source "$(dirname "$0")/harness.sh"
    build_all ubuntu-26.04
    alone=yes
fi
life=$work/harbor
own=sockel-live-$$
mkdir -p "$life/base-images" "$life/secrets"

own_project() { # an image of the project, and two on top of it, of which the upper one changes as the test wants
    local level
    cp -r "$work/project/recipes" "$life/"
    cp "$work"/project/base-images/ubuntu-26.04{,.lock}.yaml "$life/base-images/"
    sed -i '/^variants:/d' "$life/base-images/ubuntu-26.04.yaml"
    for level in lower upper; do
        sed -e "s/^recipe:.*/recipe: $level/" -e "s/^publish:.*/publish: { repository: $level, tags: [ \"26\", \"{fixed}\" ] }/" \
            "$life/base-images/ubuntu-26.04.yaml" >"$life/base-images/$level.yaml"
    done
    recipe lower ubuntu first
    recipe upper lower first
    "$SOCKEL" -C "$life" lock --quiet
}
recipe() { # recipe NAME PARENT TEXT
    cat >"$life/recipes/$1.yaml" <<YAML
name: $1
title: A level of a live test
from: $2
files: { /srv/$1: { content: "$3\\n" } }
YAML
}
changed() { # changed TEXT: the upper image has another file, and another lock from the archives as they were locked
    recipe upper lower "$1"
    as_robots build upper --quiet >"$life/said" 2>&1 || { tail -3 "$life/said"; return 1; }
}
harbor_starts() { # the double, as a process of its own; or what is named. Not in a subshell: it sets variables
    if [[ ${SOCKEL_LIVE_HARBOR:-} ]]; then
        read -r harbor harbor_user harbor_password <<<"$SOCKEL_LIVE_HARBOR"
        return
    fi
    local program
    program=$(test_program it) || return 1
    mkfifo "$life/input"
    "$program" --ignored --exact --nocapture harbor::serve::serves_other_programs <"$life/input" >"$life/double.log" 2>&1 3>&- &
    double=$!
    echo "$double" >>"$work/pids"
    exec 7>"$life/input" # it serves until this is closed
    for _ in $(seq 100); do
        read -r _ harbor harbor_user harbor_password < <(grep -m1 -o 'SERVES .*' "$life/double.log") && return
        sleep 0.1
    done
    return 1
}
by_hand() { no_proxy=127.0.0.1,localhost,${no_proxy:-} python3 tests/live/harbor.py "$harbor" "$harbor_user" "$harbor_password" "$@"; }
settings() { # settings [LINE…]: the registry file
    cat >"$life/base-images/registry.yaml" <<YAML
target: $harbor
projects: { staging: $own-staging, release: $own }
credentials: ../secrets/$own-pipeline.json
release-credentials: ../secrets/$own-freigabe.json
cache: { repository: $own-cache/results, verify: key.pub, sign: key.pem }
setup: { robots: ../secrets, robot-name: $own, labels: [ freigegeben ], staging-storage: 4GiB, release-storage: 4GiB, cache-keep: 30d }
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
        tail -n 5 "$life/answer" "$life/said"
        return 1
    fi
}
of_answer() { python3 -c 'import json, sys; a = json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' "$life/answer" "$1"; }
states() { [[ $(of_answer '" ".join(i["state"] for i in a["images"])') = "$1" ]] || { cat "$life/answer"; return 1; }; }

sets_up() {
    by_hand state >"$life/before" &&
        openssl genpkey -algorithm ed25519 -out "$life/base-images/key.pem" 2>/dev/null &&
        openssl pkey -in "$life/base-images/key.pem" -pubout -out "$life/base-images/key.pub" && settings &&
        as_admin publish --setup --dry-run >"$life/plan" && ! grep ': exists' "$life/plan" && as_admin publish --setup
}
sets_up_again() { as_admin publish --setup >"$life/answer" && ! grep -v ': exists$' "$life/answer"; }
publishes() {
    ends 0 '' as_robots publish --format json && states 'published published published' &&
        of_answer 'a["images"][2]["digest"]' >"$life/first" && of_answer 'a["images"][2]["tags"][-1]' >"$life/fixed"
}
publishes_again() { ends 0 '' as_robots publish --format json && states 'up-to-date up-to-date up-to-date'; }
refuses() { # everything that has a severity stops an image now, and nothing that others pull is changed
    changed refused && settings 'gate: { severity: negligible }' || return 1
    ends 4 'refuses it' as_robots publish upper --format json && states failed || return 1
    [[ $(by_hand released "$own/upper" "$(<"$life/fixed")" freigegeben) = $(<"$life/first") ]]
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
    ends 0 '' as_robots publish upper --format json && states published
}
promotes() { # with its fixed tag and its label, and without the throw-away tag
    local digest
    digest=$(of_answer 'a["images"][0]["digest"]')
    [[ $digest != $(<"$life/first") ]] && by_hand untagged "$own-staging/upper" "$digest" &&
        [[ $(by_hand released "$own/upper" "$(of_answer 'a["images"][0]["tags"][-1]')" freigegeben) = "$digest" ]]
}
rebases() { # an application on the image that was replaced
    by_hand application "$own/upper" "$(<"$life/first")" "$own-staging/web" 1 || return 1
    # applications are not for our robots, and where their bases are is all that has to be known
    printf 'target: %s/%s\n' "$harbor" "$own" >"$life/base-images/registry.yaml"
    ends 0 '' as_admin rebase "$harbor/$own-staging/web:1" --check-files never --format json && [[ $(of_answer 'a["state"]') = rebased ]]
}
updates() { # news of the archives may be published; nothing may fail
    settings 'gate: { severity: critical, fixable-only: true, nothing-found-pass: true }'
    ends 0 '' as_robots update --publish --format json
}
prunes() { ends 0 'removed' as_robots cache prune --registry --days 0; }
keeps_to_quotas() { # found before anything is sent
    changed quota && by_hand quota "$own" 100 || return 1
    ends 3 'storage quota is used up' as_robots publish upper --dry-run && ends 3 'storage quota is used up' as_robots publish upper &&
        by_hand quota "$own" -1 && ends 0 '' as_robots publish upper
}
waits_for_writing() {
    local code=0
    changed read-only && by_hand read-only true || return 1
    ends 3 'Harbor is in read-only mode' as_robots publish upper || code=$?
    by_hand read-only false && ((code == 0)) && ends 0 '' as_robots publish upper
}
outlasts_a_restart() { # while an image is on its way
    local publishing
    changed restart || return 1
    as_robots publish upper --format json >"$life/answer" 2>"$life/said" &
    publishing=$!
    sleep 0.3
    if [[ ${double:-} ]]; then
        kill -STOP "$double" && sleep 5 && kill -CONT "$double"
    else
        bash -c "$SOCKEL_HARBOR_RESTART" >"$life/restart.log" 2>&1
    fi
    wait "$publishing" && states published || { tail -5 "$life/said"; return 1; }
}
collects_garbage() {
    by_hand collect-garbage && ends 0 '' as_robots publish --format json && states 'up-to-date up-to-date up-to-date'
}
leaves_no_trace() { by_hand clean "$own" && by_hand state >"$life/after" && diff "$life/before" "$life/after"; }

if [[ ! ${got[ubuntu-26.04]:-} ]]; then
    skip "the life of images in a Harbor: ubuntu-26.04 could not be built"
elif with_archives "Harbor: a project of its own" own_project; then
    if ! harbor_starts; then
        bad "Harbor: it does not start"
    else
        check "Harbor: set-up" sets_up
        check "Harbor: set-up again changes nothing" sets_up_again
        check "Harbor: three images are published" publishes
        check "Harbor: and not again" publishes_again
        check "Harbor: the gate refuses" refuses
        check "Harbor: an exemption lets pass" exempts
        check "Harbor: promoted with fixed tag and label" promotes
        check "Harbor: rebase of an application" rebases
        with_archives "Harbor: update" updates
        check "Harbor: the cache is pruned" prunes
        check "Harbor: quota" keeps_to_quotas
        if [[ -z ${double:-} && ${SOCKEL_HARBOR_DISPOSABLE:-} != yes ]]; then
            skip "Harbor: read-only mode, restart, garbage collection: SOCKEL_HARBOR_DISPOSABLE DOES NOT SAY yes"
        else
            check "Harbor: read-only mode" waits_for_writing
            if [[ ${double:-} || ${SOCKEL_HARBOR_RESTART:-} ]]; then
                check "Harbor: it is away for some seconds" outlasts_a_restart
            else
                skip "Harbor: a restart: SOCKEL_HARBOR_RESTART NAMES NO COMMAND"
            fi
            if [[ ${double:-} ]]; then
                skip "Harbor: garbage collection: THE DOUBLE HAS NONE"
            else
                check "Harbor: garbage collection leaves what is released" collects_garbage
            fi
        fi
        check "Harbor: it is as it was" leaves_no_trace
        [[ -z ${double:-} ]] || exec 7>&-
    fi
fi
[[ -z ${alone:-} ]] || finish
