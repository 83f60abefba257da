//! A session that has ended is over in every service, whatever token is still valid; and what goes
//! on meanwhile goes on.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use shared::testing::{Answer, Api, eventually};

use crate::platform::{Platform, User, log_in, run_command};

const EVERYWHERE: [&str; 4] = [
    "/auth/v1/me",
    "/loyalty/v1/redemptions",
    "/billing/v1/balance",
    "/notifications/v1/letters",
];

/// From a logout on a token may still be taken for so long. (Told to customers: a second.)
const SOON: Duration = Duration::from_secs(1);
/// What a machine that is busy with other tests may add to that.
const BUSY: Duration = Duration::from_secs(4);

fn is_over(answer: &Answer) -> bool {
    answer.status.as_u16() == 401 && answer.body["code"] == "invalid_token"
}

/// Waits until every service refuses the token; several times each, since replicas take turns.
pub async fn is_over_everywhere(api: &Api) {
    let since = Instant::now();
    for path in EVERYWHERE {
        eventually(&format!("{path} refuses the token"), || async {
            for _ in 0..4 {
                if !is_over(&api.get(path).await) {
                    return None;
                }
            }
            Some(())
        })
        .await;
    }
    let took = since.elapsed();
    assert!(took < SOON + BUSY, "it took {took:?}");
}

pub async fn is_served_everywhere(api: &Api) {
    for path in EVERYWHERE {
        api.get(path).await.expect(200);
    }
}

async fn an_ended_session_is_over_in_every_service(platform: &Platform) {
    let user = platform.user("anna", 0).await;
    let other = log_in(&platform.api, &platform.email("anna")).await;
    let third = log_in(&platform.api, &platform.email("anna")).await;
    for api in [&user.api, &other, &third] {
        is_served_everywhere(api).await;
    }
    user.api.post("/auth/v1/logout", &Value::Null).await.expect(204);
    is_over_everywhere(&user.api).await;
    is_served_everywhere(&other).await;

    other.post("/auth/v1/logout-all", &Value::Null).await.expect(204);
    is_over_everywhere(&other).await;
    is_over_everywhere(&third).await;

    let fresh = log_in(&platform.api, &platform.email("anna")).await;
    is_served_everywhere(&fresh).await;
    a_deleted_user_is_gone_everywhere(platform, &User { api: fresh, ..user }).await;
}

async fn a_deleted_user_is_gone_everywhere(platform: &Platform, user: &User) {
    let path = format!("/auth/v1/users/{}", user.id);
    let request = platform.admin.request(reqwest::Method::DELETE, &path);
    let request = request.json(&json!({"confirm": true}));
    platform.admin.send(request).await.expect(204);
    is_over_everywhere(&user.api).await;
}

crate::on_shared_platforms!(an_ended_session_is_over_in_every_service);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ended_session_is_over_in_every_replica() {
    let platform = Platform::distributed_with(2, &[("KOPECK_LOG__FILTER", "debug")]).await;
    an_ended_session_is_over_in_every_service(&platform).await;
    nobody_is_named_in_the_logs(&platform);
    platform.finish().await;
}

/// Not even where everything is logged.
fn nobody_is_named_in_the_logs(platform: &Platform) {
    let logs = platform.logs();
    for path in &logs {
        let text = String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
        let line = text
            .lines()
            .find(|line| line.contains("mail.example") || line.contains("cinema.example"));
        assert_eq!(line, None, "{}", path.display());
    }
    assert!(logs.len() >= 8, "a log of each process: {}", logs.len());
}

/// What `kopeck client create` prints of `name`.
async fn credentials(platform: &Platform) -> (String, String) {
    let create = ["client", "create", "shop", "--permission", "billing.read"];
    let made = run_command(&create, platform.environment(), "").await;
    assert!(made.status.success(), "{made:?}");
    let shown = String::from_utf8(made.stdout).unwrap();
    let value = |name: &str| {
        let line = shown.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().to_owned()
    };
    (value("client_id"), value("client_secret"))
}

pub async fn ask_for_token(platform: &Platform, id: &str, secret: &str) -> Answer {
    let request = platform
        .api
        .request(reqwest::Method::POST, "/auth/v1/token")
        .header("content-type", "application/x-www-form-urlencoded")
        .basic_auth(id, Some(secret))
        .body("grant_type=client_credentials");
    platform.api.send(request).await
}

async fn programs_and_keys_are_made_at_the_command_line(platform: &Platform) {
    let user = platform.user("anna", 0).await;
    let (id, secret) = credentials(platform).await;
    let token = ask_for_token(platform, &id, &secret).await.expect(200);
    let shop = platform.api.with_token(token["access_token"].as_str().unwrap());
    let balance = format!("/billing/v1/balance?user_id={}", user.id);
    shop.get(&balance).await.expect(200);
    let tariff = json!({"name": "Month", "price": {"amount": 1, "currency": "RUB"}, "period": "P1M"});
    shop.post("/billing/v1/tariffs", &tariff)
        .await
        .expect_problem(403, "forbidden");

    let rotated = run_command(&["keys", "rotate", "--after", "3"], platform.environment(), "").await;
    assert!(rotated.status.success(), "{rotated:?}");
    let listed = run_command(&["keys", "list"], platform.environment(), "").await;
    assert_eq!(
        String::from_utf8_lossy(&listed.stdout).lines().count(),
        2,
        "{listed:?}"
    );
    let kid = |token: &str| token.split('.').next().unwrap().to_owned();
    let before = kid(token["access_token"].as_str().unwrap());
    eventually("the new key signs, and no request fails meanwhile", || async {
        shop.get(&balance).await.expect(200);
        let token = ask_for_token(platform, &id, &secret).await.expect(200);
        let token = token["access_token"].as_str().unwrap();
        platform.api.with_token(token).get(&balance).await.expect(200);
        (kid(token) != before).then_some(())
    })
    .await;
    is_served_everywhere(&user.api).await;

    let listed = run_command(&["client", "list"], platform.environment(), "").await;
    let shown = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(shown.contains(&id) && !shown.contains(&secret), "{shown}");
    let disabled = run_command(&["client", "disable", "shop"], platform.environment(), "").await;
    assert!(disabled.status.success(), "{disabled:?}");
    ask_for_token(platform, &id, &secret)
        .await
        .expect_problem(401, "invalid_client");
    let unknown = ["client", "create", "other", "--permission", "rockets.launch"];
    let refused = run_command(&unknown, platform.environment(), "").await;
    assert!(!refused.status.success());
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("users.read"),
        "{refused:?}"
    );
}

mod commands {
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn embedded() {
        let platform = crate::platform::Platform::embedded().await;
        super::programs_and_keys_are_made_at_the_command_line(&platform).await;
        platform.finish().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn distributed() {
        let platform = crate::platform::Platform::distributed_with(2, &[]).await;
        super::programs_and_keys_are_made_at_the_command_line(&platform).await;
        platform.finish().await;
    }
}
