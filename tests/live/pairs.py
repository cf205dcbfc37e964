#!/usr/bin/env python3
"""Asks whether decisions about the scripts of a package still decide about those of its next version.

    pairs.py READER COUNT [SEED [ARCHIVE…]]

READER is the program `live-scripts`. It fails where fewer than 97 % of the pairs are decided, or fewer than 90 % of those whose scripts changed by content.
COUNT pairs an archive are taken at random among packages that two pockets have in
different versions; only the beginning of each package is fetched, up to the end of its scripts. A maintainer is taken to
have decided all effects of the old version as they are, and no other; a new effect that neither this nor the ledger's
rules decide is listed. ARCHIVE is `ADDRESS SUITE NEWER COMPONENT`, default are those below.
"""

import gzip
import http.client
import io
import lzma
import os
import random
import re
import subprocess
import sys
import tarfile
import tempfile
import urllib.parse
import urllib.request

UBUNTU = "http://archive.ubuntu.com/ubuntu"
ARCHIVES = [
    f"{UBUNTU} jammy jammy-updates main",
    f"{UBUNTU} jammy jammy-updates universe",
    f"{UBUNTU} noble noble-updates main",
    f"{UBUNTU} noble noble-updates universe",
    f"{UBUNTU} resolute resolute-updates main",
    f"{UBUNTU} resolute resolute-updates universe",
]
SCRIPTS = ("config", "preinst", "postinst", "triggers", "templates")


class Connection:
    """One connection to one host, so that hundreds of small requests do not open hundreds of them."""

    def __init__(self, address):
        url = urllib.parse.urlsplit(address)
        proxy = urllib.request.getproxies().get("http")
        self.prefix, host = "", url.netloc
        if proxy and not urllib.request.proxy_bypass(url.hostname):
            self.prefix, host = f"http://{url.netloc}", urllib.parse.urlsplit(proxy).netloc
        self.connection = http.client.HTTPConnection(host, timeout=60)

    def get(self, path, end=None):
        headers = {"Range": f"bytes=0-{end - 1}"} if end else {}
        for attempt in range(3):
            try:
                self.connection.request("GET", self.prefix + urllib.parse.quote(path, safe="/+~%:"), headers=headers)
                answer = self.connection.getresponse()
                data = answer.read()
                if answer.status in (200, 206):
                    return data
                raise OSError(f"{path}: status {answer.status}")
            except http.client.HTTPException:
                self.connection.close()
                if attempt == 2:
                    raise
        return None


def packages(connection, base, suite, component):
    """Returns version and path by name, of an index; the newest version counts."""
    data = lzma.decompress(connection.get(f"{base}/dists/{suite}/{component}/binary-amd64/Packages.xz")).decode()
    found = {}
    for paragraph in data.split("\n\n"):
        fields = dict(re.findall(r"^(Package|Version|Filename): (.*)$", paragraph, re.M))
        if fields:
            found[fields["Package"]] = (fields["Version"], fields["Filename"])
    return found


def beginning(connection, path):
    """Returns the member control.tar of a package, with its name, without fetching what comes after it."""
    wanted = 1 << 15
    while True:
        data = connection.get(path, wanted)
        at = 8
        while at + 60 <= len(data):
            name, size = data[at : at + 16].decode().strip().rstrip("/"), int(data[at + 48 : at + 58])
            if name.startswith("control.tar"):
                if at + 60 + size <= len(data):
                    return name, data[at + 60 : at + 60 + size]
                wanted = at + 60 + size
                break
            at += 60 + size + size % 2
        else:
            raise OSError(f"{path}: no control.tar")


def archive_member(name, data):
    head = f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode()
    return head + data + b"\n" * (len(data) % 2)


