//! Remembers who has paid for something, so that a dry run knows what is a first purchase.

use sea_orm::DbErr;
use shared::{db::Tx, ids::UserId};

use crate::store;

/// These users have, whatever comes of it: a purchase that is refunded was a purchase.
pub(crate) async fn note_purchasers(tx: &Tx, users: impl Iterator<Item = UserId>) -> Result<(), DbErr> {
    store::purchasers::insert(tx.conn(), users.collect(), tx.now()).await
}
