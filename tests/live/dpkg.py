#!/usr/bin/env python3
"""Packages as dpkg unpacks them in a minimal system of their release, against sockel's trees.

    dpkg.py system FOLDER DEB…        makes the system of dpkg, base-passwd and what these need
    dpkg.py compare FOLDER TREES      compares; TREES has one document a line, see package.rs (with --accounts FOLDER/etc)

Each package is unpacked by `dpkg --unpack` of the release, in a chroot, into an empty folder of its own: nothing there hides
what a package says about a folder. Its data archive is untouched; of its control archive only the field file is left, since
scripts are compared elsewhere (scripts.py), and conffiles would be named `.dpkg-new` until they are configured. Accounts are
those of the release's base-passwd. FOLDER/planted.deb names owners whose numbers are wrong, because few packages do.

Type, mode, uid, gid, size, content, time, link and hard links are equal for every path, but for what sockel does on purpose:

  setuid        no setuid and no setgid bit: images have no privileged programs (src/layer/unpack.rs)
  time          folders have one fixed time: several packages bring the same folder, each with a time of its own
  there before  dpkg leaves a folder, and a link to one, as it finds it: here those without which no package of a merged system
                can be unpacked. Of them type, owner and target are compared, mode and time are not

/usr and /run are merged on both sides: dpkg writes through the links that base-files and the installer of a release make.
"""
import hashlib, io, json, os, shutil, stat, subprocess, sys, tarfile

MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
FOLDERS = ["usr", "var", "run", "run/lock"] + ["usr/" + name for name in MERGED]
# as installers and base-files leave them; relative, so that they lead into the folder and not into the system around it
LINKS = {name: "usr/" + name for name in MERGED} | {"var/run": "../run", "var/lock": "../run/lock"}
THERE_BEFORE = {*FOLDERS, *LINKS}
# dpkg looks for programs that only other commands of it need; nothing is worth a sync
FORCED = "--force-depends,bad-path,unsafe-io"


def parts(deb):
    """Yields names and bytes of the members of a .deb (ar(5))."""
    with open(deb, "rb") as file:
        assert file.read(8) == b"!<arch>\n", deb
        while header := file.read(60):
            size = int(header[48:58])
            yield header[:16].decode().strip().rstrip("/"), file.read(size)
            file.read(size % 2)


def write_deb(path, members):
    with open(path, "wb") as file:
        file.write(b"!<arch>\n")
        for name, content in members:
            file.write(f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode() + content + b"\n" * (len(content) % 2))


def control_archive(text):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        member = tarfile.TarInfo("./control")
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text))
    return data.getvalue()


def without_scripts(deb, path):
    """Writes the same package with nothing in its control archive but the fields."""
    fields = subprocess.run(["dpkg-deb", "-I", deb, "control"], check=True, stdout=subprocess.PIPE).stdout
    members = [(name, content) for name, content in parts(deb) if name == "debian-binary" or name.startswith("data.tar")]
    write_deb(path, [members[0], ("control.tar", control_archive(fields)), *members[1:]])


