use async_trait::async_trait;
use dlock_core::{ClaimRef, LockBackend, Result, Why, Withdrawn};

use crate::Flaw;

/// A release deletes the name's entry without a look at whose it is: one that comes late ends the
/// hold of the next.
#[derive(Clone, Copy, Debug)]
pub struct DeleteWithoutCompare;

#[async_trait]
impl Flaw for DeleteWithoutCompare {
    async fn withdraw(&self, inner: &dyn LockBackend, claim: &ClaimRef, why: Why) -> Result<Withdrawn> {
        if why == Why::Release {
            let holders = inner.inspect(&claim.name).await?.holders;
            if let Some(other) = holders.first().filter(|holder| holder.claim.id != claim.id) {
                inner.withdraw(&other.claim, Why::Break).await?;
            }
        }
        inner.withdraw(claim, why).await
    }
}

#[cfg(test)]
mod tests {
    use dlock_core::memory::Memory;

    use super::*;
    use crate::broken::planted::scene::{LONG, claim, client, hold, holds, queue};

    #[tokio::test]
    async fn a_late_release_ends_the_hold_of_the_next() {
        let flaw = DeleteWithoutCompare;
        let store = Memory::new();
        let (left, right) = (client(&store).await, client(&store).await);
        let (first, second, third) = (claim("a", LONG), claim("b", LONG), claim("c", LONG));
        hold(&flaw, &*left, &first).await;
        queue(&flaw, &*right, &second).await;
        queue(&flaw, &*right, &third).await;
        flaw.withdraw(&*left, &first.to_ref(), Why::Release).await.unwrap();
        assert!(holds(&flaw, &*right, &second).await);
        assert!(!holds(&flaw, &*right, &third).await);
        flaw.withdraw(&*left, &first.to_ref(), Why::Release).await.unwrap();
        assert!(holds(&flaw, &*right, &third).await, "though the second never released");
    }
}
