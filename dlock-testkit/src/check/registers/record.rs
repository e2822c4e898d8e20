//! Whether the resource's record is whole.

use std::collections::HashMap;

use crate::history::{History, Register, What};

/// The first event that shows that another one is missing. The resource writes down every access in
/// the order in which it decides, and its registers begin at 0: the first write that it accepts is one
/// more, and a read is given what was written last. That later writes add one each is for the locks
/// to bring about.
pub(in crate::check) fn gap(history: &History) -> Option<String> {
    let mut written: HashMap<(&str, Register), u64> = HashMap::new();
    history.events.iter().find_map(|event| match &event.what {
        What::Read { register, name, owner, value: Some(value), .. } => {
            let last = written.get(&(name.as_str(), *register));
            (last.copied().unwrap_or(0) != *value).then(|| {
                let register = word(*register);
                let last = last.map_or_else(|| "never written".to_owned(), |last| format!("last set to {last}"));
                format!(
                    "{owner} was given {value} of the {register} register of {name}, which was {last}: the record \
                     of the resource has a gap"
                )
            })
        }
        What::Write { register, name, owner, value, accepted: true, .. } => {
            let is_first = written.insert((name, *register), *value).is_none();
            (is_first && *value != 1).then(|| {
                let register = word(*register);
                format!(
                    "{owner} wrote {value} to the {register} register of {name}, which was never written before: \
                     the record of the resource has a gap"
                )
            })
        }
        _ => None,
    })
}

fn word(register: Register) -> &'static str {
    match register {
        Register::Fenced => "fenced",
        Register::Unfenced => "unfenced",
    }
}