def planted(path):
    """Writes a package whose owners are names, with numbers of somebody else or of nobody."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, kind, mode, user, uid, group, gid, link in [
            ("./", tarfile.DIRTYPE, 0o755, "root", 0, "root", 0, ""),
            ("./srv/", tarfile.DIRTYPE, 0o755, "root", 0, "root", 0, ""),
            ("./srv/app/", tarfile.DIRTYPE, 0o2770, "app", 0, "app", 0, ""),
            ("./srv/app/state", tarfile.REGTYPE, 0o640, "app", 0, "mail", 0, ""),
            ("./srv/app/same", tarfile.LNKTYPE, 0o640, "app", 0, "mail", 0, "./srv/app/state"),
            ("./srv/app/link", tarfile.SYMTYPE, 0o777, "app", 0, "app", 0, "state"),
            ("./srv/app/gone", tarfile.REGTYPE, 0o600, "gone", 4321, "gone", 4322, ""),
            ("./srv/app/number", tarfile.REGTYPE, 0o600, "", 4321, "", 4322, ""),
            ("./srv/app/root", tarfile.REGTYPE, 0o600, "root", 4321, "root", 4322, ""),
            ("./srv/app/tool", tarfile.REGTYPE, 0o4755, "games", 1, "staff", 1, ""),
        ]:
            member = tarfile.TarInfo(name)
            member.type, member.mode, member.linkname, member.mtime = kind, mode, link, 1_600_000_000
            member.uname, member.uid, member.gname, member.gid = user, uid, group, gid
            archive.addfile(member)
    fields = b"Package: planted\nVersion: 1\nArchitecture: all\nMaintainer: Nobody <nobody@example.org>\nDescription: owners by name\n"
    write_deb(path, [("debian-binary", b"2.0\n"), ("control.tar", control_archive(fields)), ("data.tar", data.getvalue())])


def skeleton(root):
    """Makes what every system has before its first package."""
    for folder in FOLDERS:
        os.makedirs(f"{root}/{folder}", exist_ok=True)
    for link, target in LINKS.items():
        os.symlink(target, f"{root}/{link}")


def make_system(root, debs):
    """Unpacks a system that can run dpkg, without any script, and gives it the accounts of its release."""
    skeleton(root)
    os.makedirs(f"{root}/etc")
    for deb in debs:
        data = subprocess.run(["dpkg-deb", "--fsys-tarfile", deb], check=True, stdout=subprocess.PIPE).stdout
        subprocess.run(["tar", "-C", root, "-x", "--keep-directory-symlink", "--exclude=./var/run", "--exclude=./var/lock"], check=True, input=data)
    for kind, line in (("passwd", "app:x:10001:10002::/srv/app:/usr/sbin/nologin\n"), ("group", "app:x:10002:\n")):
        shutil.copy(f"{root}/usr/share/base-passwd/{kind}.master", f"{root}/etc/{kind}")
        with open(f"{root}/etc/{kind}", "a") as file:
            file.write(line)
    planted(f"{root}/planted.deb")


def unpack(root, deb):
    """Has dpkg unpack a package into an empty folder of the system; returns the folder and what went wrong."""
    target = f"{root}/target"
    for folder in (target, f"{root}/database"):
        shutil.rmtree(folder, ignore_errors=True)
    skeleton(target)
    for folder in ("info", "updates"):
        os.makedirs(f"{root}/database/{folder}")
    for file in ("status", "available"):
        open(f"{root}/database/{file}", "w").close()
    without_scripts(deb, f"{root}/package.deb")
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
    command = ["chroot", root, "dpkg", FORCED, "--instdir=/target", "--admindir=/database", "--unpack", "/package.deb"]
    done = subprocess.run(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return target, done.stdout if done.returncode else ""


def picture(root):
    """Returns what there is by path, in the words of package.rs, and the paths of each file with several."""
    found, names = {}, {}
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            full = os.path.join(folder, name)
            facts, path = os.lstat(full), full[len(root) + 1:]
            kind = {stat.S_IFDIR: "folder", stat.S_IFLNK: "symlink", stat.S_IFREG: "file"}.get(stat.S_IFMT(facts.st_mode), "other")
            entry = {
                "kind": kind, "mode": facts.st_mode & 0o7777, "uid": facts.st_uid, "gid": facts.st_gid, "mtime": int(facts.st_mtime),
                "target": os.readlink(full) if kind == "symlink" else None, "size": None, "digest": None,
            }
            if kind == "file":
                with open(full, "rb") as file:
                    entry |= {"size": facts.st_size, "digest": hashlib.sha256(file.read()).hexdigest()}
                names.setdefault(facts.st_ino, []).append(path)
            found[path] = entry
    return found, {tuple(sorted(paths)) for paths in names.values() if len(paths) > 1}


def of_sockel(document):
    """Returns the same of sockel's tree."""
    found, names = {}, {}
    for entry in document["entries"]:
        entry = dict(entry)
        path = entry.pop("path")
        if entry["kind"] == "hardlink":
            names.setdefault(entry["target"], {entry["target"]}).add(path)
            entry |= {"kind": "file", "target": None}
        found[path] = entry
    return found, {tuple(sorted(paths)) for paths in names.values()}


def on_purpose(path, ours, theirs, folder_time):
    """Returns dpkg's entry as sockel means it, and the names of the rules that changed it."""
    meant, rules = dict(theirs), []

    def change(rule, **values):
        if any(meant[key] != value for key, value in values.items()):
            meant.update(values)
            rules.append(rule)

    if meant["kind"] != "symlink":
        change("setuid", mode=meant["mode"] & ~0o6000)
    if meant["kind"] == "folder":
        change("time", mtime=folder_time)
    if path in THERE_BEFORE:
        change("there before", mode=ours["mode"], mtime=ours["mtime"])
    return meant, rules


def compare(root, trees):
    """Prints what differs and how often which rule applies; returns whether anything else differs."""
    problems, counts, paths, debs, by_name = [], {}, 0, 0, 0
    for line in open(trees, encoding="utf-8"):
        document = json.loads(line)
        deb = document["deb"]
        name = os.path.basename(deb)
        debs += 1
        if "error" in document:
            problems.append(f"{name}: sockel: {document['error']}")
            continue
        target, wrong = unpack(root, deb)
        if wrong:
            problems.append(f"{name}: dpkg: {wrong.strip()}")
            continue
        (ours, our_links), (theirs, their_links) = of_sockel(document), picture(target)
        for path in sorted(ours.keys() | theirs.keys()):
            if path in THERE_BEFORE and path not in ours:
                continue
            if path not in ours or path not in theirs:
                problems.append(f"{name}: /{path}: sockel {ours.get(path)}, dpkg {theirs.get(path)}")
                continue
            paths += 1
            by_name += bool(ours[path]["uid"] or ours[path]["gid"])
            expected, rules = on_purpose(path, ours[path], theirs[path], document["folder-time"])
            for rule in rules:
                counts[rule] = counts.get(rule, 0) + 1
            unequal = [key for key in expected if expected[key] != ours[path][key]]
            if unequal:
                problems.append(f"{name}: /{path}: " + ", ".join(f"{key}: sockel {ours[path][key]}, dpkg {expected[key]}" for key in unequal))
        if our_links != their_links:
            problems.append(f"{name}: hard links: sockel {our_links - their_links}, dpkg {their_links - our_links}")
    named = ", ".join(f"{rule} {count}" for rule, count in sorted(counts.items()))
    print(f"{debs} packages: {paths} paths as dpkg leaves them, {by_name} of them not root's; on purpose: {named}; {len(problems)} differences")
    print(*problems, sep="\n")
    return bool(problems) or paths == 0


if sys.argv[1] == "system":
    make_system(sys.argv[2], sys.argv[3:])
else:
    sys.exit(compare(sys.argv[2], sys.argv[3]))
