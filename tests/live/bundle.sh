# shellcheck shell=bash
# A bundle of real packages in a real registry, built from with an empty store and no way to any archive; and digests
# written back into a Git checkout, as Kustomize then renders them.

air=$work/air # what belongs to a site without archives
mkdir -p "$air"
dead=http://127.0.0.1:9 # nobody listens there: every archive is out of reach

gapped() { # gapped ARGUMENTS…: an empty store, loopback alone
    rm -rf "$air/store"
    env "http_proxy=$dead" "https_proxy=$dead" no_proxy=127.0.0.1 NO_PROXY=127.0.0.1 \
        "$SOCKEL" -C "$work/project" --store "$air/store" "$@" >"$air/answer" 2>"$air/said" || { local code=$?; tail -5 "$air/said"; return $code; }
}
bundle_is_made() { # bundle_is_made IMAGE…
    local start
    start=$(milliseconds)
    sockel bundle "$@" -o "$bundle" --format json >"$air/bundle.json" 2>"$air/bundle.log" || { tail -5 "$air/bundle.log"; return 1; }
    python3 - "$air/bundle.json" $(($(milliseconds) - start)) <<'PY' >&3
import json, sys
a = json.load(open(sys.argv[1]))
kinds = {}
for f in a["contents"]["files"]:
    n, b = kinds.get(f["kind"], (0, 0)); kinds[f["kind"]] = (n + 1, b + f["size"])
print("         bundle:", a["bytes"] // 1000000, "MB in", sys.argv[2], "ms:", ", ".join(f"{n} {k} ({b // 1000} kB)" for k, (n, b) in sorted(kinds.items())),
      "; proofs:", ", ".join(sorted(p["pocket"] + " " + p["proof"] for p in a["contents"]["pockets"])))
PY
}
bundle_is_steady() { # the same locks, the same digest
    sockel bundle "$@" -o "oci-archive:$air/bundle.tar" --offline --format json 2>"$air/again.log" >"$air/again.json" || { tail -5 "$air/again.log"; return 1; }
    python3 -c 'import json, sys; a, b = (json.load(open(f))["digest"] for f in sys.argv[1:]); sys.exit(a != b)' "$air/bundle.json" "$air/again.json"
}
others_read_it() { # what others make of the artifact
    skopeo inspect --raw --tls-verify=false "docker://127.0.0.1:${port[open]}/bundles/all:1" | python3 -c '
import json, sys
m = json.load(sys.stdin)
sys.exit(m["artifactType"] != "application/vnd.sockel.bundle.v1+json" or len(m["layers"]) < 10)' &&
        skopeo copy --quiet --src-tls-verify=false "docker://127.0.0.1:${port[open]}/bundles/all:1" "oci:$air/copied:1"
}
same_image() { # same_image IMAGE FORM
    local start
    start=$(milliseconds)
    gapped build "$1" --bundle "$2" -o "oci:$air/out" || return 1
    printf '         %s from %s: %s ms\n' "$1" "${2%%:*}" $(($(milliseconds) - start)) >&3
    python3 - "$work/out" "$air/out" "$1" <<'PY'
import json, sys
def digests(folder):
    found = json.load(open(folder + "/index.json"))["manifests"]
    return {m["annotations"]["org.opencontainers.image.ref.name"]: m["digest"] for m in found}
usual, gapped = digests(sys.argv[1]), digests(sys.argv[2])
mine = {name for name in gapped if name.split(":")[0] == sys.argv[3]}
sys.exit(not mine or any(usual.get(name) != gapped[name] for name in mine))
PY
}
written_back() { # a checkout that a cluster follows
    local folder=$air/gitops name=127.0.0.1:${port[open]}/base/java tag digest rendered
    tag=$(tag java-25)
    tag=${tag#*:}
    rm -rf "$folder" && mkdir -p "$folder" && git -C "$folder" init --quiet -b main || return 1
    printf 'apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: a }\nspec:\n  template:\n    spec:\n      containers:\n      - name: a\n        image: java # base\n' >"$folder/deployment.yaml"
    printf 'resources: [ deployment.yaml ]\nimages:\n# the base\n- name: java\n  newName: %s\n  newTag: "%s"\n' "$name" "$tag" >"$folder/kustomization.yaml"
    printf 'image:\n  registry: 127.0.0.1:%s\n  repository: base/java\n  tag: "%s"   # follows\n' "${port[open]}" "$tag" >"$folder/values.yaml"
    git -C "$folder" add . && git -C "$folder" -c user.name=A -c user.email=a@example.org commit --quiet -m first || return 1
    sockel publish java-25 --to "http://127.0.0.1:${port[open]}/base" --write-back "$folder" --write-back-author 'Robot <robot@example.org>' >"$air/answer" 2>"$air/said" || { tail -5 "$air/said"; return 1; }
    [[ $(git -C "$folder" rev-list --count HEAD) = 2 && -z $(git -C "$folder" status --porcelain) ]] || { git -C "$folder" log; return 1; }
    digest=$(skopeo inspect --raw --tls-verify=false "docker://$name:$tag" | sha256sum | cut -d' ' -f1)
    [[ $(git -C "$folder" diff HEAD~1 --numstat | awk '{ print $1, $2 }' | sort -u) = "1 0" ]] || { git -C "$folder" diff HEAD~1; return 1; }
    if have kustomize; then rendered=$(kustomize build "$folder"); else rendered=$(kubectl kustomize "$folder"); fi || return 1
    grep -qF "@sha256:$digest" <<<"$rendered" || { echo "$rendered"; return 1; }
    grep -F image: <<<"$rendered" | sed 's/^ */         rendered: /' >&3
}

if [[ ! ${got[java-25]:-} || ! ${port[open]:-} ]]; then
    skip "bundles: java-25 WAS NOT BUILT, or there is no registry"
else
    bundle=http://127.0.0.1:${port[open]}/bundles/all:1
    if with_archives "bundle java-25 into a registry" bundle_is_made java-25; then
        check "bundle: the same locks, the same digest, offline" bundle_is_steady java-25
        check "bundle: skopeo reads and copies it" others_read_it
        check "bundle: java-25 from the registry, without archives" same_image java-25 "$bundle"
        check "bundle: java-25 from an archive file" same_image java-25 "oci-archive:$air/bundle.tar"
        check "bundle: java-25 from what skopeo copied" same_image java-25 "oci:$air/copied"
        check "bundle: without it there is no build" refused 3 "cannot fetch" gapped build java-25 --locked -o "oci:$air/none"
    fi
    if have kustomize || have kubectl; then
        check "write-back: Kustomize renders the published digest" written_back
    else
        skip "write-back: kustomize or kubectl IS MISSING"
    fi
fi
