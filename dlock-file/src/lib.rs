//! The file backend of dlock: locks between processes of one machine, without a server.
