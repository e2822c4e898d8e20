//! The file backend against its contract, against real processes and in directories of all kinds.

#[cfg(test)]
mod common;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod directories;
#[cfg(test)]
mod processes;
#[cfg(test)]
mod races;
