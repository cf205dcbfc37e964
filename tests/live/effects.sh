# shellcheck shell=bash
# What dpkg really does when it installs packages with scripts, against the effects that sockel reads. `run` sources this and
# tries a sample on one release; ci/nightly sets $SOCKEL_PACKAGES, and tries as many on four. $SOCKEL_SEED repeats a choice.

effects_count=${SOCKEL_PACKAGES:-20}
effects_seed=${SOCKEL_SEED:-$(date +%s)}
effects_installed() { # effects_installed RELEASE KEYS ADDRESS COMPONENTS
    local system=$work/$1.tar reader
    reader=$(test_program live-scripts) || return 1
    # shellcheck disable=SC2046 # one word a key
    mmdebstrap --quiet --variant=apt $(printf -- '--keyring=%s ' $2) "$1" "$system" "deb $3 $1 $4" || return 77
    python3 tests/live/scripts.py "$reader" "$system" "$effects_count" "$effects_seed" | tee "$work/$1.effects" | tail -20
    local code=${PIPESTATUS[0]}
    printf '         %s: %s\n' "$1" "$(grep -m1 'packages with scripts installed' "$work/$1.effects")" >&3
    return "$code"
}
effects_of() { # effects_of RELEASE KEYS ADDRESS COMPONENTS
    with_archives "$1: dpkg does nothing that no effect predicts (SOCKEL_SEED=$effects_seed)" effects_installed "$@"
}

if ! have mmdebstrap || [[ $(id -u) != 0 ]]; then
    skip "installations by dpkg against predicted effects: NOT ROOT, OR MMDEBSTRAP IS MISSING"
elif ! mknod "$work/null" c 1 3 2>/dev/null; then
    skip "installations by dpkg against predicted effects: NO DEVICES CAN BE MADE HERE, which packages need in a chroot"
else
    effects_debian=$(debian_archive)
    effects_of trixie "$(echo "$PWD"/recipes/keys/debian-archive-1[23]-*.asc)" "$effects_debian" main
    if [[ ${SOCKEL_PACKAGES:-} ]]; then
        effects_of bookworm "$(echo "$PWD"/recipes/keys/debian-archive-1[23]-*.asc)" "$effects_debian" main
        for release in noble resolute; do
            effects_of "$release" "$PWD/recipes/keys/ubuntu-archive-keyring-2018.asc" http://archive.ubuntu.com/ubuntu "main universe"
        done
    fi
fi
