//! Conditions: `test` and `[` (test(1)), and the comparison of versions as dpkg does it.

use crate::apt::version::DebianVersion;
use crate::scripts::value::UNKNOWN;
use crate::scripts::value::is_known;
use crate::scripts::value::known_start;
use crate::scripts::walk::ShellOutcome;
use std::cmp::Ordering;

/// Folders that do not exist while packages are installed into an image: no init runs.
const ABSENT: [&str; 3] = ["/run/systemd/system", "/run/openrc", "/sys/fs/selinux"];

/// Most levels of `!` and parentheses in one `test`.
const MOST_NESTED: usize = 16;

/// Returns the outcome of `test` with these arguments.
pub(crate) fn test(arguments: &[String]) -> ShellOutcome {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    of(judge(&words, 0))
}

/// Turns what is known into an outcome.
fn of(value: Option<bool>) -> ShellOutcome {
    match value {
        Some(true) => ShellOutcome::True,
        Some(false) => ShellOutcome::False,
        None => ShellOutcome::Either,
    }
}

/// Judges an expression; `None` if it is not decided.
fn judge(words: &[&str], depth: usize) -> Option<bool> {
    if depth > MOST_NESTED {
        return None;
    }
    // the number of arguments decides first (POSIX.1-2024, test)
    match words {
        [] => return Some(false),
        [word] => return non_empty(word),
        ["!", word] => return non_empty(word).map(|value| !value),
        [operator, word] if operator.starts_with('-') => return unary(operator, word),
        [left, operator, right] if is_binary(operator) => return binary(left, operator, right),
        _ => (),
    }

    // `-o` binds weaker than `-a`; an operand that looks like an operator makes it undecided
    for (operator, decisive) in [("-o", true), ("-a", false)] {
        if let Some(at) = words.iter().position(|word| *word == operator).filter(|at| *at > 0) {
            let (left, right) = (judge(&words[..at], depth + 1), judge(&words[at + 1..], depth + 1));
            return match (left, right) {
                (Some(value), _) | (_, Some(value)) if value == decisive => Some(decisive),
                (Some(_), Some(_)) => Some(!decisive),
                _ => None,
            };
        }
    }
    match words {
        ["!", rest @ ..] => judge(rest, depth + 1).map(|value| !value),
        ["(", inner @ .., ")"] => judge(inner, depth + 1),
        _ => None,
    }
}

fn is_binary(operator: &str) -> bool {
    matches!(operator, "=" | "==" | "!=" | "-eq" | "-ne" | "-lt" | "-le" | "-gt" | "-ge")
}

/// Tells whether a text is not empty.
fn non_empty(word: &str) -> Option<bool> {
    match word.is_empty() {
        true => Some(false),
        false if word.chars().all(|character| character == UNKNOWN) => None,
        false => Some(true),
    }
}

fn unary(operator: &str, word: &str) -> Option<bool> {
    match operator {
        "-n" => non_empty(word),
        "-z" => non_empty(word).map(|value| !value),
        "-d" | "-e" | "-f" | "-r" | "-w" | "-x" if ABSENT.contains(&word.trim_end_matches('/')) => Some(false),
        // an empty path names nothing
        "-d" | "-e" | "-f" | "-r" | "-w" | "-x" | "-s" | "-L" | "-h" if word.is_empty() => Some(false),
        _ => None,
    }
}

fn binary(left: &str, operator: &str, right: &str) -> Option<bool> {
    if !is_known(left) || !is_known(right) {
        // what is known at the beginning can rule equality out
        let differs = known_start(left).chars().zip(known_start(right).chars()).any(|(a, b)| a != b);
        return match operator {
            "=" | "==" if differs => Some(false),
            "!=" if differs => Some(true),
            _ => None,
        };
    }

    let order = || Some(left.trim().parse::<i64>().ok()?.cmp(&right.trim().parse::<i64>().ok()?));
    match operator {
        "=" | "==" => Some(left == right),
        "!=" => Some(left != right),
        "-eq" => Some(order()? == Ordering::Equal),
        "-ne" => Some(order()? != Ordering::Equal),
        "-lt" => Some(order()? == Ordering::Less),
        "-le" => Some(order()? != Ordering::Greater),
        "-gt" => Some(order()? == Ordering::Greater),
        "-ge" => Some(order()? != Ordering::Less),
        _ => None,
    }
}

/// Returns the outcome of `dpkg --compare-versions`. An empty version is earlier than all others, or later with the
/// operators that end in `-nl` (dpkg(1)); so at a first installation, `"$2" lt 1.0` is true.
pub(crate) fn compare_versions(left: &str, operator: &str, right: &str) -> ShellOutcome {
    if !is_known(left) || !is_known(right) || !is_known(operator) {
        return ShellOutcome::Either;
    }

    let empty_is_late = operator.ends_with("-nl");
    let order = match (left.is_empty(), right.is_empty()) {
        (true, true) => Ordering::Equal,
        (true, false) if empty_is_late => Ordering::Greater,
        (true, false) => Ordering::Less,
        (false, true) if empty_is_late => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) => DebianVersion::new(left).cmp(&DebianVersion::new(right)),
    };
    of(match operator.trim_end_matches("-nl") {
        // `<` and `>` mean "or equal" for dpkg
        "le" | "<=" | "<" => Some(order != Ordering::Greater),
        "lt" | "<<" => Some(order == Ordering::Less),
        "eq" | "=" => Some(order == Ordering::Equal),
        "ne" => Some(order != Ordering::Equal),
        "ge" | ">=" | ">" => Some(order != Ordering::Less),
        "gt" | ">>" => Some(order == Ordering::Greater),
        _ => None,
    })
}
