"""What an unpacked image must not lack, and must not have: links and libraries that resolve, no shells, nothing writable."""

import os
import pathlib
import re
import stat
import subprocess
import sys

root = pathlib.Path(sys.argv[1])
declared = set(sys.argv[2].split(","))
# what a recipe leaves out on purpose, each with its package: nothing but the optional library beside it asks for it
LEFT_OUT = {
    "liblcms2.so.2": "liblcms.so", "libjpeg.so.8": "libjavajpeg.so", "libjpeg.so.62": "libjavajpeg.so",
    "libfreetype.so.6": "libfontmanager.so", "libharfbuzz.so.0": "libfontmanager.so",
    "libasound.so.2": "libjsound.so", "libpcsclite.so.1": "libj2pcsc.so",
}
# folders that Debian's base-files opens to everybody (sticky); the root is read-only at run time
OPEN = {"/tmp", "/var/tmp", "/run/lock"}
SHELLS = {"sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "busybox", "toybox", "apt", "apt-get", "dpkg", "dpkg-deb", "rpm", "perl", "python3"}
problems, counts = [], {"links": 0, "ELF files": 0, "files": 0}


def inside(path, depth=40):
    """Resolves a path below the root as the kernel would after chroot; None where something is missing."""
    done = pathlib.Path("/")
    parts = [p for p in path.split("/") if p]
    while parts:
        part = parts.pop(0)
        if part == "..":
            done = done.parent
            continue
        if part == ".":
            continue
        here = root / str(done / part).lstrip("/")
        if here.is_symlink():
            depth -= 1
            if depth < 0:
                return None
            target = os.readlink(here)
            if target.startswith("/"):
                done = pathlib.Path("/")
            parts = [p for p in target.split("/") if p] + parts
        elif not os.path.lexists(here):
            return None
        else:
            done = done / part
    return str(done)


elves = {}
for folder, folders, files in os.walk(root):
    for name in folders + files:
        full = os.path.join(folder, name)
        path = "/" + os.path.relpath(full, root)
        state = os.lstat(full)
        if stat.S_ISLNK(state.st_mode):
            counts["links"] += 1
            target = os.readlink(full)
            start = target if target.startswith("/") else os.path.dirname(path) + "/" + target
            if not start.startswith("/proc/") and inside(start) is None:
                problems.append(f"{path} leads nowhere: {target}")
        elif not (stat.S_ISREG(state.st_mode) or stat.S_ISDIR(state.st_mode)):
            problems.append(f"{path} is a device, socket or pipe")
        elif state.st_mode & 0o6000:
            problems.append(f"{path} is setuid or setgid: {state.st_mode & 0o7777:o}")
        elif state.st_mode & 0o002 and path not in OPEN | declared:
            problems.append(f"{path} is writable for everybody: {state.st_mode & 0o7777:o}")
        if name in SHELLS and not stat.S_ISDIR(state.st_mode) and "bin" in path.split("/"):
            problems.append(f"{path} is a shell, interpreter or package manager")
        if stat.S_ISREG(state.st_mode):
            counts["files"] += 1
            with open(full, "rb") as file:
                head = file.read(4)
            if head == b"\x7fELF":
                elves[path] = full
            elif head[:2] == b"#!" and state.st_mode & 0o111:
                problems.append(f"{path} is an executable script")
counts["ELF files"] = len(elves)
libraries = {}
for path in elves:
    libraries.setdefault(os.path.basename(path), []).append(os.path.dirname(path))
for folder, _, files in os.walk(root):
    for name in files:
        if os.path.islink(os.path.join(folder, name)) and ".so" in name:
            libraries.setdefault(name, []).append("/" + os.path.relpath(folder, root))
left_out = set()
for path, full in elves.items():
    text = subprocess.run(["readelf", "-Wdl", full], capture_output=True, text=True, check=True).stdout
    own = os.path.dirname(path)
    runpath = [p.replace("$ORIGIN", own).replace("${ORIGIN}", own) for m in re.findall(r"R(?:UN)?PATH\)\s+Library r(?:un)?path: \[(.*?)\]", text) for p in m.split(":")]
    # a Java machine loads its own library first, and those beside it ask for it by name only
    search = {inside(p) for p in runpath} | {own, own + "/server"}
    search |= {f"{p}/{m}".rstrip("/") for p in ("/usr/lib", "/lib") for m in ("x86_64-linux-gnu", "aarch64-linux-gnu", "")}
    for wanted in re.findall(r"\(NEEDED\)\s+Shared library: \[(.*?)\]", text):
        if not any(place in search or inside(place) in search for place in libraries.get(wanted, [])):
            if LEFT_OUT.get(wanted) == os.path.basename(path):
                left_out.add(wanted)
            else:
                problems.append(f"{path} needs {wanted}, which is not there")
    for loader in re.findall(r"interpreter: (\S+?)\]", text):
        if inside(loader) is None:
            problems.append(f"{path} is started by {loader}, which is not there")
print(counts, "left out on purpose:", *sorted(left_out))
if not counts["ELF files"]:
    problems.append("no ELF file was looked at")
print(*problems, sep="\n")
sys.exit(bool(problems))
