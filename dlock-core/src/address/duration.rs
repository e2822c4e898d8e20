use std::time::Duration;

use super::invalid;
use crate::Result;

/// Far beyond any use, and far from the end of any clock.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// The length of time that an option says: `500ms`, `30s`, `5m`, `1h 30m`; a bare number is seconds.
///
/// # Errors
/// `InvalidInput`, with the option's `name`, for any other text and for more than a hundred years.
pub fn duration(name: &str, text: &str) -> Result<Duration> {
    let is_bare = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let with_unit = if is_bare { format!("{text}s") } else { text.to_owned() };
    // An M would be months, and whoever writes one hardly means that long.
    if text.contains('M') {
        return Err(invalid(format!(
            "option {name:?} is not a duration: {text:?}: write 5m for minutes, 5months for months"
        )));
    }
    let time = humantime::parse_duration(&with_unit).map_err(|error| {
        invalid(format!("option {name:?} is not a duration: {text:?}: {error}; write 500ms, 30s or 5m"))
    })?;
    if time > LONGEST {
        return Err(invalid(format!("option {name:?} is too long: {text:?}; at most a hundred years")));
    }
    Ok(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_read() {
        for (text, millis) in [("500ms", 500), ("30s", 30_000), ("1h 30m", 5_400_000), ("7", 7_000), ("0s", 0)] {
            assert_eq!(duration("x", text).unwrap(), Duration::from_millis(millis), "{text}");
        }
        for (text, why) in [
            ("", "\"x\" is not a duration: \"\": value was empty"),
            ("soon", "write 500ms, 30s or 5m"),
            ("5M", "write 5m for minutes"),
            ("101years", "\"x\" is too long"),
        ] {
            assert!(duration("x", text).unwrap_err().to_string().contains(why), "{text}");
        }
    }
}
