//! Makes a letter of each outcome, once, and puts it on the list of mails.

use std::collections::HashSet;

use sea_orm::DbErr;
use shared::{
    contracts::{Locale, MailRequestedV1},
    db::Tx,
    ids::{LetterId, UserId},
    users,
    zone::Zone,
};

use crate::{
    domain::{
        letter::{Letter, LetterKind, Reader},
        outcome::Outcome,
    },
    store::{self, mail::MailOf},
};

/// Makes letters.
#[derive(Clone, Copy, Debug)]
pub struct Letters {
    /// Whether they are also mailed. If not, nothing waits to be.
    pub mailed: bool,
    /// On whose clocks they tell the time to users without a zone of their own.
    pub time_zone: Zone,
}

/// How to write to `known`: in English, and by `zone`, to somebody who has not chosen or is not known yet.
/// A letter late is worse than a letter in English.
pub(super) fn reader(known: Option<&users::entity::Model>, zone: Zone) -> Reader {
    Reader {
        locale: known.map_or(Locale::default(), |known| known.locale),
        zone: known.and_then(users::entity::Model::zone).unwrap_or(zone),
    }
}

impl Letters {
    /// Makes the letters about `outcomes`. Each is written in its reader's language, and tells the time on
    /// the clocks of their zone. An outcome that has its letter already makes no second one, and no second mail.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn make<O: Outcome>(self, tx: &Tx, outcomes: &[O]) -> Result<(), DbErr> {
        if outcomes.is_empty() {
            return Ok(());
        }
        let readers = users::find_many(tx.conn(), outcomes.iter().map(Outcome::user_id)).await?;
        let letters: Vec<(LetterId, Letter)> = outcomes
            .iter()
            .map(|outcome| {
                let reader = reader(readers.get(&outcome.user_id()), self.time_zone);
                (LetterId::new(tx.now()), outcome.letter(reader))
            })
            .collect();
        store::letter::insert(tx.conn(), &letters, tx.now()).await?;
        if self.mailed {
            mail(tx, &letters).await?;
        }
        Ok(())
    }

    /// Puts mails with a secret link on the list.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn mail_links(self, tx: &Tx, requests: &[MailRequestedV1]) -> Result<(), DbErr> {
        if !self.mailed {
            return Ok(());
        }
        let mut seen = HashSet::new();
        let mails: Vec<_> = requests
            .iter()
            .filter(|request| seen.insert(request.mail_request_id))
            .map(|request| {
                let link = MailOf::Link(request.mail_request_id, request.expires_at);
                (request.user_id, link)
            })
            .collect();
        store::mail::insert(tx.conn(), &mails, tx.now()).await
    }
}

/// Of `letters`, mails those that have just come into being and whose readers want them mailed.
async fn mail(tx: &Tx, letters: &[(LetterId, Letter)]) -> Result<(), DbErr> {
    let new = store::letter::existing(tx.conn(), letters.iter().map(|(id, _)| *id)).await?;
    let users: HashSet<UserId> = letters.iter().map(|(_, letter)| letter.user_id).collect();
    let unmailed = store::preference::unmailed(tx.conn(), users).await?;
    let is_wanted = |user: UserId, kind: LetterKind| {
        // The mail with the link tells of a reset itself, and better.
        kind != LetterKind::PasswordReset && (kind.is_about_security() || !unmailed.contains(&(user, kind)))
    };
    let mails: Vec<_> = letters
        .iter()
        .filter(|(id, letter)| new.contains(id) && is_wanted(letter.user_id, letter.kind))
        .map(|(id, letter)| (letter.user_id, MailOf::Letter(*id)))
        .collect();
    store::mail::insert(tx.conn(), &mails, tx.now()).await
}
