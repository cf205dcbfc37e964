# shellcheck shell=bash
# The images in situations that users of other images met. `run` sources this and tries a sample; started alone,
# `bash tests/live/images.sh --all` tries every situation on every image. images.py has the situations.
images_all=
if [[ ${BASH_SOURCE[0]} = "$0" ]]; then
    source "$(dirname "$0")/harness.sh"
    [[ ${1:-} != --all ]] || images_all=1
    build_all tomcat-11 tomcat-10 tomcat-10-debian java-25 java-21 java-21-debian ubuntu-26.04 ubuntu-24.04 debian-13
fi

owned() { # owned IMAGE: prints the root folder, unpacked with the owners that files have in the image where that is possible
    local bundle=$work/owned-$1 mode=()
    [[ $(id -u) = 0 ]] || mode=(--rootless)
    [[ -d $bundle ]] || umoci unpack "${mode[@]}" --image "$work/out:$(tag "$1")-$arch" "$bundle" >"$work/umoci.log" 2>&1 || return 1
    # other users than root must be able to start the image
    chmod 755 "$work" "$bundle"
    echo "$bundle/rootfs"
}
counted() { # counted IMAGE COMMAND…: counts what a program says of an image, a line for each situation
    local image=$1 line
    shift
    while IFS= read -r line; do
        case $line in
            "ok "*) ok "$image: ${line#ok }" ;;
            "SKIPPED "*) skip "$image: ${line#SKIPPED }" ;;
            "FAILED "*) bad "$image: ${line#FAILED }" ;;
            *) printf '         | %s\n' "$line" ;;
        esac
    done < <("$@" 2>&1 || { (($? == 3)) || echo "FAILED the program ended early"; }) # 3: it has said what failed
}
tried() { # tried IMAGE PROGRAM ARGUMENT…: unpacks an image, and counts what a program of this folder says of it
    local image=$1 program=$2 root log=$work/$2-$1
    shift 2
    root=$(owned "$image") || { bad "$image: umoci cannot unpack it"; return 0; }
    skopeo inspect --config "oci:$work/out:$(tag "$image")-$arch" >"$work/$image.json" || { bad "$image: no configuration"; return 0; }
    mkdir -m 755 "$log"
    counted "$image" python3 "tests/live/$program" --root "$root" --config "$work/$image.json" --work "$log" "$@"
}
applications() { # applications IMAGE: the applications of tests/live/apps on an image as it is
    local wars=$work/wars
    if [[ ! -d $wars ]]; then
        cp -r tests/live/apps "$wars" && chmod 755 "$wars" || return 1
        (cd "$wars" && mvn -B -q package && mvn -B -q dependency:copy-dependencies -DincludeArtifactIds=postgresql -DoutputDirectory=driver) >"$work/mvn.log" 2>&1 ||
            { bad "Maven cannot build tests/live/apps"; tail -5 "$work/mvn.log"; return 1; }
        chmod -R a+rX "$wars"
    fi
    tried "$1" images_apps.py --wars "$wars"
}
variant() { # variant IMAGE RECIPE WITH NAME…: builds an image with these parameters, and tries what they promise
    local image=$1 recipe=$2 with=$3
    shift 3
    printf 'recipe: %s\nwith: { %s }\nplatforms: [ linux/%s ]\npublish: { repository: %s, tags: [ "1" ] }\npurpose: test\n' \
        "$recipe" "$with" "$arch" "$image" >"$variants/base-images/$image.yaml"
    echo 'owner: { name: test, contact: test@example.org }' >>"$variants/base-images/$image.yaml"
    with_archives "lock $image" "$SOCKEL" -C "$variants" lock -q "$image" || return 0
    with_archives "build $image" "$SOCKEL" -C "$variants" build -q "$image" -o "oci:$work/out" || return 0
    tried "$image" images_variants.py "$@"
}
packages_back() { # each package that recipes/java.yaml says comes back by request, on all releases
    local release
    cat >"$variants/recipes/back.yaml" <<'YAML'
name: back
title: Packages that recipe java leaves out
from: java
parameters:
  time64: { default: t64, allowed: [ t64, before ], title: Suffix of packages since the change of time_t }
  suffix: { from: time64, map: { t64: t64, before: "" } }
packages: [ libnss3, libpcsclite1, "libcups2${suffix}", "libasound2${suffix}" ]
YAML
    for release in 'ubuntu: "26.04", java: 25' 'ubuntu: "24.04", java: 21' 'debian: "13", java: 21' 'debian: "12", java: 17, time64: before'; do
        variant "back-$(tr -cd '0-9' <<<"${release%%,*}")" back "$release" packages_back
    done
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
            tried "$image" images.py
            if have mvn; then applications "$image"; else skip "$image: applications: Maven is missing"; fi
        elif [[ $image = tomcat-11 ]]; then
            tried "$image" images.py sample
        fi
        if [[ $images_all || $image = tomcat-11 ]]; then
            check "$image: classes of recipes/tomcat are those of their source" own_classes "$image"
        fi
    done
    # a project of its own: the other lane locks and builds everything in the shared one
    variants=$work/variants
    mkdir "$variants"
    cp -r recipes base-images "$variants/"
    variant json-tomcat tomcat 'ubuntu: "26.04", fonts: true, access-log: json, log-format: json' lines_of_json pictures
    if [[ $images_all ]]; then
        for image in ubuntu-26.04 ubuntu-24.04 debian-13; do
            if ! have cc; then skip "$image: no C compiler"; elif [[ ${got[$image]:-} ]]; then tried "$image" images_variants.py base_situations; fi
        done
        for image in java-25 java-21 java-21-debian; do
            [[ ! ${got[$image]:-} ]] || tried "$image" images_variants.py java_situations
        done
        variant text-tomcat tomcat 'debian: "13", java: 21, tomcat: 10, fonts: true, access-log: text' access_as_text pictures
        variant open-tomcat tomcat 'ubuntu: "26.04", http2: true, unpack-wars: true, health-path: /live' http2_without_tls war_unpacked_at_the_start other_health_path
        variant fonts-noble java 'ubuntu: "24.04", java: 21, fonts: true' pictures
        variant fonts-bookworm java 'debian: "12", java: 17, fonts: true' pictures
        packages_back
    fi
else
    skip "situations of images: umoci, skopeo or a working bubblewrap is missing"
fi
[[ ${BASH_SOURCE[0]} != "$0" ]] || finish
