//! Shows which purchases have their letter, for holding them against billing.

use std::collections::{HashMap, HashSet};

use sea_orm::{ConnectionTrait, DbErr};
use shared::{
    clock::Instant,
    ids::{LetterId, PurchaseId},
};

use crate::{domain::letter::LetterKind, store};

/// The letters about how these purchases ended, as far as there are.
///
/// # Errors
/// When the database does not answer.
pub async fn letters_of_purchases(
    conn: &impl ConnectionTrait,
    purchases: &[PurchaseId],
) -> Result<HashMap<PurchaseId, LetterKind>, DbErr> {
    let rows = store::letter::list_about(conn, purchases.iter().map(about)).await?;
    rows.into_iter()
        .map(|(about, kind)| {
            let unreadable = || DbErr::Type(format!("a letter of the kind `{kind}`"));
            Ok((
                purchase(&about)?,
                LetterKind::parse(&kind).ok_or_else(unreadable)?,
            ))
        })
        .collect()
}

/// Which of these purchases have a letter about their refund.
///
/// # Errors
/// When the database does not answer.
pub async fn refunds_with_a_letter(
    conn: &impl ConnectionTrait,
    purchases: &[PurchaseId],
) -> Result<HashSet<PurchaseId>, DbErr> {
    let family = LetterKind::PurchaseRefunded.family();
    let about = purchases.iter().map(|purchase| format!("{family}:{purchase}"));
    let rows = store::letter::list_about(conn, about).await?;
    rows.iter().map(|(about, _)| purchase(about)).collect()
}

/// At most `limit` letters about how purchases ended that were made before `before`, each with its
/// purchase, by the letters' ids, from behind `after` on.
///
/// # Errors
/// When the database does not answer.
pub async fn purchases_with_a_letter(
    conn: &impl ConnectionTrait,
    before: Instant,
    after: Option<LetterId>,
    limit: u64,
) -> Result<Vec<(LetterId, PurchaseId)>, DbErr> {
    let kinds = [LetterKind::PurchasePaid, LetterKind::PurchaseFailed];
    let letters = store::letter::list_of_kinds(conn, kinds, before, after, limit).await?;
    letters
        .into_iter()
        .map(|(letter, about)| Ok((letter, purchase(&about)?)))
        .collect()
}

fn about(purchase: &PurchaseId) -> String {
    // Paid or failed: one family.
    format!("{}:{purchase}", LetterKind::PurchasePaid.family())
}

fn purchase(about: &str) -> Result<PurchaseId, DbErr> {
    let unreadable = || DbErr::Type(format!("a letter about `{about}`"));
    let (_, id) = about.split_once(':').ok_or_else(unreadable)?;
    id.parse().map_err(|_| unreadable())
}
