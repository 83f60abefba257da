//! Logs somebody in.

use std::net::IpAddr;

use sea_orm::DbErr;
use secrecy::SecretString;
use shared::{
    contracts::UserStatus,
    db::{Db, Tx},
    ids::{SessionId, UserId},
};

use super::{HashError, IssueTokenError, IssuedToken, PasswordHasher, TokenTerms, issue_token::issue_token};
use crate::{
    domain::Email,
    store::{
        self,
        session::{self, Session},
    },
};

/// What a client calls itself is kept up to this many characters.
const LONGEST_USER_AGENT: usize = 256;

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

/// What is known of a client; shown to the account's owner.
#[derive(Clone, Debug, Default)]
pub struct Client {
    /// What it calls itself.
    pub user_agent: Option<String>,
    /// Its address.
    pub address: Option<IpAddr>,
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

/// Begins a session and returns its token. Whatever is wrong, a password is checked, so that
/// the time says nothing about which accounts there are.
///
/// # Errors
/// See [`LogInError`].
pub async fn log_in(
    db: &Db,
    hasher: &PasswordHasher,
    terms: &TokenTerms,
    input: &LogIn,
) -> Result<IssuedToken, LogInError> {
    let account = match Email::parse(&input.email) {
        Ok(email) => store::user::find_by_email(db.reader(), &email).await?,
        Err(_) => None,
    };
    let hash = account.as_ref().map(|account| account.password_hash.as_str());
    let matches = hasher.verify(&input.password, hash).await?;
    let account = account
        .filter(|_| matches)
        .ok_or(LogInError::InvalidCredentials)?;
    let (user, hash) = (account.user.id, account.password_hash.as_str());
    db.write(|tx| async move { begin_session(&tx, user, hash, terms, &input.client).await })
        .await
}

/// The account may have changed while its password was checked: a block that was committed
/// before the session began refuses it, as does a new password.
async fn begin_session(
    tx: &Tx,
    user: UserId,
    checked_hash: &str,
    terms: &TokenTerms,
    client: &Client,
) -> Result<IssuedToken, LogInError> {
    let account = store::user::lock(tx.conn(), &[user])
        .await?
        .remove(&user)
        .filter(|account| account.password_hash == checked_hash)
        .ok_or(LogInError::InvalidCredentials)?;
    match account.user.status {
        UserStatus::Active => {}
        UserStatus::Blocked => return Err(LogInError::Blocked),
        UserStatus::Deleted => return Err(LogInError::InvalidCredentials),
    }
    let id = SessionId::new(tx.now());
    let session = Session {
        id,
        user_id: user,
        created_at: tx.now(),
        user_agent: client
            .user_agent
            .as_ref()
            .map(|name| name.chars().take(LONGEST_USER_AGENT).collect()),
        address: client.address.map(|address| address.to_string()),
    };
    session::insert(tx.conn(), session).await?;
    Ok(issue_token(tx, &account.user, id, terms).await?)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use shared::{
        clock::SystemClock,
        contracts::{Locale, ServiceName},
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
            };
            let user = register_user(&db, &hasher, &input).await.unwrap().id;
            if email.starts_with("bob") {
                db.write(|tx| async move { block_user(&tx, BlockUser { user, by: admin }).await })
                    .await
                    .unwrap();
            }
        }
        let terms = TokenTerms {
            issuer: "kopeck".to_owned(),
            seconds: 900,
        };
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
            let found = match log_in(&db, &hasher, &terms, &input).await {
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
        let terms = &TokenTerms {
            issuer: "kopeck".to_owned(),
            seconds: 900,
        };
        let outcome = db
            .write(|tx| async move {
                begin_session(&tx, admin, "the hash before", terms, &Client::default()).await
            })
            .await;
        assert!(matches!(outcome, Err(LogInError::InvalidCredentials)));
    }
}
