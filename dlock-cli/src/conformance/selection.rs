//! Which cases are tried.

use dlock_testkit::{Case, cases};

use crate::exit::{Exit, Failure};

/// The cases that one of `filters` is in, or is exactly; all when there is none.
pub(super) fn selected(filters: &[String], exact: bool) -> Result<Vec<Case>, Failure> {
    let cases = cases::all();
    if filters.is_empty() {
        return Ok(cases);
    }
    let matches = |name: &str, filter: &str| if exact { name == filter } else { name.contains(filter) };
    // A filter without a case is a mistake: what it was meant to name would not be tried.
    for filter in filters {
        if !cases.iter().any(|case| matches(&case.name(), filter)) {
            let message = format!("no case is named {filter:?}: 'dlock conformance --list' shows the names");
            return Err(Failure::new(Exit::Usage, message));
        }
    }
    let is_selected = |case: &Case| filters.iter().any(|filter| matches(&case.name(), filter));
    Ok(cases.into_iter().filter(is_selected).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(filters: &[&str], exact: bool) -> Result<usize, Failure> {
        let filters: Vec<String> = filters.iter().map(ToString::to_string).collect();
        selected(&filters, exact).map(|cases| cases.len())
    }

    #[test]
    fn filters_select_by_a_part_of_the_name_or_all_of_it() {
        let all = count(&[], false).unwrap();
        let (expiry, shared) = (count(&["expiry::"], false).unwrap(), count(&["shared::"], false).unwrap());
        assert!(0 < expiry && expiry + shared < all);
        assert_eq!(count(&["expiry::", "shared::"], false).unwrap(), expiry + shared);
        assert_eq!(count(&["basic::exclusion_holds_between_processes"], true).unwrap(), 1);
        for (filters, exact) in [(&["expiry::", "nothing of the kind"][..], false), (&["expiry::"], true)] {
            let failure = count(filters, exact).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage);
            assert!(failure.message.contains(filters.last().unwrap()), "{}", failure.message);
        }
    }
}
