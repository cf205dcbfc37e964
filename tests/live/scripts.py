#!/usr/bin/env python3
"""Compares predicted effects of maintainer scripts with what dpkg really does.

    scripts.py READER TARBALL COUNT [SEED [PACKAGE…]]

READER is the program `live-scripts`, TARBALL a minimal system with apt (`mmdebstrap --variant=apt trixie trixie.tar`).
COUNT packages with scripts, or the named ones, are installed with their dependencies, by the system's own apt and dpkg, in a chroot: needs
root and an archive. After each installation, every path that differs from before must come from a package's own
archive, from dpkg itself (ALWAYS), or from a named effect. Packages with an effect `runs …` are listed as not
understood; what they leave is not counted. Exit code 1: something happened that no named effect predicts.
"""
import os, random, re, shutil, stat, subprocess, sys, tarfile, tempfile

# what dpkg, debconf, ucf and apt leave behind whatever a script does
ALWAYS = re.compile(
    r"/(etc/(passwd|group|shadow|gshadow|subuid|subgid)-|var/cache/(debconf|apt|ldconfig)(/.*)?|var/lib/(dpkg|apt|ucf)(/.*)?"
    r"|var/log/(dpkg|alternatives|fontconfig|apt)(\.log|/.*)?|run/adduser|etc/ld\.so\.cache|tmp|run|root/\.rnd|etc/\.pwd\.lock)$")
# paths of effects that name none: caches, generators, accounts
KINDS = {
    "account": r"/etc/(passwd|group|shadow|gshadow|subuid|subgid)-?|/home/[^/]+(/.*)?|/var/mail/[^/]+",
    "group": r"/etc/(group|gshadow)-?",
    "cache compiled Python": r".*/__pycache__(/.*)?|/usr/lib/pypy3?/.*|/usr/share/python3/.*",
    "cache index by update-mime": r"/etc/mailcap(\..*)?|/usr/share/(mime|applications)/.*",
    "cache index by update-desktop-database": r"/usr/share/applications/.*",
    "cache index by glib-compile-schemas": r"/usr/share/glib-2.0/schemas/gschemas.compiled",
    "cache index by fc-cache": r"/var/cache/fontconfig(/.*)?|/usr/share/fonts/.*\.uuid|/usr/local/share/fonts/.*",
    "cache index by mandb": r"/var/cache/man(/.*)?",
    "cache index by install-info": r"/usr/share/info/dir(\.old)?",
    "cache index by update-info-dir": r"/usr/share/info/dir(\.old)?",
    "cache index by journalctl": r"/var/lib/systemd/catalog(/.*)?",
    "cache index by systemd-hwdb": r"/(etc|usr/lib)/udev/hwdb.bin",
    "cache index by update-icon-caches": r"/usr/share/icons/.*",
    "cache index by gtk-update-icon-cache": r"/usr/share/icons/.*",
    "cache index by iconvconfig": r"/usr/lib/.*gconv-modules.cache",
    "cache index by update-fonts": r"/(etc/X11|usr/share)/fonts/.*|/var/lib/xfonts(/.*)?",
    "cache index by update-gsfontmap": r"/var/lib/ghostscript/.*",
    "generated files by update-ca-certificates": r"/etc/ssl/certs(/.*)?|/etc/ca-certificates.conf",
    "generated files by pam-auth-update": r"/etc/pam.d/common-.*|/var/lib/pam(/.*)?",
    "generated files by update-xmlcatalog": r"/etc/xml(/.*)?|/var/lib/xml-core(/.*)?",
    "generated files by update-catalog": r"/etc/sgml(/.*)?|/var/lib/sgml-base(/.*)?",
    "generated files by locale-gen": r"/usr/lib/locale(/.*)?",
    "service update-binfmts": r"/var/lib/binfmts(/.*)?",
    "file /var/lib/systemd/deb-systemd-helper-": r"/var/lib/systemd/deb-systemd-(user-)?helper-.*",
    "link /etc/systemd/": r"/etc/systemd/(system|user)(/.*)?",
}


def run(*command, **options):
    return subprocess.run(command, check=options.pop("check", True), text=True, capture_output=True, **options)


def merged(path):
    """Returns where a path is when /usr is merged: /bin, /lib and their kin are links."""
    return re.sub(r"^/(bin|sbin|lib|lib32|lib64|libx32)(?=/)", r"/usr/\1", path)


