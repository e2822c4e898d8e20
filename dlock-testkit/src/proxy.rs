//! A TCP relay that can be cut, slowed, held and made lossy.
