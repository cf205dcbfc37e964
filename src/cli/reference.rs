//! The reference of all commands and flags, `docs/cli.md`, from the same definitions as `--help`.

use clap::Arg;
use clap::Command;

/// Returns the whole document.
pub(crate) fn markdown(mut command: Command) -> String {
    command.build();
    let mut text = "# Commands\n\nWritten from the sources by `cargo test --test it`; do not edit.\n".to_owned();
    section(&command, 2, &mut text);
    text
}

/// Commands are two deep.
fn section(command: &Command, depth: usize, text: &mut String) {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name());
    text.push_str(&format!("\n{} `{name}`\n\n", "#".repeat(depth)));
    if let Some(about) = command.get_long_about().or_else(|| command.get_about()) {
        for line in about.to_string().trim_end().lines() {
            text.push_str(&help_line(line));
        }
        text.push('\n');
    }

    let usage = command.clone().render_usage().to_string();
    text.push_str(&format!("`{}`\n", usage.trim_start_matches("Usage: ").trim()));
    let arguments: Vec<&Arg> = command.get_arguments().filter(|argument| is_listed(argument, depth)).collect();
    if !arguments.is_empty() {
        text.push_str("\n| argument | meaning |\n|---|---|\n");
    }
    for argument in arguments {
        text.push_str(&row(argument));
    }
    for child in command.get_subcommands().filter(|child| child.get_name() != "help") {
        section(child, depth + 1, text);
    }
}

/// Returns a line of a help text; commands in examples are code.
fn help_line(line: &str) -> String {
    match line.strip_prefix("Example: ") {
        Some(example) => format!("Example: `{example}`\n"),
        None => format!("{line}\n"),
    }
}

/// Tells whether an argument belongs in the table of a command. Global ones are listed once, at the top.
fn is_listed(argument: &Arg, depth: usize) -> bool {
    let is_common = matches!(argument.get_id().as_str(), "help" | "version");
    !argument.is_hide_set() && !is_common && (depth == 2 || !argument.is_global_set())
}

fn row(argument: &Arg) -> String {
    let mut names = Vec::new();
    names.extend(argument.get_short().map(|short| format!("-{short}")));
    names.extend(argument.get_long().map(|long| format!("--{long}")));
    let values: Vec<String> = argument.get_value_names().unwrap_or_default().iter().map(ToString::to_string).collect();
    let takes_value = argument.get_action().takes_values();
    let name = match (names.is_empty(), takes_value) {
        (true, _) => values.join(" "),
        (false, true) => format!("{} {}", names.join(", "), values.join(" ")),
        (false, false) => names.join(", "),
    };
    let mut meaning = argument.get_help().map(ToString::to_string).unwrap_or_default();
    let possible: Vec<String> =
        argument.get_possible_values().iter().map(|value| format!("`{}`", value.get_name())).collect();
    if takes_value && !possible.is_empty() {
        meaning.push_str(&format!("; one of {}", possible.join(", ")));
    }
    let defaults: Vec<String> =
        argument.get_default_values().iter().map(|value| format!("`{}`", value.display())).collect();
    if takes_value && !defaults.is_empty() {
        meaning.push_str(&format!("; default {}", defaults.join(", ")));
    }
    format!("| `{}` | {} |\n", name.trim(), meaning.replace('|', "\\|"))
}
