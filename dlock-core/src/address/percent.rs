use percent_encoding::percent_decode_str;

use super::invalid;
use crate::Result;

/// The text that is percent-encoded in a part of a URL.
///
/// # Errors
/// `InvalidInput` when a `%` is not followed by two hexadecimal digits, or the text is not UTF-8.
pub fn decode(text: &str) -> Result<String> {
    let is_code = |rest: &str| rest.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    if !text.split('%').skip(1).all(is_code) {
        return Err(invalid("a % is followed by two hexadecimal digits; write % itself as %25"));
    }
    let text = percent_decode_str(text).decode_utf8().map_err(|_| invalid("what is percent-encoded is not utf-8"))?;
    Ok(text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_are_decoded() {
        for (text, expected) in
            [("", ""), ("a+b", "a+b"), ("%41%2f%2F", "A//"), ("f%C3%BCr", "für"), ("für", "für"), ("100%25", "100%")]
        {
            assert_eq!(decode(text).unwrap(), expected);
        }
    }

    #[test]
    fn broken_sequences_say_why() {
        for (text, why) in [
            ("%", "two hexadecimal digits"),
            ("a%4", "two hexadecimal digits"),
            ("%4x", "two hexadecimal digits"),
            ("%ü", "two hexadecimal digits"),
            ("%FF", "is not utf-8"),
        ] {
            assert!(decode(text).unwrap_err().to_string().contains(why), "{text}");
        }
    }
}
