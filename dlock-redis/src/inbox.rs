//! What the scripts push to a client: one message of lines, each about one claim.

use std::time::Duration;

use dlock_core::{ClaimId, Grant};

use crate::entry::grant_from_text;

/// One line of a message. The scripts' `finish` sends them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// The claim holds now.
    Granted(ClaimId, Grant),
    /// The claim was removed by somebody else, or its time is up.
    Gone(ClaimId),
    /// Another claim is to be watched now: look again after this time.
    Look(ClaimId, Duration),
    /// Somebody inspects the claim, whose token is not stored yet: store it.
    Note(ClaimId),
}

/// The line that asks for [`Line::Note`].
pub(crate) fn note(id: ClaimId) -> String {
    format!("note {id}")
}

/// The lines of a message that are understood; others come from another release and are found out
/// by the next renewal.
pub(crate) fn lines(message: &[u8]) -> impl Iterator<Item = Line> {
    message.split(|byte| *byte == b'\n').filter_map(|line| parse(std::str::from_utf8(line).ok()?))
}

fn parse(line: &str) -> Option<Line> {
    let words: Vec<&str> = line.split(' ').collect();
    match words[..] {
        ["granted", id, token, epoch, fate] => {
            Some(Line::Granted(id.parse().ok()?, grant_from_text(token, epoch, fate)?))
        }
        ["gone", id] => Some(Line::Gone(id.parse().ok()?)),
        ["look", id, wait] => Some(Line::Look(id.parse().ok()?, Duration::from_millis(wait.parse().ok()?))),
        ["note", id] => Some(Line::Note(id.parse().ok()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use dlock_core::{Predecessor, Token};

    use super::*;

    #[test]
    fn messages_are_read_line_by_line() {
        let id = ClaimId::random();
        let message =
            format!("granted {id} 12 00000000000000ff v\nnonsense\ngone {id}\nlook {id} 250\ngone x\n{}", note(id));
        let grant = Grant { token: Token { epoch: 255, value: 12 }, predecessor: Some(Predecessor::Vanished) };
        assert_eq!(
            lines(message.as_bytes()).collect::<Vec<_>>(),
            [Line::Granted(id, grant), Line::Gone(id), Line::Look(id, Duration::from_millis(250)), Line::Note(id)]
        );
        assert_eq!(lines(b"\xff\xfe").count(), 0);
    }
}
