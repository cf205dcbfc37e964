#!/usr/bin/env python3
"""Random packages: `choose FILE… SEED COUNT` prints names; `compare TREES` compares sockel's trees with dpkg-deb.

TREES has one document a line, see package.rs. What sockel changes on purpose is applied to dpkg's tree here, written
anew from the rules in docs and not from its source: /usr merge, /run merge, no setuid and setgid, time of folders.
"""
import hashlib
import io
import json
import random
import subprocess
import sys
import tarfile

# of an installed package, in KiB: two minutes are for all
LARGEST = 60_000


def choose(files, seed, count):
    """Prints random packages of Packages files, none of them huge."""
    found = {}
    for path in files:
        name = None
        for line in open(path, encoding="utf-8"):
            if line.startswith("Package: "):
                name = line[9:].strip()
                found.setdefault(name, 0)
            elif line.startswith("Installed-Size: "):
                found[name] = max(found[name], int(line[16:]))
    fitting = sorted(name for name, size in found.items() if size <= LARGEST)
    print(f"{len(found)} packages, {len(found) - len(fitting)} of them too large to be chosen", file=sys.stderr)
    print(*random.Random(f"{seed}").sample(fitting, count), sep="\n")


def moved(path, is_folder):
    """Says where a path is on a system with merged /usr and /run."""
    first, _, rest = path.partition("/")
    if first in ("bin", "sbin", "lib", "lib32", "lib64", "libx32") and (rest or is_folder):
        return "usr/" + path
    for old, new in (("var/run", "run"), ("var/lock", "run/lock")):
        if path.startswith(old + "/") or is_folder and path == old:
            return new + path[len(old):]
    return path


def of_dpkg(deb, folder_time):
    """Returns paths and what they are, from `dpkg-deb --fsys-tarfile`, and what was changed on purpose."""
    data = subprocess.run(["dpkg-deb", "--fsys-tarfile", deb], check=True, stdout=subprocess.PIPE).stdout
    # GNU tar counts as well: a second reader of the same archive
    listed = subprocess.run(["tar", "tvf", "-"], check=True, input=data, stdout=subprocess.PIPE).stdout.count(b"\n")
    entries, members, changed = {}, 0, 0
    archive = tarfile.open(fileobj=io.BytesIO(data))
    for member in archive:
        members += 1
        name = member.name.removeprefix("./").strip("/")
        if name in ("", "."):
            continue
        path, mode = moved(name, member.isdir()), member.mode & 0o7777
        kind = "folder" if member.isdir() else "symlink" if member.issym() else "hardlink" if member.islnk() else "file"
        changed += path != name or bool(mode & 0o6000 and kind != "symlink")
        entry = {
            "path": path, "kind": kind, "mode": 0o777 if kind == "symlink" else mode & ~0o6000, "uid": member.uid, "gid": member.gid,
            "mtime": folder_time if kind == "folder" else int(member.mtime), "target": None, "size": None, "digest": None,
        }
        if kind in ("symlink", "hardlink"):
            entry["target"] = member.linkname if kind == "symlink" else moved(member.linkname.removeprefix("./"), False)
        if kind in ("file", "hardlink"):
            content = archive.extractfile(member).read()
            entry |= {"size": len(content), "digest": hashlib.sha256(content).hexdigest()}
        if kind == "folder" and path in entries:
            continue
        entries[path] = entry
    assert members == listed, f"{members} members, tar lists {listed}"
    return entries, changed


def field(deb, name):
    return subprocess.run(["dpkg-deb", "-f", deb, name], check=True, stdout=subprocess.PIPE).stdout.decode().rstrip("\n")


def names_of_fields(deb):
    text = subprocess.run(["dpkg-deb", "-f", deb], check=True, stdout=subprocess.PIPE).stdout.decode()
    return [line.split(":")[0] for line in text.splitlines() if line[:1] not in (" ", "\t", "")]


def control(deb):
    data = subprocess.run(["dpkg-deb", "--ctrl-tarfile", deb], check=True, stdout=subprocess.PIPE).stdout
    archive = tarfile.open(fileobj=io.BytesIO(data))
    return {m.name.removeprefix("./"): hashlib.sha256(archive.extractfile(m).read()).hexdigest() for m in archive if m.isfile()}


def compare(path):
    """Prints what differs; returns whether anything does."""
    problems, paths, fields, scripts, changed, bytes_read, debs = [], 0, 0, 0, 0, 0, 0
    for line in open(path, encoding="utf-8"):
        ours = json.loads(line)
        deb = ours["deb"]
        debs += 1
        name = deb.rsplit("/", 1)[-1]
        if "error" in ours:
            problems.append(f"{name}: {ours['error']}")
            continue
        theirs, moved_here = of_dpkg(deb, ours["folder-time"])
        found = {entry["path"]: entry for entry in ours["entries"]}
        for one in sorted(found.keys() | theirs.keys()):
            if found.get(one) != theirs.get(one):
                problems.append(f"{name}: /{one}: sockel {found.get(one)}, dpkg {theirs.get(one)}")
        if names_of_fields(deb) != list(ours["fields"]):
            problems.append(f"{name}: fields {list(ours['fields'])}, dpkg {names_of_fields(deb)}")
        for key, value in ours["fields"].items():
            if value.strip() != field(deb, key).strip():
                problems.append(f"{name}: field {key}: {value!r}, dpkg {field(deb, key)!r}")
        if ours["control"] != control(deb):
            problems.append(f"{name}: control members {ours['control']}, dpkg {control(deb)}")
        paths, fields, scripts, changed = paths + len(theirs), fields + len(ours["fields"]), scripts + len(ours["control"]), changed + moved_here
        bytes_read += sum(entry["size"] or 0 for entry in theirs.values())
    print(f"{debs} packages: {paths} paths with {bytes_read} bytes, {fields} fields, {scripts} control members; {changed} paths changed on purpose; {len(problems)} differences")
    print(*problems[:20], sep="\n")
    return bool(problems) or debs == 0 or paths == 0


if sys.argv[1] == "choose":
    choose(sys.argv[2:-2], sys.argv[-2], int(sys.argv[-1]))
else:
    sys.exit(compare(sys.argv[2]))
