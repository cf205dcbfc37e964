"""What the users of other Tomcat and Java images ran into, tried on ours. `images.sh` calls it; see there."""

import http.client
import os
import re
import shutil
import socket
import subprocess
import threading
import time

from images_box import Box, get, main

WEBAPPS = "/var/lib/tomcat/webapps"
#: Long enough to outlast every stop that does not wait for it.
SLOW_MILLISECONDS = 6000


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def make_applications(work):
    """Returns folders for webapps: one that works, one with a listener and one with a servlet that cannot be loaded."""
    good, no_listener, no_servlet = (os.path.join(work, name) for name in ("good", "no-listener", "no-servlet"))
    write(good + "/hello/index.jsp", "it works <%= 6*7 %> <%= request.getRemoteAddr() %> <%= request.getScheme() %>")
    write(good + "/hello/slow.jsp", '<% Thread.sleep(Long.parseLong(request.getParameter("ms"))); %>done')
    write(good + "/hello/full.jsp", "<% java.util.List<byte[]> all = new java.util.ArrayList<>(); while (true) all.add(new byte[1 << 20]); %>")
    write(good + "/hello/fetch.jsp", '<%= new String(new java.net.URL(request.getParameter("url")).openStream().readAllBytes()) %>')
    write(
        good + "/hello/write.jsp",
        '<% for (String name : new String[] {System.getProperty("catalina.base") + "/logs/x", System.getProperty("user.home") + "/x",'
        ' "work/x", System.getProperty("java.io.tmpdir") + "/x"}) new java.io.FileWriter(name).close(); %>written',
    )
    write(no_listener + "/broken/WEB-INF/web.xml", "<web-app><listener><listener-class>no.Such</listener-class></listener></web-app>")
    write(no_listener + "/hello/index.jsp", "fine")
    write(
        no_servlet + "/broken/WEB-INF/web.xml",
        "<web-app><servlet><servlet-name>a</servlet-name><servlet-class>no.Such</servlet-class>"
        "<load-on-startup>1</load-on-startup></servlet></web-app>",
    )
    for folder, _, _ in os.walk(work):
        os.chmod(folder, 0o755)
    return good, no_listener, no_servlet


