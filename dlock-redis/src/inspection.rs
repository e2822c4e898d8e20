//! Looking at names.

use std::time::Duration;

use dlock_core::{ClaimId, Error, ErrorKind, LockName, LockState, NamePage, NamePrefix, Page, Result};

use crate::inbox::note;
use crate::keys::Bucket;
use crate::requests::Requests;
use crate::survey::Survey;

/// How long `inspect` waits for a token that only the claim's owner knows.
const PATIENCE: Duration = Duration::from_millis(300);

impl Requests {
    /// Who holds a name and who waits.
    pub(crate) async fn inspect(&self, name: &LockName) -> Result<LockState> {
        let survey = self.survey(name).await?;
        let untold = survey.untold();
        if untold.is_empty() {
            return Ok(survey.state);
        }
        // A claim taken natively has its token stored at its first renewal, or when its owner is asked to.
        let asked = tokio::time::timeout(PATIENCE, self.ask_for_tokens(name, &untold)).await;
        Ok(asked.ok().and_then(Result::ok).unwrap_or(survey).state)
    }

    /// A page of names.
    pub(crate) async fn list(&self, prefix: &NamePrefix, page: Page) -> Result<NamePage> {
        let servers = self.routes.servers();
        let Some((bucket, place, position)) = continued(&servers, page.cursor.as_deref())? else {
            return Ok(NamePage { names: Vec::new(), cursor: None });
        };
        let keys = &self.shared.keys;
        let mut scan = redis::cmd("SCAN");
        scan.arg(position).arg("MATCH").arg(keys.pattern(prefix)).arg("COUNT").arg(page.limit.max(1));
        let scan = &scan;
        let (next, found): (u64, Vec<Vec<u8>>) =
            self.routes.look(bucket, |mut connection| async move { scan.query_async(&mut connection).await }).await?;
        let names = found.iter().filter_map(|key| keys.name_of(key)).filter(|name| prefix.covers(name));
        let following = servers.iter().find(|(other, _)| *other > bucket);
        let cursor = match (next, following) {
            (0, None) => None,
            (0, Some((bucket, place))) => Some(cursor(*bucket, place, 0)),
            (next, _) => Some(cursor(bucket, &place, next)),
        };
        Ok(NamePage { names: names.collect(), cursor })
    }

    async fn survey(&self, name: &LockName) -> Result<Survey> {
        let keys = self.shared.keys.of(name);
        let mut call = self.shared.scripts.inspect.prepare_invoke();
        call.key(&keys.main).key(&keys.order).key(&keys.due);
        let (call, bucket) = (&call, self.shared.keys.bucket(name));
        let answer: Vec<Vec<u8>> =
            self.routes.look(bucket, |mut connection| async move { call.invoke_async(&mut connection).await }).await?;
        let mut survey = Survey::read(name, &keys.main, &answer)?;
        for holder in &mut survey.state.holders {
            holder.token = holder.token.or_else(|| self.shared.registry.token(holder.claim.id));
        }
        Ok(survey)
    }

    /// Asks the owners of claims whose tokens are not stored to store them, and looks until they have.
    async fn ask_for_tokens(&self, name: &LockName, untold: &[(String, ClaimId)]) -> Result<Survey> {
        let mut pipeline = redis::pipe();
        for (inbox, claim) in untold {
            pipeline.cmd("PUBLISH").arg(inbox).arg(note(*claim));
        }
        let (pipeline, bucket) = (&pipeline, self.shared.keys.bucket(name));
        let listeners: Vec<u64> = self
            .routes
            .look(bucket, |mut connection| async move { pipeline.query_async(&mut connection).await })
            .await?;
        let nobody_listens = listeners.iter().all(|count| *count == 0);
        loop {
            let survey = self.survey(name).await?;
            if nobody_listens || survey.untold().is_empty() {
                return Ok(survey);
            }
            tokio::time::sleep(PATIENCE / 20).await;
        }
    }
}

/// Where to go on: with which server, and from which position of its own.
fn cursor(bucket: Bucket, place: &str, position: u64) -> String {
    format!("{}@{bucket}@{place}", position)
}

/// Reads a cursor: where to go on, or `None` at the end. Servers are known by their first bucket; one
/// that has taken another's place begins anew, as a position is worth nothing on another server.
fn continued(servers: &[(Bucket, String)], cursor: Option<&str>) -> Result<Option<(Bucket, String, u64)>> {
    let Some(cursor) = cursor else {
        return Ok(servers.first().map(|(bucket, place)| (*bucket, place.clone(), 0)));
    };
    let invalid = || Error::new(ErrorKind::InvalidInput, "this is not a cursor of this backend");
    let mut parts = cursor.splitn(3, '@');
    let (Some(position), Some(bucket), Some(place)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(invalid());
    };
    let position: u64 = position.parse().map_err(|_| invalid())?;
    let bucket: Bucket = bucket.parse().map_err(|_| invalid())?;
    let server = servers.iter().find(|(first, _)| *first >= bucket);
    Ok(server.map(|(first, other)| (*first, other.clone(), if other == place { position } else { 0 })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_leads_from_server_to_server() {
        let bucket = |text: &str| text.parse::<Bucket>().unwrap();
        let servers = [(bucket("0"), "a:1".to_owned()), (bucket("7"), "[::1]:2".to_owned())];
        let at = |cursor: Option<&str>| {
            let found = continued(&servers, cursor).unwrap();
            found.map(|(bucket, place, position)| (bucket.to_string(), place, position))
        };
        let place = |bucket: &str, place: &str, position| Some((bucket.to_owned(), place.to_owned(), position));
        assert_eq!(at(None), place("0", "a:1", 0));
        assert_eq!(at(Some(&cursor(servers[0].0, "a:1", 5))), place("0", "a:1", 5));
        assert_eq!(at(Some(&cursor(servers[1].0, "[::1]:2", 5))), place("7", "[::1]:2", 5));
        assert_eq!(at(Some("5@0@b:1")), place("0", "a:1", 0), "another server has its place");
        assert_eq!(at(Some("5@3@b:1")), place("7", "[::1]:2", 0), "its buckets are others by now");
        assert_eq!(at(Some("5@9@a:1")), None);
        for cursor in ["", "7", "x@0@a", "1@x@a", "1@0"] {
            assert_eq!(continued(&servers, Some(cursor)).unwrap_err().kind(), ErrorKind::InvalidInput);
        }
    }
}
