//! Putting foreign text where it cannot be taken for something else.

/// For text and quoted attributes of HTML and XML. Characters that XML cannot carry are replaced.
pub(super) fn markup(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\t' | '\n' | '\r' => escaped.push(' '),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

/// For JSON inside a script element: what could end the element or open a comment in it stands only
/// in strings of the JSON, where it can be written by its number.
pub(super) fn json_in_script(json: &str) -> String {
    json.replace('&', "\\u0026")
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NASTY: &str = "</script><!--<script>alert(\"1\")&amp;'\u{2028}\u{0}";

    #[test]
    fn nothing_of_a_nasty_name_is_markup() {
        assert_eq!(
            markup(NASTY),
            "&lt;/script&gt;&lt;!--&lt;script&gt;alert(&quot;1&quot;)&amp;amp;&#39;\u{2028}\u{fffd}"
        );
    }

    #[test]
    fn json_in_a_script_reads_as_it_was_and_cannot_end_it() {
        let json = json_in_script(&serde_json::to_string(NASTY).unwrap());
        assert!(!json.contains(['<', '>', '&', '\u{2028}', '\0']), "{json}");
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), NASTY);
    }
}
