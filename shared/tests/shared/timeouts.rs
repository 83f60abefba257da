//! Nothing may hold a connection or a lock for ever.

use sea_orm::{ConnectionTrait, DbBackend, Statement};

use crate::postgres;

#[tokio::test]
async fn every_connection_to_postgres_is_bounded() {
    let test = postgres().await;
    for setting in [
        "statement_timeout",
        "lock_timeout",
        "idle_in_transaction_session_timeout",
    ] {
        let show = Statement::from_string(DbBackend::Postgres, format!("SHOW {setting}"));
        let row = test.db.reader().query_one_raw(show).await.unwrap().unwrap();
        let value: String = row.try_get_by_index(0).unwrap();
        assert_ne!(value, "0", "{setting} is off");
    }
}
