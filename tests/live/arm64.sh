# shellcheck shell=bash
# The arm64 images run as well: JVM and Tomcat in QEMU's user mode, on a machine of another architecture.

arm64_qemu=$(command -v qemu-aarch64-static)

arm64_root() { # arm64_root IMAGE: prints the unpacked root folder
    local bundle=$work/arm64-$1 log=$work/arm64-umoci.log
    [[ -d $bundle ]] || umoci unpack --rootless --image "$work/out-arm64:$(tag "$1" "$work/out-arm64")-arm64" "$bundle" >"$log" 2>&1 || { cat "$log" >&2; return 1; }
    ! grep -i 'warn' "$log" >&2 || return 1
    echo "$bundle/rootfs"
}
arm64_box() { # arm64_box ROOT OPTIONS… -- COMMAND…: as `box`, with QEMU as the program
    local root=$1 options=()
    shift
    while [[ $1 != -- ]]; do options+=("$1"); shift; done
    shift
    # where images have an empty folder, their root is read-only
    box "$root" --ro-bind "$(dirname "$arm64_qemu")" /mnt "${options[@]}" -- /mnt/qemu-aarch64-static "$@"
}
arm64_programs() { # arm64_programs IMAGE: every program and library is one for arm64
    local root
    root=$(arm64_root "$1") || return 1
    python3 - "$root" <<'PY'
import os, sys
count, other = 0, []
for folder, _, names in os.walk(sys.argv[1]):
    for path in (os.path.join(folder, name) for name in names):
        if os.path.isfile(path) and not os.path.islink(path):
            with open(path, "rb") as file:
                head = file.read(20)
            # e_machine of ELF64, little-endian: 183 is EM_AARCH64
            if head[:4] == b"\x7fELF":
                count += 1
                if head[4:6] != b"\x02\x01" or int.from_bytes(head[18:20], "little") != 183:
                    other.append(path)
print(count, "ELF files", *other, sep="\n")
sys.exit(bool(other) or count < 50)
PY
}
arm64_java() { # arm64_java IMAGE VERSION
    local root said
    root=$(arm64_root "$1") || return 1
    said=$(arm64_box "$root" --tmpfs /tmp --setenv LANG C.UTF-8 -- /usr/bin/java -XshowSettings:properties -version 2>&1) || { echo "$said"; return 1; }
    local line
    for line in "openjdk version \"$2" 'os.arch = aarch64' 'file.encoding = UTF-8' 'user.name = app' 'user.home = /home/app'; do
        grep -q "$line" <<<"$said" || { echo "no line with: $line"; echo "$said"; return 1; }
    done
    ! arm64_box "$root" --tmpfs /tmp -- /usr/bin/java -version 2>&1 | grep -i warn
}
arm64_serves() { # arm64_serves IMAGE PORT: Tomcat as the image starts it; compiles a page, ends with SIGTERM
    local image=$1 port=$2 root config entry env=() mounts=() log=$work/$1-arm64.log pid child code start
    root=$(arm64_root "$image") || return 1
    config=$(skopeo --override-arch arm64 inspect --config "oci:$work/out-arm64:$(tag "$image" "$work/out-arm64")-arm64") || return 1
    [[ $(python3 -c 'import json,sys; print(json.load(sys.stdin)["architecture"])' <<<"$config") = arm64 ]] || { echo "another architecture: $config"; return 1; }
    mapfile -t entry < <(python3 -c 'import json,sys; c=json.load(sys.stdin)["config"]; print(*(c["Entrypoint"]+c.get("Cmd",[])), sep="\n")' <<<"$config")
    while IFS='=' read -r name value; do env+=(--setenv "$name" "$value"); done < <(python3 -c 'import json,sys; print(*json.load(sys.stdin)["config"]["Env"], sep="\n")' <<<"$config")
    while read -r path; do mounts+=(--tmpfs "$path"); done < <(python3 -c 'import json,sys; print(*json.load(sys.stdin)["config"]["Labels"]["io.sockel.writable"].split(","), sep="\n")' <<<"$config")
    mkdir -p "$work/app/hello"
    echo 'it works <%= 6*7 %>' >"$work/app/hello/index.jsp"
    start=$(date +%s%N)
    arm64_box "$root" "${mounts[@]}" "${env[@]}" --setenv TOMCAT_HTTP_PORT_NUMBER "$port" \
        --ro-bind "$work/app" /var/lib/tomcat/webapps --chdir /var/lib/tomcat --info-fd 9 -- "${entry[@]}" >"$log" 2>&1 9>"$work/info-$port" &
    pid=$!
    echo "$pid" >>"$work/pids"
    for _ in $(seq 2400); do
        code=$(curl -s -o "$work/page" -w '%{http_code}' "http://127.0.0.1:$port/hello/" || true)
        [[ $code = 200 ]] && break
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    [[ $code = 200 ]] || { echo "no HTTP 200 within four minutes, but $code"; tail -15 "$log"; return 1; }
    echo "         $image: arm64: HTTP 200 after $((($(date +%s%N) - start) / 1000000)) ms in QEMU" >&3
    grep -q 'it works 42' "$work/page" || { echo "the page is another one"; return 1; }
    ! grep -q SEVERE "$log" || { grep SEVERE "$log"; return 1; }
    grep -q 'Server startup in' "$log" || { echo "nothing on the console"; tail -5 "$log"; return 1; }
    child=$(python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["child-pid"])' "$work/info-$port")
    child=$(pgrep -P "$child" | head -1 || echo "$child")
    kill -TERM "${child:-$pid}"
    wait "$pid"
    code=$?
    [[ $code = 143 || $code = 0 ]] || { echo "SIGTERM ended it with $code"; tail -5 "$log"; return 1; }
}

if [[ $arch = arm64 ]]; then
    skip "arm64 in QEMU: this machine is one, see above"
elif [[ -z $arm64_qemu ]]; then
    skip "arm64 images run: QEMU-AARCH64-STATIC IS MISSING (package qemu-user-static)"
elif ! have umoci || ! have skopeo || ! have curl || ! have bwrap || ! bwrap --ro-bind / / --unshare-user true 2>/dev/null; then
    skip "arm64 images run: umoci, skopeo, curl or a working bubblewrap is missing"
else
    for image in java-21-debian tomcat-10-debian; do
        with_archives "build $image for arm64" build "$image" --platform linux/arm64 -o "oci:$work/out-arm64" || continue
        check "$image: programs and libraries are for arm64" arm64_programs "$image"
        check "$image: java 21 on arm64" arm64_java "$image" 21
        [[ $image != tomcat-* ]] || check "$image serves on arm64" arm64_serves "$image" "$(free_port)"
    done
fi
