//! The stores that dlock ships, as subjects of the suite.
