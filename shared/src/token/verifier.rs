//! Checks access tokens with the keys that auth publishes.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use moka::sync::Cache;
use tokio::{sync::Mutex, time::Instant};

use super::{AUDIENCE, Claims, Jwks, TOKEN_TYPE};
use crate::clock::Clock;

/// Names a key.
pub type KeyId = String;

/// How far the clocks of two machines may differ, in seconds.
const SKEW: i64 = 5;
/// An unknown key makes us look for new ones, but forged tokens must not make us ask all the time.
const BETWEEN_FETCHES: Duration = Duration::from_secs(2);
/// A key that auth has withdrawn is forgotten after this.
const FRESH: Duration = Duration::from_secs(300);
const FETCH_TIMEOUT: Duration = Duration::from_secs(3);
const LONGEST_TOKEN: usize = 8_192;
/// Tokens that are remembered, at most some ten megabytes of them.
const REMEMBERED: u64 = 10_000;

/// Why a token is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It is not a token of ours: malformed, forged, of another kind, for others, or not good yet.
    #[error("the access token is not valid")]
    Invalid,
    /// It was good once.
    #[error("the access token has expired")]
    Expired,
    /// The keys to check it with can't be had at the moment.
    #[error("the keys to check access tokens with are not available")]
    KeysUnavailable(#[source] Option<Arc<reqwest::Error>>),
}

/// What a token says whose signature is good.
#[derive(Clone)]
struct Good {
    kid: KeyId,
    claims: Claims,
}

/// Checks access tokens.
pub struct TokenVerifier {
    jwks_url: String,
    issuer: String,
    http: reqwest::Client,
    clock: Arc<dyn Clock>,
    keys: RwLock<HashMap<KeyId, DecodingKey>>,
    /// Tokens whose signature was found good, and by which key: checking one costs as much as all
    /// else that a request does in this process before it reaches the database.
    good: Cache<String, Good>,
    /// When the keys were fetched last, and whether it worked; also makes fetches single.
    fetched: Mutex<Option<(Instant, bool)>>,
}

impl TokenVerifier {
    /// A verifier for tokens of `issuer`, with the keys published at `jwks_url`.
    #[must_use]
    pub fn new(jwks_url: String, issuer: String, http: reqwest::Client, clock: Arc<dyn Clock>) -> Self {
        super::install_crypto();
        Self {
            jwks_url,
            issuer,
            http,
            clock,
            keys: RwLock::default(),
            good: Cache::builder()
                .max_capacity(REMEMBERED)
                .time_to_live(FRESH)
                .build(),
            fetched: Mutex::new(None),
        }
    }

    /// What `token` says, if it is good at this moment: signed by a key that auth publishes still,
    /// and neither early nor late. `jku`, `jwk` and `x5u` in its header are ignored.
    ///
    /// # Errors
    /// When it is not, or when that can't be found out.
    pub async fn verify(&self, token: &str) -> Result<Claims, TokenError> {
        if token.len() > LONGEST_TOKEN {
            return Err(TokenError::Invalid);
        }
        let good = match self.good.get(token) {
            Some(good) => {
                self.key(&good.kid).await?;
                good
            }
            None => self.check_signature(token).await?,
        };
        let now = self.clock.now().timestamp();
        if good.claims.nbf > now + SKEW {
            return Err(TokenError::Invalid);
        }
        if good.claims.exp <= now {
            return Err(TokenError::Expired);
        }
        Ok(good.claims)
    }

    /// Everything about `token` but its time.
    async fn check_signature(&self, token: &str) -> Result<Good, TokenError> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Invalid)?;
        if header.alg != Algorithm::EdDSA || header.typ.as_deref() != Some(TOKEN_TYPE) {
            return Err(TokenError::Invalid);
        }
        let kid = header.kid.ok_or(TokenError::Invalid)?;
        let key = self.key(&kid).await?;

        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_required_spec_claims(&["exp", "nbf", "aud", "iss", "sub"]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_issuer(&[&self.issuer]);
        // The library asks the machine's clock; below it is ours.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        let claims = jsonwebtoken::decode::<Claims>(token, &key, &validation)
            .map_err(|_| TokenError::Invalid)?
            .claims;
        let good = Good { kid, claims };
        self.good.insert(token.to_owned(), good.clone());
        Ok(good)
    }

    async fn key(&self, kid: &str) -> Result<DecodingKey, TokenError> {
        let known = self.known(kid);
        let mut fetched = match (&known, self.fetched.try_lock()) {
            // Somebody fetches already; what is known will do meanwhile.
            (Some(key), Err(_)) => return Ok(key.clone()),
            (_, Ok(fetched)) => fetched,
            (None, Err(_)) => self.fetched.lock().await,
        };
        let due = match (&known, *fetched) {
            (_, None) => true,
            (Some(_), Some((at, worked))) => at.elapsed() > if worked { FRESH } else { BETWEEN_FETCHES },
            (None, Some((at, _))) => at.elapsed() > BETWEEN_FETCHES,
        };
        // While this waited for the lock, the key may have come.
        if let (false, Some(key)) = (due, self.known(kid)) {
            return Ok(key);
        }
        if due {
            let outcome = self.fetch().await;
            *fetched = Some((Instant::now(), outcome.is_ok()));
            if let Err(error) = outcome {
                tracing::warn!(url = self.jwks_url, %error, "the keys of access tokens can't be fetched");
                return known.ok_or_else(|| TokenError::KeysUnavailable(Some(Arc::new(error))));
            }
        }
        match (self.known(kid), *fetched) {
            (Some(key), _) => Ok(key),
            (None, Some((_, false)) | None) => Err(TokenError::KeysUnavailable(None)),
            (None, Some((_, true))) => Err(TokenError::Invalid),
        }
    }

    fn known(&self, kid: &str) -> Option<DecodingKey> {
        self.keys
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(kid)
            .cloned()
    }

    async fn fetch(&self) -> Result<(), reqwest::Error> {
        let jwks: Jwks = self
            .http
            .get(&self.jwks_url)
            .timeout(FETCH_TIMEOUT)
            .send()
            .await?
            .error_for_status()?
            .json()
            .await?;
        let keys = jwks
            .keys
            .into_iter()
            .filter(|key| key.kty == "OKP" && key.crv == "Ed25519")
            .filter_map(|key| Some((key.kid, DecodingKey::from_ed_components(&key.x).ok()?)))
            .collect();
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(())
    }
}
