//! Shows which purchases have their letter, for holding them against billing.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, DbErr};
use shared::ids::PurchaseId;

use crate::{domain::letter::LetterKind, store};

/// The letter of every purchase that has one.
///
/// # Errors
/// When the database does not answer.
pub async fn letters_of_purchases(
    conn: &impl ConnectionTrait,
) -> Result<HashMap<PurchaseId, LetterKind>, DbErr> {
    let kinds = [LetterKind::PurchasePaid, LetterKind::PurchaseFailed];
    let rows = store::letter::list_of_kinds(conn, kinds).await?;
    rows.into_iter()
        .map(|(about, kind)| {
            let unreadable = || DbErr::Type(format!("a letter about `{about}`, kind `{kind}`"));
            let (_, id) = about.split_once(':').ok_or_else(unreadable)?;
            let id = id.parse::<PurchaseId>().map_err(|_| unreadable())?;
            Ok((id, LetterKind::parse(&kind).ok_or_else(unreadable)?))
        })
        .collect()
}
