//! Issues the tokens of a login.

use std::collections::BTreeSet;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::Duration;
use ring::rand::{SecureRandom as _, SystemRandom};
use sea_orm::DbErr;
use secrecy::{ExposeSecret as _, SecretString};
use shared::{
    clock::Instant,
    contracts::Permission,
    db::Tx,
    ids::{SessionId, UserId, new_uuid},
    token::{AUDIENCE, Claims, sign},
};

use super::throttle::hash_of;
use crate::{
    domain::User,
    store::{refresh_token, role, signing_key},
};

/// How tokens are issued.
#[derive(Clone, Debug)]
pub struct TokenTerms {
    /// Their `iss`.
    pub issuer: String,
    /// For how long an access token is good, in seconds.
    pub seconds: u32,
    /// For how long a refresh token is good, in seconds.
    pub refresh_seconds: u32,
}

impl TokenTerms {
    /// Until when a refresh token is good that is given out now.
    pub(super) fn refreshed_until(&self, now: Instant) -> Instant {
        now + Duration::seconds(i64::from(self.refresh_seconds))
    }
}

/// An access token, as OAuth 2 hands it out.
#[derive(Clone)]
pub struct IssuedToken {
    /// The token.
    pub access_token: String,
    /// For how long it is good, in seconds.
    pub expires_in: u32,
}

/// An access token, and what to get the next one with.
#[derive(Clone)]
pub struct IssuedTokens {
    /// The access token.
    pub access: IssuedToken,
    /// Good once.
    pub refresh_token: SecretString,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum IssueTokenError {
    /// There is no key to sign with.
    #[error("there is no key to sign tokens with")]
    NoKey,
    /// The key is none.
    #[error("the token can't be signed")]
    Sign(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No random numbers.
    #[error("there are no random numbers")]
    NoRandom,
    /// The database.
    #[error("the database refused")]
    Store(#[from] DbErr),
}

/// 256 bits that nobody can guess, base64url.
pub(super) fn random_secret() -> Result<SecretString, IssueTokenError> {
    let mut bytes = [0_u8; 32];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| IssueTokenError::NoRandom)?;
    Ok(SecretString::from(BASE64_URL_SAFE_NO_PAD.encode(bytes)))
}

/// What is kept of such a secret. It has nothing that could be guessed, so that a fast hash will do.
pub(super) fn kept(secret: &SecretString) -> String {
    hash_of(&[secret.expose_secret()])
}

/// What a locked user may do, which stays so until their token is issued.
pub(super) struct Allowed(BTreeSet<Permission>);

/// What the token of this user may allow. To be read before the transaction writes any session: a change of
/// a role waits for the transactions that issue tokens, and then ends sessions.
pub(super) async fn allowed(tx: &Tx, user: &User) -> Result<Allowed, DbErr> {
    role::share_permissions(tx.conn()).await?;
    // Read each time: what a role allows may have changed since the last token.
    let permissions = role::permissions_of(tx.conn(), &user.roles).await?;
    Ok(Allowed(permissions))
}

/// The tokens of this user's session, good from now on.
///
/// # Errors
/// See [`IssueTokenError`].
pub(super) async fn issue_tokens(
    tx: &Tx,
    user: &User,
    allowed: Allowed,
    session: SessionId,
    terms: &TokenTerms,
) -> Result<IssuedTokens, IssueTokenError> {
    let refresh_token = random_secret()?;
    let until = terms.refreshed_until(tx.now());
    refresh_token::insert(tx.conn(), &kept(&refresh_token), session, tx.now(), until).await?;
    let owner = Owner::User { user, session };
    let access = issue_token(tx, owner, allowed.0, terms).await?;
    Ok(IssuedTokens {
        access,
        refresh_token,
    })
}

/// Whose token it is.
pub(super) enum Owner<'a> {
    /// A person's, in this session.
    User { user: &'a User, session: SessionId },
    /// A program's, which has no session.
    Program(UserId),
}

/// An access token, good from now on. The key is read every time, so that a new one
/// is used by every replica at once.
///
/// # Errors
/// See [`IssueTokenError`].
pub(super) async fn issue_token(
    tx: &Tx,
    owner: Owner<'_>,
    permissions: BTreeSet<Permission>,
    terms: &TokenTerms,
) -> Result<IssuedToken, IssueTokenError> {
    let key = signing_key::find_signing(tx.conn(), tx.now())
        .await?
        .ok_or(IssueTokenError::NoKey)?;
    let now = tx.now();
    let (sub, sid, client_id, roles) = match owner {
        Owner::User { user, session } => (user.id, session, None, user.roles.iter().cloned().collect()),
        Owner::Program(id) => (id, SessionId::of_program(id), Some(id), Vec::new()),
    };
    let claims = Claims {
        iss: terms.issuer.clone(),
        aud: AUDIENCE.to_owned(),
        sub,
        sid,
        client_id,
        iat: now.timestamp(),
        nbf: now.timestamp(),
        exp: now.timestamp() + i64::from(terms.seconds),
        jti: new_uuid(now),
        roles,
        permissions: permissions.into_iter().collect(),
    };
    let access_token =
        sign(&claims, &key.kid, &key.pkcs8).map_err(|error| IssueTokenError::Sign(error.into()))?;
    Ok(IssuedToken {
        access_token,
        expires_in: terms.seconds,
    })
}
