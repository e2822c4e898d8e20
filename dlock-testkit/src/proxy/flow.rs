use std::time::Duration;

/// A direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// What the client sends.
    ToServer,
    /// What the server sends.
    ToClient,
}

/// What becomes of the bytes that go in one direction, of their end (a half-close) and of a reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flow {
    /// They go on.
    #[default]
    Pass,
    /// They go on so much later, in order. The throughput stays.
    Delay(Duration),
    /// They wait, and go on in order when the flow changes.
    Hold,
    /// They are swallowed. A connection that lost something is reset when the flow changes: what
    /// came after would make no sense.
    Drop,
}
