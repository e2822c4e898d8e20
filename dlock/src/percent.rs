use dlock_core::Result;

use crate::address::invalid;

/// The text that is percent-encoded in a part of a URL.
pub(crate) fn decode(text: &str) -> Result<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, tail @ ..] = rest {
        rest = tail;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let Some((high, low)) = tail.first().zip(tail.get(1)).and_then(|(high, low)| digit(*high).zip(digit(*low)))
        else {
            return Err(invalid("a % is followed by two hexadecimal digits; write % itself as %25"));
        };
        bytes.push(high << 4 | low);
        rest = &tail[2..];
    }
    String::from_utf8(bytes).map_err(|error| {
        let stands = error.utf8_error().valid_up_to();
        let bad: String = error.as_bytes()[stands..].iter().take(2).map(|byte| format!("%{byte:02X}")).collect();
        invalid(format!("what {bad} stands for is not utf-8"))
    })
}

fn digit(byte: u8) -> Option<u8> {
    let digit = char::from(byte).to_digit(16)?;
    u8::try_from(digit).ok()
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
            ("%FF", "what %FF stands for is not utf-8"),
        ] {
            assert!(decode(text).unwrap_err().to_string().contains(why), "{text}");
        }
    }
}