def picture(root):
    """Returns what there is: type, mode, owner, size, time, link, capability by path."""
    found = {}
    for folder, folders, files in os.walk(root):
        inside = folder[len(root):] or "/"
        if inside == "/":
            folders[:] = [name for name in folders if name not in ("proc", "sys", "dev")]
        for name in folders + files:
            full, path = os.path.join(folder, name), os.path.join(inside, name)
            facts = os.lstat(full)
            kind = stat.S_IFMT(facts.st_mode)
            content = (os.readlink(full) if kind == stat.S_IFLNK else "") if kind != stat.S_IFREG else facts.st_mtime_ns
            capability = b""
            if kind == stat.S_IFREG and "security.capability" in os.listxattr(full):
                capability = os.getxattr(full, "security.capability")
            found[path] = (kind, facts.st_mode & 0o7777, facts.st_uid, facts.st_gid, content, capability)
    return found


def shipped(deb):
    """Returns what a package brings itself: type, mode, numeric owner by path."""
    data = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE)
    found = {}
    with tarfile.open(fileobj=data.stdout, mode="r|") as archive:
        for member in archive:
            path = "/" + member.name.removeprefix("./").strip("/")
            found[merged(path)] = (member.mode & 0o7777, member.uid, member.gid, member.issym())
    data.wait()
    return found


def pattern(text):
    """Returns the expression for a path of an effect."""
    path = merged(text.replace("<?>", "\x00"))
    return "".join({"\x00": ".*", "*": "[^/]*"}.get(c, re.escape(c)) for c in path.replace("**", "\x00"))


def predictions(effects, root):
    """Returns one expression for all paths that effects name."""
    parts = []
    for effect in effects:
        kind, what = effect.split(" ", 1)
        parts += [paths for start, paths in KINDS.items() if (effect + " ").startswith(start)]
        if kind == "generated" and what.startswith("paths of"):
            names = [what.split()[-1]] if "tmpfiles.d" in what and "every" not in what else None
            for folder in ("usr/lib/tmpfiles.d", "etc/tmpfiles.d"):
                for name in os.listdir(f"{root}/{folder}") if os.path.isdir(f"{root}/{folder}") else []:
                    if names is None or name in names:
                        for line in open(f"{root}/{folder}/{name}", errors="replace"):
                            words = line.split()
                            if len(words) > 1 and words[1].startswith("/"):
                                parts.append(pattern(words[1].replace("/var/run/", "/run/")) + "(/.*)?")
        elif kind == "alternative":
            name, _, rest = what.partition(" ")
            parts += [pattern(f"/etc/alternatives/{name}"), pattern(rest.split(" -> ")[0])]
        elif kind in ("copy", "link", "diversion", "statoverride", "file", "folder", "owner", "mode", "capability", "removal"):
            path = re.split(r" (?:->|<-) ", what)[0] if kind in ("copy", "link", "diversion") else what.split(" ")[0]
            parts.append(pattern(path) + ("(/.*)?" if kind in ("copy", "removal") or "and below" in what else ""))
            if kind == "folder":
                above = path
                while above.count("/") > 1:
                    above = above.rsplit("/", 1)[0]
                    parts.append(pattern(above))
            if kind == "diversion" and " -> " in what:
                parts.append(pattern(what.split(" -> ")[1]))
        elif kind == "generated" and what.startswith("/"):
            parts.append(pattern(what.split(" ")[0]) + "-?")
    return re.compile("(" + "|".join(sorted(set(parts)) or ["(?!)"]) + ")$")


