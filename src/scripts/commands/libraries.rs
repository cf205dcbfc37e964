//! What other packages have for maintainer scripts: libraries, whose functions a script gets by reading them, and
//! programs. What each does was read in its own text, and compared with dpkg (`tests/live/scripts.py`).

use crate::scripts::commands::CommandCall;
use crate::scripts::effect::EffectKind;
use crate::scripts::value::NAME;
use crate::scripts::walk::ScriptWalk;
use crate::scripts::walk::ShellOutcome;
use crate::scripts::walk::ShellOutcome::Either;

/// Libraries that only provide commands of the table: `db_…` (debconf-devel(7)), messages of dpkg's own scripts, modules
/// of PHP and Apache, maps of Postfix.
pub(super) const LIBRARIES: [&str; 6] = [
    "/usr/share/debconf/confmodule",
    "/usr/share/debconf/confmodule.sh",
    "/usr/share/dpkg/sh/dpkg-error.sh",
    "/usr/lib/php/php-maintscript-helper",
    "/usr/share/apache2/apache2-maintscript-helper",
    "/usr/share/postfix/postinst.functions",
];

/// `php_invoke enmod VERSION SAPI MODULE`: links for each way to run PHP, and a record for `phpquery`.
pub(super) fn php(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    let [action, version, interface, module] = call.arguments else { return call.not_understood(walk) };
    let interface = if interface == "ALL" { NAME.to_string() } else { interface.clone() };
    let version = if version == "ALL" { NAME.to_string() } else { version.clone() };
    let link = format!("/etc/php/{version}/{interface}/conf.d/{NAME}-{module}.ini");
    match action.as_str() {
        "enmod" => {
            walk.effect(EffectKind::Link, &format!("{link} -> /etc/php/{version}/mods-available/{module}.ini"));
            walk.effect(EffectKind::Folder, &format!("/var/lib/php/modules/{version}/{NAME}"));
            walk.effect(EffectKind::File, &format!("/var/lib/php/modules/{version}/{NAME}/{module}"));
            walk.effect(EffectKind::File, &format!("/var/lib/php/modules/{version}/{interface}/{NAME}/{module}"));
            walk.effect(EffectKind::Trigger, &format!("activate /etc/php/{version}/{interface}/conf.d"));
        }
        "dismod" => walk.effect(EffectKind::Removal, &link),
        _ => return call.not_understood(walk),
    }
    Either
}

/// `apache2_invoke enconf|enmod|ensite NAME`: links, and a record for `a2query`. Modules bring those they depend on.
pub(super) fn apache(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    let [action, name, ..] = call.arguments else { return call.not_understood(walk) };
    let (folder, record) = match action.trim_start_matches("en").trim_start_matches("dis") {
        "conf" => ("conf", "conf"),
        "mod" => ("mods", "module"),
        "site" => ("sites", "site"),
        _ => return call.not_understood(walk),
    };
    let name = if folder == "mods" { NAME.to_string() } else { format!("{}.conf", name.trim_end_matches(".conf")) };
    let link = format!("/etc/apache2/{folder}-enabled/{name}");
    if action.starts_with("dis") {
        walk.effect(EffectKind::Removal, &link);
    } else {
        walk.effect(EffectKind::Link, &format!("{link} -> ../{folder}-available/{name}"));
        walk.effect(EffectKind::File, &format!("/var/lib/apache2/{record}/{NAME}/{NAME}"));
        // as long as Apache itself is not configured
        walk.effect(EffectKind::File, "/var/lib/apache2/deferred_actions");
    }
    Either
}

/// `apache2_switch_mpm NAME`: one module for another.
pub(super) fn apache_mpm(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    let arguments = ["enmod".to_owned(), format!("mpm_{}", call.arguments.first().map_or("", String::as_str))];
    apache(walk, &CommandCall { name: call.name, arguments: &arguments })
}

