//! Measures dlock against the bare client libraries and other locks.
//!
//! `cargo bench -p dlock-bench` prints the report; with `-- --write docs/performance.md` it also
//! replaces the tables of that file. The measurements are in `benches/report/`.
