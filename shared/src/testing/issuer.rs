//! Issues tokens in the place of auth, and publishes the key.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::Duration;
use ring::{
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair as _},
};

use crate::{
    clock::Instant,
    contracts::Permission,
    ids::{SessionId, UserId, new_uuid},
    token::{AUDIENCE, Claims, Jwk, Jwks, sign},
};

/// An issuer of tokens with a key of its own.
pub struct Issuer {
    key_id: String,
    pkcs8: Vec<u8>,
    url: String,
}

fn new_key() -> Vec<u8> {
    let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
    key.as_ref().to_vec()
}

impl Issuer {
    /// Makes a key and serves its public half.
    pub async fn start() -> Self {
        let (key_id, pkcs8) = ("test".to_owned(), new_key());
        let public = Ed25519KeyPair::from_pkcs8(&pkcs8).expect("a key");
        let jwks = Jwks {
            keys: vec![Jwk {
                kty: "OKP".to_owned(),
                crv: "Ed25519".to_owned(),
                alg: "EdDSA".to_owned(),
                usage: "sig".to_owned(),
                kid: key_id.clone(),
                x: BASE64_URL_SAFE_NO_PAD.encode(public.public_key().as_ref()),
            }],
        };
        let router = axum::Router::new().route(
            "/auth/v1/jwks.json",
            axum::routing::get(move || std::future::ready(axum::Json(jwks.clone()))),
        );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, router).await });
        let url = format!("http://{address}");
        Self { key_id, pkcs8, url }
    }

    /// One that has the key of another, which is published there.
    #[must_use]
    pub fn with_key_of(url: String, key_id: String, pkcs8: Vec<u8>) -> Self {
        Self { key_id, pkcs8, url }
    }

    /// Where the key is published.
    #[must_use]
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// A token that is good for a quarter of an hour from `now`.
    #[must_use]
    pub fn token(&self, user: UserId, permissions: &[Permission], now: Instant) -> String {
        self.sign(&self.claims(user, permissions, now))
    }

    /// What that token says.
    #[must_use]
    pub fn claims(&self, user: UserId, permissions: &[Permission], now: Instant) -> Claims {
        Claims {
            iss: "kopeck".to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: user,
            sid: SessionId::new(now),
            client_id: None,
            iat: now.timestamp(),
            nbf: now.timestamp(),
            exp: (now + Duration::minutes(15)).timestamp(),
            jti: new_uuid(now),
            roles: Vec::new(),
            permissions: permissions.to_vec(),
        }
    }

    /// A token of a program, as auth would issue it.
    #[must_use]
    pub fn token_of_program(&self, program: UserId, permissions: &[Permission], now: Instant) -> String {
        self.sign(&Claims {
            sid: SessionId::of_program(program),
            client_id: Some(program),
            ..self.claims(program, permissions, now)
        })
    }

    /// A token that says exactly this.
    #[must_use]
    pub fn sign(&self, claims: &Claims) -> String {
        sign(claims, &self.key_id, &self.pkcs8).expect("a token")
    }

    /// The same, but signed with another key under this one's name.
    #[must_use]
    pub fn forge(&self, claims: &Claims) -> String {
        sign(claims, &self.key_id, &new_key()).expect("a token")
    }
}
