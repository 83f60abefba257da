//! Issues tokens to programs that call by themselves (RFC 6749, 4.4).

use std::collections::BTreeSet;

use sea_orm::DbErr;
use secrecy::SecretString;
use shared::{
    contracts::Permission,
    db::{Db, Tx},
    ids::UserId,
    throttle::Throttled,
};
use uuid::Uuid;

use super::{
    Client, IssueTokenError, Limits, TokenTerms,
    issue_token::{IssuedToken, Owner, issue_token, kept},
    throttle::{self, Counted},
};
use crate::store;

/// A client that belongs to the platform.
pub struct BuiltIn {
    /// The `sub` of its tokens.
    pub id: UserId,
    /// Its `client_id`.
    pub name: &'static str,
    /// What it may do.
    pub permissions: &'static [Permission],
}

/// Notifications, which has to know where to mail, and the secrets that go into mails. Its secret is configured, not kept.
pub const BUILT_IN: BuiltIn = BuiltIn {
    id: UserId(Uuid::from_u128(0x0193_8f00_0000_7000_8000_0000_0000_0101)),
    name: "notifications",
    permissions: &[Permission::ContactsRead, Permission::MailRequestsRead],
};

/// Which program says to be which.
#[derive(Clone, Debug)]
pub struct IssueClientToken {
    /// Its id.
    pub client_id: String,
    /// Its secret.
    pub client_secret: SecretString,
    /// With what, from where.
    pub client: Client,
}

/// A token, and what it allows.
pub struct ClientToken {
    /// The token.
    pub token: IssuedToken,
    /// What it allows.
    pub permissions: BTreeSet<Permission>,
}

/// Why it gets no token.
#[derive(Debug, thiserror::Error)]
pub enum IssueClientTokenError {
    /// There is no such client, or that is not its secret, or it was disabled.
    #[error("the client is not known")]
    InvalidClient,
    /// Too many secrets were wrong.
    #[error("too many wrong secrets")]
    Throttled(#[source] Throttled),
    /// No token.
    #[error("no token could be issued")]
    Token(#[from] IssueTokenError),
    /// The database.
    #[error("the database refused")]
    Store(#[from] DbErr),
}

/// A token for a program, with what it may do and no refresh token: it can ask again.
///
/// # Errors
/// See [`IssueClientTokenError`].
pub async fn issue_client_token(
    db: &Db,
    terms: &TokenTerms,
    limits: Limits,
    built_in_secret: Option<&SecretString>,
    input: &IssueClientToken,
) -> Result<ClientToken, IssueClientTokenError> {
    let (counted, client) = (Counted::ClientSecret, &input.client);
    if let Some(throttled) = throttle::check(db.reader(), counted, client, limits, db.now()).await? {
        return Err(IssueClientTokenError::Throttled(throttled));
    }
    let known = if input.client_id == BUILT_IN.name {
        let hash = built_in_secret.map(kept);
        hash.map(|hash| (BUILT_IN.id, BUILT_IN.permissions.iter().copied().collect(), hash))
    } else {
        find(db, &input.client_id).await?
    };
    // Hashes are compared: how long that takes says nothing about the secret.
    let known = known.filter(|(_, _, hash)| *hash == kept(&input.client_secret));
    if let Some((id, permissions, _)) = &known {
        match db
            .write(|tx| async move { issue(&tx, *id, permissions, terms).await })
            .await
        {
            Err(IssueClientTokenError::InvalidClient) => {}
            issued => return issued,
        }
    }
    let throttled = db
        .write::<_, DbErr, _>(|tx| async move { throttle::count(&tx, counted, client, limits).await })
        .await?;
    Err(throttled.map_or(
        IssueClientTokenError::InvalidClient,
        IssueClientTokenError::Throttled,
    ))
}

async fn find(db: &Db, client_id: &str) -> Result<Option<(UserId, BTreeSet<Permission>, String)>, DbErr> {
    let Ok(id) = client_id.parse::<UserId>() else {
        return Ok(None);
    };
    let found = store::client::find(db.reader(), id).await?;
    Ok(found
        .filter(|(client, _)| client.disabled_at.is_none())
        .map(|(client, hash)| (client.id, client.permissions, hash)))
}

/// A token, unless the program was disabled meanwhile: from here on it can't be.
async fn issue(
    tx: &Tx,
    id: UserId,
    permissions: &BTreeSet<Permission>,
    terms: &TokenTerms,
) -> Result<ClientToken, IssueClientTokenError> {
    if id != BUILT_IN.id {
        let client = store::client::lock(tx.conn(), id).await?;
        client
            .filter(|client| client.disabled_at.is_none())
            .ok_or(IssueClientTokenError::InvalidClient)?;
    }
    let token = issue_token(tx, Owner::Program(id), permissions.clone(), terms).await?;
    Ok(ClientToken {
        token,
        permissions: permissions.clone(),
    })
}
