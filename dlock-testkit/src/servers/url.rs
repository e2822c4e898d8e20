//! Paths in URLs.

use std::path::Path;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

/// What does not stand for itself in the path and the options of a URL.
const ESCAPED: &AsciiSet = &CONTROLS.add(b' ').add(b'%').add(b'?').add(b'#').add(b'&').add(b'=').add(b'+').add(b'@');

/// A path as it is written in the path and the options of a URL.
pub(crate) fn escaped(path: &Path) -> String {
    utf8_percent_encode(&path.to_string_lossy(), ESCAPED).to_string()
}
