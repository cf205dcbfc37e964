# shellcheck shell=bash
# This repository does not rot: the README's first command on the archive of a year to come, in which no locked version is
# left and all scripts have changed. Key and addresses of the archive are replaced, nothing else.

later=$work/next-year
signed_archive() { # an archive that another key signs
    local pocket
    mkdir -m 700 -p "$later/keys" "$later/archive" || return 1
    # what next year's packages are made of has to be there
    sockel build tomcat-11 --refresh --quiet -o "oci:$later/today" >/dev/null || return 1
    local uri
    uri=$(sed -n 's/^    uri: //p' recipes/ubuntu.yaml | head -1)
    for pocket in resolute resolute-updates; do
        curl -sf --max-time 120 "$uri/dists/$pocket/main/binary-amd64/Packages.xz" | xz -dc >"$later/$pocket" || return 77
    done
    python3 tests/live/next_year.py "$work/project/base-images/tomcat-11.lock.yaml" "$SOCKEL_STORE/blobs/sha256" "$later/archive" resolute \
        "$later"/resolute{,-updates} || return 1
    export GNUPGHOME=$later/keys
    gpg --batch --quiet --passphrase '' --quick-generate-key 'Archive of next year <a@example.org>' ed25519 sign 0 || return 1
    for pocket in resolute resolute-updates resolute-security; do
        gpg --batch --quiet --clearsign --output "$later/archive/dists/$pocket/InRelease" "$later/archive/dists/$pocket/Release" || return 1
    done
}
moved_project() { # the committed recipes and locks, for that archive
    local address=$1 fingerprint
    mkdir "$later/project" && cp -r recipes base-images "$later/project/" || return 1
    gpg --batch --armor --export >"$later/project/recipes/keys/ubuntu-archive-keyring-2018.asc"
    fingerprint=$(gpg --batch --with-colons --list-keys | awk -F: '$1 == "fpr" { print $10; exit }')
    sed -i -e "s/F6ECB3762474EDA9D21B7022871920D1991BC93C/$fingerprint/" -e "s#http://\(archive\|security\).ubuntu.com/ubuntu#$address#" \
        "$later/project/recipes/ubuntu.yaml"
}
built_next_year() {
    local port server code=0
    signed_archive || return
    port=$(free_port)
    python3 -m http.server --bind 127.0.0.1 --directory "$later/archive" "$port" >"$later/server.log" 2>&1 &
    server=$!
    echo "$server" >>"$work/pids"
    for _ in $(seq 100); do curl -sfo /dev/null "http://127.0.0.1:$port/dists/resolute/InRelease" && break; sleep 0.1; done
    moved_project "http://127.0.0.1:$port" &&
        no_proxy=127.0.0.1 "$SOCKEL" -C "$later/project" --store "$later/store" build tomcat-11 --refresh -o "oci:$later/out" >"$later/answer" 2>&1 || code=$?
    kill "$server"
    gpgconf --kill gpg-agent
    ((code == 0)) || { tail -20 "$later/answer"; return 1; }
    # all of it is next year's
    ! grep -E '^ +- \{ name:' "$later/project/base-images/tomcat-11.lock.yaml" | grep -v nextyear
}

if ! have gpg || ! have zstd; then
    skip "the repository in a year: GPG OR ZSTD IS MISSING"
else
    with_archives "the README's first command works in a year" built_next_year
fi
