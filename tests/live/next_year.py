"""Makes the archive of a year to come out of the packages of one lock: next_year.py LOCK BLOBS FOLDER SUITE INDEX…

All packages have later versions and other scripts, the locked versions are gone. FOLDER gets `pool/` and, for the pockets
release, updates and security of SUITE, `dists/` with unsigned Release files, to be signed by the caller. BLOBS has the
packages by digest. INDEXes are of today: what else there is in an archive, which recipes leave out. What changes in scripts are things that happen: another debhelper, a service more, a log file's owner.
"""

import email.utils
import gzip
import hashlib
import io
import os
import re
import subprocess
import sys
import tarfile

LATER = "+nextyear1"
#: What the maintainers of a year to come write into every `postinst`: nothing in it needs a decision.
ADDED = b"""
# Automatically added by dh_installsystemd/99.1
if [ "$1" = "configure" ]; then
    if deb-systemd-helper --quiet was-enabled 'next-year.service'; then
        deb-systemd-helper enable 'next-year.service' >/dev/null || true
    fi
    chown syslog:adm /var/log/next-year/*.log || :
    rm -f /var/lib/next-year/old.conf
fi
# End automatically added section
"""


def members(data):
    """Yields name and content of the members of an ar archive (deb(5))."""
    at = 8
    while at + 60 <= len(data):
        name, size = data[at : at + 16].decode().strip().rstrip("/"), int(data[at + 48 : at + 58])
        yield name, data[at + 60 : at + 60 + size]
        at += 60 + size + size % 2


def joined(parts):
    out = b"!<arch>\n"
    for name, data in parts:
        head = f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode()
        out += head + data + b"\n" * (len(data) % 2)
    return out


def decompressed(name, data):
    if name.endswith(".tar"):
        return data
    program = {"zst": "zstd", "xz": "xz", "gz": "gzip"}[name.rsplit(".", 1)[1]]
    return subprocess.run([program, "-dc"], input=data, check=True, capture_output=True).stdout


def later(control, versions):
    """Returns a control file with a later version, and with relations to the later versions of the others."""
    lines = []
    for line in control.decode().splitlines():
        key = line.split(":")[0]
        if key == "Version":
            line += LATER
        elif key in ("Depends", "Pre-Depends", "Provides", "Breaks", "Conflicts", "Replaces"):
            line = re.sub(r"= ([^) ]+)\)", lambda found: f"= {found[1]}{LATER if found[1] in versions else ''})", line)
        lines.append(line)
    return ("\n".join(lines) + "\n").encode()


def changed(data, versions):
    """Returns the control member of a package of next year, and its control file."""
    out, control = io.BytesIO(), b""
    with tarfile.open(fileobj=io.BytesIO(data)) as old, tarfile.open(fileobj=out, mode="w") as new:
        for member in old:
            if not member.isfile():
                new.addfile(member)
                continue
            text, name = old.extractfile(member).read(), member.name.removeprefix("./")
            if name == "control":
                control = text = later(text, versions)
            elif name == "postinst" and b"sh" in text.splitlines()[0]:
                first, rest = text.split(b"\n", 1)
                text = first + b"\n" + ADDED + rest
            elif name == "md5sums":
                pass
            member.size = len(text)
            new.addfile(member, io.BytesIO(text))
    return out.getvalue(), control


def main():
    lock, blobs, folder, suite, *today = sys.argv[1:]
    with open(lock, encoding="utf-8") as file:
        text = file.read()
    packages = dict(re.findall(r'path: "?(pool/[^",]+\.deb)"?,.*?sha256: "?sha256:([0-9a-f]{64})', text, re.S))
    versions = set(re.findall(r'version: "?([^",]+)"?', text))
    index = []
    for path, digest in sorted(packages.items()):
        with open(f"{blobs}/{digest}", "rb") as file:
            parts = dict(members(file.read()))
        name = next(part for part in parts if part.startswith("control.tar"))
        data = next(part for part in parts if part.startswith("data.tar"))
        content, control = changed(decompressed(name, parts[name]), versions)
        package = joined([("debian-binary", b"2.0\n"), ("control.tar", content), (data, parts[data])])
        path = path.replace(".deb", "").rsplit("_", 1)
        path = f"{path[0]}{LATER}_{path[1]}.deb"
        os.makedirs(os.path.dirname(f"{folder}/{path}"), exist_ok=True)
        with open(f"{folder}/{path}", "wb") as file:
            file.write(package)
        sums = f"SHA256: {hashlib.sha256(package).hexdigest()}\nSHA512: {hashlib.sha512(package).hexdigest()}\n"
        index.append(control.decode().rstrip() + f"\nFilename: {path}\nSize: {len(package)}\n{sums}")

    mine = {re.search(r"^Package: (.*)$", paragraph, re.M)[1] for paragraph in index}
    for name in today:
        with open(name, encoding="utf-8") as file:
            for paragraph in file.read().split("\n\n"):
                package = re.match(r"Package: (.*)\n", paragraph)
                if package and package[1] not in mine:
                    index.append(paragraph.strip() + "\n")

    # what was in the other pockets has moved into the release; components and pockets are there and empty
    for pocket in ("", "-updates", "-security"):
        sums = ""
        for component in ("main", "universe"):
            text = "\n".join(index) if (pocket, component) == ("-updates", "main") else ""
            data, name = gzip.compress(text.encode(), mtime=0), f"{component}/binary-amd64/Packages.gz"
            target = f"{folder}/dists/{suite}{pocket}/{name}"
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, "wb") as file:
                file.write(data)
            for content, one in ((data, name), (text.encode(), name.removesuffix(".gz"))):
                sums += f" {hashlib.sha256(content).hexdigest()} {len(content)} {one}\n"
        with open(f"{folder}/dists/{suite}{pocket}/Release", "w", encoding="utf-8") as file:
            file.write(f"Origin: Ubuntu\nLabel: Ubuntu\nSuite: {suite}{pocket}\nCodename: {suite}\n"
                       f"Date: {email.utils.formatdate(usegmt=True)}\nArchitectures: amd64\nComponents: main universe\n"
                       f"SHA256:\n{sums}")


main()
