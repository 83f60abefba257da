//! Tokens that were found good once are checked again all the same.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{Json, Router, http::StatusCode, routing::get};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::Duration;
use ring::{
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair as _},
};
use shared::{
    clock::{Clock as _, ManualClock, SystemClock},
    host::install_crypto,
    ids::{SessionId, UserId, new_uuid},
    testing::eventually,
    token::{AUDIENCE, Claims, Jwk, Jwks, TokenError, TokenVerifier, sign},
};

const ISSUER: &str = "kopeck";

/// A key of auth.
struct Key {
    kid: &'static str,
    pkcs8: Vec<u8>,
}

impl Key {
    fn new(kid: &'static str) -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self {
            kid,
            pkcs8: pkcs8.as_ref().to_vec(),
        }
    }

    fn public(&self) -> Jwk {
        let pair = Ed25519KeyPair::from_pkcs8(&self.pkcs8).unwrap();
        Jwk {
            kty: "OKP".to_owned(),
            crv: "Ed25519".to_owned(),
            alg: "EdDSA".to_owned(),
            usage: "sig".to_owned(),
            kid: self.kid.to_owned(),
            x: BASE64_URL_SAFE_NO_PAD.encode(pair.public_key().as_ref()),
        }
    }
}

/// Auth, as far as those see it who check its tokens.
struct Auth {
    address: SocketAddr,
    /// None while it is down.
    published: Arc<Mutex<Option<Jwks>>>,
    clock: ManualClock,
}

impl Auth {
    async fn with(keys: &[&Key]) -> Self {
        let published = Arc::new(Mutex::new(None));
        let shown = Arc::clone(&published);
        let jwks = move || {
            let shown = shown.lock().unwrap().clone();
            std::future::ready(shown.map(Json).ok_or(StatusCode::SERVICE_UNAVAILABLE))
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/jwks.json", get(jwks));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let auth = Self {
            address,
            published,
            clock: ManualClock::at(SystemClock.now()),
        };
        auth.publishes(keys);
        auth
    }

    fn publishes(&self, keys: &[&Key]) {
        let keys = keys.iter().map(|key| key.public()).collect();
        *self.published.lock().unwrap() = Some(Jwks { keys });
    }

    fn goes_down(&self) {
        *self.published.lock().unwrap() = None;
    }

    fn verifier(&self) -> TokenVerifier {
        install_crypto();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("http://{}/jwks.json", self.address);
        TokenVerifier::new(url, ISSUER.to_owned(), http, Arc::new(self.clock.clone()))
    }

    /// A token that is good from `after` on, for a minute.
    fn token(&self, key: &Key, after: Duration) -> String {
        let now = self.clock.now();
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: UserId::new(now),
            sid: SessionId::new(now),
            client_id: None,
            iat: now.timestamp(),
            nbf: (now + after).timestamp(),
            exp: (now + after).timestamp() + 60,
            jti: new_uuid(now),
            roles: Vec::new(),
            permissions: Vec::new(),
        };
        sign(&claims, key.kid, &key.pkcs8).unwrap()
    }
}

#[tokio::test]
async fn a_token_that_was_good_a_moment_ago_expires() {
    let key = Key::new("one");
    let auth = Auth::with(&[&key]).await;
    let verifier = auth.verifier();
    let token = auth.token(&key, Duration::zero());
    for _ in 0..2 {
        verifier.verify(&token).await.unwrap();
    }
    auth.clock.advance(Duration::seconds(58));
    verifier.verify(&token).await.unwrap();
    auth.clock.advance(Duration::seconds(2));
    for _ in 0..2 {
        let outcome = verifier.verify(&token).await;
        assert!(matches!(outcome, Err(TokenError::Expired)), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_token_that_came_early_is_good_in_its_time_and_not_before() {
    let key = Key::new("one");
    let auth = Auth::with(&[&key]).await;
    let verifier = auth.verifier();
    let token = auth.token(&key, Duration::seconds(30));
    for _ in 0..2 {
        let outcome = verifier.verify(&token).await;
        assert!(matches!(outcome, Err(TokenError::Invalid)), "{outcome:?}");
    }
    auth.clock.advance(Duration::seconds(30));
    verifier.verify(&token).await.unwrap();
    // Somebody has set the machine's clock right.
    auth.clock.advance(Duration::seconds(-30));
    let outcome = verifier.verify(&token).await;
    assert!(matches!(outcome, Err(TokenError::Invalid)), "{outcome:?}");
}

#[tokio::test]
async fn a_token_that_was_good_ends_with_its_key() {
    let (old, new) = (Key::new("old"), Key::new("new"));
    let auth = Auth::with(&[&old]).await;
    let verifier = auth.verifier();
    let token = auth.token(&old, Duration::zero());
    verifier.verify(&token).await.unwrap();
    auth.publishes(&[&new]);
    verifier
        .verify(&token)
        .await
        .expect("nobody had reason to look for other keys");
    // A token of the new key is one.
    let newer = auth.token(&new, Duration::zero());
    eventually("the new key is known", || async {
        verifier.verify(&newer).await.ok()
    })
    .await;
    let outcome = verifier.verify(&token).await;
    assert!(matches!(outcome, Err(TokenError::Invalid)), "{outcome:?}");
}

#[tokio::test]
async fn who_shows_a_token_that_was_good_makes_us_look_for_its_key_again() {
    let (old, new) = (Key::new("old"), Key::new("new"));
    let auth = Auth::with(&[&old]).await;
    let verifier = auth.verifier();
    let token = auth.token(&old, Duration::zero());
    verifier.verify(&token).await.unwrap();
    // As old as the keys may become, or sooner if the last look was in vain.
    auth.goes_down();
    let stranger = auth.token(&new, Duration::zero());
    eventually("somebody has looked in vain", || async {
        let outcome = verifier.verify(&stranger).await;
        matches!(outcome, Err(TokenError::KeysUnavailable(_))).then_some(())
    })
    .await;
    verifier
        .verify(&token)
        .await
        .expect("what is known does while auth is down");
    auth.publishes(&[&new]);
    eventually("the key is missed", || async {
        let outcome = verifier.verify(&token).await;
        matches!(outcome, Err(TokenError::Invalid)).then_some(())
    })
    .await;
}
