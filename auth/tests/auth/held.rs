//! A user's row, held by the test: what wants to lock it waits.

use sea_orm::{
    ConnectionTrait as _, DatabaseTransaction, DbBackend, DbErr, Statement, TransactionTrait as _,
};
use shared::{db::Db, ids::UserId, testing::eventually};

/// A row of PostgreSQL that a transaction of the test has locked.
pub struct Held(DatabaseTransaction);

impl Held {
    /// The row of this user.
    pub async fn user(db: &Db, user: UserId) -> Self {
        let held = Self(db.writer().begin().await.expect("a transaction"));
        held.run(&format!("SELECT 1 FROM users WHERE id = '{user}' FOR UPDATE"))
            .await
            .expect("the row");
        held
    }

    /// Runs a statement in the same transaction.
    pub async fn run(&self, text: &str) -> Result<(), DbErr> {
        let statement = Statement::from_string(DbBackend::Postgres, text);
        self.0.execute_raw(statement).await.map(drop)
    }

    /// Waits until somebody waits for a lock.
    pub async fn somebody_waits(&self) {
        eventually("somebody waits for the row", || async {
            let waiting = "SELECT 1 AS one FROM pg_stat_activity WHERE datname = current_database() \
                           AND wait_event_type = 'Lock'";
            let statement = Statement::from_string(DbBackend::Postgres, waiting);
            self.0.query_one_raw(statement).await.expect("an answer")
        })
        .await;
    }

    /// Lets go of it.
    pub async fn release(self) {
        self.0.commit().await.expect("a commit");
    }
}
