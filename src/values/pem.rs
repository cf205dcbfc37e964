//! Blocks of PEM text (RFC 7468). What the bytes in them mean is up to those who ask.

/// A block begins, but its END line does not follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnclosedBlock;

/// Returns what stands between the BEGIN and END lines of each block with this label, in order: Base64 text with line
/// ends. Text around the blocks is explanatory (RFC 7468 section 5.2) and is skipped.
pub fn blocks<'a>(text: &'a str, label: &str) -> impl Iterator<Item = Result<&'a str, UnclosedBlock>> {
    let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
    let mut rest = text;
    std::iter::from_fn(move || {
        let (_, after) = rest.split_once(&begin)?;
        let Some((body, after)) = after.split_once(&end) else {
            // nothing more can be found behind it
            rest = "";
            return Some(Err(UnclosedBlock));
        };
        rest = after;
        Some(Ok(body))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_blocks_of_one_label() {
        let text = "words\n-----BEGIN A-----\nMQ==\n-----END A-----\n-----BEGIN B-----\nMg==\n-----END B-----\n-----BEGIN A-----\nMw==";
        assert_eq!(blocks(text, "A").collect::<Vec<_>>(), [Ok("\nMQ==\n"), Err(UnclosedBlock)]);
        assert_eq!(blocks(text, "B").collect::<Vec<_>>(), [Ok("\nMg==\n")]);
        assert_eq!(blocks(text, "C").count(), 0);
    }
}
