//! Makes and checks the secrets in letters. They are computed each time and kept nowhere.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::{
    hmac,
    rand::{SecureRandom as _, SystemRandom},
};
use sea_orm::DbErr;
use shared::{db::Tx, ids::MailRequestId};
use uuid::Uuid;

use crate::store::{mail_request::MailRequest, secret_key};

const NAME: &str = "mail";
const KEY_BYTES: usize = 32;
const ID_BYTES: usize = 16;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum MailKeyError {
    /// None could be made.
    #[error("a key for letters can't be made")]
    NoKey,
    /// The database.
    #[error("the database refused")]
    Store(#[from] DbErr),
}

/// The key of the secrets in letters.
pub struct MailKey(hmac::Key);

impl MailKey {
    /// The key of this platform, which is made if there is none. Replicas that start at once agree
    /// on one.
    ///
    /// # Errors
    /// See [`MailKeyError`].
    pub async fn ensure(tx: &Tx) -> Result<Self, MailKeyError> {
        if let Some(key) = secret_key::find(tx.conn(), NAME).await? {
            return Ok(Self::of(&key));
        }
        let mut key = vec![0_u8; KEY_BYTES];
        SystemRandom::new()
            .fill(&mut key)
            .map_err(|_| MailKeyError::NoKey)?;
        secret_key::insert_if_none(tx.conn(), NAME, key, tx.now()).await?;
        let key = secret_key::find(tx.conn(), NAME)
            .await?
            .ok_or(MailKeyError::NoKey)?;
        Ok(Self::of(&key))
    }

    fn of(key: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// The secret in this letter.
    #[must_use]
    pub fn secret(&self, request: &MailRequest) -> String {
        let tag = hmac::sign(&self.0, said(request).as_bytes());
        BASE64_URL_SAFE_NO_PAD.encode([request.id.0.as_bytes(), tag.as_ref()].concat())
    }

    /// Which letter says to have this secret.
    #[must_use]
    pub fn id_in(secret: &str) -> Option<MailRequestId> {
        let (id, _) = parts(secret)?;
        Some(id)
    }

    /// Whether this letter does have it.
    #[must_use]
    pub fn is_of(&self, request: &MailRequest, secret: &str) -> bool {
        parts(secret).is_some_and(|(id, tag)| {
            id == request.id && hmac::verify(&self.0, said(request).as_bytes(), &tag).is_ok()
        })
    }
}

/// Everything about a letter that its secret is good for.
fn said(request: &MailRequest) -> String {
    format!(
        "{}\n{:?}\n{}\n{}",
        request.id,
        request.purpose,
        request.user_id,
        request.expires_at.timestamp_micros()
    )
}

fn parts(secret: &str) -> Option<(MailRequestId, Vec<u8>)> {
    // Longer than any of ours: not worth reading.
    let secret = Some(secret).filter(|secret| secret.len() <= 128)?;
    let mut bytes = BASE64_URL_SAFE_NO_PAD.decode(secret).ok()?;
    if bytes.len() <= ID_BYTES {
        return None;
    }
    let tag = bytes.split_off(ID_BYTES);
    Some((MailRequestId(Uuid::from_slice(&bytes).ok()?), tag))
}

#[cfg(test)]
mod tests {
    use chrono::Duration;
    use shared::{
        clock::{Clock as _, SystemClock},
        contracts::MailPurpose,
        ids::UserId,
    };

    use super::*;

    #[test]
    fn a_secret_is_good_for_its_letter_and_for_nothing_else() {
        let now = SystemClock.now();
        let key = MailKey::of(&[7; 32]);
        let request = MailRequest {
            id: MailRequestId::new(now),
            user_id: UserId::new(now),
            purpose: MailPurpose::ConfirmEmail,
            requested_at: now,
            expires_at: now + Duration::hours(1),
            used_at: None,
        };
        let secret = key.secret(&request);
        assert_eq!(MailKey::id_in(&secret), Some(request.id));
        assert!(key.is_of(&request, &secret));
        assert!(!MailKey::of(&[8; 32]).is_of(&request, &secret), "another key");
        for other in [
            MailRequest {
                id: MailRequestId::new(now),
                ..request.clone()
            },
            MailRequest {
                user_id: UserId::new(now),
                ..request.clone()
            },
            MailRequest {
                purpose: MailPurpose::ResetPassword,
                ..request.clone()
            },
            MailRequest {
                expires_at: now + Duration::hours(2),
                ..request.clone()
            },
        ] {
            assert!(!key.is_of(&other, &secret), "{other:?}");
        }
        for nonsense in ["", "nonsense", &secret[..20], &secret[..63], &"a".repeat(1_000)] {
            assert!(!key.is_of(&request, nonsense), "{nonsense}");
        }
    }
}
