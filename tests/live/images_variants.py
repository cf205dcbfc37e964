"""What the parameters of the recipes and the packages that come back by request promise, tried on images that have them."""

import glob
import json
import os
import re
import shutil
import subprocess
import time
import zipfile

from images_box import get, main

WEBAPPS = "/var/lib/tomcat/webapps"
HERE = os.path.dirname(os.path.abspath(__file__))
#: Libraries of packages that recipes/java.yaml names with "Back with package".
BACK = ["libnss3.so", "libpcsclite.so.1", "libcups.so.2", "libasound.so.2"]


class Variants:
    def __init__(self, image, work):
        self.image, self.work = image, work
        self.webapps = os.path.join(work, "webapps")
        os.makedirs(self.webapps + "/hello")
        with open(self.webapps + "/hello/index.jsp", "w", encoding="utf-8") as page:
            page.write('it works <%= application.getRealPath("/") %>')

    def source(self, name, file, *arguments, options=()):
        """Runs a source file with the image's own Java; returns what it says on both outputs."""
        command = ["/usr/bin/java", "-XX:Flags=/etc/java/vm-flags", *options, f"/mnt/{file}", *arguments]
        folder = os.path.join(self.work, name + "-source")
        os.makedirs(folder)
        with open(f"{HERE}/{file}", encoding="utf-8") as original, open(f"{folder}/{file}", "w", encoding="utf-8") as copy:
            copy.write(original.read())
        return self.image.run(name, command, mounts=[(folder, "/mnt")], folder="/tmp")

    def pictures(self):
        """Nothing but the result is said: no warning of fontconfig on standard error."""
        code, text = self.source("draw", "Draw.java")
        assert (code, text) == (0, "drawn\n"), f"{code}: {text[-800:]}"

    def packages_back(self):
        paths = [path[len(self.image.root):] for name in BACK for path in glob.glob(f"{self.image.root}/usr/lib/*-linux-gnu/{name}")]
        assert len(paths) == len(BACK), f"only {paths}"
        code, text = self.source("load", "Load.java", *paths, options=["--enable-native-access=ALL-UNNAMED"])
        assert (code, text) == (0, "loaded\n"), f"{code}: {text[-800:]}"

    def base_situations(self):
        """For images without Java: a program made here. Both users, because clusters choose their own."""
        program = os.path.join(self.work, "program")
        os.makedirs(program)
        subprocess.run(["cc", "-O1", "-o", f"{program}/base", f"{HERE}/base.c"], check=True)
        self.everybody("base", ["/mnt/base"], program)

    def java_situations(self):
        folder = os.path.join(self.work, "base-source")
        os.makedirs(folder)
        shutil.copy(f"{HERE}/Base.java", folder)
        self.everybody("java", ["/usr/bin/java", "/mnt/Base.java"], folder, env={"TZ": "Europe/Berlin"})

    def everybody(self, name, command, folder, **options):
        # container engines make the file; Kubernetes writes the pod's aliases into it
        hosts = os.path.join(self.work, "hosts")
        with open(hosts, "w", encoding="ascii") as file:
            file.write("127.0.0.1 localhost\n198.51.100.7 neighbour.test\n")
            file.write(f"127.0.0.1 {os.uname().nodename}\n")
        os.chmod(hosts, 0o644)
        with open(self.image.root + "/etc/hosts", "a", encoding="ascii"):
            pass

        users = [(10001, 10001), (1000680000, 0)] if os.getuid() == 0 else [(10001, 10001)]
        for user in users:
            code, text = self.image.run(f"{name}-{user[0]}", command, mounts=[(folder, "/mnt"), (hosts, "/etc/hosts")], user=user, **options)
            # Java says where it keeps the first preferences of a user
            usual = re.compile("ok |.* java.util.prefs.FileSystemPreferences|INFO: Created user preferences directory")
            wrong = [line for line in text.splitlines() if not usual.match(line)]
            assert code == 0 and not wrong and text.count("ok ") >= 10, f"user {user[0]}: {code}: {'; '.join(wrong)[:800]}"

    def lines_of_json(self):
        with self.image.start("json", mounts=[(self.webapps, WEBAPPS)]) as box:
            box.wait_for()
            get(box.port, "/hello/?json", headers={"X-Forwarded-For": "203.0.113.7"})
            time.sleep(0.5)
            box.terminate()
            box.ended(25)
            lines = [json.loads(line) for line in box.log().splitlines()]
            assert any(line.get("host") == "203.0.113.7" and "?json" in line.get("request", "") for line in lines), box.log()[-800:]
            assert any("Server startup" in line.get("message", "") for line in lines), box.log()[-800:]

    def access_as_text(self):
        with self.image.start("access", mounts=[(self.webapps, WEBAPPS)]) as box:
            box.wait_for()
            get(box.port, "/hello/?text", headers={"X-Forwarded-For": "203.0.113.7", "User-Agent": "probe"})
            time.sleep(0.5)
            pattern = r'^203\.0\.113\.7 - - \[[^]]+\] "GET /hello/\?text HTTP/1\.1" 200 \d+ "-" "probe"$'
            assert re.search(pattern, box.log(), re.M), box.log()[-800:]

    def http2_without_tls(self):
        with self.image.start("h2c", mounts=[(self.webapps, WEBAPPS)]) as box:
            box.wait_for()
            command = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_version} %{http_code}", "--http2-prior-knowledge"]
            said = subprocess.run([*command, f"http://127.0.0.1:{box.port}/hello/"], check=False, capture_output=True, text=True).stdout
            assert said == "2 200", said

    def other_health_path(self):
        with self.image.start("live", mounts=[(self.webapps, WEBAPPS)]) as box:
            box.wait_for("/live")
            assert get(box.port, "/-/health")[0] == 404

    def war_unpacked_at_the_start(self):
        folder = os.path.join(self.work, "wars")
        os.makedirs(folder)
        with zipfile.ZipFile(folder + "/hello.war", "w") as war:
            war.write(self.webapps + "/hello/index.jsp", "index.jsp")
        os.chmod(folder + "/hello.war", 0o644)
        os.chmod(folder, 0o777)
        assert WEBAPPS in self.image.writable, self.image.writable
        with self.image.start("war", mounts=[(folder, WEBAPPS)], writable_mounts=True) as box:
            box.wait_for()
            _, text = get(box.port, "/hello/")
            assert f"it works {WEBAPPS}/hello" in text, text


if __name__ == "__main__":
    main(Variants)
