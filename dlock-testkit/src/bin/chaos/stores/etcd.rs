//! etcd: one member, three members.

mod alone;
mod common;
mod operator;
mod three;

pub(super) use self::alone::EtcdTarget;
pub(super) use self::three::MembersTarget;
