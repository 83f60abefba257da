//! What a user wants mailed.

use sea_orm::{ConnectionTrait, DbErr};
use shared::{db::Tx, ids::UserId};

use crate::{domain::letter::LetterKind, store};

/// The kinds of letters that `user` wants in the inbox only.
///
/// # Errors
/// When the database does not answer.
pub async fn read_unmailed(conn: &impl ConnectionTrait, user: UserId) -> Result<Vec<LetterKind>, DbErr> {
    let unmailed = store::preference::unmailed(conn, [user]).await?;
    Ok(unmailed.into_iter().map(|(_, kind)| kind).collect())
}

/// From now on `user` is mailed everything but `unmailed`. What is on the list already goes out.
///
/// # Errors
/// When the database refuses.
pub async fn replace_unmailed(tx: &Tx, user: UserId, unmailed: &[LetterKind]) -> Result<(), DbErr> {
    store::preference::replace(tx.conn(), user, unmailed).await
}
