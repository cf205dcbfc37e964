"""Runs an unpacked image as a cluster would: bubblewrap, its own user, no capabilities, a read-only root."""

import argparse
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def get(port, path, **options):
    """Returns status and text of a page; status 0 where nothing answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=options.get("timeout", 30))
    try:
        connection.request("GET", path, headers=options.get("headers", {}))
        answer = connection.getresponse()
        return answer.status, answer.read().decode("utf-8", "replace")
    except OSError:
        return 0, ""
    finally:
        connection.close()


class Image:
    """An image: its root folder, unpacked with the owners that it has, and its configuration (`config` of the OCI image)."""

    def __init__(self, root, config, work):
        self.root, self.config, self.work = root, config, work
        self.writable = [path for path in config["Labels"].get("io.sockel.writable", "").split(",") if path]

    def start(self, name, **options):
        return Box(self, name, **options)

    def run(self, name, args, **options):
        """Runs a command to its end; returns exit code and output."""
        with Box(self, name, entry=args, **options) as box:
            code = box.process.wait(options.get("timeout", 60))
            return code, box.log()


class Box:
    """A running container."""

    def __init__(self, image, name, entry=None, args=None, env=None, mounts=(), user=(10001, 10001), **options):
        self.image, self.path = image, os.path.join(image.work, name + ".log")
        config, variables = image.config, {}
        for pair in config["Env"]:
            key, value = pair.split("=", 1)
            variables[key] = value
        variables.update(env or {})
        self.port = int(variables.setdefault("TOMCAT_HTTP_PORT_NUMBER", str(free_port())))

        bind = "--bind" if options.get("writable_root") else "--ro-bind"
        command = ["bwrap", bind, image.root, "/", "--proc", "/proc", "--dev", "/dev"]
        # users are as on a node only for root: anybody else can map but one user, and owns all files then
        if os.getuid() == 0:
            command[:0] = ["setpriv", "--reuid", str(user[0]), "--regid", str(user[1]), "--clear-groups", "--no-new-privs"]
        command += ["--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--as-pid-1"]
        command += ["--uid", str(user[0]), "--gid", str(user[1]), "--cap-drop", "ALL", "--new-session", "--die-with-parent"]
        if not options.get("no_mounts"):
            for path in image.writable:
                command += ["--perms", "0777", "--tmpfs", path]
        for source, target in mounts:
            command += ["--bind" if options.get("writable_mounts") else "--ro-bind", source, target]
        for path in options.get("tmpfs", []):
            command += ["--perms", "0777", "--tmpfs", path]
        command += ["--clearenv"]
        for key, value in variables.items():
            command += ["--setenv", key, value]
        command += ["--chdir", options.get("folder") or config.get("WorkingDir") or "/", "--info-fd", "9", "--"]
        command += entry or config["Entrypoint"] + (args if args is not None else config.get("Cmd") or [])

        self.started = time.monotonic()
        # standard output is the user's own, as with runc: programs open it anew by its name
        open(self.path, "wb").close()
        out = open(self.path, "ab")
        if os.getuid() == 0:
            os.fchown(out.fileno(), *user)
        read, write = os.pipe()
        # exec, so that the process is bubblewrap and its end the container's
        shell = ["bash", "-c", f'exec 9>&{write} {write}>&-; exec "$@"', "box"]
        self.process = subprocess.Popen(shell + command, stdout=out, stderr=subprocess.STDOUT, pass_fds=[write])
        os.close(write)
        with os.fdopen(read) as info:
            text = info.read()
        self.pid = json.loads(text)["child-pid"] if text else None

    def log(self):
        with open(self.path, encoding="utf-8", errors="replace") as log:
            return log.read()

    def wait_for(self, path="/hello/", status=200, seconds=60):
        """Waits for an answer with this status; returns the seconds since the start."""
        while time.monotonic() - self.started < seconds:
            if get(self.port, path)[0] == status:
                return time.monotonic() - self.started
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise AssertionError(f"no {status} from {path}:\n{self.log()[-2000:]}")

    def memory(self):
        """Returns the resident memory in KiB."""
        with open(f"/proc/{self.pid}/status", encoding="ascii") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))

    def terminate(self):
        os.kill(self.pid, signal.SIGTERM)

    def ended(self, seconds):
        """Waits for the end; returns exit code and the seconds that it took."""
        begin = time.monotonic()
        return self.process.wait(seconds), time.monotonic() - begin

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def main(situations, sample=(), **options):
    """Tries methods of `situations(image, work, **options)` by name, and prints a line each for `counted` in images.sh.

    Without names all public methods are tried; `sample` names a choice. Options are further required arguments: name
    and help. A method returns why it was skipped, or nothing. The exit code is 3 where something failed.
    """
    parser = argparse.ArgumentParser(description=situations.__doc__)
    parser.add_argument("--root", required=True, help="root folder of the image")
    parser.add_argument("--config", required=True, help="the image's configuration, as JSON")
    parser.add_argument("--work", required=True, help="empty folder for logs and applications")
    for name, text in options.items():
        parser.add_argument("--" + name, required=True, help=text)
    parser.add_argument("names", nargs="*", help="situations: default all" + ("; `sample` for a choice" if sample else ""))
    arguments = parser.parse_args()

    with open(arguments.config, encoding="utf-8") as file:
        image = Image(os.path.abspath(arguments.root), json.load(file)["config"], os.path.abspath(arguments.work))
    tried = situations(image, image.work, **{name: os.path.abspath(getattr(arguments, name)) for name in options})
    every = [name for name, value in vars(situations).items() if callable(value) and name[0] != "_"]
    names = sample if arguments.names == ["sample"] else arguments.names or every

    failed = 0
    for name in names:
        begin = time.monotonic()
        try:
            skipped = getattr(tried, name)()
            print(f"SKIPPED {name}: {skipped}" if skipped else f"ok {name} ({time.monotonic() - begin:.1f} s)", flush=True)
        except Exception as error:  # whatever it is, the others are tried as well
            failed += 1
            print(f"FAILED {name}: {error or repr(error)}", flush=True)
    sys.exit(3 if failed else 0)
