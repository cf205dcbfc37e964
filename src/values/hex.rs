//! Bytes as lower-case hexadecimal digits. Upper case would give a digest a second spelling, and digests are compared as
//! file names and map keys.

/// Returns two digits for each byte.
#[must_use]
pub fn digits(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";

    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// Reads exactly `N` bytes; nothing where the text is shorter, longer, or has other characters.
#[must_use]
pub fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N {
        return None;
    }

    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(bytes)
}

/// Returns the value of a digit.
fn value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        assert_eq!(digits(&[0x00, 0x0f, 0xf0, 0xab]), "000ff0ab");
        assert_eq!(bytes(&digits(&[0, 15, 240, 171])), Some([0, 15, 240, 171]));
        for wrong in ["", "0", "0g", "0G", "AB", "abcd", "é"] {
            assert_eq!(bytes::<1>(wrong), None, "{wrong}");
        }
    }
}
