//! Distributed locks with one API over any coordination service.