def write_package(file, control):
    """Writes a package that has scripts and no files."""
    name, data = control
    nothing = io.BytesIO()
    tarfile.open(fileobj=nothing, mode="w").close()
    members = [("debian-binary", b"2.0\n"), (name, data), ("data.tar.gz", gzip.compress(nothing.getvalue(), mtime=0))]
    with open(file, "wb") as out:
        out.write(b"!<arch>\n" + b"".join(archive_member(*member) for member in members))


def scripts(control):
    """Returns the scripts by name."""
    name, data = control
    if name.endswith(".zst"):
        data = subprocess.run(["zstd", "-dc"], input=data, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(data)) as members:
        found = {member.name.removeprefix("./"): members.extractfile(member).read() for member in members if member.isfile()}
    return {name: text for name, text in found.items() if name in SCRIPTS}


def content(texts):
    """Returns scripts without what only says which debhelper wrote them."""
    return {name: re.sub(rb"(dh_\w+)/\S+", rb"\1", text) for name, text in texts.items() if name != "templates"}


def choose(archive, count, chance, work):
    """Yields pairs as (name, old file, new file, changed bytes, changed content)."""
    address, suite, newer, component = archive.split()
    connection, base = Connection(address), urllib.parse.urlsplit(address).path
    old, new = (packages(connection, base, one, component) for one in (suite, newer))
    names = sorted(name for name in new if name in old and old[name][0] != new[name][0] and not re.search(r"^linux-|-dbgsym$", name))
    chance.shuffle(names)
    taken, sources = 0, set()
    for name in names:
        if taken == count:
            break
        # a source that builds fifty packages counts once
        source = os.path.dirname(new[name][1])
        if source in sources:
            continue
        found = [beginning(connection, f"{base}/{index[name][1]}") for index in (old, new)]
        before, after = (scripts(control) for control in found)
        if not before and not after:
            continue
        sources.add(source)
        taken += 1
        files = [f"{work}/{suite}-{component}-{name}-{age}.deb" for age in ("old", "new")]
        for file, control in zip(files, found):
            write_package(file, control)
        yield f"{suite}/{name}", *files, before != after, content(before) != content(after)


def effects(reader, file):
    """Returns how each effect is decided."""
    said = subprocess.run([reader, file], check=True, capture_output=True, text=True).stdout
    return {line.split("\t")[3]: line.split("\t")[4] for line in said.splitlines()}


def main():
    reader, count = sys.argv[1], int(sys.argv[2])
    chance = random.Random(sys.argv[3] if len(sys.argv) > 3 else "1")
    pairs = changed = other = asked = asked_other = understood = 0
    foreign = {}
    with tempfile.TemporaryDirectory(prefix="pairs-") as work:
        for archive in sys.argv[4:] or ARCHIVES:
            for name, old, new, is_changed, is_other in choose(archive, count, chance, work):
                before, after = effects(reader, old), effects(reader, new)
                pairs, changed, other = pairs + 1, changed + is_changed, other + is_other
                strange = [one for one, decided in after.items() if one.startswith("runs ") and decided != "general"]
                understood += not strange
                for one in strange:
                    foreign.setdefault(one, []).append(name)
                fresh = [one for one, decided in after.items() if decided == "no" and one not in before]
                if fresh:
                    asked, asked_other = asked + 1, asked_other + is_other
                    print(f"ASKS {name}")
                    for one in fresh:
                        print(f"    {one}")
                for file in (old, new):
                    os.remove(file)
    print("not understood:")
    for one, names in sorted(foreign.items()):
        print(f"    {one}: {' '.join(names)}")
    print(f"{pairs} pairs, {changed} changed by bytes, {other} by content")
    print(f"decided without asking: {pairs - asked} of {pairs} ({(pairs - asked) / max(pairs, 1):.1%}), "
          f"{other - asked_other} of {other} that changed by content ({(other - asked_other) / max(other, 1):.1%})")
    print(f"understood: {understood} of {pairs} ({understood / max(pairs, 1):.1%})")
    sys.exit(asked > 0.03 * pairs or asked_other > 0.1 * max(other, 10))


if __name__ == "__main__":
    main()
