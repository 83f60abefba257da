//! Sends mails.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use shared::{
    db::Db,
    host::{Job, JobError},
};

use crate::app::send_mails::{Mailing, send_some_mails};

/// After this a run takes up nothing more: what it has in hand may take most of the half minute that
/// a run may last.
const TAKES_UP_FOR: Duration = Duration::from_secs(3);

/// Sends what is due.
pub struct SendMails {
    /// The database.
    pub db: Db,
    /// What mails go out by.
    pub mailing: Arc<Mailing>,
}

#[async_trait]
impl Job for SendMails {
    fn name(&self) -> &'static str {
        "send_mails"
    }

    fn every(&self) -> Duration {
        Duration::from_millis(300)
    }

    async fn run(&self) -> Result<(), JobError> {
        let began = tokio::time::Instant::now();
        while send_some_mails(&self.db, &self.mailing).await? && began.elapsed() < TAKES_UP_FOR {}
        Ok(())
    }
}