/// `postconf`: prints settings, or changes them.
pub(super) fn postconf(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    let words = call.words(&["-c"]);
    if words.has(&["-e", "-#", "-X"]) || words.operands.iter().any(|word| word.contains('=')) {
        walk.effect(EffectKind::File, "/etc/postfix/main.cf");
    }
    if words.has(&["-M", "-F", "-P"]) {
        walk.effect(EffectKind::File, "/etc/postfix/master.cf");
    }
    if words.has(&["-c"]) { call.not_understood(walk) } else { Either }
}

/// Changes of one file that has a fixed place.
pub(super) fn known_file(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    let path = match call.name.rsplit('/').next() {
        Some("addmap" | "delmap") => "/etc/postfix/dynamicmaps.cf",
        Some("newaliases" | "runnewaliases") => "/etc/aliases.db",
        Some("update-inetd") => "/etc/inetd.conf",
        Some("augenrules") => "/etc/audit/audit.rules",
        _ => return call.not_understood(walk),
    };
    walk.effect(EffectKind::File, path);
    Either
}

/// `postmap FILE` and `postalias FILE`: an index beside each.
pub(super) fn postmap(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    let words = call.words(&["-c", "-d", "-q"]);
    for file in words.operands {
        walk.writes(&format!("{}.db", file.trim_start_matches("hash:")));
    }
    Either
}

/// `lighty-enable-mod NAME…`: a link each.
pub(super) fn lighttpd(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    for name in call.arguments {
        let place = format!("/etc/lighttpd/conf-enabled/{NAME}{name}.conf");
        walk.effect(EffectKind::Link, &format!("{place} -> ../conf-available/{NAME}{name}.conf"));
    }
    Either
}

/// `install-language-pack LANGUAGE [CLASS]` of Ubuntu: locales, unless it is a package for a desktop.
pub(super) fn language_pack(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    let [language, rest @ ..] = call.arguments else { return Either };
    if rest.first().is_none_or(String::is_empty) {
        walk.effect(EffectKind::Generated, &format!("files by locale-gen --keep-existing {language}"));
    }
    walk.effect(EffectKind::Trigger, "activate gmenucache");
    Either
}

/// Keys that programs make, each machine its own.
pub(super) fn keys(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    let words = call.words(&["-f", "-t", "-b", "-C", "-N", "-P", "-c", "-k", "-A", "-s", "-S", "-a", "-E", "-u"]);
    match call.name.rsplit('/').next() {
        Some("ssh-keygen") if words.has(&["-l", "-F", "-B"]) => (),
        Some("ssh-keygen") => {
            let Some(file) = words.value(&["-f"]) else { return call.not_understood(walk) };
            for suffix in ["", ".pub"] {
                walk.writes(&format!("{file}{suffix}"));
            }
        }
        // prints the public key
        Some("dropbearkey") if words.has(&["-y"]) => (),
        Some("dropbearkey") => {
            let Some(file) = words.value(&["-f"]) else { return call.not_understood(walk) };
            walk.writes(file);
        }
        Some("dropbearconvert") => match call.arguments {
            [.., target] => walk.writes(target),
            [] => return call.not_understood(walk),
        },
        Some("rndc-confgen") if call.arguments.iter().any(|argument| argument == "-a") => {
            // -a takes no value here
            let file = call.arguments.iter().skip_while(|argument| *argument != "-c").nth(1);
            walk.writes(file.map_or("/etc/bind/rndc.key", String::as_str));
        }
        _ => return call.not_understood(walk),
    }
    Either
}

/// `openssl rand -out FILE` writes; what else it may do is not followed.
pub(super) fn openssl(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    match call.arguments {
        [command, rest @ ..] if command == "rand" => {
            if let Some(file) = rest.iter().skip_while(|word| *word != "-out").nth(1) {
                walk.writes(file);
            }
            Either
        }
        _ => call.not_understood(walk),
    }
}

/// `perl -e ''` asks whether there is a Perl; what else it may do is not followed.
pub(super) fn perl(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    match call.arguments {
        [option, program] if option == "-e" && program.is_empty() => Either,
        _ => call.not_understood(walk),
    }
}
