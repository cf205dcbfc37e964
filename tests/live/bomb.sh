# shellcheck shell=bash
# Decompression bombs whose 10 GB are really there and which are met late: too slow for the hermetic tests.

bombs() {
    local said
    said=$(cargo test --locked --quiet --test it -- --ignored --nocapture slow_bombs 2>&1) || { echo "$said"; return 1; }
    grep 'peak of' <<<"$said" | sed 's/^/         /' >&3
    [[ $(grep -c 'peak of' <<<"$said") = 2 ]] || { echo "$said"; return 1; }
}

if ! have cargo; then
    skip "slow bombs: cargo is missing"
elif (($(df --output=avail -k "${TMPDIR:-/tmp}" | tail -1) < 6 << 20)); then
    skip "slow bombs: less than 6 GB of temporary disk space"
else
    check "10 GB in an xz stream are refused below 256 MiB of memory, and leave nothing" bombs
fi
