//! What a database is asked: its statements, for tests that compare them.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use sea_orm::DatabaseConnection;

/// What was asked of each database that is listened to, by its URL.
static ASKED: Mutex<Option<HashMap<String, Vec<String>>>> = Mutex::new(None);

/// Has the statements that go through `conn` recorded while its database is listened to.
pub(crate) fn watch(conn: &mut DatabaseConnection, url: &str) {
    let url = url.to_owned();
    conn.set_metric_callback(move |info| {
        let mut asked = ASKED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(of_url) = asked.as_mut().and_then(|asked| asked.get_mut(&url)) {
            of_url.push(info.statement.sql.clone());
        }
    });
}

/// Listens to the database behind `url` from now on; what was heard until now is forgotten.
pub(super) fn listen(url: &str) {
    let mut asked = ASKED.lock().unwrap_or_else(PoisonError::into_inner);
    asked
        .get_or_insert_with(HashMap::new)
        .insert(url.to_owned(), Vec::new());
}

/// What was asked since then, in its order; without values.
pub(super) fn heard(url: &str) -> Vec<String> {
    let asked = ASKED.lock().unwrap_or_else(PoisonError::into_inner);
    asked
        .as_ref()
        .and_then(|asked| asked.get(url).cloned())
        .unwrap_or_default()
}
