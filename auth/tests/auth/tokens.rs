//! What passes for a token of ours, and what must not.

use std::sync::Arc;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use chrono::Duration;
use ring::{
    hmac,
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair as _},
};
use sea_orm::{ConnectionTrait, Statement};
use serde_json::{Value, json};
use shared::{
    clock::{Clock, ManualClock, SystemClock},
    contracts::Permission,
    testing::{TestDatabase, TestService},
};

use crate::{DATABASES, admin, log_in, register, start, user};

/// What a token says, unchecked.
pub fn claims_of(token: &str) -> Value {
    part(token, 1)
}

fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).expect("a part");
    serde_json::from_slice(&BASE64.decode(part).expect("base64url")).expect("JSON")
}

/// Auth's own key, stolen from its database.
struct StolenKey {
    kid: String,
    pair: Ed25519KeyPair,
}

async fn steal_key(service: &TestService) -> StolenKey {
    let conn = service.db.reader();
    let query = Statement::from_string(conn.get_database_backend(), "SELECT kid, pkcs8 FROM signing_keys");
    let row = conn.query_one_raw(query).await.unwrap().unwrap();
    let pkcs8: Vec<u8> = row.try_get("", "pkcs8").unwrap();
    StolenKey {
        kid: row.try_get("", "kid").unwrap(),
        pair: Ed25519KeyPair::from_pkcs8(&pkcs8).unwrap(),
    }
}

fn new_pair() -> Ed25519KeyPair {
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap()
}

fn forge(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let signed = format!(
        "{}.{}",
        BASE64.encode(header.to_string()),
        BASE64.encode(claims.to_string())
    );
    let signature = BASE64.encode(sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

/// `value` with `name` replaced, or removed.
fn with(value: &Value, name: &str, replacement: Option<Value>) -> Value {
    let mut value = value.clone();
    let fields = value.as_object_mut().unwrap();
    match replacement {
        Some(replacement) => fields.insert(name.to_owned(), replacement),
        None => fields.remove(name),
    };
    value
}

#[tokio::test]
async fn a_token_says_who_may_what_until_when() {
    let service = start(TestDatabase::Sqlite).await;
    let (admin_id, _) = admin(&service, "root@example.com").await;
    let token = log_in(&service.api, "root@example.com").await;
    let header = part(&token, 0);
    assert_eq!(
        (&header["alg"], &header["typ"]),
        (&json!("EdDSA"), &json!("at+jwt"))
    );
    let claims = claims_of(&token);
    assert_eq!(claims["sub"], json!(admin_id));
    assert_eq!(
        (&claims["iss"], &claims["aud"]),
        (&json!("kopeck"), &json!("kopeck"))
    );
    assert_eq!(claims["roles"], json!(["admin"]));
    assert_eq!(
        claims["permissions"],
        json!(Permission::grantable().collect::<Vec<_>>())
    );
    assert_eq!(
        claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(),
        900
    );
    assert!(
        !token.contains("root") && !claims.to_string().contains("example.com"),
        "no personal data"
    );

    let (_, _) = user(&service, "ann@example.com").await;
    let claims = claims_of(&log_in(&service.api, "ann@example.com").await);
    assert_eq!(
        (&claims["roles"], &claims["permissions"]),
        (&json!(["user"]), &json!([]))
    );
}

#[tokio::test]
async fn the_public_half_of_the_key_is_published_and_nothing_else() {
    for database in DATABASES {
        let service = start(database).await;
        let key = steal_key(&service).await;
        let answer = service.api.get("/auth/v1/jwks.json").await;
        assert_eq!(answer.headers["cache-control"], "public, max-age=60");
        let x = BASE64.encode(key.pair.public_key().as_ref());
        let expected = json!({"keys": [
            {"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": key.kid, "x": x}
        ]});
        assert_eq!(answer.expect(200), expected);
    }
}

#[tokio::test]
async fn a_request_without_a_token_is_asked_for_one() {
    let service = start(TestDatabase::Sqlite).await;
    for path in [
        "/auth/v1/me",
        "/auth/v1/users",
        "/auth/v1/users/01938f00-0000-7000-8000-000000000000",
    ] {
        let answer = service.api.get(path).await;
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
        answer.expect_problem(401, "unauthenticated");
    }
}

#[tokio::test]
async fn what_is_no_token_is_refused() {
    let service = start(TestDatabase::Sqlite).await;
    register(&service.api, "ann@example.com").await;
    let good = log_in(&service.api, "ann@example.com").await;
    let long = "a".repeat(9_000);
    let cut = &good[..good.len() - 4];
    for token in [
        "garbage",
        ".",
        "..",
        "a.b.c",
        "e30.e30.",
        cut,
        &long,
        &format!("{good}.{good}"),
    ] {
        let answer = service.api.with_token(token).get("/auth/v1/me").await;
        assert_eq!(
            answer.headers["www-authenticate"],
            "Bearer error=\"invalid_token\""
        );
        answer.expect_problem(401, "invalid_token");
    }
    for header in ["Basic YW5uOmFubg==", "Bearer", good.as_str()] {
        let request = service
            .api
            .request(reqwest::Method::GET, "/auth/v1/me")
            .header("authorization", header);
        service
            .api
            .send(request)
            .await
            .expect_problem(401, "invalid_token");
    }
}

#[tokio::test]
async fn no_claim_may_be_missing_or_meant_otherwise() {
    let service = start(TestDatabase::Sqlite).await;
    register(&service.api, "ann@example.com").await;
    let good = log_in(&service.api, "ann@example.com").await;
    let (header, claims, key) = (part(&good, 0), claims_of(&good), steal_key(&service).await);
    let sign = |claims: &Value| forge(&header, claims, |signed| key.pair.sign(signed).as_ref().to_vec());
    // What is wrong below is wrong alone.
    service
        .api
        .with_token(sign(&claims))
        .get("/auth/v1/me")
        .await
        .expect(200);

    let now = SystemClock.now().timestamp();
    for (name, value, code) in [
        ("aud", Some(json!("another")), "invalid_token"),
        ("aud", None, "invalid_token"),
        ("iss", Some(json!("another")), "invalid_token"),
        ("iss", None, "invalid_token"),
        ("nbf", Some(json!(now + 60)), "invalid_token"),
        ("nbf", None, "invalid_token"),
        ("exp", Some(json!(now - 1)), "token_expired"),
        ("exp", Some(json!(0)), "token_expired"),
        ("exp", Some(json!("tomorrow")), "invalid_token"),
        ("exp", None, "invalid_token"),
        ("sub", Some(json!("ann@example.com")), "invalid_token"),
        ("sub", None, "invalid_token"),
        ("sid", None, "invalid_token"),
        // Somebody who is not, or is no longer.
        ("sub", Some(json!(service.new_user())), "invalid_token"),
    ] {
        let forged = sign(&with(&claims, name, value.clone()));
        let answer = service.api.with_token(forged).get("/auth/v1/me").await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body["code"]),
            (401, &json!(code)),
            "{name} {value:?}"
        );
    }
}

