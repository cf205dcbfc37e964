//! Every executable script finds its interpreter (execve(2), "Interpreter scripts").

use crate::check::finding::CheckKind;
use crate::check::finding::FindingDetails;
use crate::check::finding::FindingList;
use crate::check::finding::warning;
use crate::check::view::ImageView;
use crate::check::view::is_within;
use crate::store::Error;

const INTERPRETER: CheckKind =
    warning("interpreter-missing", "An executable script names an interpreter that is not in the image.");
const BYTECODE: CheckKind = warning(
    "bytecode-missing",
    "Python modules are not compiled: each start compiles them again, since the root file system is read-only.",
);

pub(super) const KINDS: &[&CheckKind] = &[&INTERPRETER, &BYTECODE];

/// Where Debian's packages keep Python modules; those of the interpreter itself are below `usr/lib/python3.N`.
const MODULES: &str = "usr/lib/python3/dist-packages";

pub(super) fn run(image: &ImageView<'_>, findings: &mut FindingList) -> Result<(), Error> {
    for (path, line) in &image.scripts {
        let Some(entry) = image.subject.whole.get(path).filter(|entry| entry.mode & 0o111 != 0) else { continue };
        let Some(missing) = missing_interpreter(line, image) else { continue };

        let cause = format!("it is a script for `{missing}`, which is not in the image");
        let remedy = "exclude the script if nothing runs it, or add the package that brings the interpreter";
        findings.at(entry, &INTERPRETER, cause, remedy);
    }
    bytecode(image, findings);
    Ok(())
}

/// Returns the program of a script's first line that the image does not have.
pub(super) fn missing_interpreter<'a>(line: &'a str, image: &ImageView<'_>) -> Option<&'a str> {
    let mut words = line.split_whitespace();
    let interpreter = words.next()?;
    if image.resolve(interpreter).is_none() {
        return Some(interpreter);
    }
    if !interpreter.ends_with("/env") {
        return None;
    }

    // env(1): options and assignments come before the command
    let command = words.find(|word| !word.starts_with('-') && !word.contains('='))?;
    let exists = match command.contains('/') {
        true => image.resolve(command).is_some(),
        false => image.command_path().any(|folder| image.resolve(&format!("{folder}/{command}")).is_some()),
    };
    (!exists).then_some(command)
}

/// Reports Python modules without bytecode, once for the image.
fn bytecode(image: &ImageView<'_>, findings: &mut FindingList) {
    let has_python = image.programs.keys().any(|path| path.starts_with("usr/bin/python3"));
    if !has_python {
        return;
    }

    let mut modules = image.subject.whole.below(MODULES).filter(|entry| entry.path.ends_with(".py"));
    let Some(first) = modules.next() else { return };
    let is_compiled = image.subject.whole.below(MODULES).any(|entry| entry.path.ends_with(".pyc"));
    if is_compiled || image.config.writable.keys().any(|path| is_within(MODULES, path.trim_matches('/'))) {
        return;
    }
    let details = FindingDetails {
        path: format!("/{MODULES}"),
        origin: Some(&first.origin),
        cause: format!("{} Python modules have no bytecode (`__pycache__`)", modules.count() + 1),
        remedy: "compile them where the application is built, with `python3 -m compileall`, or accept slower starts"
            .to_owned(),
    };
    findings.add(&BYTECODE, details);
}
