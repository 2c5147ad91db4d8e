//! Integers in the server's own format.

use crate::Error;

/// Parses a signed 64-bit decimal number, as strictly as the server's own commands: no sign but a leading
/// minus, no leading zeros, no spaces.
///
/// # Errors
/// Returns [`Error::NotAnInteger`] if `text` is anything else, or does not fit.
#[inline]
pub fn parse(text: &[u8]) -> Result<i64, Error> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let canonical = match digits {
        [b'0'] => digits.len() == text.len(),
        [b'1'..=b'9', rest @ ..] => rest.len() < 19 && rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if !canonical {
        return Err(Error::NotAnInteger);
    }
    let magnitude = digits.iter().fold(0u128, |sum, digit| sum * 10 + u128::from(digit - b'0'));
    let signed = if digits.len() < text.len() { -(magnitude as i128) } else { magnitude as i128 };
    i64::try_from(signed).map_err(|_| Error::NotAnInteger)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_integer() {
        let bad: [&[u8]; 16] = [
            b"",
            b"-",
            b"+1",
            b" 1",
            b"1 ",
            b"01",
            b"-0",
            b"-01",
            b"1.0",
            b"1e3",
            b"0x1",
            b"a",
            b"\xff",
            b"1\0",
            b"9223372036854775808",
            b"-9223372036854775809",
        ];
        for text in bad {
            assert_eq!(parse(text), Err(Error::NotAnInteger), "{:?}", text.escape_ascii().to_string());
        }
        assert_eq!(parse(&[b'9'; 70_000]), Err(Error::NotAnInteger));
    }

    proptest! {
        #[test]
        fn every_integer_is_read(n: i64) {
            prop_assert_eq!(parse(n.to_string().as_bytes()), Ok(n));
        }
    }

    #[test]
    fn extremes() {
        for n in [0, 1, -1, i64::MAX, i64::MIN] {
            assert_eq!(parse(n.to_string().as_bytes()), Ok(n));
        }
    }
}