class Situations:
    def __init__(self, image, work):
        self.image, self.work = image, work
        self.good, self.no_listener, self.no_servlet = make_applications(work)
        self.mounts = [(self.good, WEBAPPS)]

    def _start(self, name, **options) -> Box:
        options.setdefault("mounts", self.mounts)
        return self.image.start(name, **options)

    # --- the end of the process

    def request_in_flight_ends_before_the_process(self):
        with self._start("in-flight") as box:
            box.wait_for()
            idle = [http.client.HTTPConnection("127.0.0.1", box.port) for _ in range(5)]
            for connection in idle:
                connection.request("GET", "/hello/")
                connection.getresponse().read()

            answers = []
            slow = threading.Thread(target=lambda: answers.append(get(box.port, f"/hello/slow.jsp?ms={SLOW_MILLISECONDS}")))
            slow.start()
            time.sleep(1)
            box.terminate()
            time.sleep(0.5)
            assert get(box.port, "/hello/")[0] == 0, "new connections are taken after SIGTERM"
            code, seconds = box.ended(25)
            slow.join()
            assert answers == [(200, "done")], f"the request was lost: {answers}"
            assert code == 143, f"exit code {code}"
            assert seconds < SLOW_MILLISECONDS / 1000 + 2, f"it took {seconds:.1f} s"

    def ends_at_once_when_idle(self):
        with self._start("idle") as box:
            box.wait_for()
            connection = http.client.HTTPConnection("127.0.0.1", box.port)
            connection.request("GET", "/hello/")
            connection.getresponse().read()
            box.terminate()
            code, seconds = box.ended(25)
            assert code == 143 and seconds < 1, f"exit code {code} after {seconds:.1f} s"

    def grace_time_is_a_limit(self):
        with self._start("grace", env={"TOMCAT_GRACE_SECONDS": "1"}) as box:
            box.wait_for()
            slow = threading.Thread(target=get, args=(box.port, "/hello/slow.jsp?ms=30000"))
            slow.start()
            time.sleep(0.5)
            box.terminate()
            _, seconds = box.ended(25)
            slow.join()
            # Tomcat gives a thread that it interrupts some seconds of its own
            assert 1 <= seconds < 12, f"it took {seconds:.1f} s"
            assert "1 requests did not end within 1 s" in box.log(), box.log()[-800:]

    # --- the start of the process

    def failed_start_ends_the_process(self):
        for name, applications in (("listener", self.no_listener), ("servlet", self.no_servlet)):
            with self._start("failed-" + name, mounts=[(applications, WEBAPPS)]) as box:
                code, _ = box.ended(60)
                assert code == 1, f"{name}: exit code {code}"
                assert "cannot start the application at `/broken`" in box.log(), box.log()[-800:]

        with socket.socket() as taken:
            taken.bind(("0.0.0.0", 0))
            taken.listen()
            with self._start("taken", env={"TOMCAT_HTTP_PORT_NUMBER": str(taken.getsockname()[1])}) as box:
                code, _ = box.ended(60)
                assert code == 1, f"port taken: exit code {code}"

    def health_path_knows_the_applications(self):
        with self._start("up") as box:
            box.wait_for("/-/health")
            assert get(box.port, "/hello/")[0] == 200, "the port opens before the applications are there"
        options = {"mounts": [(self.no_listener, WEBAPPS)], "env": {"TOMCAT_EXIT_ON_FAILURE": "false"}}
        with self._start("down", **options) as box:
            box.wait_for("/hello/")
            assert get(box.port, "/-/health")[0] == 503, "an application is missing, and nobody says so"

    def bad_values_end_the_process(self):
        env = {"TOMCAT_HTTP_PORT_NUMBER": "0", "TOMCAT_MAX_THREADS": "many", "TOMCAT_PROXIES": "(", "TOMCAT_GRACE_SECONDS": "-1"}
        with self._start("bad-values", env=env) as box:
            code, _ = box.ended(60)
            assert code == 1, f"exit code {code}"
            missing = [name for name in env if f"cannot use {name}" not in box.log()]
            assert not missing, f"no message about {missing}"

    # --- users, folders, memory

    def foreign_user_of_group_0(self):
        if os.getuid() != 0:
            return "only root can start a container as another user"
        for name, options in (("foreign", {}), ("foreign-bare", {"no_mounts": True, "writable_root": True})):
            with self._start(name, user=(1000680000, 0), **options) as box:
                box.wait_for()
                status, text = get(box.port, "/hello/write.jsp")
                assert status == 200, f"{name}: {status}: {box.log()[-800:]}"
        return None

    def writable_paths_are_enough(self):
        with self._start("write") as box:
            box.wait_for()
            assert get(box.port, "/hello/write.jsp")[0] == 200, box.log()[-800:]

    def out_of_memory_ends_with_a_dump(self):
        dumps = os.path.join(self.work, "dumps")
        os.makedirs(dumps)
        os.chmod(dumps, 0o777)
        options = {"env": {"JDK_JAVA_OPTIONS": "-Xmx48m -XX:+HeapDumpOnOutOfMemoryError"}}
        with self._start("full", mounts=self.mounts + [(dumps, "/tmp")], writable_mounts=True, **options) as box:
            box.wait_for()
            get(box.port, "/hello/full.jsp")
            code, _ = box.ended(60)
        found = os.listdir(dumps)
        assert code == 3, f"exit code {code}"
        assert any(name.endswith(".hprof") for name in found), f"no heap dump, but {found}"

    def heap_follows_the_options(self):
        for options, expected in (("", 70), ("-XX:MaxRAMPercentage=33", 33)):
            env = {"JDK_JAVA_OPTIONS": options} if options else {}
            args = ["/usr/bin/java", "-XX:Flags=/etc/java/vm-flags", "-XX:+PrintFlagsFinal", "-version"]
            code, text = self.image.run("heap", args, env=env)
            assert code == 0 and re.search(rf"MaxRAMPercentage += {expected}\.0", text), text[-800:]

    # --- settings

    def proxies_are_chosen_by_the_environment(self):
        headers = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}
        with self._start("proxies") as box:
            box.wait_for()
            _, text = get(box.port, "/hello/", headers=headers)
            assert "203.0.113.7 https" in text, text
        with self._start("other-proxies", env={"TOMCAT_PROXIES": r"198\.51\.100\.[0-9]+"}) as box:
            box.wait_for()
            _, text = get(box.port, "/hello/", headers=headers)
            assert "127.0.0.1 http" in text, text

    def ignored_options_are_named(self):
        bin_folder = os.path.join(self.work, "bin")
        shutil.copytree(self.image.root + "/usr/share/tomcat/bin", bin_folder, symlinks=True)
        write(bin_folder + "/setenv.sh", "CATALINA_OPTS=-Xmx1g\n")
        os.chmod(bin_folder, 0o755)
        target = os.path.realpath(self.image.root + "/usr/share/tomcat")[len(os.path.realpath(self.image.root)):] + "/bin"
        env = {"CATALINA_OPTS": "-Dsecret=1", "JAVA_OPTS": "-Dsecret=2"}
        with self._start("ignored", env=env, mounts=self.mounts + [(bin_folder, target)]) as box:
            box.wait_for()
            log = box.log()
            for text in ("variable CATALINA_OPTS has no effect", "variable JAVA_OPTS has no effect", "setenv.sh has no effect"):
                assert text in log, f"no message: {text}"
            assert "secret" not in log, "values are in the log"

    def own_authority_is_trusted(self):
        keys = os.path.join(self.work, "tls")
        os.makedirs(keys)
        subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
        files = ["-keyout", keys + "/key.pem", "-out", keys + "/cert.pem"]
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject, *files], check=True, capture_output=True)
        for name in os.listdir(keys):
            os.chmod(os.path.join(keys, name), 0o644)
        os.chmod(keys, 0o755)

        with tls_server(keys) as port:
            url = f"/hello/fetch.jsp?url=https://localhost:{port}/"
            with self._start("stranger") as box:
                box.wait_for()
                assert get(box.port, url)[0] == 500, "an unknown authority is trusted"
            mounts = self.mounts + [(keys, "/mnt")]
            with self._start("trusted", env={"EXTRA_CERTIFICATES": "/mnt/cert.pem"}, mounts=mounts) as box:
                box.wait_for()
                status, text = get(box.port, url)
                assert (status, text.strip()) == (200, "secret garden"), f"{status}: {box.log()[-800:]}"
            with self._start("nothing", env={"EXTRA_CERTIFICATES": "/nowhere"}, mounts=mounts) as box:
                code, _ = box.ended(60)
                assert code == 1 and "cannot trust the certificates" in box.log(), box.log()[-800:]

    # --- what the package brings

    def jars_of_the_package_are_skipped(self):
        """Each pattern of the package's own list is in ours, and the package's jars match one of ours."""
        def entries(text, name):
            joined = text.replace("\\\n", "")
            value = re.search(rf"^tomcat\.util\.scan\.StandardJarScanFilter\.{name}=(.*)$", joined, re.M).group(1)
            return [entry.strip() for entry in value.split(",")]

        with open(self.image.root + "/etc/tomcat/catalina.properties", encoding="utf-8") as file:
            ours = file.read()
        home = os.path.realpath(self.image.root + "/usr/share/tomcat")
        with open(home + "/etc/catalina.properties", encoding="utf-8") as file:
            theirs = file.read()
        for name in ("jarsToSkip", "jarsToScan"):
            missing = set(entries(theirs, name)) - set(entries(ours, name))
            assert not missing, f"recipes/tomcat/catalina.properties lacks in {name}: {sorted(missing)}"

        patterns = [re.compile(re.escape(entry).replace(r"\*", ".*").replace(r"\?", ".") + "$") for entry in entries(ours, "jarsToSkip")]
        jars = [name for name in os.listdir(self.image.root + "/usr/share/java") if name.endswith(".jar")]
        scanned = [name for name in jars if not any(pattern.match(name) for pattern in patterns)]
        assert jars and not scanned, f"each start reads {scanned}"


class tls_server:
    """An https server on loopback that says `secret garden`."""

    def __init__(self, keys):
        self.keys = keys

    def __enter__(self):
        import http.server
        import ssl

        class Answer(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"secret garden")

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.keys + "/cert.pem", self.keys + "/key.pem")
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self.server.server_address[1]

    def __exit__(self, *_):
        self.server.shutdown()


#: What each run tries: the contract with the orchestrator, and what needs no start.
SAMPLE = [
    "request_in_flight_ends_before_the_process",
    "failed_start_ends_the_process",
    "foreign_user_of_group_0",
    "jars_of_the_package_are_skipped",
]


if __name__ == "__main__":
    main(Situations, SAMPLE)
