# shellcheck shell=bash
# Every edit of two locks of this repository, newly locked: nothing but the named free choices is believed. Without names
# the program edits all of them, which takes minutes.

edited() {
    local copy=$work/edited answer
    rm -rf "$copy"
    cp -r "$work/project" "$copy"
    "$SOCKEL" -C "$copy" lock --quiet >/dev/null || return 1
    answer=$(cargo test --locked --quiet --test live-edits -- "$copy" "$SOCKEL_STORE" ubuntu-26.04 debian-13) || { echo "$answer"; return 1; }
    printf '         %s\n' "$(tail -1 <<<"$answer")" >&3
}

if ! have cargo; then
    skip "edits of locks: cargo is missing"
else
    with_archives "locks are not believed for what somebody writes into them" edited
fi
