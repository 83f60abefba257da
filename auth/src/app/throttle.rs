//! Counts what failed, so that nobody can go on guessing, and what is not to be had without end:
//! accounts and letters.
//!
//! Passwords are counted by account and address together, so that nobody can lock somebody else
//! out, and by address alone. What is no account is counted like one. It is counted when it has
//! failed and not when it begins: who knows the password may log in as often at once as they like,
//! and of guesses that are made at once no more are answered than of those made one by one.

use sea_orm::{ConnectionTrait, DbErr};
pub(super) use shared::throttle::hash_of;
use shared::{
    clock::Instant,
    contracts::MailPurpose,
    db::Tx,
    throttle::{self, Throttled},
};

use super::{Client, Turn};
use crate::domain::Email;

/// How often what may be done within a quarter of an hour.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Passwords for one account from one address.
    pub account: u32,
    /// Whatever may be guessed, from one address.
    pub address: u32,
    /// Registrations from one address, whatever comes of them.
    pub registrations: u32,
    /// Letters that are asked for from one address.
    pub letters: u32,
}

/// So many letters of a kind an account gets.
const MOST_LETTERS: u32 = 3;

/// What is counted by address, beside passwords.
#[derive(Clone, Copy, Debug)]
pub(super) enum Counted {
    /// Accounts that are to be opened; also guesses at which addresses have one.
    Registration,
    /// Letters that are asked for; also guesses at whose to ask for.
    Letter,
    /// Guesses at what is in letters.
    MailSecret,
    /// Guesses at the secrets of clients.
    ClientSecret,
}

impl Counted {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Registration => "registration",
            Self::Letter => "letter",
            Self::MailSecret => "mail_secret",
            Self::ClientSecret => "client_secret",
        }
    }

    const fn most(self, limits: Limits) -> u32 {
        match self {
            Self::Registration => limits.registrations,
            Self::Letter => limits.letters,
            Self::MailSecret | Self::ClientSecret => limits.address,
        }
    }
}

/// Names an account by its e-mail address, or by what somebody typed for one.
pub(super) fn account_hash(email: &str) -> String {
    let normal =
        Email::parse(email).map_or_else(|_| email.trim().to_lowercase(), |email| email.normal().to_owned());
    hash_of(&["account", &normal])
}

/// Whoever tries passwords.
pub(super) struct Guesser {
    account: String,
    place: String,
    with_account: String,
    address: String,
}

impl Guesser {
    /// Of whoever tries to be the owner of `email`.
    pub(super) fn new(email: &str, client: &Client) -> Self {
        let (account, place) = (account_hash(email), client.place());
        Self {
            with_account: hash_of(&["password", &account, &place]),
            address: hash_of(&["password", &place]),
            account,
            place,
        }
    }

    /// With whom their password waits to be checked.
    pub(super) fn turn(&self) -> Turn {
        Turn::new(Some(self.account.clone()), self.place.clone())
    }

    /// Whether they may try once more.
    pub(super) async fn check(
        &self,
        conn: &impl ConnectionTrait,
        limits: Limits,
        now: Instant,
    ) -> Result<Option<Throttled>, DbErr> {
        let mut longest = None;
        for (key, most) in [
            (&self.with_account, limits.account),
            (&self.address, limits.address),
        ] {
            let count = throttle::find(conn, key).await?;
            longest = longest.max(count.and_then(|count| count.wait_for_next(most, now)));
        }
        Ok(longest.map(|seconds| Throttled { seconds }))
    }

    /// Counts a wrong password. If that was one too many, its answer is that and not whether it
    /// was right.
    pub(super) async fn count(&self, tx: &Tx, limits: Limits) -> Result<Option<Throttled>, DbErr> {
        let mut counted = [
            (&self.with_account, Some(self.account.as_str()), limits.account),
            (&self.address, None, limits.address),
        ];
        // In sorted order, so that two who count wait for each other in the same order.
        counted.sort_unstable();
        let mut longest = None;
        for (key, account, most) in counted {
            let count = throttle::add(tx.conn(), key, account, tx.now()).await?;
            longest = longest.max(count.wait(most, tx.now()));
        }
        Ok(longest.map(|seconds| Throttled { seconds }))
    }

    /// They are who they said: what failed before was a slip.
    pub(super) async fn forgive(&self, tx: &Tx) -> Result<(), DbErr> {
        throttle::forget(tx.conn(), &self.with_account).await
    }
}

/// Whether this may be tried once more from this client's address.
pub(super) async fn check(
    conn: &impl ConnectionTrait,
    counted: Counted,
    client: &Client,
    limits: Limits,
    now: Instant,
) -> Result<Option<Throttled>, DbErr> {
    let key = hash_of(&[counted.as_str(), &client.place()]);
    let count = throttle::find(conn, &key).await?;
    let seconds = count.and_then(|count| count.wait_for_next(counted.most(limits), now));
    Ok(seconds.map(|seconds| Throttled { seconds }))
}

/// Counts that it was tried; says if that was once too often.
pub(super) async fn count(
    tx: &Tx,
    counted: Counted,
    client: &Client,
    limits: Limits,
) -> Result<Option<Throttled>, DbErr> {
    let key = hash_of(&[counted.as_str(), &client.place()]);
    let count = throttle::add(tx.conn(), &key, None, tx.now()).await?;
    let seconds = count.wait(counted.most(limits), tx.now());
    Ok(seconds.map(|seconds| Throttled { seconds }))
}

/// Counts a letter to an account, from wherever it is asked for, whether or not there is such an
/// account; says if that is one too many.
pub(super) async fn count_letter(
    tx: &Tx,
    purpose: MailPurpose,
    account: &str,
) -> Result<Option<Throttled>, DbErr> {
    let purpose = match purpose {
        MailPurpose::ConfirmEmail => "confirmation",
        MailPurpose::ResetPassword => "forgotten_password",
    };
    let key = hash_of(&["letter", purpose, account]);
    let count = throttle::add(tx.conn(), &key, Some(account), tx.now()).await?;
    let seconds = count.wait(MOST_LETTERS, tx.now());
    Ok(seconds.map(|seconds| Throttled { seconds }))
}
