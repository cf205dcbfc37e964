#!/usr/bin/env python3
"""Start and memory of our Tomcat image beside Apache's own distribution, with the same JDK, in one run.

    umoci unpack --image out:tomcat-11:11-amd64 bundle && skopeo inspect --config oci:out:tomcat-11:11-amd64 >config.json
    mvn dependency:copy -Dartifact=org.apache.tomcat:tomcat:11.0.21:tar.gz -DoutputDirectory=. && tar xf tomcat-*.tar.gz
    python3 benches/tomcat_start.py --root bundle/rootfs --config config.json --upstream apache-tomcat-11.0.21 [--app FOLDER]

The image runs as tests/live runs it. Upstream runs in the same box with the same Java, with its own configuration and the
options of its own catalina.sh. Both take turns, so that a busy machine is busy for both. Printed are medians.

Java sizes its heap by the memory that it sees. `--memory` tells both the size of a container (-XX:MaxRAM); with the memory of
a large machine, the moment of a garbage collection decides about the resident memory, not Tomcat.
"""

import argparse
import json
import os
import re
import statistics
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "tests", "live"))
from images_box import Image, free_port, get  # noqa: E402

OPENS = ["java.lang", "java.lang.reflect", "java.io", "java.util", "java.util.concurrent"]


def upstream_command(port):
    """What catalina.sh executes, with its port as the only change."""
    return [
        "/usr/bin/java",
        "-Djava.util.logging.config.file=/mnt/conf/logging.properties",
        "-Djava.util.logging.manager=org.apache.juli.ClassLoaderLogManager",
        "-Djdk.tls.ephemeralDHKeySize=2048",
        "-Djava.protocol.handler.pkgs=org.apache.catalina.webresources",
        "-Dorg.apache.catalina.security.SecurityListener.UMASK=0027",
        *[f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in OPENS],
        "--add-opens=java.rmi/sun.rmi.transport=ALL-UNNAMED",
        "--enable-native-access=ALL-UNNAMED",
        "-classpath", "/mnt/bin/bootstrap.jar:/mnt/bin/tomcat-juli.jar",
        "-Dcatalina.base=/mnt", "-Dcatalina.home=/mnt", "-Djava.io.tmpdir=/tmp",
        f"-Dport={port}",
        "org.apache.catalina.startup.Bootstrap", "start",
    ]


def measure(box, page):
    """Returns seconds to the first answer, Tomcat's own milliseconds, MB then, and MB after a JSP was compiled."""
    first = box.wait_for("/hello/static.txt", seconds=120)
    early = box.memory() / 1000
    get(box.port, page)
    late = box.memory() / 1000
    own = int(re.search(r"Server startup in \[([\d,.]+)\]", box.log()).group(1).replace(",", "").replace(".", ""))
    return first, own, early, late


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", required=True)
    parser.add_argument("--config", required=True)
    parser.add_argument("--upstream", required=True, help="the unpacked distribution")
    parser.add_argument("--app", help="folder whose applications are used instead of a JSP of one line")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--memory", default="512m", help="memory that Java sees (default 512m)")
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as work, open(arguments.config, encoding="utf-8") as file:
        os.chmod(work, 0o755)
        applications = os.path.abspath(arguments.app) if arguments.app else os.path.join(work, "apps")
        os.makedirs(applications + "/hello", exist_ok=True)
        for name, text in (("static.txt", "hello"), ("index.jsp", "<%= 6*7 %>")):
            with open(f"{applications}/hello/{name}", "w", encoding="utf-8") as page:
                page.write(text)

        # upstream's port is written in its server.xml, so it is filled in by way of a property
        upstream = os.path.abspath(arguments.upstream)
        server = os.path.join(work, "server.xml")
        with open(upstream + "/conf/server.xml", encoding="utf-8") as original, open(server, "w", encoding="utf-8") as copy:
            copy.write(original.read().replace('port="8080"', 'port="${port}"').replace('port="8005"', 'port="-1"'))
        os.system(f"chmod -R a+rX {work!r} {upstream!r}")

        image = Image(os.path.abspath(arguments.root), json.load(file)["config"], work)
        sized = {"JDK_JAVA_OPTIONS": f"-XX:MaxRAM={arguments.memory}"}
        results = {"sockel": [], "upstream": []}
        for run in range(arguments.runs):
            with image.start(f"sockel-{run}", mounts=[(applications, "/var/lib/tomcat/webapps")], env=sized) as box:
                results["sockel"].append(measure(box, "/hello/"))

            port = free_port()
            mounts = [(upstream, "/mnt"), (server, "/mnt/conf/server.xml"), (applications, "/mnt/webapps")]
            options = {"mounts": mounts, "env": {**sized, "TOMCAT_HTTP_PORT_NUMBER": str(port)}, "tmpfs": ["/mnt/work", "/mnt/logs", "/mnt/temp"]}
            with image.start(f"upstream-{run}", entry=upstream_command(port), **options) as box:
                results["upstream"].append(measure(box, "/hello/"))

        print(f"{'':10} first 200 (s)  startup (ms)  RSS (MB)  RSS after a JSP (MB)")
        medians = {name: [statistics.median(column) for column in zip(*rows)] for name, rows in results.items()}
        for name, (first, own, early, late) in medians.items():
            print(f"{name:10} {first:13.2f} {own:13.0f} {early:9.1f} {late:21.1f}")
        ratios = [ours / theirs for ours, theirs in zip(medians["sockel"], medians["upstream"])]
        print("ratio      " + "".join(f"{ratio:13.2f}" for ratio in ratios))


if __name__ == "__main__":
    main()
