# shellcheck shell=bash
# The images in situations that users of other images met. `run` sources this and tries a sample; started alone,
# `bash tests/live/images.sh --all` tries every situation on every Tomcat image. images.py has the situations.
images_all=
if [[ ${BASH_SOURCE[0]} = "$0" ]]; then
    source "$(dirname "$0")/harness.sh"
    [[ ${1:-} != --all ]] || images_all=1
    build_all tomcat-11 tomcat-10 tomcat-10-debian
fi

owned() { # owned IMAGE: prints the root folder, unpacked with the owners that files have in the image where that is possible
    local bundle=$work/owned-$1 mode=()
    [[ $(id -u) = 0 ]] || mode=(--rootless)
    [[ -d $bundle ]] || umoci unpack "${mode[@]}" --image "$work/out:$(tag "$1")-$arch" "$bundle" >"$work/umoci.log" 2>&1 || return 1
    # other users than root must be able to start the image
    chmod 755 "$work" "$bundle"
    echo "$bundle/rootfs"
}
situations() { # situations IMAGE [NAME…]: counts what images.py says
    local image=$1 root log=$work/situations-$1 line
    shift
    root=$(owned "$image") || { bad "$image: umoci cannot unpack it"; return; }
    skopeo inspect --config "oci:$work/out:$(tag "$image")-$arch" >"$work/$image.json" || { bad "$image: no configuration"; return; }
    mkdir -m 755 "$log"
    while IFS= read -r line; do
        case $line in
            "ok "*) ok "$image: ${line#ok }" ;;
            "SKIPPED "*) skip "$image: ${line#SKIPPED }" ;;
            "FAILED "*) bad "$image: ${line#FAILED }" ;;
            *) printf '         | %s\n' "$line" ;;
        esac
    done < <(python3 tests/live/images.py --root "$root" --config "$work/$image.json" --work "$log" "$@" 2>&1 || echo "code $?")
}
own_classes() { # own_classes IMAGE: the committed classes are what the image's own compiler makes of their source
    local root made=$work/classes-$1 path
    root=$(unpacked "$1") || return 1
    mkdir "$made"
    path=$(cd "$root" && find usr/share/java -name '*.jar' -type f -printf '/%p:')
    # javac needs the symbols of older Java versions for --release, and the image has none
    box "$root" --tmpfs /tmp --bind "$made" /mnt --ro-bind recipes/tomcat/java /home --setenv LANG C.UTF-8 -- /usr/bin/java \
        -m jdk.compiler/com.sun.tools.javac.Main -Xlint:all,-options,-classfile,-path -source 17 -target 17 -g:none \
        -cp "$path" -d /mnt $(cd recipes/tomcat/java && find io -name '*.java' -printf '/home/%p ') || return 1
    diff -r "$made" recipes/tomcat/classes
}

if have umoci && have skopeo && have bwrap && bwrap --ro-bind / / --unshare-user true 2>/dev/null; then
    for image in tomcat-11 tomcat-10 tomcat-10-debian; do
        [[ ${got[$image]:-} ]] || continue
        if [[ $images_all ]]; then
            situations "$image"
        elif [[ $image = tomcat-11 ]]; then
            situations "$image" sample
        fi
        check "$image: classes of recipes/tomcat are those of their source" own_classes "$image"
    done
else
    skip "situations of images: umoci, skopeo or a working bubblewrap is missing"
fi
[[ ${BASH_SOURCE[0]} != "$0" ]] || finish
