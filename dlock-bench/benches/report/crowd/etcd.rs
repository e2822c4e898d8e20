use std::fmt::Write;

use super::figures::{CLIENT_BYTES, DRAIN_SECONDS, KEEPER_MILLIS, LARGEST_IN, LARGEST_OUT, SECONDS};
use super::hold::{AT_ONCE, HOLDING};
use super::wait::{ASKING, DRAINING};
use super::{Role, WATCHED, measure};
use crate::stores::Etcd;

const LOCKS: usize = 1000;
const WAITERS: usize = 5000;

/// A thousand locks of one client, and five thousand waiters for one name.
pub(crate) fn report() -> String {
    let mut text = format!(
        "## A thousand and five thousand, on etcd\n\n\
         {LOCKS} locks with the default ttl of 30 s, held by one client, watched for {} s:\n\n\
         | to acquire them, {AT_ONCE} at once | keep-alives meanwhile | transactions | reads | watch messages in | \
         bytes in | bytes out | keeper's processor time | client's memory for each |\n\
         |---|---|---|---|---|---|---|---|---|\n",
        WATCHED.as_secs()
    );
    let held = measure::<Etcd>(Role::Hold { locks: LOCKS });
    let meanwhile = |what| held.growth(what, HOLDING);
    writeln!(
        text,
        "| {:.1} s | {} | {} | {} | {} | {} | {} | {:.1} ms each second | {} bytes |\n",
        held.get(SECONDS),
        meanwhile("keep-alives"),
        meanwhile("transactions"),
        meanwhile("reads"),
        meanwhile("watch messages in"),
        meanwhile("bytes in"),
        meanwhile("bytes out"),
        held.get(KEEPER_MILLIS),
        held.get(CLIENT_BYTES),
    )
    .expect("a string takes what is written");
    write!(
        text,
        "{WAITERS} tasks that wait for one name, which each of them releases as soon as it holds. Requests, watch \
         messages and bytes are those that the server counted from the first question to the last release, for each \
         task:\n\n\
         | clients | to stand in line | client's memory for each | to drain | requests | watch messages in | out | \
         bytes in | bytes out |\n|---|---|---|---|---|---|---|---|---|\n",
    )
    .expect("a string takes what is written");
    for clients in [1, 10] {
        let waited = measure::<Etcd>(Role::Wait { tasks: WAITERS, clients });
        let each = |what| (waited.growth(what, ASKING) + waited.growth(what, DRAINING)) / WAITERS as f64;
        writeln!(
            text,
            "| {clients} | {:.1} s | {} bytes | {:.1} s | {:.2} | {:.2} | {:.2} | {:.0} | {:.0} |",
            waited.get(SECONDS),
            waited.get(CLIENT_BYTES),
            waited.get(DRAIN_SECONDS),
            each("requests"),
            each("watch messages in"),
            each("watch messages out"),
            each("bytes in"),
            each("bytes out"),
        )
        .expect("a string takes what is written");
    }
    let heard = measure::<Etcd>(Role::Listen { tasks: WAITERS });
    writeln!(
        text,
        "\nThe largest messages of one such client, in another round through a relay that reads along: {} bytes to \
         the server, {} bytes from it.",
        heard.get(LARGEST_IN),
        heard.get(LARGEST_OUT),
    )
    .expect("a string takes what is written");
    text
}
