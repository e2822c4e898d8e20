//! The hash slots of a cluster.

/// The slot of all keys with this hash tag,
/// <https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#key-distribution-model>.
pub(crate) fn slot_of(tag: &str) -> u16 {
    crc16(tag.as_bytes()) % 16_384
}

/// CRC-16/XMODEM, as the specification gives it.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8)
            .fold(crc ^ (u16::from(*byte) << 8), |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_servers() {
        assert_eq!(crc16(b"123456789"), 0x31c3, "the specification's example");
        // As CLUSTER KEYSLOT answers.
        for (tag, slot) in [("", 0), ("foo", 12_182), ("bar", 5_061), ("0", 13_907), ("255", 14_163)] {
            assert_eq!(slot_of(tag), slot, "{tag}");
        }
    }
}
