# shellcheck shell=bash
# What other tools make of the images: skopeo, umoci, podman, buildah; a JVM that meets our own certificate authority.

configured() { # configured COMMAND…: prints a configuration; user as numbers, environment and labels are there
    local config
    config=$("$@") || return 1
    python3 - "$config" <<'PY'
import json, re, sys
config = json.loads(sys.argv[1])
config = config.get("config", config)
assert re.fullmatch(r"[1-9][0-9]*:[1-9][0-9]*", config["User"]), config["User"]
names = {e.split("=")[0] for e in config["Env"]}
assert {"PATH", "LANG", "JAVA_HOME", "SSL_CERT_FILE", "CATALINA_BASE"} <= names, names
labels = config["Labels"]
for label in ("io.sockel.writable", "org.opencontainers.image.created", "org.opencontainers.image.version", "org.opencontainers.image.title"):
    assert labels.get(label), f"no label {label}"
assert config["StopSignal"] == "SIGTERM" and "8080/tcp" in config["ExposedPorts"], config
PY
}
storage=(--root "$work/storage" --runroot "$work/storage-run" --storage-driver vfs)

if [[ ${got[tomcat-11]:-} ]]; then
    name=$(tag tomcat-11)
    sockel build tomcat-11 --quiet --platform linux/amd64 -o "oci-archive:$work/t.oci.tar" -o "docker-archive:$work/t.docker.tar" >/dev/null
    sockel build tomcat-11 --quiet --platform linux/amd64 --compression zstd -o "oci:$work/zstd" >/dev/null
    if have skopeo; then
        check "skopeo inspects the layout" silent skopeo inspect "oci:$work/out:$name"
        check "skopeo reads user, environment and labels" configured skopeo inspect --config "oci:$work/out:$name"
        check "skopeo copies the layout" silent skopeo copy -q "oci:$work/out:$name" "dir:$work/dir1"
        check "skopeo copies the OCI archive" silent skopeo copy -q "oci-archive:$work/t.oci.tar" "dir:$work/dir2"
        check "skopeo copies the Docker archive" silent skopeo copy -q "docker-archive:$work/t.docker.tar" "dir:$work/dir3"
        check "skopeo copies zstd layers" silent skopeo copy -q "oci:$work/zstd:$name" "dir:$work/dir4"
    else
        skip "skopeo is missing"
    fi
    if have podman; then
        check "podman loads the OCI archive" silent podman "${storage[@]}" load -q -i "$work/t.oci.tar"
        check "podman loads the Docker archive" silent podman "${storage[@]}" load -q -i "$work/t.docker.tar"
        check "podman reads user, environment and labels" configured podman "${storage[@]}" image inspect --format '{{json .Config}}' "localhost/$name"
    else
        skip "podman is missing"
    fi
    if have buildah; then
        check "buildah builds from the layout" silent buildah "${storage[@]}" from --isolation chroot --quiet "oci:$work/out:$name"
    else
        skip "buildah is missing"
    fi
fi

