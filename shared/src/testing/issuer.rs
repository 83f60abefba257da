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

const KEY_ID: &str = "test";

/// An issuer of tokens with a key of its own.
pub struct Issuer {
    pkcs8: Vec<u8>,
    address: std::net::SocketAddr,
}

impl Issuer {
    /// Makes a key and serves its public half.
    pub async fn start() -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
            .expect("a key")
            .as_ref()
            .to_vec();
        let public = Ed25519KeyPair::from_pkcs8(&pkcs8).expect("a key");
        let jwks = Jwks {
            keys: vec![Jwk {
                kty: "OKP".to_owned(),
                crv: "Ed25519".to_owned(),
                alg: "EdDSA".to_owned(),
                usage: "sig".to_owned(),
                kid: KEY_ID.to_owned(),
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
        Self { pkcs8, address }
    }

    /// Where the key is published.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A token that is good for a quarter of an hour from `now`.
    #[must_use]
    pub fn token(&self, user: UserId, permissions: &[Permission], now: Instant) -> String {
        let claims = Claims {
            iss: "kopeck".to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: user,
            sid: SessionId::new(now),
            iat: now.timestamp(),
            nbf: now.timestamp(),
            exp: (now + Duration::minutes(15)).timestamp(),
            jti: new_uuid(now),
            roles: Vec::new(),
            permissions: permissions.to_vec(),
        };
        self.sign(&claims)
    }

    /// A token that says exactly this.
    #[must_use]
    pub fn sign(&self, claims: &Claims) -> String {
        sign(claims, KEY_ID, &self.pkcs8).expect("a token")
    }
}
