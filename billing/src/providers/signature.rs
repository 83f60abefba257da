//! Signatures of webhooks: `Kopeck-Signature: t=1795270000,v1=5257a8…`.
//!
//! `t` is the second since 1970 at which it was signed; `v1` is the HMAC-SHA256, in hexadecimal, of
//! that number as it stands there, a dot, and the body as it is sent. There may be several `v1`, for
//! the time in which a secret is changed; one that is right is enough, whatever the others are. Other
//! parts are passed over.

use chrono::Duration;
use ring::hmac;
use shared::clock::Instant;

/// How far the second that is signed may be from the present, either way.
pub const TOLERANCE: Duration = Duration::minutes(5);

/// The name of the header.
pub const HEADER: &str = "kopeck-signature";

/// More parts than any sender has reason to send.
const MOST_PARTS: usize = 16;

/// Why a signature is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// It is not there, or can't be read.
    #[error("the signature is missing or malformed: send `Kopeck-Signature: t=SECONDS,v1=HEX`")]
    Malformed,
    /// It is of another secret or another body.
    #[error("the signature is not that of this body under the provider's secret")]
    Wrong,
    /// It was made too long ago, or by a clock that is too far ahead.
    #[error("the signature was not made within the last {} minutes", TOLERANCE.num_minutes())]
    OutOfTime,
}

/// Whether `header` signs `body` with `secret` at about `now`. How long it takes does not tell how
/// much of a wrong signature is right.
///
/// # Errors
/// When it does not.
pub fn verify(secret: &[u8], header: &str, body: &[u8], now: Instant) -> Result<(), SignatureError> {
    let (mut signed_at, mut signatures) = (None, Vec::new());
    for part in header.split(',').take(MOST_PARTS) {
        match part.trim().split_once('=') {
            Some(("t", text)) => signed_at = Some(text),
            Some(("v1", text)) => signatures.extend(from_hex(text)),
            _ => {}
        }
    }
    let signed_at = signed_at.ok_or(SignatureError::Malformed)?;
    let seconds: i64 = signed_at.parse().map_err(|_| SignatureError::Malformed)?;
    if signatures.is_empty() {
        return Err(SignatureError::Malformed);
    }
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let signed = signed_text(signed_at, body);
    let is_right = |signature: &Vec<u8>| hmac::verify(&key, &signed, signature).is_ok();
    if !signatures.iter().any(is_right) {
        return Err(SignatureError::Wrong);
    }
    let apart = now.timestamp().checked_sub(seconds).map(i64::unsigned_abs);
    let is_recent = apart.is_some_and(|apart| apart <= TOLERANCE.num_seconds().unsigned_abs());
    if is_recent {
        Ok(())
    } else {
        Err(SignatureError::OutOfTime)
    }
}

/// The header that signs `body` with `secret` at `at`.
#[must_use]
pub fn sign(secret: &[u8], body: &[u8], at: Instant) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let seconds = at.timestamp().to_string();
    let signature = hmac::sign(&key, &signed_text(&seconds, body));
    let hex = signature
        .as_ref()
        .iter()
        .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    format!("t={seconds},v1={hex}")
}

fn signed_text(seconds: &str, body: &[u8]) -> Vec<u8> {
    [seconds.as_bytes(), b".", body].concat()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let byte = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).ok()?;
        // Without this a sign would be taken for a digit.
        let is_hex = pair.bytes().all(|digit| digit.is_ascii_hexdigit());
        is_hex.then(|| u8::from_str_radix(pair, 16).ok())?
    };
    digits.chunks(2).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"a secret of some length";
    const BODY: &[u8] = br#"{"top_up_id": "1"}"#;

    fn now() -> Instant {
        "2026-11-21T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn what_was_signed_just_now_with_the_secret_is_believed() {
        let header = sign(SECRET, BODY, now());
        assert_eq!(verify(SECRET, &header, BODY, now()), Ok(()));
        for skew in [TOLERANCE, -TOLERANCE] {
            assert_eq!(verify(SECRET, &header, BODY, now() + skew), Ok(()));
        }
        // A secret that is being changed: one of the two is right.
        let (_, old) = header.split_once(',').unwrap();
        let both = format!("{},{old},v0=x", sign(b"another secret", BODY, now()));
        assert_eq!(verify(SECRET, &both, BODY, now()), Ok(()));
    }

    #[test]
    fn what_is_malformed_beside_a_right_one_does_no_harm() {
        let header = sign(SECRET, BODY, now());
        let (seconds, right) = header.split_once(',').unwrap();
        for beside in ["v1=0", "v1=xyz", "v1=", "v1", "v1=ыы", "v2=+", "nonsense", ""] {
            for header in [
                format!("{seconds},{beside},{right}"),
                format!("{seconds},{right},{beside}"),
                format!("{beside},{right},{seconds}"),
            ] {
                assert_eq!(verify(SECRET, &header, BODY, now()), Ok(()), "{header}");
            }
        }
        let many = format!("{seconds}{},{right}", ",v1=00".repeat(MOST_PARTS));
        assert_eq!(verify(SECRET, &many, BODY, now()), Err(SignatureError::Wrong));
    }

    #[test]
    fn it_is_what_openssl_makes_of_it() {
        // printf '%s.%s' 1795262400 '{}' | openssl dgst -sha256 -hmac 'a secret of some length'
        let header = "t=1795262400,v1=12c0372efe4d9457f4c3e448a7c09a83ee5dad60a96c12e28fecbe9074077800";
        let at = Instant::from_timestamp(1_795_262_400, 0).unwrap();
        assert_eq!(verify(SECRET, header, b"{}", at), Ok(()));
    }

    #[test]
    fn whatever_else_is_not() {
        let header = sign(SECRET, BODY, now());
        let check = |header: &str| verify(SECRET, header, BODY, now());
        assert_eq!(
            verify(b"another secret", &header, BODY, now()),
            Err(SignatureError::Wrong)
        );
        assert_eq!(verify(SECRET, &header, b"{}", now()), Err(SignatureError::Wrong));
        // Another second than the signed one, for a repeat long after.
        let (_, signature) = header.split_once(',').unwrap();
        let later = format!("t={},{signature}", now().timestamp() + 1);
        assert_eq!(check(&later), Err(SignatureError::Wrong));
        let second = Duration::seconds(1);
        for skew in [TOLERANCE + second, -TOLERANCE - second] {
            assert_eq!(
                verify(SECRET, &header, BODY, now() + skew),
                Err(SignatureError::OutOfTime)
            );
        }
        for malformed in [
            "",
            "t=1",
            signature,
            "t=1,v1=",
            "t=x,v1=00",
            "t=1,v1=0",
            "t=1,v1=+1",
            "t=1,v1=ыы",
            "nonsense",
        ] {
            assert!(check(malformed).is_err(), "{malformed}");
        }
        assert_eq!(
            check(&format!("t={},v1=00", i64::MIN)),
            Err(SignatureError::Wrong)
        );
    }
}