def main():
    reader, tarball, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    seed = sys.argv[4] if len(sys.argv) > 4 else "1"
    chance = random.Random(seed)
    root = tempfile.mkdtemp(prefix="scripts-")
    run("tar", "-C", root, "-xf", tarball, "--exclude=./dev/*")
    shutil.copy("/etc/resolv.conf", f"{root}/etc/resolv.conf")
    for name, numbers in (("null", (1, 3)), ("urandom", (1, 9)), ("random", (1, 8)), ("zero", (1, 5)), ("full", (1, 7)), ("tty", (5, 0))):
        if not os.path.exists(f"{root}/dev/{name}"):
            os.mknod(f"{root}/dev/{name}", 0o666 | stat.S_IFCHR, os.makedev(*numbers))
            os.chmod(f"{root}/dev/{name}", 0o666)
    os.makedirs(f"{root}/proc/self", exist_ok=True)
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}

    def inside(*command, check=True):
        return run("chroot", root, *command, check=check, env=environment)

    if inside("apt-get", "update", check=False).returncode:
        print("the archive cannot be reached from the chroot")
        sys.exit(77)
    names = inside("apt-cache", "pkgnames").stdout.split()
    names = sorted(n for n in names if not re.search(r"-(dev|doc|dbg|dbgsym|udeb|headers|modules).*|^linux-|^lib.*-perl$|-data$", n))
    chance.shuffle(names)
    # servers and tools that people put into images come first
    usual = """nginx redis-server postgresql openssh-server git python3-flask python3-yaml php-fpm php-xml nodejs valkey-server dnsutils
        apache2 haproxy memcached rsyslog cron chrony man-db zsh vim bind9 squid postfix dovecot-core fontconfig sudo polkitd dbus
        ssl-cert krb5-user ldap-utils slapd exim4-daemon-light mariadb-server snmpd ntpsec unbound lighttpd tor openvpn wireguard-tools
        libpam-systemd systemd-sysv systemd-resolved docker.io podman iputils-ping tcpdump nano emacs-nox uuid-runtime xml-core sgml-base
        ca-certificates-java default-jre-headless tomcat10 locales tzdata netbase mailcap info install-info libgtk-3-0 rabbitmq-server""".split()
    queue = sys.argv[5:] or [name for name in usual if name in set(names)] + names

    done, unexplained, opaque, failed = {}, [], {}, 0
    log = f"{root}/var/log/dpkg.log"
    effects_of = {}
    before = picture(root)
    for name in queue:
        if len(done) >= count:
            break
        if inside("apt-get", "install", "-y", "--no-install-recommends", "--download-only", name, check=False).returncode:
            continue
        start = os.path.getsize(log) if os.path.exists(log) else 0
        result = inside("apt-get", "install", "-y", "--no-install-recommends", name, check=False)
        with open(log) as lines:
            lines.seek(start)
            events = [line.split()[2:] for line in lines]
        new = sorted({event[1].split(":")[0] for event in events if event and event[0] == "install"})
        acted = sorted({event[1].split(":")[0] for event in events if event and event[0] in ("install", "trigproc", "configure")})
        cache = f"{root}/var/cache/apt/archives"
        debs = [f"{cache}/{file}" for file in sorted(os.listdir(cache)) if file.endswith(".deb")]
        after = picture(root)
        own = {}
        for deb in debs:
            own.update(shipped(deb))
        # what a package brings lands elsewhere where an earlier one has diverted the path (dpkg-divert(1))
        diversions = open(f"{root}/var/lib/dpkg/diversions").read().split("\n")
        for path, target in zip(diversions[0::3], diversions[1::3]):
            if path in own:
                own[target] = own[path]
        if debs:
            for line in run(reader, *debs).stdout.splitlines():
                package, _, _, effect, _ = line.split("\t")
                effects_of.setdefault(package, set()).add(effect)
        for deb in debs:
            os.remove(deb)
        if result.returncode:
            # the next one starts from what there is
            failed += 1
            inside("dpkg", "--configure", "-a", check=False)
            before = picture(root)
            continue

        effects = {effect for package in acted for effect in effects_of.get(package, ())}
        predicted = predictions(effects, root)
        odd = []
        for path in sorted(before.keys() | after.keys()):
            was, now = before.get(path), after.get(path)
            if was == now or ALWAYS.match(path) or predicted.match(path):
                continue
            if now and merged(path) in own:
                mode, uid, gid, is_link = own[merged(path)]
                if (is_link or now[1:4] == (mode, uid, gid)) and not now[5]:
                    continue
            # folders change their time only, which is not compared; conffiles come under another name first
            if now and was and now[:4] == was[:4] and now[0] == stat.S_IFDIR:
                continue
            odd.append(f"{path}: {was} -> {now}")
        not_understood = [p for p in acted if any(e.startswith("runs ") for e in effects_of.get(p, ()))]
        with_scripts = [p for p in new if effects_of.get(p)]
        for package in with_scripts:
            done[package] = name
        if odd and not_understood:
            opaque[name] = (not_understood, len(odd))
        elif odd:
            unexplained.append((name, acted, odd))
            print(f"UNPREDICTED {name} ({', '.join(with_scripts)}):")
            for line in odd[:10]:
                print(f"    {line}")
        before = after

    understood = [p for p in done if not any(e.startswith("runs ") for e in effects_of[p])]
    print(f"{len(done)} packages with scripts installed (seed {seed}), {len(understood)} without `runs`, {failed} installations failed")
    print(f"{len(unexplained)} installations with effects that no named effect predicts: {sum(len(odd) for _, _, odd in unexplained)} paths")
    print(f"{len(opaque)} installations with other changes by packages that are not understood:")
    for name, (packages, paths) in sorted(opaque.items()):
        print(f"    {name}: {', '.join(packages)}: {paths} paths")
    shutil.rmtree(root)
    sys.exit(1 if unexplained else 0)


main()
