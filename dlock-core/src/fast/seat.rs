use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::Taking;
use crate::client::Start;
use crate::keeper::unpanicked;
use crate::{Grant, Life, Result};

/// Where an attempt is while its request is under way: its caller polls it here, and the keeper can
/// take it over from a caller that does not.
#[derive(Default)]
pub(crate) struct Seat(Mutex<Option<Sitting>>);

struct Sitting {
    start: Box<Start>,
    taking: Taking,
    caller: Option<Waker>,
}

/// An attempt, and what it came to.
pub(crate) type Settled = (Box<Start>, Result<Option<(Grant, Life)>>);

impl Seat {
    pub(crate) fn fill(&self, start: Box<Start>, taking: Taking) {
        *self.lock() = Some(Sitting { start, taking, caller: None });
    }

    /// Ready with nothing when the attempt was taken over.
    pub(crate) fn poll(&self, context: &mut Context<'_>) -> Poll<Option<Settled>> {
        let mut sitting = self.lock();
        let Some(Sitting { taking, caller, .. }) = &mut *sitting else { return Poll::Ready(None) };
        let polled = unpanicked(|| Ok(taking.as_mut().poll(context)));
        let answer = match polled {
            Ok(Poll::Pending) => {
                match caller {
                    Some(known) => known.clone_from(context.waker()),
                    None => *caller = Some(context.waker().clone()),
                }
                return Poll::Pending;
            }
            Ok(Poll::Ready(answer)) => answer,
            Err(panicked) => Err(panicked),
        };
        Poll::Ready(sitting.take().map(|sitting| (sitting.start, answer)))
    }

    /// Takes the attempt over. Its caller is woken, to wait like others.
    pub(crate) fn take(&self) -> Option<(Box<Start>, Taking)> {
        let Sitting { start, taking, caller } = self.lock().take()?;
        if let Some(caller) = caller {
            caller.wake();
        }
        Some((start, taking))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Sitting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seat").finish_non_exhaustive()
    }
}
