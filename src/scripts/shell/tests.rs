//! The shell language: what is read, and what is refused.

use super::*;

/// Returns the words of the first command, as far as they are literal.
fn words(text: &str) -> Vec<String> {
    let list = parse(text).expect("reads");
    let ShellBody::Simple { words, .. } = &list.0[0].first.commands[0].body else { panic!("{text}") };
    words.iter().map(|word| word.literal().unwrap_or_else(|| "$".to_owned())).collect()
}

#[test]
fn quotes_and_escapes() {
    for (text, expected) in [
        ("echo a\\ b 'c d' \"e f\"g", vec!["echo", "a b", "c d", "e fg"]),
        ("echo \"a \\$b \\x\" '' # c", vec!["echo", "a $b \\x", ""]),
        ("echo a\\\nb", vec!["echo", "ab"]),
        ("echo a#b", vec!["echo", "a#b"]),
        ("echo $x \"${y:-a b}\" `c`", vec!["echo", "$", "$", "$"]),
        ("echo if then }", vec!["echo", "if", "then", "}"]),
    ] {
        assert_eq!(words(text), expected, "{text}");
    }
}

#[test]
fn real_forms_are_read() {
    for text in [
        "",
        "\n# comment\n",
        "if a; then b; elif c; then d; else e; fi >x 2>&1",
        "case \"$1\" in\n  (a|b) c;;\n  d) ;;\n  *)\nesac",
        "case x in a) b\nesac",
        "for i in a b; do c; done | while read x; do d; done",
        "for i\ndo c\ndone",
        "f() { a; }\nf()\n(\na\n)\n",
        "a && b || c &\nd",
        "! a | b",
        "a <<-EOF >b\n\tc $d\n\tEOF\ne",
        "a <<'X' <<Y\n$(\nX\n$(b)\nY\n",
        "x=$(case a in b) c;; esac)",
        "echo `echo \\`a\\``",
        "echo $((1 + (2 * 3))) $( (a) ) ${#x} ${x##*/} ${x%%\"$y\"} ${x:-'a'}",
        "{ a; } 3<&0",
        "a >&2 2>&1 <>b >|c",
    ] {
        parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    }
}

#[test]
fn what_is_no_shell_is_refused() {
    for text in [
        "if a; then b",
        "a )",
        "case x in",
        "'",
        "\"",
        "$(a",
        "`a",
        "${a",
        "x=(a b)",
        "for 1 in a; do b; done",
        "a | ",
        "f() ",
        "a ;; b",
        "<(a)",
        "a <<$(b)\n",
        "fi",
    ] {
        assert!(parse(text).is_err(), "{text}");
    }
    assert_eq!(parse("a\nb\n'").map(drop).expect_err("open").line, 3);
}

/// Whatever the depth, the answer comes without using up the stack.
#[test]
fn hostile_texts_end() {
    let deep = |open: &str, close: &str| format!("{}a{}", open.repeat(100_000), close.repeat(100_000));
    for text in [
        deep("(", ")"),
        deep("{ ", "; }"),
        deep("$(", ")"),
        deep("\"$(", ")\""),
        deep("${a:-", "}"),
        deep("if ", "; then b; fi"),
        deep("f() ", ""),
        deep("! ", ""),
        "`".repeat(100_001),
        "\\`".repeat(100_000),
        "<<a ".repeat(10_000),
        "case x in ".repeat(100_000),
    ] {
        drop(parse(&text));
    }

    // a here-document as large as the largest real one, and a hundred times as many lines
    let large = format!("cat <<'EOF'\n{}EOF\n", "x\n".repeat(1 << 20));
    assert!(parse(&large).is_ok());
    assert!(parse(&"a".repeat(MOST_CHARACTERS + 1)).is_err());
}
