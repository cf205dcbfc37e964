//! The name that a mistyped one probably was meant to be.

/// Longer words are not compared.
const LONGEST: usize = 64;

/// Returns the known name nearest to `word`, where one is near enough to be a slip of the pen.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = letters(word)?;
    let limit = (word.len() / 3).max(1);
    let mut best = None;
    for name in known {
        let Some(other) = letters(name) else { continue };
        let far = distance(&word, &other);
        if far <= limit && best.is_none_or(|(nearest, _)| far < nearest) {
            best = Some((far, name));
        }
    }
    best.map(|(_, name)| name)
}

/// Returns "did you mean …?", or a list of what there is, or nothing when there is nothing.
pub(crate) fn remedy<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let mut known: Vec<&str> = known.into_iter().collect();
    known.dedup();
    if let Some(name) = nearest(word, known.iter().copied()) {
        return format!("did you mean `{name}`?");
    }
    match known.len() {
        0 => String::new(),
        1..=40 => format!("known are `{}`", known.join("`, `")),
        _ => format!("known are `{}` and {} more", known[..40].join("`, `"), known.len() - 40),
    }
}

/// Letters to compare: case and the choice between `-` and `_` do not count.
fn letters(word: &str) -> Option<Vec<char>> {
    let letters: Vec<char> = word
        .chars()
        .take(LONGEST + 1)
        .map(|letter| match letter {
            '_' => '-',
            other => other.to_ascii_lowercase(),
        })
        .collect();
    (letters.len() <= LONGEST).then_some(letters)
}

/// Optimal string alignment distance: insert, remove, replace, swap neighbours.
fn distance(left: &[char], right: &[char]) -> usize {
    let mut older = vec![0; right.len() + 1];
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for (row, letter) in left.iter().enumerate() {
        let mut current = vec![row + 1; right.len() + 1];
        for (column, other) in right.iter().enumerate() {
            let replaced = above[column] + usize::from(letter != other);
            let mut cost = replaced.min(above[column + 1] + 1).min(current[column] + 1);
            if row > 0 && column > 0 && left[row - 1] == *other && right[column - 1] == *letter {
                cost = cost.min(older[column - 1] + 1);
            }
            current[column + 1] = cost;
        }
        older = above;
        above = current;
    }
    above[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_slips() {
        let known = ["packages", "parameters", "links", "java-trust-store"];
        for (word, expected) in [
            ("pakages", Some("packages")),
            ("packgaes", Some("packages")),
            ("Packages", Some("packages")),
            ("java_trust_store", Some("java-trust-store")),
            ("link", Some("links")),
            ("x", None),
            ("", None),
            ("volumes", None),
        ] {
            assert_eq!(nearest(word, known), expected, "{word}");
        }
        assert_eq!(nearest(&"a".repeat(100_000), known), None);
    }
}
