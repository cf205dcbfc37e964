"""The images of docs/examples, used for real: as their own user, with a read-only root, in a network without anybody else."""

import argparse
import fcntl
import http.client
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import zlib

from images_box import Box, Image

#: Seconds that a program may take to start on a busy machine.
PATIENCE = 60


def loopback_up():
    """A new network namespace has a loopback device that is down (netdevice(7))."""
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", 0x1 | 0x40))


def until(answer, box=None):
    """Asks until there is an answer that is not None."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = answer()
        if found is not None:
            return found
        assert box is None or box.process.poll() is None, f"ended with {box.process.poll()}:\n{box.log()[-2000:]}"
        time.sleep(0.05)
    raise AssertionError(f"no answer within {PATIENCE} s:\n{box.log()[-2000:] if box else ''}")


def page(path, box, port=8080):
    """Returns status, headers and bytes of a page, once the server answers at all."""

    def answer():
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read()
        except OSError:
            return None
        finally:
            connection.close()

    return until(answer, box)


def fastcgi(script, port=9000):
    """Asks a FastCGI server as a web server would (FastCGI specification, 3); returns its output, or None."""

    def record(kind, content):
        return struct.pack(">BBHHBB", 1, kind, 1, len(content), 0, 0) + content

    names = {"SCRIPT_FILENAME": script, "REQUEST_METHOD": "GET", "SERVER_PROTOCOL": "HTTP/1.1"}
    pairs = b"".join(bytes([len(name), len(value)]) + name.encode() + value.encode() for name, value in names.items())
    request = record(1, struct.pack(">HB5x", 1, 0)) + record(4, pairs) + record(4, b"") + record(5, b"")
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.sendall(request)
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
    except OSError:
        return None

    output, place = b"", 0
    while place < len(answer):
        _, kind, _, length, padding, _ = struct.unpack_from(">BBHHBB", answer, place)
        if kind == 6:
            output += answer[place + 8 : place + 8 + length]
        place += 8 + length + padding
    return output.decode()


def dark(png):
    """Returns how many dark bytes a picture has that has eight bits a channel and no alpha (PNG specification, 9 and 10)."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n"), png[:20]
    place, data, width, height = 8, b"", 0, 0
    while place < len(png):
        length, kind = struct.unpack_from(">I4s", png, place)
        if kind == b"IHDR":
            width, height, depth, colour = struct.unpack_from(">IIBB", png, place + 8)
            assert (depth, colour) == (8, 2), (depth, colour)
        if kind == b"IDAT":
            data += png[place + 8 : place + 8 + length]
        place += 12 + length

    data, stride, count = zlib.decompress(data), 3 * width + 1, 0
    above = bytes(stride + 2)
    for row in range(height):
        line = bytearray(3) + data[row * stride + 1 : (row + 1) * stride]
        for at in range(3, len(line)):
            line[at] = (line[at] + predicted(data[row * stride], line[at - 3], above[at], above[at - 3])) % 256
        count += sum(1 for byte in line[3:] if byte < 128)
        above = line
    return count


