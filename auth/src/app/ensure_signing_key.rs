//! Sees to it that there is a key to sign tokens with.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::{
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair as _},
};
use sea_orm::DbErr;
use shared::{db::Tx, ids::new_uuid};

use crate::store::signing_key::{self, SigningKey};

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum EnsureSigningKeyError {
    /// None could be made.
    #[error("a signing key can't be made: {0}")]
    Key(&'static str),
    /// The database.
    #[error("the database refused")]
    Store(#[from] DbErr),
}

/// Makes the key that tokens are signed with, if there is none; returns its id. Replicas that
/// start at once agree on one: the first that commits wins, the others drop theirs.
///
/// # Errors
/// See [`EnsureSigningKeyError`].
pub async fn ensure_signing_key(tx: &Tx) -> Result<String, EnsureSigningKeyError> {
    if let Some(key) = signing_key::find_signing(tx.conn(), tx.now()).await? {
        return Ok(key.kid);
    }
    signing_key::insert_first(tx.conn(), new_key(tx)?, tx.now()).await?;
    let key = signing_key::find_signing(tx.conn(), tx.now()).await?;
    key.map(|key| key.kid)
        .ok_or(EnsureSigningKeyError::Key("it was not kept"))
}

/// A key that nobody has yet.
pub(super) fn new_key(tx: &Tx) -> Result<SigningKey, EnsureSigningKeyError> {
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
        .map_err(|_| EnsureSigningKeyError::Key("no random numbers"))?;
    let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref())
        .map_err(|_| EnsureSigningKeyError::Key("it can't be read back"))?;
    Ok(SigningKey {
        kid: new_uuid(tx.now()).simple().to_string(),
        public_x: BASE64_URL_SAFE_NO_PAD.encode(pair.public_key().as_ref()),
        pkcs8: pkcs8.as_ref().to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, sync::Arc};

    use shared::{clock::SystemClock, contracts::ServiceName, db::Db, testing::new_postgres_database};
    use tokio::sync::Barrier;

    use super::*;
    use crate::app::read_keys;

    const REPLICAS: usize = 8;

    async fn open(url: &str) -> Db {
        Db::connect(ServiceName::Auth, url, Arc::new(SystemClock))
            .await
            .unwrap()
            .0
    }

    async fn replicas_agree_on_one_key(url: &str) {
        migration::up(ServiceName::Auth, open(url).await.writer())
            .await
            .unwrap();
        let barrier = Arc::new(Barrier::new(REPLICAS));
        let mut replicas = Vec::new();
        for _ in 0..REPLICAS {
            let (db, barrier) = (open(url).await, Arc::clone(&barrier));
            replicas.push(tokio::spawn(async move {
                barrier.wait().await;
                db.write(|tx| async move { ensure_signing_key(&tx).await })
                    .await
                    .unwrap()
            }));
        }
        let mut kids = BTreeSet::new();
        for replica in replicas {
            kids.insert(replica.await.unwrap());
        }
        let published = read_keys(&open(url).await).await.unwrap();
        let published: BTreeSet<_> = published.keys.into_iter().map(|key| key.kid).collect();
        assert_eq!(kids.len(), 1, "all sign with the same key");
        assert_eq!(published, kids, "and it is the one that is published");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn replicas_that_start_at_once_agree_on_one_key_on_postgres() {
        for _ in 0..3 {
            replicas_agree_on_one_key(&new_postgres_database().await).await;
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn replicas_that_start_at_once_agree_on_one_key_on_sqlite() {
        let folder = tempfile::tempdir().unwrap();
        replicas_agree_on_one_key(&format!("sqlite:{}", folder.path().join("auth.db").display())).await;
    }
}
