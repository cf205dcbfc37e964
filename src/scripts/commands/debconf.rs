//! Questions of debconf (debconf-devel(7)): answers come from the package's templates, unless its `config` or another
//! script sets them. What people would answer is not asked for.

use crate::scripts::commands::CommandCall;
use crate::scripts::effect::EffectKind;
use crate::scripts::value::ScriptValue;
use crate::scripts::walk::ScriptWalk;
use crate::scripts::walk::ShellOutcome;
use crate::scripts::walk::ShellOutcome::Either;

pub(super) fn question(walk: &mut ScriptWalk, call: &CommandCall<'_>) -> ShellOutcome {
    let words = call.words(&[]).operands;
    match (call.name, words.as_slice()) {
        ("db_get", [question]) => {
            // a question of another package may have any answer
            let here = walk.scope.answers.get(question).cloned().unwrap_or_else(ScriptValue::unknown);
            let answer = walk.answers.get(question).map_or_else(|| here.clone(), |set| here.or(set));
            walk.scope.set("RET", answer);
        }
        ("db_set", [question, value @ ..]) => {
            let value = ScriptValue::known(value.join(" "));
            walk.answer(question, value);
            walk.effect(EffectKind::Debconf, &format!("answer to {question}"));
        }
        ("db_input", [_priority, question]) => walk.effect(EffectKind::Debconf, &format!("question {question}")),
        ("db_register", [_template, question]) => {
            walk.answer(question, ScriptValue::unknown());
            walk.effect(EffectKind::Debconf, &format!("question {question}"));
        }
        // it may load templates of another package, and with them other answers
        ("db_x_loadtemplatefile", _) => {
            for question in walk.scope.answers.keys().cloned().collect::<Vec<_>>() {
                walk.answer(&question, ScriptValue::unknown());
            }
            walk.effect(EffectKind::Debconf, "templates of a file");
        }
        ("db_get", _) => walk.scope.set("RET", ScriptValue::unknown()),
        _ => (),
    }
    // what a call prints stands in `RET`, too
    if !matches!(call.name, "db_get" | "db_stop" | "db_purge") {
        walk.scope.set("RET", ScriptValue::unknown());
    }
    Either
}