# a server whose certificate authority only our own image knows
tls() {
    local extra=$work/extra root port
    port=$(free_port)
    cp -r "$work/project" "$extra"
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj '/CN=Test CA of this run' -keyout "$work/ca.key" \
        -out "$extra/recipes/certificates/test-ca.pem" -addext 'basicConstraints=critical,CA:TRUE' 2>/dev/null || return 1
    openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout "$work/server.key" -out "$work/server.csr" 2>/dev/null
    openssl x509 -req -in "$work/server.csr" -CA "$extra/recipes/certificates/test-ca.pem" -CAkey "$work/ca.key" -days 1 \
        -CAcreateserial -CAserial "$work/ca.srl" -extfile <(echo 'subjectAltName=DNS:localhost') -out "$work/server.pem" 2>/dev/null || return 1
    "$SOCKEL" -C "$extra" build java-25 --quiet --refresh -o "oci:$work/extra-out" >/dev/null || return 1
    umoci unpack --rootless --image "$work/extra-out:java-25:25-amd64" "$work/bundle-extra" >/dev/null 2>&1 || return 1
    mkdir -p "$work/classes"
    cat >"$work/Fetch.java" <<'JAVA'
public class Fetch {
    public static void main(String[] a) throws Exception {
        System.out.println(((java.net.HttpURLConnection) new java.net.URL(a[0]).openConnection()).getResponseCode());
    }
}
JAVA
    javac --release 17 -d "$work/classes" "$work/Fetch.java" 2>/dev/null || return 1
    openssl s_server -quiet -accept "127.0.0.1:$port" -www -cert "$work/server.pem" -key "$work/server.key" >/dev/null 2>&1 3>&- &
    echo $! >>"$work/pids"
    sleep 1
    root=$work/bundle-extra/rootfs
    openssl verify -no-CApath -no-CAstore -CAfile "$root/etc/ssl/certs/ca-certificates.crt" "$work/server.pem" || return 1
    box "$root" --tmpfs /tmp --ro-bind "$work/classes" /mnt -- /usr/bin/java -cp /mnt Fetch "https://localhost:$port/" >"$work/tls" 2>&1 &&
        grep -qx 200 "$work/tls" || { echo "refused:"; cat "$work/tls"; return 1; }
    # and the image without it refuses, for this reason and no other
    if box "$(unpacked java-25)" --tmpfs /tmp --ro-bind "$work/classes" /mnt -- /usr/bin/java -cp /mnt Fetch "https://localhost:$port/" >"$work/tls" 2>&1; then
        echo "an image without the certificate accepts the server"
        return 1
    fi
    grep -q 'PKIX path building failed' "$work/tls" || { cat "$work/tls"; return 1; }
    ! openssl verify -no-CApath -no-CAstore -CAfile "$(unpacked java-25)/etc/ssl/certs/ca-certificates.crt" "$work/server.pem" 2>/dev/null
}
if [[ ${got[java-25]:-} ]] && have javac && have openssl && have umoci && have bwrap; then
    check "Java and OpenSSL trust our own CA, and only where it is" tls
else
    skip "TLS with our own CA: javac, openssl, umoci or bwrap is missing"
fi

# people who still install on top; root in the box only, which maps to the caller
installs() { # installs IMAGE PACKAGE
    local root log=$work/$1-apt.log
    root=$(unpacked "$1") || return 1
    in_dev "$root" 'test -z "$(dpkg --audit)" && ls -l /bin/sh && bash -c "echo {a,b}"' || { echo "no sound shell and dpkg"; return 1; }
    # as sources of the image say; where they cannot be reached from here, the mirror that this machine uses itself
    if ! in_dev "$root" 'apt-get update -qq -o Acquire::Retries=0 -o Acquire::http::Timeout=20 -o APT::Update::Error-Mode=any' >"$log" 2>&1; then
        local mirror
        mirror=$(own_mirror)
        [[ $1 = *debian* && $mirror ]] || { cat "$log"; return 1; }
        echo "         $1: its sources cannot be reached from here, with this machine's mirror instead" >&3
        sed -i -E "s#^URIs: .*/debian(/?)\$#URIs: $mirror#" "$root"/etc/apt/sources.list.d/*.sources
        in_dev "$root" 'apt-get update -qq' || return 1
    fi
    in_dev "$root" "apt-get install -y -qq --no-install-recommends $2 && $2 --version && test -z \"\$(dpkg --audit)\""
}
in_dev() { # in_dev ROOT SCRIPT
    bwrap --bind "$1" / --proc /proc --dev /dev --perms 1777 --tmpfs /tmp --cap-add ALL --ro-bind /etc/resolv.conf /etc/resolv.conf --die-with-parent \
        --setenv PATH /usr/sbin:/usr/bin:/sbin:/bin --setenv DEBIAN_FRONTEND noninteractive -- /bin/sh -c "$2"
}
for image in tomcat-11-dev debian-13-dev; do
    if [[ $(id -u) = 0 && ${got[$image]:-} ]] && have bwrap && have umoci; then
        check "apt-get install works on $image" installs "$image" hello
    else
        skip "apt-get install on $image: not root, not built, or bwrap or umoci is missing"
    fi
done
