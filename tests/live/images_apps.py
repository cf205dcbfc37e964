"""Applications in their usual form on an image as it is, added as docs/images/tomcat.md says."""

import glob
import os
import re
import shutil
import subprocess
import urllib.parse
import urllib.request

from images_box import free_port, get, main

WEBAPPS = "/var/lib/tomcat/webapps"
JAR_TOOL = ["/usr/bin/java", "-m", "jdk.jartool/sun.tools.jar.Main"]


class Database:
    """A PostgreSQL server of its own, on loopback."""

    def __init__(self, work):
        self.folder, self.port = os.path.join(work, "postgres"), free_port()
        self.programs = sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1]

    def run(self, program, *args):
        # PostgreSQL refuses to run as root
        user = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"] if os.getuid() == 0 else []
        subprocess.run([*user, f"{self.programs}/{program}", *args], check=True, capture_output=True, cwd=self.folder)

    def __enter__(self):
        os.makedirs(self.folder)
        if os.getuid() == 0:
            os.chown(self.folder, 65534, 65534)
        with open(self.folder + ".password", "w", encoding="ascii") as password:
            password.write("open sesame\n")
        os.chmod(self.folder + ".password", 0o644)
        self.run("initdb", "-D", "data", "-U", "shop", "-A", "scram-sha-256", "--pwfile", self.folder + ".password")
        options = f"-c listen_addresses=127.0.0.1 -c port={self.port} -c unix_socket_directories=''"
        self.run("pg_ctl", "-D", "data", "-l", "log", "-w", "-o", options, "start")
        return self

    def __exit__(self, *_):
        self.run("pg_ctl", "-D", "data", "-w", "-m", "immediate", "stop")


class Applications:
    def __init__(self, image, work, wars):
        self.image, self.wars, self.work = image, wars, work

    def _unpacked(self, name):
        """Returns webapps with a .war unpacked by the image's own Java."""
        webapps = os.path.join(self.work, name)
        os.makedirs(webapps + "/ROOT")
        os.chmod(webapps + "/ROOT", 0o777)
        for folder in (self.wars, f"{self.wars}/{name}", f"{self.wars}/{name}/target", webapps):
            os.chmod(folder, 0o755)
        mounts = [(webapps + "/ROOT", "/mnt"), (f"{self.wars}/{name}/target", "/media")]
        code, text = self.image.run(name + "-jar", [*JAR_TOOL, "-xf", f"/media/{name}.war"], mounts=mounts, writable_mounts=True, folder="/mnt")
        assert code == 0, text
        return webapps

    def _serves(self, name, path, expected, **options):
        mounts = [(self._unpacked(name), WEBAPPS), *options.pop("mounts", [])]
        with self.image.start(name, mounts=mounts, **options) as box:
            box.wait_for(path, seconds=120)
            status, text = get(box.port, path)
            assert re.search(expected, text), f"{status} {text}"
            self._nothing_is_wrong(box)
            return box.port

    @staticmethod
    def _nothing_is_wrong(box):
        # frameworks warn of what they could use and do not find; Tomcat and Java have nothing to warn of
        pattern = re.compile(r"SEVERE|Exception|WARNING \[\S+\] (org\.apache\.(catalina|coyote|jasper|tomcat)|java)|^WARNING:")
        wrong = [line for line in box.log().splitlines() if pattern.search(line)]
        assert not wrong, "\n".join(wrong[:5])

    def spring_boot(self):
        self._serves("spring", "/price?article=tea", '{"article":"tea","cents":4200}')

    def jersey(self):
        self._serves("jersey", "/api/price/tea", "tea 4200")

    def wicket_with_state(self):
        with self.image.start("wicket", mounts=[(self._unpacked("wicket"), WEBAPPS)]) as box:
            box.wait_for("/", status=302, seconds=120)
            browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
            with browser.open(f"http://127.0.0.1:{box.port}/") as answer:
                address, page = answer.geturl(), answer.read().decode()
            link = re.search('href="([^"]+)"', page).group(1)
            with browser.open(urllib.parse.urljoin(address, link)) as answer:
                page = answer.read().decode()
            assert "<span>42</span>" in page, page
            self._nothing_is_wrong(box)

    def jsp(self):
        webapps = os.path.join(self.work, "jsp")
        os.makedirs(webapps + "/ROOT/WEB-INF/tags")
        with open(webapps + "/ROOT/WEB-INF/tags/price.tag", "w", encoding="utf-8") as tag:
            tag.write('<%@ tag pageEncoding="UTF-8" %><%@ attribute name="cents" type="java.lang.Integer" %>${cents / 100} \u20ac')
        with open(webapps + "/ROOT/index.jsp", "w", encoding="utf-8") as page:
            page.write(
                '<%@ page contentType="text/html; charset=UTF-8" pageEncoding="UTF-8" %><%@ taglib prefix="t" tagdir="/WEB-INF/tags" %>'
                '<t:price cents="${param.cents}"/> <%= session.isNew() %>'
            )
        with self.image.start("jsp", mounts=[(webapps, WEBAPPS)]) as box:
            box.wait_for("/?cents=4200")
            _, text = get(box.port, "/?cents=4200")
            assert "42.0 \u20ac true" in text, text
            self._nothing_is_wrong(box)

    def database_by_jndi(self):
        if not glob.glob("/usr/lib/postgresql/*/bin/initdb"):
            return "PostgreSQL's server is missing"
        contexts = os.path.join(self.work, "contexts")
        os.makedirs(contexts)
        with open(contexts + "/ROOT.xml", "w", encoding="utf-8") as description:
            description.write(
                '<Context><Resource name="jdbc/shop" type="javax.sql.DataSource" driverClassName="org.postgresql.Driver"'
                ' url="${DB_URL}" username="${DB_USER:-shop}" password="${DB_PASSWORD}" maxTotal="20" /></Context>'
            )
        driver = os.path.dirname(glob.glob(self.wars + "/database/driver/postgresql-*.jar")[0])
        os.chmod(driver, 0o755)
        with Database(self.work) as database:
            env = {"DB_URL": f"jdbc:postgresql://127.0.0.1:{database.port}/postgres", "DB_PASSWORD": "open sesame"}
            mounts = [(driver, "/var/lib/tomcat/lib"), (contexts, "/etc/tomcat/Catalina/localhost")]
            self._serves("database", "/price", "sum 55", env=env, mounts=mounts)
        return None

    def packed_war_as_documented(self):
        """Unpacked as the page says, a .war is served within twice the time of the same application put there unpacked."""
        def seconds(name, webapps):
            with self.image.start(name, mounts=[(webapps, WEBAPPS)]) as box:
                return box.wait_for("/price?article=tea", seconds=300)

        by_image = os.path.join(self.work, "spring")
        if not os.path.isdir(by_image):
            self._unpacked("spring")
        by_hand = os.path.join(self.work, "by-hand")
        os.makedirs(by_hand + "/ROOT")
        shutil.unpack_archive(f"{self.wars}/spring/target/spring.war", by_hand + "/ROOT", "zip")
        times = [(seconds("by-image", by_image), seconds("by-hand", by_hand)) for _ in range(2)]
        best = [min(column) for column in zip(*times)]
        assert best[0] <= 2 * best[1], f"{best[0]:.1f} s against {best[1]:.1f} s"


if __name__ == "__main__":
    main(Applications, wars="copy of tests/live/apps, built with Maven")
