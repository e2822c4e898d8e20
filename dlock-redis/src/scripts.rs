//! The scripts, as the server gets them.

use redis::Script;

/// All scripts of this backend. Each file under `scripts/` says what it reads, writes and returns.
#[derive(Debug)]
pub(crate) struct Scripts {
    pub(crate) request: Script,
    pub(crate) renew: Script,
    pub(crate) release: Script,
    pub(crate) withdraw: Script,
    pub(crate) convert: Script,
    pub(crate) lift: Script,
    pub(crate) inspect: Script,
    pub(crate) clear: Script,
}

/// Claims must be kept and released on a server that has reached `maxmemory` too, hence
/// `allow-oom`: <https://redis.io/docs/latest/develop/programmability/lua-api/#script_flags>.
const WRITES: &str = "#!lua flags=allow-oom\n";
/// A new claim is refused there, before the script does anything.
const GROWS: &str = "#!lua\n";
const READS: &str = "#!lua flags=no-writes\n";
const QUEUE: &str = include_str!("scripts/queue.lua");

impl Scripts {
    pub(crate) fn new() -> Self {
        let writing = |parts: &[&str]| Script::new(&format!("{WRITES}{}", parts.join("\n")));
        Self {
            request: Script::new(&format!("{GROWS}{QUEUE}\n{}", include_str!("scripts/request.lua"))),
            renew: writing(&[QUEUE, include_str!("scripts/renew.lua")]),
            release: writing(&[include_str!("scripts/release.lua")]),
            withdraw: writing(&[QUEUE, include_str!("scripts/withdraw.lua")]),
            convert: writing(&[QUEUE, include_str!("scripts/convert.lua")]),
            lift: writing(&[include_str!("scripts/lift.lua")]),
            inspect: Script::new(&format!("{READS}{}", include_str!("scripts/inspect.lua"))),
            clear: writing(&[QUEUE, include_str!("scripts/clear.lua")]),
        }
    }
}
