//! Runs clients under faults that a seed decides, and records what happens.
