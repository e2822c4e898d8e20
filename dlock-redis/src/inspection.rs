//! Looking at names.

use std::time::Duration;

use dlock_core::{ClaimId, Error, ErrorKind, LockName, LockState, NamePage, NamePrefix, Page, Result};

use crate::inbox::note;
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
        let cursor: u64 = match page.cursor.as_deref().map(str::parse) {
            None => 0,
            Some(Ok(cursor)) => cursor,
            Some(Err(_)) => return Err(Error::new(ErrorKind::InvalidInput, "this is not a cursor of this backend")),
        };
        let keys = &self.shared.keys;
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(keys.pattern(prefix)).arg("COUNT").arg(page.limit.max(1));
        let scan = &scan;
        let (next, found): (u64, Vec<Vec<u8>>) = self
            .routes
            .look(crate::keys::Bucket::FIRST, |mut connection| async move { scan.query_async(&mut connection).await })
            .await?;
        let names = found.iter().filter_map(|key| keys.name_of(key)).filter(|name| prefix.covers(name));
        Ok(NamePage { names: names.collect(), cursor: (next != 0).then(|| next.to_string()) })
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
