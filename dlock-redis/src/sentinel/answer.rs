use std::collections::HashMap;

use dlock_core::{Error, ErrorKind, Result};
use redis::{Pipeline, RedisResult, Value, from_redis_value};

use crate::config::Address;
use crate::error::classify_connecting;

/// What a sentinel says of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct View {
    /// Counts the failovers: of two sentinels the one with the higher epoch is right.
    pub(super) epoch: u64,
    pub(super) primary: Address,
}

/// What to ask a sentinel. The epoch comes first: should there be a failover between the two, the
/// address is newer than it, never older.
///
/// The address is not taken from the first answer, which names the old primary until all replicas
/// follow the new one. <https://redis.io/docs/latest/develop/reference/sentinel-clients/>
pub(super) fn question(service: &str) -> Pipeline {
    let mut question = redis::pipe();
    question.cmd("SENTINEL").arg("MASTER").arg(service);
    question.cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(service);
    question.ignore_errors();
    question
}

impl View {
    /// Reads the answer to [`question`].
    pub(super) fn read(service: &str, answer: RedisResult<Vec<RedisResult<Value>>>) -> Result<Self> {
        let mut answers = answer.map_err(classify_connecting)?.into_iter();
        let (Some(details), Some(address), None) = (answers.next(), answers.next(), answers.next()) else {
            return Err(strange());
        };
        match address {
            Ok(Value::Nil) => {
                let text = format!("it knows of no service {service:?}: use a name that SENTINEL MASTERS lists");
                Err(Error::new(ErrorKind::InvalidInput, text))
            }
            Ok(address) => {
                let (host, port): (String, String) = from_redis_value(address).map_err(|_| strange())?;
                let details: HashMap<String, String> =
                    from_redis_value(details.map_err(classify_connecting)?).map_err(|_| strange())?;
                let epoch = details.get("config-epoch").and_then(|epoch| epoch.parse().ok()).ok_or_else(strange)?;
                Ok(Self { epoch, primary: Address::new(host, port.parse().map_err(|_| strange())?) })
            }
            Err(error) if error.to_string().contains("unknown command") => {
                Err(Error::new(ErrorKind::InvalidInput, "it is no sentinel: those listen on port 26379, as a rule")
                    .with_source(error))
            }
            Err(error) => Err(classify_connecting(error)),
        }
    }
}

fn strange() -> Error {
    Error::new(ErrorKind::Protocol, "it does not answer as a sentinel does; check host and port")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn details(epoch: &str) -> RedisResult<Value> {
        let fields = [("name", "s"), ("ip", "10.0.0.9"), ("port", "1"), ("config-epoch", epoch)];
        Ok(Value::Map(fields.iter().map(|(field, value)| (text(field), text(value))).collect()))
    }

    fn address() -> RedisResult<Value> {
        Ok(Value::Array(vec![text("10.0.0.1"), text("6379")]))
    }

    fn refusal(line: &'static str) -> RedisResult<Value> {
        Err((redis::ErrorKind::Server(redis::ServerErrorKind::ResponseError), line).into())
    }

    #[test]
    fn a_sentinel_tells_the_primary_and_its_epoch() {
        let view = View::read("s", Ok(vec![details("7"), address()])).unwrap();
        assert_eq!(view, View { epoch: 7, primary: Address::new("10.0.0.1", 6379) });
    }

    #[test]
    fn what_is_no_answer_says_why() {
        use ErrorKind::{InvalidInput, Protocol};
        for (answer, kind, why) in [
            (vec![refusal("No such master with that name"), Ok(Value::Nil)], InvalidInput, "no service \"s\""),
            (vec![refusal("unknown command 'SENTINEL'"), refusal("unknown command 'SENTINEL'")], InvalidInput, "26379"),
            (vec![details("many"), address()], Protocol, "as a sentinel does"),
            (vec![details("7"), Ok(text("x"))], Protocol, "as a sentinel does"),
            (vec![details("7")], Protocol, "as a sentinel does"),
        ] {
            let error = View::read("s", Ok(answer)).unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains(why), "{error}");
        }
    }
}
