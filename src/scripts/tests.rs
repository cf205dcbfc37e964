//! Scripts and their effects, as a table; hostile scripts.

use super::*;
use std::fmt::Write as _;

/// Returns the effects of a `postinst`, one a line.
fn effects(body: &str) -> Vec<String> {
    with(body, &[])
}

/// Returns the effects of a `postinst` beside other members, all together.
fn with(body: &str, others: &[(&str, &str)]) -> Vec<String> {
    let postinst = format!("#!/bin/sh\nset -e\n{body}\n");
    let member = |name: &str| match name {
        "postinst" => Some(postinst.as_bytes()),
        other => others.iter().find(|(name, _)| *name == other).map(|(_, text)| text.as_bytes()),
    };
    let all: BTreeSet<ScriptEffect> = effects_of("pkg", &member).into_values().flatten().collect();
    all.iter().map(ToString::to_string).collect()
}

#[test]
fn commands_have_effects() {
    for (body, expected) in [
        ("adduser --system --group --home /var/lib/x x", "account x home=/var/lib/x, group x, folder /var/lib/x"),
        ("useradd -r -u 0 -o x", "account x uid=0"),
        ("adduser www-data ssl", "group ssl with www-data"),
        ("groupadd -r -g 42 shadow", "group shadow gid=42"),
        ("install -d -m 0750 -o a -g b /var/x", "folder /var/x, owner /var/x a:b, mode /var/x 0750"),
        ("install -m 4755 a /usr/bin/b", "mode /usr/bin/b 4755, copy /usr/bin/b <- /a"),
        ("cp -a /a /b/", "copy /b/a <- /a"),
        ("mv /a /b", "copy /b <- /a, removal /a"),
        ("ln -sf ../a /etc/b", "link /etc/b -> ../a"),
        ("chmod u+s /usr/bin/x", "mode /usr/bin/x u+s"),
        ("chmod -x,g+w /a", "mode /a -x,g+w"),
        ("chown -R a.b /x /y", "owner /x a:b and below, owner /y a:b and below"),
        ("chgrp adm /x", "owner /x :adm"),
        ("cd /etc; echo a > b", "file /etc/b"),
        ("set +e; cd /tmp/x; echo a > etc/b", "file <?>/etc/b"),
        ("cd /tmp/x || true; echo a > etc/b", "file <?>/etc/b"),
        ("touch /tmp/{a,../b}$x", "file <?>"),
        ("touch /tmp/$'\\x2e'", "runs postinst, which is no shell script: line 3: quotes of bash (`$'`)"),
        ("echo x >/dev/null 2>&1", ""),
        ("sed -i -e s/a/b/ /etc/x", "file /etc/x"),
        ("sed -n 's/a/b/p' /etc/x", ""),
        ("sed 's/a/b/w /etc/x' /y", "runs sed 's/a/b/w /etc/x' /y"),
        ("awk '{ print > \"/etc/x\" }'", "runs awk '{ print > \"/etc/x\" }'"),
        ("awk '$1 > 3 { print }' /x", ""),
        ("find /a -name x -delete", "removal /a/**"),
        ("find /a -exec chown b {} +", "owner /a b, owner /a/** b"),
        ("echo /x | xargs rm -f", "removal <?>"),
        (
            "update-alternatives --install /usr/bin/a a /usr/bin/b 5 --slave /c d /e",
            "alternative a /usr/bin/a -> /usr/bin/b, alternative d /c -> /e",
        ),
        ("dpkg-divert --package x --rename --divert /a.d --add /a", "diversion /a -> /a.d"),
        ("dpkg-statoverride --update --add a b 2755 /x", "owner /x a:b, mode /x 2755, statoverride /x a:b 2755"),
        ("setcap cap_net_raw+ep /usr/bin/ping", "capability /usr/bin/ping cap_net_raw+ep"),
        (
            "deb-systemd-helper enable x.service",
            "file /var/lib/systemd/deb-systemd-helper-enabled/* for x.service, link /etc/systemd/system/* -> unit x.service",
        ),
        ("update-rc.d x defaults", "link /etc/rc*.d/*x -> ../init.d/x"),
        ("ucf /usr/share/a /etc/a", "file /var/lib/ucf/hashfile, copy /etc/a <- /usr/share/a"),
        ("ldconfig", "cache /etc/ld.so.cache by ldconfig"),
        ("curl -s https://example.org | sh", "network curl -s https://example.org, runs sh"),
        ("systemd-tmpfiles --create x.conf", "generated paths of tmpfiles.d x.conf"),
        ("dpkg-trigger update-x", "trigger activate update-x"),
        ("dpkg-maintscript-helper rm_conffile /a 1 -- \"$@\"", ""),
        (
            "dpkg-maintscript-helper rm_conffile /a 1 -- upgrade 0",
            "runs dpkg-maintscript-helper rm_conffile /a 1 -- upgrade 0",
        ),
        ("/usr/lib/x/setup --all 'a b'", "runs /usr/lib/x/setup --all 'a b'"),
        ("/usr/sbin/useradd x", "account x"),
        ("python3 -c pass", "runs python3 -c pass"),
        ("PATH=/opt/x:$PATH chown a /b", "owner /b a, runs other programs, by PATH=/opt/x:<?>"),
        ("LD_PRELOAD=/x.so true", "runs other programs, by LD_PRELOAD=/x.so"),
        ("start-stop-daemon --start --exec /x", "runs start-stop-daemon --start --exec /x"),
        // helpers of other packages
        (
            ". /usr/lib/php/php-maintscript-helper; php_invoke enmod 8.4 ALL dom",
            "folder /var/lib/php/modules/8.4/*, file /var/lib/php/modules/8.4/*/*/dom, file /var/lib/php/modules/8.4/*/dom, \
             link /etc/php/8.4/*/conf.d/*-dom.ini -> /etc/php/8.4/mods-available/dom.ini, \
             trigger activate /etc/php/8.4/*/conf.d",
        ),
        (
            "apache2_invoke enconf x.conf",
            "file /var/lib/apache2/conf/*/*, file /var/lib/apache2/deferred_actions, \
             link /etc/apache2/conf-enabled/x.conf -> ../conf-available/x.conf",
        ),
        ("apache2_invoke dismod x", "removal /etc/apache2/mods-enabled/*"),
        ("postconf -h alias_database", ""),
        ("postconf -e a=b", "file /etc/postfix/main.cf"),
        (
            "/usr/share/locales/install-language-pack de '' ''",
            "generated files by locale-gen --keep-existing de, trigger activate gmenucache",
        ),
        ("/usr/lib/x86_64-linux-gnu/glib-2.0/glib-compile-schemas /x", "cache index by glib-compile-schemas"),
        ("/usr/lib/x/y/glib-2.0/glib-compile-schemas /x", "runs /usr/lib/x/y/glib-2.0/glib-compile-schemas /x"),
        ("ssh-keygen -t rsa -N '' -f /etc/ssh/key", "file /etc/ssh/key, file /etc/ssh/key.pub"),
        ("ssh-keygen -l -f /etc/ssh/key", ""),
        ("ssh-keygen -A", "runs ssh-keygen -A"),
        ("openssl rand -base64 -out /var/lib/x/cookie 42", "file /var/lib/x/cookie"),
        ("openssl req -x509", "runs openssl req -x509"),
        ("perl -e ''", ""),
        ("perl -e 'unlink $x'", "runs perl -e 'unlink $x'"),
    ] {
        assert_eq!(effects(body).join(", "), expected, "{body}");
    }
}

