//! The status of callers, read where it is decided: a block is felt here at once.

use async_trait::async_trait;
use sea_orm::DbErr;
use shared::{contracts::UserStatus, db::Db, http::UserStatuses, ids::UserId};

use crate::app;

/// Auth's own users.
pub(crate) struct OwnStatuses(pub(crate) Db);

#[async_trait]
impl UserStatuses for OwnStatuses {
    async fn status(&self, user: UserId) -> Result<Option<UserStatus>, DbErr> {
        app::status_of(self.0.reader(), user).await.map(Some)
    }
}
