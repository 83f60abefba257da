//! Logs somebody in.

use sea_orm::DbErr;
use secrecy::SecretString;
use shared::{
    contracts::UserStatus,
    db::{Db, Tx},
    ids::{SessionId, new_uuid},
    sessions::EndedSessions,
    throttle::Throttled,
};

use super::{
    Client, HashError, IssueTokenError, IssuedTokens, Limits, PasswordHasher, TokenTerms,
    end_sessions::{Which, end_of_locked},
    issue_token::{allowed, issue_tokens},
    throttle::Guesser,
};
use crate::{
    domain::{Email, LoginOutcome, MOST_SESSIONS, User},
    store::{
        self, login,
        session::{self, Session},
        user::Account,
    },
};

/// Who says to be who.
#[derive(Clone, Debug)]
pub struct LogIn {
    /// An e-mail address, or what somebody typed for one.
    pub email: String,
    /// A password.
    pub password: SecretString,
    /// With what, from where.
    pub client: Client,
}

/// Why somebody is not logged in.
#[derive(Debug, thiserror::Error)]
pub enum LogInError {
    /// There is no such account, or that is not its password; nobody is told which.
    #[error("the e-mail address or the password is wrong")]
    InvalidCredentials,
    /// It is the account's password, but the account is blocked.
    #[error("the account is blocked")]
    Blocked,
    /// Too many passwords were wrong.
    #[error("too many wrong passwords")]
    Throttled(#[source] Throttled),
    /// The password can't be checked.
    #[error("the password could not be checked")]
    Hash(#[from] HashError),
    /// No token.
    #[error("no token could be issued")]
    Token(#[from] IssueTokenError),
    /// The database.
    #[error("the database refused")]
    Store(#[from] DbErr),
}

/// What comes of a try. A refusal is to be committed: it is counted.
type Tried = Result<IssuedTokens, LogInError>;

/// Begins a session and returns its tokens. Whatever is wrong, a password is checked, so that
/// the time says nothing about which accounts there are; unless too many were wrong before.
///
/// # Errors
/// See [`LogInError`].
pub async fn log_in(
    db: &Db,
    hasher: &PasswordHasher,
    ended: &EndedSessions,
    terms: &TokenTerms,
    limits: Limits,
    input: &LogIn,
) -> Result<IssuedTokens, LogInError> {
    let guesser = &Guesser::new(&input.email, &input.client);
    if let Some(throttled) = guesser.check(db.reader(), limits, db.now()).await? {
        return Err(LogInError::Throttled(throttled));
    }
    let account = match Email::parse(&input.email) {
        Ok(email) => store::user::find_by_email(db.reader(), &email).await?,
        Err(_) => None,
    };
    let hash = account.as_ref().map(|account| account.password_hash.as_str());
    let matches = hasher.verify(&input.password, hash, guesser.turn()).await?;
    let account = account.as_ref();
    let attempt = &Attempt {
        account,
        matches,
        guesser,
        limits,
        terms,
        ended,
        client: &input.client,
    };
    db.write(|tx| async move { attempt.decide(&tx).await }).await?
}

/// A password that was checked.
struct Attempt<'a> {
    account: Option<&'a Account>,
    matches: bool,
    guesser: &'a Guesser,
    limits: Limits,
    terms: &'a TokenTerms,
    ended: &'a EndedSessions,
    client: &'a Client,
}

impl Attempt<'_> {
    /// The account may have changed while its password was checked: a block that was committed
    /// before the session began refuses it, as does a new password.
    async fn decide(&self, tx: &Tx) -> Result<Tried, LogInError> {
        let account = match self.account {
            None => None,
            Some(checked) => store::user::lock(tx.conn(), &[checked.user.id])
                .await?
                .remove(&checked.user.id)
                .filter(|account| account.user.status != UserStatus::Deleted)
                .map(|account| {
                    let matches = self.matches && account.password_hash == checked.password_hash;
                    (account.user, matches)
                }),
        };
        let Some((user, true)) = account else {
            return self.refuse(tx, account.map(|(user, _)| user)).await;
        };
        // Others may have guessed meanwhile, and this may be the guess that was right.
        if let Some(throttled) = self.guesser.check(tx.conn(), self.limits, tx.now()).await? {
            return Ok(Err(LogInError::Throttled(throttled)));
        }
        if user.status == UserStatus::Blocked {
            self.remember(tx, &user, LoginOutcome::Blocked).await?;
            return Ok(Err(LogInError::Blocked));
        }
        self.remember(tx, &user, LoginOutcome::Succeeded).await?;
        self.guesser.forgive(tx).await?;
        Ok(Ok(self.begin_session(tx, &user).await?))
    }

    async fn refuse(&self, tx: &Tx, user: Option<User>) -> Result<Tried, LogInError> {
        if let Some(throttled) = self.guesser.count(tx, self.limits).await? {
            return Ok(Err(LogInError::Throttled(throttled)));
        }
        if let Some(user) = user {
            self.remember(tx, &user, LoginOutcome::WrongPassword).await?;
        }
        Ok(Err(LogInError::InvalidCredentials))
    }

    async fn remember(&self, tx: &Tx, user: &User, outcome: LoginOutcome) -> Result<(), DbErr> {
        let login = login::Login {
            id: new_uuid(tx.now()),
            user_id: user.id,
            at: tx.now(),
            outcome,
            user_agent: self.client.user_agent(),
            address: self.client.address(),
        };
        login::insert(tx.conn(), login).await
    }

    async fn begin_session(&self, tx: &Tx, user: &User) -> Result<IssuedTokens, LogInError> {
        let allowed = allowed(tx, user).await?;
        // Room for one more.
        end_of_locked(tx, self.ended, user.id, Which::Surplus(MOST_SESSIONS - 1)).await?;
        let id = SessionId::new(tx.now());
        let session = Session {
            id,
            user_id: user.id,
            created_at: tx.now(),
            last_used_at: tx.now(),
            expires_at: Some(self.terms.refreshed_until(tx.now())),
            ended_at: None,
            user_agent: self.client.user_agent(),
            address: self.client.address(),
        };
        session::insert(tx.conn(), session).await?;
        Ok(issue_tokens(tx, user, allowed, id, self.terms).await?)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use shared::{
        clock::SystemClock,
        contracts::{Locale, ServiceName},
        sessions::EndedSessions,
    };
    use tempfile::TempDir;

    use super::*;
    use crate::{
        app::{BlockUser, RegisterUser, block_user, create_admin, ensure_signing_key, register_user},
        domain::Password,
    };

    async fn database() -> (Db, TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("auth.db").display());
        let (db, _) = Db::connect(ServiceName::Auth, &url, Arc::new(SystemClock))
            .await
            .unwrap();
        migration::up(ServiceName::Auth, db.writer()).await.unwrap();
        db.write(|tx| async move { ensure_signing_key(&tx).await })
            .await
            .unwrap();
        (db, folder)
    }

    fn terms() -> TokenTerms {
        TokenTerms {
            issuer: "kopeck".to_owned(),
            seconds: 900,
            refresh_seconds: 86_400,
        }
    }

    const LIMITS: Limits = Limits {
        account: 10,
        address: 100,
        registrations: 100,
        letters: 100,
    };

    fn secret(text: &str) -> SecretString {
        SecretString::from(text.to_owned())
    }

    #[tokio::test]
    async fn whatever_is_wrong_exactly_one_password_is_checked() {
        let (db, _folder) = database().await;
        let hasher = PasswordHasher::new().await.unwrap();
        let admin = create_admin(&db, "root@example.com", secret("correct horse"))
            .await
            .unwrap();
        for email in ["ann@example.com", "bob@example.com"] {
            let input = RegisterUser {
                email: Email::parse(email).unwrap(),
                password: Password::choose(secret("correct horse")).unwrap(),
                locale: Locale::En,
                time_zone: None,
            };
            let user = register_user(&db, &hasher, LIMITS, &input, &Client::default())
                .await
                .unwrap()
                .id;
            if email.starts_with("bob") {
                db.write(|tx| async move {
                    let ended = EndedSessions::default();
                    let input = BlockUser {
                        user,
                        by: admin,
                        reason: None,
                    };
                    block_user(&tx, &ended, &input).await
                })
                .await
                .unwrap();
            }
        }
        let terms = terms();
        for (email, password, outcome) in [
            ("ann@example.com", "correct horse", "in"),
            ("ann@example.com", "wrong", "InvalidCredentials"),
            ("ann@example.com", "", "InvalidCredentials"),
            ("nobody@example.com", "correct horse", "InvalidCredentials"),
            ("nobody@example.com", "", "InvalidCredentials"),
            ("nobody@example.com", "nobody's password", "InvalidCredentials"),
            ("no address", "correct horse", "InvalidCredentials"),
            ("bob@example.com", "wrong", "InvalidCredentials"),
            ("bob@example.com", "correct horse", "Blocked"),
        ] {
            let before = hasher.checked();
            let input = LogIn {
                email: email.to_owned(),
                password: secret(password),
                client: Client::default(),
            };
            let found = match log_in(&db, &hasher, &EndedSessions::default(), &terms, LIMITS, &input).await {
                Ok(_) => "in".to_owned(),
                Err(error) => format!("{error:?}"),
            };
            assert_eq!(found, outcome, "{email} with {password:?}");
            assert_eq!(hasher.checked(), before + 1, "{email} with {password:?}");
        }
    }

    #[tokio::test]
    async fn a_password_that_was_changed_while_it_was_checked_opens_no_session() {
        let (db, _folder) = database().await;
        let admin = create_admin(&db, "root@example.com", secret("correct horse"))
            .await
            .unwrap();
        let terms = &terms();
        let email = Email::parse("root@example.com").unwrap();
        let mut account = store::user::find_by_email(db.reader(), &email)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(account.user.id, admin);
        account.password_hash = "the hash before".to_owned();
        let client = &Client::default();
        let attempt = &Attempt {
            account: Some(&account),
            matches: true,
            guesser: &Guesser::new("root@example.com", client),
            limits: LIMITS,
            terms,
            ended: &EndedSessions::default(),
            client,
        };
        let outcome = db
            .write(|tx| async move { attempt.decide(&tx).await })
            .await
            .unwrap();
        assert!(matches!(outcome, Err(LogInError::InvalidCredentials)));
    }
}
