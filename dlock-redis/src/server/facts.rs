//! What a server says of itself.

use dlock_core::Result;
use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, InfoDict, RedisError, RedisResult, ServerErrorKind, Value, from_redis_value};

use crate::error::classify_connecting;

/// What is known of one server.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) info: InfoDict,
    pub(super) settings: Settings,
}

/// Settings that INFO does not show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Settings {
    /// They were not asked for.
    Unasked,
    /// This user may not read them.
    Hidden,
    Told {
        /// When snapshots are taken; empty for never.
        save: String,
        /// When the append-only file is brought to the disk.
        appendfsync: String,
    },
}

/// Whether this server was looked at before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    First,
    Again,
}

impl Facts {
    /// Asks the server; nothing is known of one whose INFO this user may not read.
    ///
    /// Settings are read the first time only: a user of few rights is denied them, which the
    /// server writes down each time (ACL LOG).
    pub(super) async fn learn(connection: &mut MultiplexedConnection, ask: Ask) -> Result<Option<Self>> {
        let mut questions = redis::pipe();
        questions.cmd("INFO");
        if ask == Ask::First {
            questions.cmd("CONFIG").arg("GET").arg("save").arg("appendfsync");
        }
        questions.ignore_errors();
        let answers: RedisResult<Vec<RedisResult<Value>>> = questions.query_async(connection).await;
        let mut answers = answers.map_err(classify_connecting)?.into_iter();
        let info = match answers.next() {
            Some(Ok(info)) => from_redis_value(info).map_err(|error| classify_connecting(error.into()))?,
            Some(Err(error)) if is_denied(&error) => return Ok(None),
            Some(Err(error)) => return Err(classify_connecting(error)),
            None => return Ok(None),
        };
        Ok(Some(Self { info, settings: settings(answers.next()) }))
    }

    pub(super) fn number(&self, field: &str) -> Option<u64> {
        self.info.get(field)
    }

    pub(super) fn word(&self, field: &str) -> Option<String> {
        self.info.get(field)
    }
}

fn settings(answer: Option<RedisResult<Value>>) -> Settings {
    let Some(answer) = answer else { return Settings::Unasked };
    let told: Option<std::collections::HashMap<String, String>> = answer.ok().and_then(|v| from_redis_value(v).ok());
    let mut told = told.unwrap_or_default();
    match (told.remove("save"), told.remove("appendfsync")) {
        (Some(save), Some(appendfsync)) => Settings::Told { save, appendfsync },
        // Denied; or a hosted server that has no such command.
        _ => Settings::Hidden,
    }
}

fn is_denied(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm)
}
