//! Suggestions for mistyped names.

/// Longest word that is compared, in characters: no key is longer, and the time grows with the square of the length.
const LONGEST: usize = 64;

/// Most known names that a suggestion lists: about as many as fit on a screen.
const MOST_LISTED: usize = 40;

/// Returns the known name nearest to `word`, if one is near enough to be a typing error.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = letters(word)?;
    // One error in three letters still looks like the same word; one error is allowed in the shortest words too.
    let limit = (word.len() / 3).max(1);

    let mut best = None;
    for name in known {
        let Some(other) = letters(name) else { continue };
        let errors = distance(&word, &other);
        // `<` keeps the first of equally near names, so that the order of `known` decides and nothing else.
        if errors <= limit && best.is_none_or(|(fewest, _)| errors < fewest) {
            best = Some((errors, name));
        }
    }

    best.map(|(_, name)| name)
}

/// Returns "did you mean …?", or the list of known names, or an empty text when nothing is known.
pub(crate) fn remedy<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let mut known: Vec<&str> = known.into_iter().collect();
    known.dedup();

    if let Some(name) = nearest(word, known.iter().copied()) {
        return format!("did you mean `{name}`?");
    }
    match known.len() {
        0 => String::new(),
        1..=MOST_LISTED => format!("known are `{}`", known.join("`, `")),
        count => {
            let listed = known[..MOST_LISTED].join("`, `");
            format!("known are `{listed}` and {} more", count - MOST_LISTED)
        }
    }
}

/// Returns the letters to compare, without regard to case and to the choice between `-` and `_`.
fn letters(word: &str) -> Option<Vec<char>> {
    // One more than the limit is enough to see that a word is too long.
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

/// Returns the optimal string alignment distance: how many letters to insert, remove, replace or swap with a neighbour.
fn distance(left: &[char], right: &[char]) -> usize {
    // Only three rows of the table are needed: a swap looks two rows up.
    let mut older = vec![0; right.len() + 1];
    let mut above: Vec<usize> = (0..=right.len()).collect();

    for (row, letter) in left.iter().enumerate() {
        let mut current = vec![row + 1; right.len() + 1];
        for (column, other) in right.iter().enumerate() {
            let replaced = above[column] + usize::from(letter != other);
            let mut cost = replaced.min(above[column + 1] + 1).min(current[column] + 1);

            // Swapped neighbours are one error, not two replacements.
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
