# shellcheck shell=bash
# The projects of docs/examples: each is built on two distributions as its README says, and used for real. `run` sources this and
# tries two; `bash tests/live/examples.sh [NAME…]` tries some or all, as ci/nightly does, and `bash tests/live/examples.sh --lock`
# writes the committed lock files anew.
examples_wanted=(nginx postgresql) examples_lock=
if [[ ${BASH_SOURCE[0]} = "$0" ]]; then
    source "$(dirname "$0")/harness.sh"
    examples_wanted=()
    if [[ ${1:-} = --lock ]]; then examples_lock=1; else examples_wanted=("$@"); fi
fi
((${#examples_wanted[@]})) || mapfile -t examples_wanted < <(cd docs/examples && printf '%s\n' */ | tr -d /)
examples=$work/examples
mkdir -m 755 "$examples"
chmod 755 "$work"

example() { # example NAME ARGUMENTS…: sockel in the project of an example
    local name=$1
    shift
    "$SOCKEL" -C "$examples/$name" "$@"
}
example_project() { # example_project NAME: the shipped recipes, and the example on top
    mkdir "$examples/$1" && cp -r recipes "$examples/$1/" && cp -r "docs/examples/$1/." "$examples/$1/"
}
example_locks() { # example_locks NAME: writes the committed lock files
    rm -f "docs/examples/$1/base-images/"*.lock.yaml "$examples/$1/base-images/"*.lock.yaml
    example "$1" lock && cp "$examples/$1/base-images/"*.lock.yaml "docs/examples/$1/base-images/"
}
git_server() { # the server that git-ssh clones from: the example with sshd on top
    local project=$examples/git-ssh distribution
    cat >"$project/recipes/git-server.yaml" <<'YAML'
name: git-server
title: Serves the repositories of its user over ssh
from: git-ssh
packages: [ openssh-server, libcrypt1 ]
exclude:
  packages:
    libpam-modules: nobody logs in with a password
    libpam-runtime: nobody logs in with a password
    openssh-sftp-server: not for git
    procps: no service
    runit-helper: no service
    systemd: no service
    ucf: no changes of configuration files
YAML
    cat >>"$project/recipes/scripts.project.yaml" <<'YAML'
  - packages: [ openssh-server, libwrap0, libwtmpdb0 ]
    effects: [ "***" ]
    decision: not-needed
    reason: for this test alone, in which the user starts the server
YAML
    for distribution in ubuntu debian; do
        sed -e 's/^recipe: .*/recipe: git-server/' -e 's/^platforms: .*/platforms: [ linux\/amd64 ]/' -e 's/repository: [a-z-]*/repository: git-server/' \
            "$project/base-images/git-ssh-$distribution.yaml" >"$project/base-images/git-server-$distribution.yaml"
    done
}
example_built() { # example_built NAME: nothing is said of it but of lines of shipped recipes, which serve other images, too
    example "$1" build --refresh --quiet --format json -o "oci:$examples/out" >"$examples/$1.json" || return 1
    python3 - "$examples/$1.json" "docs/examples/$1/recipes" <<'PY'
import json, os, sys
answer = json.load(open(sys.argv[1], encoding="utf-8"))
own = {"recipe " + name.removesuffix(".yaml") for name in os.listdir(sys.argv[2])}
said = [f for image in answer.get("findings", []) for f in image["warnings"]]
said += [f for f in answer.get("without-effect", []) if f"recipe {f['origin'].get('recipe')}" in own]
for finding in said:
    print(finding["finding"], finding["path"], finding["cause"])
sys.exit(bool(said))
PY
}
example_unpacked() { # example_unpacked DISTRIBUTION NAME…: with the owners that files have in the image, where that is possible
    local distribution=$1 folder=$examples/$1 name image mode=()
    shift
    [[ $(id -u) = 0 ]] || mode=(--rootless)
    mkdir -p -m 755 "$folder/images" "$folder/work"
    for name in "$@"; do
        image=$(python3 - "$examples/out" "$name-$distribution" "$arch" <<'PY'
import json, sys
names = [m["annotations"]["org.opencontainers.image.ref.name"] for m in json.load(open(sys.argv[1] + "/index.json"))["manifests"]]
fitting = sorted((n for n in names if n.split(":")[0] == sys.argv[2]), key=lambda n: (not n.endswith(sys.argv[3]), len(n)))
print(fitting[0])
PY
        ) || return 1
        umoci unpack "${mode[@]}" --image "$examples/out:$image" "$folder/images/$name" >"$folder/umoci.log" 2>&1 || { tail -3 "$folder/umoci.log"; return 1; }
        skopeo inspect --config "oci:$examples/out:$image" >"$folder/images/$name.json" || return 1
        chmod 755 "$folder/images/$name"
    done
}
examples_used() { # examples_used DISTRIBUTION NAME…: a line for each, in a network of their own
    local distribution=$1 line apart=(unshare --net) shown
    shift
    [[ $(id -u) = 0 ]] || apart=(unshare --user --map-current-user --keep-caps --net)
    while IFS= read -r line; do
        shown="examples on $distribution: ${line#* }"
        case $line in
            "ok "*) ok "$shown" ;;
            "FAILED "*) bad "$shown" ;;
            *) printf '         | %s\n' "$line" ;;
        esac
    done < <("${apart[@]}" python3 tests/live/examples.py --images "$examples/$distribution/images" --work "$examples/$distribution/work" "$@" 2>&1 ||
        { (($? == 3)) || echo "FAILED the program ended early"; })
}

if [[ $examples_lock ]]; then
    for name in "${examples_wanted[@]}"; do example_project "$name" && check "lock $name" example_locks "$name"; done
elif ! have umoci || ! have skopeo || ! have bwrap || ! bwrap --ro-bind / / --unshare-user true 2>/dev/null; then
    skip "examples: umoci, skopeo or a working bubblewrap is missing"
elif [[ $arch != amd64 ]]; then
    skip "examples: Ubuntu is for amd64"
else
    # Flask asks the database of the example beside it
    needed=("${examples_wanted[@]}")
    if [[ " ${needed[*]} " = *" python-flask "* && " ${needed[*]} " != *" postgresql "* ]]; then needed+=(postgresql); fi
    built=()
    for name in "${needed[@]}"; do
        example_project "$name" || bad "$name: cannot be copied"
        if with_archives "example $name builds on two distributions without a finding" example_built "$name"; then built+=("$name"); fi
        [[ $name != git-ssh ]] || { git_server && with_archives "a server for git-ssh" example "$name" build --quiet -o "oci:$examples/out"; }
    done
    usable=()
    for name in "${examples_wanted[@]}"; do [[ " ${built[*]} " != *" $name "* ]] || usable+=("$name"); done
    extra=()
    if [[ " ${built[*]} " = *" git-ssh "* ]]; then extra+=(git-server); fi
    for distribution in ubuntu debian; do
        if check "examples on $distribution are unpacked" example_unpacked "$distribution" "${built[@]}" "${extra[@]}"; then
            examples_used "$distribution" "${usable[@]}"
        fi
    done
fi
[[ ${BASH_SOURCE[0]} != "$0" ]] || finish examples