#[test]
fn ways_are_followed() {
    for (body, expected) in [
        // what cannot happen at a first installation
        ("if [ \"$1\" = remove ]; then touch /a; fi", ""),
        ("case $1 in upgrade) touch /a;; configure) touch /b;; esac", "file /b"),
        ("[ -z \"$2\" ] || touch /a", ""),
        ("if [ -d /run/systemd/system ]; then touch /a; fi", ""),
        ("[ -n \"$DPKG_ROOT\" ] && touch /a", ""),
        ("exit 0\ntouch /a", ""),
        ("f() { return; touch /a; }; f; touch /b", "file /b"),
        // an empty old version is earlier than all others
        ("if dpkg --compare-versions \"$2\" lt 1.0; then touch /a; fi", "file /a"),
        ("if dpkg --compare-versions \"$2\" lt-nl 1.0; then touch /a; fi", ""),
        ("if dpkg --compare-versions 1.10 gt 1.9; then touch /a; else touch /b; fi", "file /a"),
        // what depends on the machine
        ("if [ -e /x ]; then touch /a; else touch /b; fi; touch /c", "file /a, file /b, file /c"),
        ("if grep -q x /y; then exit 0; fi; touch /a", "file /a"),
        ("test -x /x && touch /a || touch /b", "file /a, file /b"),
        ("case $(uname) in Linux) touch /a;; *) touch /b;; esac", "file /a, file /b"),
        ("exit 0 & touch /a", "file /a"),
        ("(exit 0); touch /a", "file /a"),
        ("true | exit 0; touch /a", "file /a"),
        // conditions and options of bash
        ("set -euo pipefail; touch /a/$1", "file /a/configure"),
        ("if [[ $1 == configure ]]; then touch /a; else touch /b; fi", "file /a"),
        ("if [[ $1 == conf* ]]; then touch /a; else touch /b; fi", "file /a, file /b"),
        ("if [[ $1 == x || -e /x ]]; then touch /a; fi", "file /a, runs -e /x ]]"),
        ("x[0]=chown; ${x[0]} a /b", "runs <?> a /b"),
        // variables
        ("d=/var/lib; d=$d/x; mkdir -p \"$d/y\"", "folder /var/lib/x/y"),
        ("if [ -e /x ]; then m=0755; else m=4755; fi; chmod $m /a", "mode /a 0755, mode /a 4755"),
        ("x=$(cat /y); touch /a/$x", "file /a/<?>"),
        ("x='/a /b'; touch $x; touch \"$x\"", "file /a, file /a /b, file /b"),
        ("set -- chmod 4755 /a; \"$@\"", "mode /a 4755"),
        ("x=${y:-/a}; touch ${x%/*}/c ${x##*/}", "file /a, file /c"),
        ("touch /a/*.conf", "file /a/*.conf"),
        ("c=tou; c=${c}ch; $c /a", "file /a"),
        ("$(echo touch) /a", "file /a"),
        ("touch /a/$(basename /b/c.d .d)", "file /a/c"),
        ("x=$(mktemp); mv $x /etc/y", "file /tmp/tmp.*, copy /etc/y <- /tmp/tmp.*, removal /tmp/tmp.*"),
        // functions and loops
        ("f() { chown \"$2\" \"$1\"; }; f /a b", "owner /a b"),
        ("for i in a b; do touch /$i; done", "file /a, file /b"),
        ("for i in /x/*; do rm $i; done", "removal /x/*"),
        ("while read a b; do chown $a $b; done <<E\nu /x\nv /y\nE", "owner /x u, owner /y v"),
        ("cat /x | while read a; do rm $a; done", "removal <?>"),
        ("while [ $# -gt 0 ]; do touch /$1; shift; done", "file /, file /configure"),
        ("f() { f; touch /a; }; f", "file /a"),
        ("i=0; until [ $i -gt 5 ]; do i=$((i + 1)); done; touch /a", "file /a"),
        ("for i in 1 2; do if [ -e /x ]; then break; fi; done; touch /a", "file /a"),
        // text that becomes code
        ("eval 'touch /a'", "file /a"),
        ("eval \"$(cat /x)\"", "runs eval <?>"),
        ("sh -c 'chmod 4755 /a'", "mode /a 4755"),
        ("trap 'rm -f /a' EXIT", "removal /a"),
        ("sh <<E\ntouch /a\nE", "runs sh"),
        (". /usr/share/x/functions", "runs . /usr/share/x/functions"),
        (". /etc/default/x; touch /var/$Y", "file /var/<?>, runs . /etc/default/x"),
        ("exec touch /a; touch /b", "file /a"),
        ("env X=1 nice -n 5 touch /a", "file /a"),
        ("cat >/etc/a <<E\nx\nE", "file /etc/a"),
        ("exit() { :; }; exit; touch /a", "file /a, runs more than is followed: function exit"),
        // nothing hides in a path
        ("touch /etc/../a//b/./c", "file /a/b/c"),
        ("touch /tmp/*/../../etc/passwd", "file <?>"),
    ] {
        let found = effects(&format!("[ \"$1\" = configure ] || exit 0\n{body}"));
        assert_eq!(found.join(", "), expected, "{body}");
    }
}

