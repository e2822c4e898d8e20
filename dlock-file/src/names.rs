//! How names become file names: injectively, also where a file system ignores case.

use std::fmt::Write as _;

use dlock_core::LockName;

/// The longest encoded name that stands in a file name in full. With what a claim's file name adds
/// (see `entry`) it stays below the 255 bytes that file systems allow.
const LONGEST: usize = 170;

/// Marks a name that was too long. No escape looks like this.
const HASHED: &str = "%h";

/// The file name part that stands for `name`: never empty, and free of `/`, `~` and upper case.
pub(crate) fn encode(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len() + 8);
    for (at, byte) in name.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => encoded.push(char::from(byte)),
            // A leading dot would hide the file, or be `.` and `..` themselves.
            b'.' if at > 0 => encoded.push('.'),
            _ => write!(encoded, "%{byte:02x}").expect("writing to a string"),
        }
    }
    if encoded.len() > LONGEST {
        return format!("{HASHED}{:032x}", fnv(name.as_bytes()));
    }
    encoded
}

/// The name that an encoded part stands for; `None` where it is hashed (the claim's record has
/// the name) or was not written by [`encode`].
pub(crate) fn decode(encoded: &str) -> Option<LockName> {
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (hex, tail) = rest.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()?);
        rest = tail;
    }
    let name: LockName = String::from_utf8(bytes).ok()?.parse().ok()?;
    (encode(name.as_str()) == encoded).then_some(name)
}

/// Whether the encoded part is a hash, so that only the record tells the name.
pub(crate) fn is_hashed(encoded: &str) -> bool {
    encoded.starts_with(HASHED)
}

/// The bucket that a name's claims stand in.
pub(crate) fn bucket(name: &LockName) -> u8 {
    let hash = fnv(name.as_str().as_bytes());
    (0..16).fold(0, |bits, byte| bits ^ (hash >> (8 * byte)) as u8)
}

/// FNV-1a of 128 bits: stable between releases, needs no dependency. Nothing relies on it being
/// hard to collide: names that share a hash are told apart by their records.
pub(crate) fn fnv(bytes: &[u8]) -> u128 {
    bytes.iter().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, |hash, byte| {
        (hash ^ u128::from(*byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn odd_names_are_encoded_injectively_and_back() {
        let names =
            ["a", "A", ".", "..", "a.b", ".a", "a/b", "a%2fb", "a~b", "two words", "ünï/🦀", "%h", "%41", "a\u{2028}b"];
        let mut seen = HashSet::new();
        for name in names {
            let encoded = encode(name);
            assert!(!encoded.contains(['/', '~']) && !encoded.starts_with('.'), "{encoded}");
            assert_eq!(encoded, encoded.to_lowercase(), "a file system that ignores case keeps names apart");
            assert_eq!(decode(&encoded).unwrap().as_str(), name);
            assert!(seen.insert(encoded), "{name}");
        }
    }

    #[test]
    fn the_longest_names_fit() {
        let one = "Ä".repeat(256);
        let two = format!("{}Ö", "Ä".repeat(255));
        for name in [&one, &two] {
            assert!(encode(name).len() <= LONGEST);
            assert!(is_hashed(&encode(name)));
            assert_eq!(decode(&encode(name)), None);
        }
        assert_ne!(encode(&one), encode(&two));
        assert!(!is_hashed(&encode("%habc")));
    }

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(fnv(b""), 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d);
        assert_eq!(fnv(b"a"), 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
    }

    #[test]
    fn what_was_not_encoded_here_is_no_name() {
        for foreign in ["", "%", "%4", "%zz", "%61", "README", "%ff", ".x"] {
            assert_eq!(decode(foreign), None, "{foreign}");
        }
    }
}
