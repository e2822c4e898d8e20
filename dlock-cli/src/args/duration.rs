//! Durations on the command line.

use std::time::Duration;

/// Far beyond any use, and far from the end of any clock.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Reads `500ms`, `30s`, `5m`, `1h 30m`; a bare number is seconds, as with `timeout` and `flock`.
pub(crate) fn any(text: &str) -> Result<Duration, String> {
    let is_bare = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let with_unit = if is_bare { format!("{text}s") } else { text.to_owned() };
    // An M would be months, and whoever writes one hardly means to wait that long.
    if text.contains('M') {
        return Err("unknown time unit \"M\"; write 5m for minutes, 5months for months".to_owned());
    }
    let time = humantime::parse_duration(&with_unit).map_err(|error| format!("{error}; write 500ms, 30s or 5m"))?;
    if time > LONGEST {
        return Err("it is too long: at most a hundred years".to_owned());
    }
    Ok(time)
}

pub(crate) fn longer_than_zero(text: &str) -> Result<Duration, String> {
    let time = any(text)?;
    if time.is_zero() { Err("it must be longer than zero".to_owned()) } else { Ok(time) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        for (text, millis) in
            [("0", 0), ("0s", 0), ("5", 5_000), ("500ms", 500), ("1h 30m", 5_400_000), ("1m30s", 90_000)]
        {
            assert_eq!(any(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_says_why() {
        for (text, why) in [
            ("", "value was empty; write 500ms, 30s or 5m"),
            ("soon", "expected number at 0"),
            ("-5", "expected number at 0"),
            ("5 parsecs", "unknown time unit \"parsecs\""),
            ("5M", "write 5m for minutes"),
            ("99999999999999999999", "number is too large"),
            ("101years", "too long: at most a hundred years"),
        ] {
            let error = any(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
        assert!(longer_than_zero("0ms").unwrap_err().contains("longer than zero"));
    }
}
