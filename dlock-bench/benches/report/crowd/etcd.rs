use std::fmt::Write;

use super::figures::{CLIENT_BYTES, DRAIN_SECONDS, KEEPER_MILLIS, LARGEST_IN, LARGEST_OUT, SECONDS};
use super::hold::{AT_ONCE, HOLDING};
use super::wait::{ASKING, DRAINING, PATIENCE};
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
        "{WAITERS} tasks of one client that wait for one name, which each of them releases as soon as it holds. They \
         all ask at once, with a request timeout of {PATIENCE} s, through a relay that looks at the sizes of messages. \
         Requests, watch messages and bytes are those that the server counted from the first question to the last \
         release, for each task:\n\n\
         | to stand in line | to drain | client's memory for each | requests | watch messages in | watch messages out \
         | bytes in | bytes out | largest message in | largest message out |\n|---|---|---|---|---|---|---|---|---|---|\n",
    )
    .expect("a string takes what is written");
    let waited = measure::<Etcd>(Role::Listen { tasks: WAITERS });
    let each = |what| (waited.growth(what, ASKING) + waited.growth(what, DRAINING)) / WAITERS as f64;
    writeln!(
        text,
        "| {:.1} s | {:.1} s | {} bytes | {:.2} | {:.2} | {:.2} | {:.0} | {:.0} | {} bytes | {} bytes |",
        waited.get(SECONDS),
        waited.get(DRAIN_SECONDS),
        waited.get(CLIENT_BYTES),
        each("requests"),
        each("watch messages in"),
        each("watch messages out"),
        each("bytes in"),
        each("bytes out"),
        waited.get(LARGEST_IN),
        waited.get(LARGEST_OUT),
    )
    .expect("a string takes what is written");
    text
}
