//! A case's own deployment, with a lab on it.

use std::sync::Arc;

use crate::{Deployment, Lab};

/// Servers for one case alone, and a lab on them.
#[derive(Debug)]
pub struct Alone {
    lab: Arc<Lab>,
    deployment: Box<dyn Deployment>,
}

impl Alone {
    pub(crate) fn new(lab: Lab, deployment: Box<dyn Deployment>) -> Self {
        Self { lab: Arc::new(lab), deployment }
    }

    /// A lab whose clients use these servers.
    #[must_use]
    pub fn lab(&self) -> &Arc<Lab> {
        &self.lab
    }

    /// See [`Deployment::begin`].
    pub async fn begin(&self) {
        self.deployment.begin().await;
    }

    /// See [`Deployment::end`].
    pub async fn end(&self) {
        self.deployment.end().await;
    }

    /// See [`Deployment::ends_claims`].
    #[must_use]
    pub fn ends_claims(&self) -> bool {
        self.deployment.ends_claims()
    }
}