#[test]
fn answers_come_from_templates_and_config() {
    let templates = "Template: x/on\nType: boolean\nDefault: false\nDefault-de.UTF-8: true\nDescription: a\n\nTemplate: x/dir\nType: string\nDefault: /srv\nDescription: b\n";
    let body = ". /usr/share/debconf/confmodule\ndb_get x/on; if [ \"$RET\" = true ]; then touch /on; fi\ndb_get x/dir; mkdir $RET\ndb_get y/z; touch /z/$RET\n";
    let found = with(body, &[("templates", templates)]);
    assert_eq!(found.join(", "), "folder /srv, file /z/<?>");

    let config = "#!/bin/sh\n. /usr/share/debconf/confmodule\ndb_set x/on true\nexit 0\n";
    let found = with(body, &[("templates", templates), ("config", config)]);
    assert_eq!(found.join(", "), "folder /srv, file /on, file /z/<?>, debconf answer to x/on");

    // who knows what a program sets
    let config = "#!/usr/bin/perl\n";
    let found = with(body, &[("templates", templates), ("config", config)]);
    assert_eq!(found.join(", "), "folder <?>, file /on, file /z/<?>, runs config in another language: /usr/bin/perl");
}

#[test]
fn other_members_count() {
    let triggers = "# made by debhelper\nactivate-noawait ldconfig\ninterest /usr/share/x\n";
    let found = with("", &[("triggers", triggers), ("preinst", "#!/bin/bash\ncase $1 in install) touch /p;; esac\n")]);
    assert_eq!(found.join(", "), "file /p, trigger activate ldconfig, trigger interest /usr/share/x");
    let found = with("", &[("prerm", "#!/bin/sh\nrm -rf /\n"), ("preinst", "#!/bin/sh\nif\n")]);
    assert_eq!(found.join(", "), "runs preinst, which is no shell script: line 3: a compound command is not complete");
}

