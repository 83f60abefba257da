//! The keys that tokens are checked with.

use sea_orm::DbErr;
use shared::{
    db::Db,
    token::{Jwk, Jwks},
};

use crate::store::signing_key;

/// The public halves of all keys whose tokens are accepted.
///
/// # Errors
/// When the database refuses.
pub async fn read_keys(db: &Db) -> Result<Jwks, DbErr> {
    let keys = signing_key::list_published(db.reader(), db.now()).await?;
    let jwk = |key: signing_key::SigningKey| Jwk {
        kty: "OKP".to_owned(),
        crv: "Ed25519".to_owned(),
        alg: "EdDSA".to_owned(),
        usage: "sig".to_owned(),
        kid: key.kid,
        x: key.public_x,
    };
    Ok(Jwks {
        keys: keys.into_iter().map(jwk).collect(),
    })
}
