//! Tokens that must not be taken.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::Duration;

use crate::{clock::Instant, contracts::Permission, ids::UserId, testing::Issuer, token::Claims};

/// What is wrong with a token, the `Authorization` that it is sent in, and the code it is refused with.
pub(super) type WrongToken = (&'static str, Option<String>, &'static str);

/// Tokens of `user` that would allow what is asked for, were they not wrong.
pub(super) fn wrong_tokens(
    issuer: &Issuer,
    user: UserId,
    permissions: &[Permission],
    now: Instant,
) -> Vec<WrongToken> {
    let right = issuer.claims(user, permissions, now);
    let token = issuer.sign(&right);
    let but = |change: fn(&mut Claims)| {
        let mut claims = right.clone();
        change(&mut claims);
        issuer.sign(&claims)
    };
    let aged = |by: Duration| issuer.sign(&issuer.claims(user, permissions, now + by));
    let bearer = |token: String| Some(format!("Bearer {token}"));
    let (head, signature) = token.rsplit_once('.').expect("three parts");
    let (header, claims) = head.split_once('.').expect("three parts");
    let of_another = aged(Duration::seconds(-1));
    let others = of_another.rsplit_once('.').map_or("", |(_, signature)| signature);
    let unsigned = BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"at+jwt"}"#);
    vec![
        ("no token", None, "unauthenticated"),
        (
            "a token that is none",
            bearer("nonsense".to_owned()),
            "invalid_token",
        ),
        (
            "a token under another scheme",
            Some(format!("Basic {token}")),
            "invalid_token",
        ),
        (
            "a token without its signature",
            bearer(format!("{header}.{claims}.")),
            "invalid_token",
        ),
        (
            "another token's signature",
            bearer(format!("{head}.{others}")),
            "invalid_token",
        ),
        (
            "no algorithm",
            bearer(format!("{unsigned}.{claims}.")),
            "invalid_token",
        ),
        (
            "no algorithm, but a signature",
            bearer(format!("{unsigned}.{claims}.{signature}")),
            "invalid_token",
        ),
        ("a forged token", bearer(issuer.forge(&right)), "invalid_token"),
        (
            "another issuer's token",
            bearer(but(|claims| "else".clone_into(&mut claims.iss))),
            "invalid_token",
        ),
        (
            "a token for others",
            bearer(but(|claims| "else".clone_into(&mut claims.aud))),
            "invalid_token",
        ),
        (
            "a token that is not good yet",
            bearer(aged(Duration::hours(1))),
            "invalid_token",
        ),
        (
            "an expired token",
            bearer(aged(Duration::hours(-1))),
            "token_expired",
        ),
    ]
}
