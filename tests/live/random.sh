# shellcheck shell=bash
# Random packages of the real archives, other ones every time: trees and fields against dpkg-deb, trees and owners against
# dpkg with the accounts of the release, the choice of packages against apt. $SOCKEL_SEED repeats a run. The trees are those
# before any recipe: no excludes, nothing generated.

# ci/nightly takes more
trees=${SOCKEL_PACKAGES:-5} choices=$((${SOCKEL_PACKAGES:-5} * 2))
seed=${SOCKEL_SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}

random_archive() { # random_archive NAME KEYS LINE…: apt with folders of its own; LINE is a source without options
    local root=$work/random/$1 keys=$2
    shift 2
    mkdir -p "$root/etc/apt/preferences.d" "$root/state/lists/partial" "$root/cache/archives/partial" "$root/log" "$root/debs"
    : >"$root/status"
    printf '%s\n' "$@" | sed "s#^deb #deb [signed-by=$keys] #" >"$root/etc/apt/sources.list"
    cat >"$root/apt.conf" <<CONF
Dir "$root/";
Dir::Etc "etc/apt/";
Dir::State "state/";
Dir::State::status "$root/status";
Dir::Cache "cache/";
Dir::Log "log/";
APT::Architecture "amd64";
APT::Architectures { "amd64"; };
APT::Install-Recommends "false";
APT::Sandbox::User "";
APT::Get::Always-Include-Phased-Updates "true";
APT::Update::Error-Mode "any";
Acquire::GzipIndexes "false";
Acquire::Languages "none";
Acquire::Retries "1";
Acquire::http::Timeout "20";
CONF
    apt-get -c "$root/apt.conf" update -qq
}
random_debs() { # random_debs NAME: packages, and two with much that is changed on purpose
    local root=$work/random/$1 names
    names=$(python3 tests/live/packages.py choose "$root"/state/lists/*_Packages "$seed" "$trees" 2>"$root/chosen") || { cat "$root/chosen"; return 1; }
    names+=$'\n'passwd$'\n'base-files
    echo "seed $seed: $names"
    paste -sd' ' <<<"$names" >"$root/names"
    # shellcheck disable=SC2086 # one word a package
    (cd "$root/debs" && apt-get -c "$root/apt.conf" download -qq $names) || return 1
}
random_trees() { # random_trees NAME: packages as sockel unpacks them
    local root=$work/random/$1 answer
    random_debs "$1" || return 1
    cargo test --locked --quiet --test live-package -- "$root/store" "$root"/debs/*.deb >"$root/trees" || return 1
    answer=$(python3 tests/live/packages.py compare "$root/trees")
    local code=$?
    printf '         %s: %s: %s\n' "$1" "$(<"$root/names")" "$(head -1 <<<"$answer")" >&3
    echo "$answer"
    return $code
}
random_owners() { # random_owners NAME: the same packages as dpkg unpacks them in a small system of the release
    local root=$work/random/$1 answer
    # what dpkg needs to run, and who is who
    apt-get -c "$root/apt.conf" install -y -qq --download-only dpkg base-passwd base-files coreutils tar dash >/dev/null || return 1
    python3 tests/live/dpkg.py system "$root/system" "$root"/cache/archives/*.deb || return 1
    cargo test --locked --quiet --test live-package -- --accounts "$root/system/etc" "$root/store" \
        "$root"/system/planted.deb "$root"/debs/*.deb >"$root/owners" || return 1
    answer=$(python3 tests/live/dpkg.py compare "$root/system" "$root/owners")
    local code=$?
    printf '         %s: %s\n' "$1" "$(head -1 <<<"$answer")" >&3
    echo "$answer"
    return $code
}
random_choice() { # random_choice NAME: packages as sockel and apt choose what they need
    local answer
    answer=$(cargo test --locked --quiet --test live -- "$work/random/$1/apt.conf" "$choices" "$seed") || return 1
    echo "$answer"
    printf '         %s: %s\n' "$1" "$(tail -1 <<<"$answer")" >&3
    # another choice may be as good, see resolver-differences.md: then apt takes it as well when it is told all of it
    grep '^DIFFERENT' <<<"$answer" | sed 's/^/         /' >&3
    ! grep -E '^DIFFERENT [^ ]+ \([^)]*WRONG' <<<"$answer"
}
random_checks() { # random_checks NAME TITLE CHOOSE KEYS LINE…: without CHOOSE only how packages unpack
    local name=$1 title=$2 choose=$3 started=$SECONDS
    shift 3
    if ! log=$(random_archive "$name" "$@" 2>&1); then
        skip "random packages of $title: AN ARCHIVE CANNOT BE REACHED: $(grep -m1 '^E:' <<<"$log")"
        return
    fi
    check "$trees random packages of $title unpack as with dpkg-deb (SOCKEL_SEED=$seed)" random_trees "$name"
    if ! have chroot || [[ $(id -u) != 0 ]]; then
        skip "random packages of $title as dpkg unpacks them: NOT ROOT, OR CHROOT IS MISSING"
    else
        check "$trees random packages of $title have the owners, modes and times that dpkg gives them" random_owners "$name"
    fi
    if [[ $choose ]]; then
        check "$choices random packages of $title: apt takes what sockel chooses (SOCKEL_SEED=$seed)" random_choice "$name"
    fi
    chmod -R u+w "$work/random/$name" && rm -rf "$work/random/$name"
    printf '         %s: %s s\n' "$name" $((SECONDS - started)) >&3
}

if ! have apt-get || ! have dpkg-deb || ! have cargo || ! have python3; then
    skip "random packages: apt, dpkg-deb, cargo or python3 is missing"
elif ! cargo test --locked --quiet --no-run --test live --test live-package 2>"$work/log"; then
    bad "what compares random packages compiles: $(tail -3 "$work/log")"
else
    keys=$work/project/recipes/keys ubuntu=http://archive.ubuntu.com/ubuntu
    debian=$(debian_archive)
    debian_keys=$(printf '%s,' "$keys"/debian-archive-1[23]-{automatic,stable}.asc | sed 's/,$//')
    random_checks resolute "Ubuntu 26.04" choose "$keys/ubuntu-archive-keyring-2018.asc" \
        "deb $ubuntu resolute main" "deb $ubuntu resolute-updates main" "deb $ubuntu resolute-security main"
    random_checks trixie "Debian 13" choose "$debian_keys" "deb $debian trixie main" "deb $debian trixie-updates main"
    # two releases are sample enough for every day
    if [[ ${SOCKEL_PACKAGES:-} ]]; then
        random_checks noble "Ubuntu 24.04" "" "$keys/ubuntu-archive-keyring-2018.asc" \
            "deb $ubuntu noble main" "deb $ubuntu noble-updates main" "deb $ubuntu noble-security main"
        random_checks bookworm "Debian 12" "" "$debian_keys" "deb $debian bookworm main" "deb $debian bookworm-updates main"
    fi
fi
