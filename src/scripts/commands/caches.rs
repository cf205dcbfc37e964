//! Commands that make indexes and configuration from what is installed.

use crate::scripts::commands::CommandCall;
use crate::scripts::effect::EffectKind;
use crate::scripts::walk::ScriptWalk;
use crate::scripts::walk::ShellOutcome;
use crate::scripts::walk::ShellOutcome::Either;

pub(super) fn ldconfig(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    // other folders and files may be given
    let words = call.words(&["-r"]);
    let is_plain = ["-X", "-v", "--verbose", "-i", "-p", "-V", "-r"];
    let has_others = words.options.iter().any(|(name, _)| !is_plain.contains(&name.as_str()));
    if has_others || !words.operands.is_empty() || words.value(&["-r"]).is_some_and(|root| root != "/") {
        return call.not_understood(walk);
    }
    walk.effect(EffectKind::Cache, "/etc/ld.so.cache by ldconfig");
    Either
}

/// Returns a program's name without its folder.
fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

pub(super) fn python(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    walk.effect(EffectKind::Cache, &format!("compiled Python by {}", call.name));
    Either
}

pub(super) fn cache(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    walk.effect(EffectKind::Cache, &format!("index by {}", base_name(call.name)));
    Either
}

pub(super) fn generated(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    call.with_all(walk, EffectKind::Generated, &format!("files by {}", call.name))
}

pub(super) fn shells(walk: &mut ScriptWalk, _: &CommandCall<'_>) -> ShellOutcome {
    walk.effect(EffectKind::File, "/etc/shells");
    walk.effect(EffectKind::File, "/var/lib/shells.state");
    Either
}

pub(super) fn locale(walk: &mut ScriptWalk, _: &CommandCall<'_>) -> ShellOutcome {
    for path in ["/etc/default/locale", "/etc/locale.conf"] {
        walk.effect(EffectKind::File, path);
    }
    Either
}

pub(super) fn network(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    call.with_all(walk, EffectKind::Network, call.name)
}
