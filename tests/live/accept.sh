# shellcheck shell=bash
# What other tools make of the images: skopeo, umoci, podman, buildah; a JVM that meets our own certificate authority.

silent() { # silent COMMAND…: works, and warns of nothing
    local log
    log=$("$@" 2>&1 >/dev/null) || { echo "$log"; return 1; }
    ! grep -i 'warn' <<<"$log"
}
storage=(--root "$work/storage" --runroot "$work/storage-run" --storage-driver vfs)

if [[ ${got[tomcat-11]:-} ]]; then
    name=$(tag tomcat-11)
    sockel build tomcat-11 --quiet --platform linux/amd64 -o "oci-archive:$work/t.oci.tar" -o "docker-archive:$work/t.docker.tar" >/dev/null
    sockel build tomcat-11 --quiet --platform linux/amd64 --compression zstd -o "oci:$work/zstd" >/dev/null
    if have skopeo; then
        check "skopeo inspects the layout" silent skopeo inspect "oci:$work/out:$name"
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
    else
        skip "podman is missing"
    fi
    if have buildah; then
        check "buildah builds from the layout" silent buildah "${storage[@]}" from --quiet "oci:$work/out:$name"
    else
        skip "buildah is missing"
    fi
fi

if /usr/bin/python3 -c 'import jsonschema' 2>/dev/null; then
    check "all documents are valid by the image-spec's schemas" /usr/bin/python3 tests/live/schema.py "$work/out" tests/fixtures/image-spec
else
    skip "JSON Schemas of the image-spec: Python's jsonschema is missing"
fi

# a server whose certificate authority only our own image knows
tls() {
    local extra=$work/extra root port=18443
    cp -r "$work/project" "$extra"
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj '/CN=Test CA of this run' -keyout "$work/ca.key" \
        -out "$extra/recipes/certificates/test-ca.pem" -addext 'basicConstraints=critical,CA:TRUE' 2>/dev/null || return 1
    openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout "$work/server.key" -out "$work/server.csr" 2>/dev/null
    openssl x509 -req -in "$work/server.csr" -CA "$extra/recipes/certificates/test-ca.pem" -CAkey "$work/ca.key" -days 1 \
        -CAcreateserial -CAserial "$work/ca.srl" -extfile <(echo 'subjectAltName=DNS:localhost') -out "$work/server.pem" 2>/dev/null || return 1
    "$SOCKEL" -C "$extra" build java-25 --quiet --offline -o "oci:$work/extra-out" >/dev/null || return 1
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
    grep -q BEGIN "$root/etc/ssl/certs/ca-certificates.crt"
    openssl verify -CAfile "$root/etc/ssl/certs/ca-certificates.crt" "$work/server.pem" || return 1
    box "$root" --tmpfs /tmp --ro-bind "$work/classes" /mnt -- /usr/bin/java -cp /mnt Fetch "https://localhost:$port/" | grep -q 200 || return 1
    # and the image without it refuses
    ! box "$(unpacked tomcat-11)" --tmpfs /tmp --ro-bind "$work/classes" /mnt -- /usr/bin/java -cp /mnt Fetch "https://localhost:$port/" >/dev/null 2>&1
}
if [[ ${got[tomcat-11]:-} ]] && have javac && have openssl && have umoci && have bwrap; then
    check "Java and OpenSSL trust our own CA, and only where it is" tls
else
    skip "TLS with our own CA: javac, openssl, umoci or bwrap is missing"
fi

# people who still install on top; root in the box only, which maps to the caller
installs() { # installs IMAGE PACKAGE
    local root
    root=$(unpacked "$1") || return 1
    bwrap --bind "$root" / --proc /proc --dev /dev --perms 1777 --tmpfs /tmp --cap-add ALL --ro-bind /etc/resolv.conf /etc/resolv.conf --die-with-parent \
        --setenv PATH /usr/sbin:/usr/bin:/sbin:/bin --setenv DEBIAN_FRONTEND noninteractive -- \
        /bin/sh -c "test -z \"\$(dpkg --audit)\" && apt-get update -qq && apt-get install -y -qq --no-install-recommends $2 && $2 --version"
}
if [[ $(id -u) = 0 ]] && have bwrap && have umoci && [[ ${got[tomcat-11-dev]:-} ]]; then
    check "apt-get install works on tomcat-11-dev" installs tomcat-11-dev hello
else
    skip "apt-get install on a dev image: not root, or bwrap or umoci is missing"
fi
