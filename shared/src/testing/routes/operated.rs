//! The routes that every service has for whoever operates it.

use sea_orm::{ActiveValue::Set, EntityTrait as _};

use super::{Call, Routes};
use crate::{
    ids::MessageId,
    inbox::{self, Status},
};

impl Routes<'_> {
    /// Checks the routes of parked messages and of the audit log.
    pub async fn check_operation(&mut self) {
        let (replayed, dropped) = (self.park().await, self.park().await);
        let page = |call: Call| call.query("limit", 1);
        self.check(page(Call::get("/parked")).query("retried", true))
            .await;
        self.check(Call::get("/parked/{id}").id(replayed)).await;
        self.check(Call::post("/parked/{id}/replay").id(replayed)).await;
        self.check(Call::post("/parked/{id}/drop").id(dropped)).await;
        for again in [Call::post("/parked/{id}/replay"), Call::post("/parked/{id}/drop")] {
            self.refuse(again.id(dropped), 409, "not_parked").await;
        }
        let now = self.service.peers.now();
        let audit = page(Call::get("/audit"))
            .query("action", "parked.drop")
            .query("actor", self.cast.somebody)
            .query("subject", dropped)
            .query("from", now - chrono::Duration::hours(1))
            .query("to", now + chrono::Duration::hours(1));
        let found = self.check(audit).await;
        assert_eq!(found["items"][0]["subject"], dropped.to_string(), "{found}");
    }

    /// Puts a message into the service's inbox as if it had failed for good.
    async fn park(&self) -> MessageId {
        let id = MessageId::new(self.service.peers.now());
        let row = inbox::entity::ActiveModel {
            id: Set(id),
            status: Set(Status::Parked),
            received_at: Set(self.service.peers.now()),
            attempts: Set(12),
            next_attempt_at: Set(None),
            error: Set(Some("it failed".to_owned())),
            body: Set(Some("no envelope".to_owned())),
        };
        inbox::entity::Entity::insert(row)
            .exec_without_returning(self.service.db.writer())
            .await
            .expect("a row");
        id
    }
}
