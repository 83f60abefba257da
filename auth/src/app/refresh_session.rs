//! Lets a session go on.

use sea_orm::DbErr;
use secrecy::{ExposeSecret as _, SecretString};
use shared::{contracts::UserStatus, db::Tx, sessions::EndedSessions};

use super::{
    Client, IssueTokenError, IssuedTokens, TokenTerms,
    end_sessions::{Which, end_of_locked},
    issue_token::{allowed, issue_tokens, kept},
};
use crate::{
    domain::{Again, User, Verdict, judge},
    store::{
        self,
        refresh_token::{self, RefreshToken},
        session::{self, Session},
    },
};

/// No refresh token of ours is longer.
const LONGEST: usize = 128;

/// Who wants to go on.
#[derive(Clone, Debug)]
pub struct RefreshSession {
    /// What they got last.
    pub refresh_token: SecretString,
    /// With what, from where.
    pub client: Client,
}

/// What comes of it. A refusal is no error: what it ends is to be committed.
pub enum Refreshed {
    /// The session goes on.
    Tokens(Box<IssuedTokens>),
    /// The token is none, or good no more.
    Invalid,
    /// The same client has just asked with the same token; that is being answered.
    InFlight,
    /// The account is blocked.
    Blocked,
}

/// Why it is not known what comes of it.
#[derive(Debug, thiserror::Error)]
pub enum RefreshSessionError {
    /// No token.
    #[error("no token could be issued")]
    Token(#[from] IssueTokenError),
    /// The database.
    #[error("the database refused")]
    Store(#[from] DbErr),
}

/// Replaces a refresh token, which is good once, and issues an access token with the roles that
/// the user has now. One that comes a second time ends its session: somebody has stolen it. But a
/// client that only repeats itself loses nothing (see [`judge`]).
///
/// # Errors
/// See [`RefreshSessionError`].
pub async fn refresh_session(
    tx: &Tx,
    ended: &EndedSessions,
    terms: &TokenTerms,
    input: &RefreshSession,
) -> Result<Refreshed, RefreshSessionError> {
    if input.refresh_token.expose_secret().len() > LONGEST {
        return Ok(Refreshed::Invalid);
    }
    let hash = kept(&input.refresh_token);
    let Some(session) = session_of(tx, &hash).await? else {
        return Ok(Refreshed::Invalid);
    };
    // Whatever ends a session has its user locked: what is read from here on stays so.
    let mut accounts = store::user::lock(tx.conn(), &[session.user_id]).await?;
    let Some(user) = accounts.remove(&session.user_id).map(|account| account.user) else {
        return Ok(Refreshed::Invalid);
    };
    match user.status {
        UserStatus::Active => {}
        UserStatus::Blocked => return Ok(Refreshed::Blocked),
        UserStatus::Deleted => return Ok(Refreshed::Invalid),
    }
    let Some(session) = session_of(tx, &hash)
        .await?
        .filter(|session| session.ended_at.is_none())
    else {
        return Ok(Refreshed::Invalid);
    };
    if refresh_token::consume(tx.conn(), &hash, tx.now()).await? {
        return go_on(tx, &user, session, terms, &input.client).await;
    }
    let Some(again) = look_again(tx, &hash, &session, &input.client).await? else {
        return Ok(Refreshed::Invalid);
    };
    match again.verdict {
        Verdict::Stale => Ok(Refreshed::Invalid),
        Verdict::InFlight => Ok(Refreshed::InFlight),
        Verdict::LostAnswer => {
            let (token, now) = (&again.token, tx.now());
            if let Some(successor) = &again.successor
                && refresh_token::supersede(tx.conn(), token, successor, now).await?
            {
                return go_on(tx, &user, session, terms, &input.client).await;
            }
            Ok(Refreshed::Invalid)
        }
        Verdict::Stolen => {
            tracing::warn!(session = %session.id, "a refresh token came twice; its session is ended");
            end_of_locked(tx, ended, user.id, Which::One(session.id)).await?;
            Ok(Refreshed::Invalid)
        }
    }
}

async fn session_of(tx: &Tx, hash: &str) -> Result<Option<Session>, DbErr> {
    match refresh_token::find(tx.conn(), hash).await? {
        Some(token) => session::find(tx.conn(), token.session_id).await,
        None => Ok(None),
    }
}

/// A token that comes again.
struct CameAgain {
    token: RefreshToken,
    /// What it was replaced by when it was used, unless that is forgotten.
    successor: Option<RefreshToken>,
    verdict: Verdict,
}

/// What to think of a token that could not be used; nothing of one that has expired.
async fn look_again(
    tx: &Tx,
    hash: &str,
    session: &Session,
    client: &Client,
) -> Result<Option<CameAgain>, DbErr> {
    let Some(token) = refresh_token::find(tx.conn(), hash).await? else {
        return Ok(None);
    };
    let Some(used_at) = token.used_at.filter(|_| token.expires_at > tx.now()) else {
        return Ok(None);
    };
    let successor = refresh_token::find_successor(tx.conn(), &token).await?;
    let (mut answered_at, mut last) = (used_at, successor.clone());
    if let Some(replaced) = last.take_if(|successor| successor.superseded) {
        // Its client was answered a second time, with what this was replaced by in its turn.
        answered_at = replaced.used_at.unwrap_or(used_at);
        last = refresh_token::find_successor(tx.conn(), &replaced).await?;
    }
    let again = Again {
        used_at,
        superseded: token.superseded,
        retried: token.retried,
        answered_at,
        went_on: last.is_none_or(|last| last.used_at.is_some()),
        same_client: session.user_agent == client.user_agent() && session.address == client.address(),
    };
    let verdict = judge(again, tx.now());
    Ok(Some(CameAgain {
        token,
        successor,
        verdict,
    }))
}

async fn go_on(
    tx: &Tx,
    user: &User,
    session: Session,
    terms: &TokenTerms,
    client: &Client,
) -> Result<Refreshed, RefreshSessionError> {
    let id = session.id;
    let allowed = allowed(tx, user).await?;
    let touched = Session {
        last_used_at: tx.now(),
        expires_at: Some(terms.refreshed_until(tx.now())),
        user_agent: client.user_agent(),
        address: client.address(),
        ..session
    };
    session::touch(tx.conn(), touched).await?;
    let tokens = issue_tokens(tx, user, allowed, id, terms).await?;
    Ok(Refreshed::Tokens(Box::new(tokens)))
}
