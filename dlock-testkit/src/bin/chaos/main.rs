//! Runs a store under faults, checks the history and draws it.

fn main() {}