#[tokio::test]
async fn no_other_signature_or_kind_of_token_will_do() {
    let service = start(TestDatabase::Sqlite).await;
    let (_, admin) = admin(&service, "root@example.com").await;
    admin.get("/auth/v1/users").await.expect(200);
    let good = log_in(&service.api, "root@example.com").await;
    let (header, claims, key) = (part(&good, 0), claims_of(&good), steal_key(&service).await);
    let (stranger, public) = (new_pair(), key.pair.public_key().as_ref());
    let x = BASE64.encode(stranger.public_key().as_ref());
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": key.kid, "x": x});

    let own = |signed: &[u8]| key.pair.sign(signed).as_ref().to_vec();
    let strangers = |signed: &[u8]| stranger.sign(signed).as_ref().to_vec();
    let hmac_with = |secret: &[u8]| {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, secret);
        move |signed: &[u8]| hmac::sign(&secret, signed).as_ref().to_vec()
    };
    let alg = |name: &str| with(&header, "alg", Some(json!(name)));
    let forged = [
        (
            "no algorithm, no signature",
            forge(&alg("none"), &claims, |_| Vec::new()),
        ),
        (
            "no algorithm, in capitals",
            forge(&alg("NONE"), &claims, |_| Vec::new()),
        ),
        (
            "no algorithm, a good signature",
            forge(&alg("none"), &claims, own),
        ),
        ("no signature", forge(&header, &claims, |_| Vec::new())),
        (
            "the public key as a shared secret",
            forge(&alg("HS256"), &claims, hmac_with(public)),
        ),
        (
            "its text as a shared secret",
            forge(
                &alg("HS256"),
                &claims,
                hmac_with(BASE64.encode(public).as_bytes()),
            ),
        ),
        (
            "another algorithm with a good signature",
            forge(&alg("HS256"), &claims, own),
        ),
        (
            "another key under the same id",
            forge(&header, &claims, strangers),
        ),
        (
            "another key, brought along",
            forge(&with(&header, "jwk", Some(jwk)), &claims, strangers),
        ),
        (
            "another key, to be fetched",
            forge(
                &with(&header, "jku", Some(json!("http://127.0.0.1:9/jwks.json"))),
                &claims,
                strangers,
            ),
        ),
        (
            "an unknown key",
            forge(&with(&header, "kid", Some(json!("unknown"))), &claims, own),
        ),
        ("no key id", forge(&with(&header, "kid", None), &claims, own)),
        (
            "another kind of JWT",
            forge(&with(&header, "typ", Some(json!("JWT"))), &claims, own),
        ),
        ("no kind", forge(&with(&header, "typ", None), &claims, own)),
        ("other claims under a good signature", {
            let altered = with(&claims, "exp", Some(json!(i64::MAX)));
            let signature = good.rsplit('.').next().unwrap();
            let payload = BASE64.encode(altered.to_string());
            format!("{}.{payload}.{signature}", good.split('.').next().unwrap())
        }),
    ];
    // What is wrong above is wrong alone.
    service
        .api
        .with_token(forge(&header, &claims, own))
        .get("/auth/v1/users")
        .await
        .expect(200);
    for (what, token) in forged {
        let answer = service.api.with_token(token).get("/auth/v1/users").await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body["code"]),
            (401, &json!("invalid_token")),
            "{what}"
        );
    }
}

#[tokio::test]
async fn a_token_is_good_until_it_expires() {
    let clock = ManualClock::at(SystemClock.now());
    let service = TestService::start_with(
        auth::definition(),
        TestDatabase::Sqlite,
        Arc::new(clock.clone()),
        |config| {
            config.auth.access_token_seconds = 60;
        },
    )
    .await;
    let (_, api) = user(&service, "ann@example.com").await;
    clock.advance(Duration::seconds(59));
    api.get("/auth/v1/me").await.expect(200);
    clock.advance(Duration::seconds(1));
    api.get("/auth/v1/me").await.expect_problem(401, "token_expired");
    let fresh = log_in(&service.api, "ann@example.com").await;
    service.api.with_token(fresh).get("/auth/v1/me").await.expect(200);
}
