//! Has another key sign tokens.

use chrono::Duration;
use sea_orm::DbErr;
use serde_json::json;
use shared::{
    audit::{self, Deed},
    db::{Db, Tx},
    ids::new_uuid,
};

use super::ensure_signing_key::{EnsureSigningKeyError, new_key};
use crate::store::signing_key;
pub use crate::store::signing_key::KeyTimes;

/// A new key is published for so long before it signs. Services look for a key that they do not
/// know, but at most every two seconds; whoever else keeps the keys may do so for a minute.
pub const BEFORE_SIGNING: Duration = Duration::seconds(65);

/// So long after the next key signs, the last token of a key has expired for sure: no configuration
/// lets one live longer than a day.
const PUBLISHED_AFTER: Duration = Duration::hours(25);

/// Makes a key, which is published at once and signs after `before_signing`; the others stay
/// published until every token of theirs has expired.
///
/// # Errors
/// When no key can be made, or the database refuses.
pub async fn rotate_keys(db: &Db, before_signing: Duration) -> Result<KeyTimes, EnsureSigningKeyError> {
    db.write(|tx| async move { rotate(&tx, before_signing).await })
        .await
}

async fn rotate(tx: &Tx, before_signing: Duration) -> Result<KeyTimes, EnsureSigningKeyError> {
    let (now, key) = (tx.now(), new_key(tx)?);
    let kid = key.kid.clone();
    let signs_from = now + before_signing;
    signing_key::insert_next(tx.conn(), key, now, signs_from, signs_from + PUBLISHED_AFTER).await?;
    let deed = Deed {
        actor: None,
        action: "key.rotate",
        subject: new_uuid(now),
        details: json!({"kid": kid, "signs_from": signs_from}),
    };
    audit::record(tx, deed).await?;
    Ok(KeyTimes {
        kid,
        created_at: now,
        signs_from,
        published_until: None,
    })
}

/// The keys that are published, oldest first.
///
/// # Errors
/// When the database refuses.
pub async fn list_keys(db: &Db) -> Result<Vec<KeyTimes>, DbErr> {
    signing_key::list_times(db.reader(), db.now()).await
}
