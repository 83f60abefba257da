//! Issues the access token of a login.

use sea_orm::DbErr;
use shared::{
    db::Tx,
    ids::{SessionId, new_uuid},
    token::{AUDIENCE, Claims, sign},
};

use crate::{
    domain::{User, permissions_of},
    store::signing_key,
};

/// How tokens are issued.
#[derive(Clone, Debug)]
pub struct TokenTerms {
    /// Their `iss`.
    pub issuer: String,
    /// For how long one is good, in seconds.
    pub seconds: u32,
}

/// A token, as OAuth 2 hands it out.
#[derive(Clone)]
pub struct IssuedToken {
    /// The token.
    pub access_token: String,
    /// For how long it is good, in seconds.
    pub expires_in: u32,
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
    /// The database.
    #[error("the database refused")]
    Store(#[from] DbErr),
}

/// A token for `user` in this session, good from now on. The key is read every time, so that a
/// new one is used by every replica at once.
///
/// # Errors
/// See [`IssueTokenError`].
pub(super) async fn issue_token(
    tx: &Tx,
    user: &User,
    session: SessionId,
    terms: &TokenTerms,
) -> Result<IssuedToken, IssueTokenError> {
    let key = signing_key::find_signing(tx.conn())
        .await?
        .ok_or(IssueTokenError::NoKey)?;
    let now = tx.now();
    let claims = Claims {
        iss: terms.issuer.clone(),
        aud: AUDIENCE.to_owned(),
        sub: user.id,
        sid: session,
        iat: now.timestamp(),
        nbf: now.timestamp(),
        exp: now.timestamp() + i64::from(terms.seconds),
        jti: new_uuid(now),
        roles: user.roles.iter().map(|role| role.as_str().to_owned()).collect(),
        permissions: permissions_of(&user.roles),
    };
    let access_token =
        sign(&claims, &key.kid, &key.pkcs8).map_err(|error| IssueTokenError::Sign(error.into()))?;
    Ok(IssuedToken {
        access_token,
        expires_in: terms.seconds,
    })
}
