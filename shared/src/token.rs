//! Access tokens: what they say, how they are signed and checked.
//!
//! JWT (RFC 9068), EdDSA (RFC 8037). The keys are published as JWKS, so services share no secret.

mod ring_provider;
mod service;
mod verifier;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{
        IntoDeserializer as _,
        value::{Error as ValueError, StrDeserializer},
    },
};

pub use ring_provider::install as install_crypto;
pub use service::{ServiceTokenError, ServiceTokens};
pub use verifier::{KeyId, TokenError, TokenVerifier};

use crate::{
    contracts::Permission,
    ids::{SessionId, UserId},
};

/// The `aud` of every token of the platform.
pub const AUDIENCE: &str = "kopeck";
/// The `typ` of an access token (RFC 9068), so that no other JWT passes for one.
pub const TOKEN_TYPE: &str = "at+jwt";

/// What an access token says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Claims {
    /// The platform that issued it.
    pub iss: String,
    /// For whom it is: [`AUDIENCE`].
    pub aud: String,
    /// Whose it is.
    pub sub: UserId,
    /// The login that it belongs to; of a program [`SessionId::of_program`].
    pub sid: SessionId,
    /// The program whose it is (RFC 9068, 2.2); absent in the token of a person. Tokens of programs that
    /// an older version has issued lack it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<UserId>,
    /// Issued at, in seconds since 1970.
    pub iat: i64,
    /// Not before, in seconds since 1970.
    pub nbf: i64,
    /// Good until, in seconds since 1970.
    pub exp: i64,
    /// Unique a token.
    pub jti: uuid::Uuid,
    /// The roles its owner had when it was issued; for people, not for decisions.
    pub roles: Vec<String>,
    /// What it allows. What this program does not know yet allows nothing here.
    #[serde(deserialize_with = "known_permissions")]
    pub permissions: Vec<Permission>,
}

impl Claims {
    /// Everything whose end ends the token: its login, or its program. Compared with `sub` too, since an
    /// older version gave each token of a program a login of its own.
    #[must_use]
    pub fn ends_with(&self) -> [SessionId; 2] {
        [self.sid, SessionId::of_program(self.sub)]
    }
}

/// Without those that a newer program has added: its tokens are to be good for all else here, too, while
/// both are at work.
fn known_permissions<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Permission>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    let known = |name: &String| {
        let name: StrDeserializer<'_, ValueError> = name.as_str().into_deserializer();
        Permission::deserialize(name).ok()
    };
    Ok(names.iter().filter_map(known).collect())
}

/// One public key of the set that auth publishes (RFC 7517).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jwk {
    /// Always `OKP`.
    pub kty: String,
    /// Always `Ed25519`.
    pub crv: String,
    /// Always `EdDSA`.
    pub alg: String,
    /// Always `sig`.
    #[serde(rename = "use")]
    pub usage: String,
    /// Names the key in the header of a token.
    pub kid: String,
    /// The public key, base64url.
    pub x: String,
}

/// The set of keys that auth publishes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jwks {
    /// The keys.
    pub keys: Vec<Jwk>,
}

/// Signs `claims` with the Ed25519 key `kid`, given as PKCS#8.
///
/// # Errors
/// When the key is not one.
pub fn sign(claims: &Claims, kid: &str, pkcs8: &[u8]) -> Result<String, jsonwebtoken::errors::Error> {
    install_crypto();
    let mut header = Header::new(Algorithm::EdDSA);
    header.typ = Some(TOKEN_TYPE.to_owned());
    header.kid = Some(kid.to_owned());
    jsonwebtoken::encode(&header, claims, &EncodingKey::from_ed_der(pkcs8))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_permission_that_is_not_known_yet_allows_nothing_and_spoils_nothing() {
        let id = "01920000-0000-7000-8000-000000000000";
        let claims = |permissions: serde_json::Value| {
            let claims = json!({
                "iss": "kopeck", "aud": AUDIENCE, "sub": id, "sid": id, "iat": 0, "nbf": 0, "exp": 1,
                "jti": id, "roles": [], "permissions": permissions,
            });
            serde_json::from_value::<Claims>(claims).map(|claims| claims.permissions)
        };
        let known = Permission::ALL[0];
        let read = claims(json!([known, "what.comes.later"])).unwrap();
        assert_eq!(read, [known]);
        for wrong in [json!(null), json!("a"), json!([1])] {
            assert!(claims(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
