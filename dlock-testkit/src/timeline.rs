//! A history as a picture.