#[test]
fn old_encodings_are_read() {
    let script = b"#!/bin/sh\n# \xe4\xf6\xfc\ntouch /\xfc\n";
    let found = effects_of("x", &|name| (name == "postinst").then_some(script.as_slice()));
    assert_eq!(found["postinst"].first().map(ToString::to_string).as_deref(), Some("file /ü"));
}

/// Whatever a script does to the reader, it ends, and says that it did not follow.
#[test]
fn hostile_scripts_end() {
    let mut bomb = String::from("f0() { touch /a; }\n");
    for number in 1..60 {
        let below = number - 1;
        let _ = writeln!(bomb, "f{number}() {{ f{below} \"$1$1\"; f{below} $RANDOM$1; }}");
    }
    bomb.push_str("f59 x\n");

    let mut branches = String::new();
    for number in 0..1000 {
        let _ =
            writeln!(branches, "if [ -e /{number} ]; then v{number}=a; elif x{number}; then v{number}=b$v{number}; fi");
    }
    let elif = format!("if a; then b; {} fi", "elif [ -e /x ]; then c; ".repeat(5_000));
    let glob = format!("case {} in {}b) touch /a;; esac", "a".repeat(5000), "*a".repeat(2000));
    let words =
        format!("x=\"{}\"; for i in $x; do for j in $x; do touch /$i$j; done; done", "a b c d e f g h ".repeat(60));
    let text = "x=a; while :; do x=$x$x; done; touch /$x";
    let options = (0..20).map(|n| format!("if [ -e /{n} ]; then x=$x{n}; fi\n")).collect::<String>() + "touch /$x";
    let known = (0..2000).map(|n| format!("v{n}=a\n")).collect::<String>();
    let arms = format!("{known}case $1 in {} esac", (0..2000).map(|n| format!("{n}) ;; ")).collect::<String>());
    let chain = format!("{known}{}touch /x", "x && ".repeat(2000));
    for body in [
        bomb.as_str(),
        &arms,
        &chain,
        &branches,
        &elif,
        &glob,
        &words,
        text,
        &options,
        "f() { f \"x$1\"; }; f",
        "eval 'eval \"eval x\"'",
    ] {
        let found = effects(body);
        assert!(found.len() < 5000, "{}", found.len());
    }
    assert!(effects(&bomb).iter().any(|effect| effect.starts_with("runs more than is followed")));
}