def predicted(kind, left, up, corner):
    """What a filter of PNG adds to a byte."""
    if kind == 4:
        estimate = left + up - corner
        return min((left, up, corner), key=lambda value: abs(estimate - value))
    return (0, left, up, (left + up) // 2)[kind]


class Example:
    """One example on one distribution. `images` has all examples of that distribution, for those who need another one."""

    def __init__(self, name, images, work):
        self.name, self.images, self.work = name, images, work
        self.image = images[name]

    def folder(self, name):
        """Returns a folder that belongs to the image's user, as a volume does."""
        path = os.path.join(self.work, name)
        os.mkdir(path, 0o700)
        self.hand_over(path)
        return path

    def hand_over(self, path):
        if os.getuid() == 0:
            os.chown(path, 10001, 10001)

    def ends(self, box, signal_of_image, code):
        os.kill(box.pid, signal_of_image)
        ended, seconds = box.ended(20)
        assert ended == code, f"ended with {ended} after {seconds:.1f} s:\n{box.log()[-2000:]}"

    def nginx(self):
        with self.image.start("nginx") as box:
            status, headers, text = page("/", box)
            assert (status, b"It works." in text) == (200, True), f"{status} {text}"
            # all files of 1980 would have the same time, and caches would keep the old page
            assert "1980" not in headers["Last-Modified"], headers
            assert page("/none", box)[0] == 404
            self.ends(box, signal.SIGQUIT, 0)
        assert "[alert]" not in box.log() and "[warn]" not in box.log(), box.log()
        return headers["Server"]

    def nodejs(self):
        with self.image.start("nodejs") as box:
            status, _, text = page("/", box)
            assert (status, "grüß Gott" in text.decode()) == (200, True), f"{status} {text}"
            self.ends(box, signal.SIGTERM, 0)
        return text.decode().split(" says")[0]

    def valkey(self):
        data = self.folder("data")
        volume = {"mounts": [(data, "/var/lib/valkey")], "writable_mounts": True}

        def client(*words):
            code, text = self.image.run("valkey-cli", ["/usr/bin/valkey-cli", *words])
            return text.strip() if code == 0 and "LOADING" not in text else None

        with self.image.start("valkey", **volume) as box:
            until(lambda: client("ping"), box)
            assert client("set", "greeting", "grüß Gott") == "OK"
            self.ends(box, signal.SIGTERM, 0)
        # the data outlives the container
        with self.image.start("valkey-again", **volume) as box:
            assert until(lambda: client("--raw", "get", "greeting"), box) == "grüß Gott"
        return "set, get, get after a restart"

    def php_fpm(self):
        with self.image.start("php-fpm") as box:
            text = until(lambda: fastcgi("/srv/www/index.php"), box)
            assert "GRÜSS GOTT" in text, text
            assert "opcache on" in text, text
            self.ends(box, signal.SIGQUIT, 0)
        return text.split("\r\n\r\n")[1].split(" says")[0]

    def java_fonts(self):
        with self.image.start("java-fonts") as box:
            status, headers, text = page("/Gr%C3%BC%C3%9Fe?DejaVu%20Sans", box)
            assert (status, headers["Content-type"]) == (200, "image/png"), f"{status} {headers}"
            _, _, other = page("/Gr%C3%BC%C3%9Fe?Liberation%20Serif", box)
            _, _, blank = page("/%20?DejaVu%20Sans", box)
            assert dark(text) > dark(blank) + 500 and dark(other) > dark(blank) + 300, f"{dark(text)} {dark(other)} {dark(blank)}"
            assert text != other, "both families look the same"
        assert "rror" not in box.log() and "arn" not in box.log(), box.log()
        return f"{dark(text) - dark(blank)} dark bytes of text"

    def server(self, data):
        """Starts PostgreSQL of the same distribution with a new database in a folder."""
        postgresql = self.images["postgresql"]
        volume = {"mounts": [(data, "/var/lib/postgresql")], "writable_mounts": True}
        code, text = postgresql.run("initdb", ["/usr/bin/initdb", "--username=app", "--auth=trust"], **volume)
        assert code == 0, f"initdb: {text[-2000:]}"
        return postgresql.start("postgresql", **volume)

    def query(self, text):
        words = ["/usr/bin/psql", "--no-psqlrc", "-h", "127.0.0.1", "-d", "postgres", "-Atc", text]
        code, answer = self.images["postgresql"].run("psql", words)
        return answer.strip() if code == 0 else None

    def postgresql(self):
        data = self.folder("data")
        with self.server(data) as box:
            version = until(lambda: self.query("select version()"), box)
            assert self.query("create table t (v text); insert into t values ('ß'), ('a'), ('Z')") is not None
            assert self.query("select string_agg(upper(v), ',' order by v) from t") in ("Z,A,SS", "Z,A,ß"), box.log()
            assert self.query("select to_tsvector('german', 'Häuser') @@ to_tsquery('german', 'Haus')") == "t"
            assert self.query("select now() at time zone 'Europe/Berlin' is not null") == "t"
            self.ends(box, signal.SIGINT, 0)
        assert "FATAL:  could not" not in box.log(), box.log()
        return " ".join(version.split()[:2])

    def python_flask(self):
        with self.server(self.folder("data")) as server, self.image.start(
            "flask", env={"PGHOST": "127.0.0.1", "PGUSER": "app", "PGDATABASE": "postgres"}
        ) as box:
            status, _, text = page("/", box)
            assert (status, text) == (200, b"Flask works\n"), f"{status} {text}"
            until(lambda: self.query("select 1"), server)
            status, _, text = page("/database", box)
            assert (status, text.startswith(b"PostgreSQL")) == (200, True), f"{status} {text}\n{box.log()}"
        return "psql says " + " ".join(text.decode().split()[:2])

    def git_ssh(self):
        """The server is the example with sshd on top; its user's shell is git-shell, as on servers of repositories."""
        keys, server_image = self.folder("keys"), self.images["git-server"]
        for name in ("host", "id_ed25519"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{keys}/{name}"], check=True)
        with open(f"{keys}/config", "w", encoding="ascii") as config:
            config.write("Host git.example.org\n  HostName 127.0.0.1\n  Port 2222\n  HostKeyAlias git.example.org\n")
        with open(f"{keys}/host.pub", encoding="ascii") as host, open(f"{keys}/known_hosts", "w", encoding="ascii") as known:
            known.write("git.example.org " + host.read())
        shutil.copy(f"{keys}/id_ed25519.pub", f"{keys}/authorized_keys")
        with open(f"{self.image.root}/etc/passwd", encoding="ascii") as old, open(f"{self.work}/passwd", "w", encoding="ascii") as new:
            new.write(old.read().replace("/usr/sbin/nologin", "/usr/bin/git-shell"))
        for name in os.listdir(keys):
            os.chmod(f"{keys}/{name}", 0o600)
            self.hand_over(f"{keys}/{name}")

        data = self.folder("repositories")
        volume = {"mounts": [(data, "/srv")], "writable_mounts": True, "env": {
            "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.org", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example.org"
        }}
        for words in (["init", "-q", "/srv/shop"], ["-C", "/srv/shop", "commit", "-q", "--allow-empty", "-m", "first commit"]):
            code, text = self.image.run("git", ["/usr/bin/git", *words], **volume)
            assert code == 0, f"git {words}: {text}"

        options = ["-o", "HostKey=/home/app/.ssh/host", "-o", "UsePAM=no", "-o", "PidFile=none", "-o", "StrictModes=no"]
        sshd = ["/usr/sbin/sshd", "-D", "-e", "-p", "2222", "-f", "/dev/null", *options]
        mounts = [(keys, "/home/app/.ssh")]
        server = server_image.start("sshd", entry=sshd, mounts=[*mounts, (data, "/srv"), (f"{self.work}/passwd", "/etc/passwd")])
        with server:
            clone = ["/usr/bin/git", "clone", "-q", "git.example.org:/srv/shop", "/tmp/shop"]
            last = [""]

            def cloned():
                # one container a try, as a job would
                code, last[0] = self.image.run("clone", clone, mounts=mounts)
                return True if code == 0 else None if "Connection refused" in last[0] else False

            assert until(cloned, server), f"clone: {last[0]}\nsshd: {server.log()[-2000:]}"
        return "cloned over ssh"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", required=True)
    parser.add_argument("--images", required=True, help="a folder with NAME/rootfs and NAME.json each")
    parser.add_argument("names", nargs="+")
    options = parser.parse_args()
    loopback_up()

    import json

    images = {}
    for file in sorted(os.listdir(options.images)):
        if file.endswith(".json"):
            with open(f"{options.images}/{file}", encoding="utf-8") as config:
                name = file.removesuffix(".json")
                images[name] = Image(f"{options.images}/{name}/rootfs", json.load(config)["config"], options.work)
    failed = False
    for name in options.names:
        work = os.path.join(options.work, name)
        os.mkdir(work, 0o755)
        images[name].work = work
        try:
            print(f"ok {name}: {getattr(Example(name, images, work), name.replace('-', '_'))()}")
        except Exception as error:  # what fails must not stop the others
            failed = True
            text = str(error) or repr(error)
            print(f"FAILED {name}: {text.splitlines()[0] if text else error}")
            print(*text.splitlines()[1:40], sep="\n")
        sys.stdout.flush()
    return 3 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
