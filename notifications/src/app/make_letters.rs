//! Makes a letter of each outcome, once.

use sea_orm::DbErr;
use shared::{contracts::Locale, db::Tx, users};

use crate::{
    domain::{letter::Letter, outcome::Outcome},
    store,
};

/// Makes the letters about `outcomes`. Each is written in its reader's language, in English to
/// somebody who is not known yet: a letter late is worse than a letter in English. An outcome
/// that has its letter already makes no second one.
///
/// # Errors
/// When the database refuses.
pub async fn make_letters<O: Outcome>(tx: &Tx, outcomes: &[O]) -> Result<(), DbErr> {
    if outcomes.is_empty() {
        return Ok(());
    }
    let readers = users::find_many(tx.conn(), outcomes.iter().map(Outcome::user_id)).await?;
    let letters: Vec<Letter> = outcomes
        .iter()
        .map(|outcome| {
            let locale = readers
                .get(&outcome.user_id())
                .map_or(Locale::default(), |reader| reader.locale);
            outcome.letter(locale)
        })
        .collect();
    store::letter::insert(tx.conn(), &letters, tx.now()).await
}
