# shellcheck shell=bash
# The planned GitLab child pipeline, run by gitlab-ci-local from npm against Debian's own registry: jobs in order, green,
# and nothing to be done afterwards. Uses the functions of registry.sh.

family=(debian-13 java-21-debian tomcat-10-debian)
ci=$lab/gitlab

ci_checkout() { # the project as a runner gets it
    rm -rf "$ci"
    mkdir -p "$ci/bin"
    cp -r "$work/project/recipes" "$work/project/base-images" "$ci/"
    target plan.yaml "http://127.0.0.1:${port[plan]}/base" "cache: { repository: base/cache, verify: $lab/plan.pub, sign: $lab/plan.pem }"
    cp "$lab/plan.yaml" "$ci/base-images/registry.yaml"
    ln -s "$SOCKEL" "$ci/bin/sockel"
    git -C "$ci" init -q -b main && git -C "$ci" remote add origin https://gitlab.example.org/platform/images.git &&
        git -C "$ci" add -A && git -C "$ci" -c user.name=ci -c user.email=ci@example.org commit -qm all
}
ci_run() { # ci_run STORE: the pipeline, on a machine with this store
    (cd "$ci" && PATH="$ci/bin:$PATH" SOCKEL_STORE=$1 "$local" --file pipeline.yml --shell-isolation false --concurrency 2 </dev/null) >"$lab/run" 2>&1
}
plan() { "$SOCKEL" -C "$ci" plan "${family[@]}" "$@"; }
runs() { # planned with an empty view of the registry, run to the end
    openssl genpkey -algorithm ed25519 -out "$lab/plan.pem" && openssl pkey -in "$lab/plan.pem" -pubout -out "$lab/plan.pub" || return 1
    ci_checkout || return 1
    (cd "$ci" && "$SOCKEL" plan "${family[@]}" --published --engine gitlab -o pipeline.yml) || return 1
    cat "$ci/pipeline.yml"
    local start
    start=$(now)
    ci_run "$SOCKEL_STORE" || { cat "$lab/run"; return 1; }
    printf '         gitlab-ci-local: %s jobs in %s ms\n' "$(grep -cE '^.?publish:' "$ci/pipeline.yml")" $(($(now) - start)) >&3
    cat "$lab/run"
    # what the registry saw: tags of parents before tags of children
    sleep 0.3
    python3 - "$lab/plan.log" <<'PY'
import re, sys
last = {}
for number, line in enumerate(open(sys.argv[1], errors="replace")):
    if found := re.search(r'"PUT /v2/base/([^/]+)/manifests/(?!sha256)(\S+) HTTP', line):
        if found[1] != "cache":
            last[found[2] if found[1] == "tomcat" else found[1]] = (number, found[1])
order = [name for number, name in sorted(last.values())]
first = [name for i, name in enumerate(order) if name not in order[:i]]
print("tags were put in the order", first)
sys.exit(first != ["debian", "java", "tomcat"])
PY
}
stands() { # every image is there, whole
    local image
    for image in "${family[@]}"; do
        [[ -s $ci/sockel-$image.json || -n $(find "$ci/.gitlab-ci-local" -name "sockel-$image.json" 2>/dev/null) ]] || { echo "no answer of $image"; return 1; }
    done
    skopeo inspect --raw --tls-verify=false "docker://127.0.0.1:${port[plan]}/base/tomcat:10-debian" >/dev/null
}
nothing_left() { # all skipped, with this store and with an empty one, with and without the cache repository
    local answer store
    for store in "$SOCKEL_STORE" "$lab/plan-empty"; do
        answer=$("$SOCKEL" -C "$ci" --store "$store" plan "${family[@]}" --published --engine json 2>"$lab/said") || { cat "$lab/said"; return 1; }
        python3 -c 'import json, sys; p = json.load(sys.stdin); sys.exit(p["jobs"] != [] or len(p["skipped"]) != 3)' <<<"$answer" || { echo "$answer"; return 1; }
        [[ $(grep -c '^skipped .*registry' "$lab/said") = 3 ]] || { cat "$lab/said"; return 1; }
    done
    sed -i '/^cache:/d' "$ci/base-images/registry.yaml"
    answer=$("$SOCKEL" -C "$ci" --store "$lab/plan-empty-2" plan "${family[@]}" --published --engine json 2>"$lab/said") || { cat "$lab/said"; return 1; }
    python3 -c 'import json, sys; p = json.load(sys.stdin); sys.exit(p["jobs"] != [])' <<<"$answer" || { echo "$answer"; return 1; }
    (cd "$ci" && "$SOCKEL" --store "$lab/plan-empty-2" plan "${family[@]}" --published --engine gitlab -o pipeline.yml --quiet) && ci_run "$lab/plan-empty-2" &&
        grep -q 'nothing is to be done for 3 images' "$lab/run" || { cat "$lab/run"; return 1; }
}

# schema ENGINE CRD: plans and our own file obey the definition that the engine brings
schema() {
    local engine=$1 crd=$2
    "$SOCKEL" -C "$work/project" --store "$lab/plan-none" plan --per-platform --engine "$engine" --image h/i:1 --source https://h/x.git \
        --login-secret login --store-claim store -o "$lab/$engine.yaml" --quiet || return 1
    /usr/bin/python3 tests/live/crd.py "$crd" "$lab/$engine.yaml"
}
for engine in argo tekton; do
    crd=SOCKEL_${engine^^}_CRD
    if [[ -z ${!crd:-} ]]; then
        skip "the plan for $engine obeys its schema: $crd does not name the engine's CustomResourceDefinition (YAML)"
    else
        check "the plan for $engine obeys its schema" schema "$engine" "${!crd}"
    fi
done

if ! have docker-registry; then
    skip "a planned pipeline runs: docker-registry is missing"
elif ! have npm || ! have rsync || ! have git; then
    skip "a planned pipeline runs: npm, rsync or git is missing; gitlab-ci-local comes from npm and needs the others"
elif [[ -z ${got[debian-13]:-} || -z ${got[java-21-debian]:-} || -z ${got[tomcat-10-debian]:-} ]]; then
    skip "a planned pipeline runs: the Debian family is not built"
# later versions want a newer Node than Debian 13 has; $GITLAB_CI_LOCAL is one that is there already
elif [[ -z ${GITLAB_CI_LOCAL:-} ]] && ! npm install --prefix "$lab/npm" --no-audit --no-fund --silent gitlab-ci-local@4.62.0 >"$work/log" 2>&1; then
    skip "a planned pipeline runs: GITLAB-CI-LOCAL CANNOT BE INSTALLED: $(tail -1 "$work/log")"
else
    local=${GITLAB_CI_LOCAL:-$lab/npm/node_modules/.bin/gitlab-ci-local}
    port[plan]=$(free_port)
    if serve plan <<<'' >"$work/log" 2>&1; then
        check "gitlab-ci-local runs the planned child pipeline, parents first" runs
        check "its images stand in the registry" stands
        check "nothing is planned afterwards, not by an empty machine either" nothing_left
    else
        bad "docker-registry starts: $(cat "$work/log")"
    fi
fi
