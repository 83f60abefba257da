//! The log tells of a reverse proxy that is missing in the configuration, once.

use reqwest::Method;
use serde_json::json;

use crate::platform::Platform;

const COMPLAINT: &str = "is not in `auth.trusted_proxies`";

async fn complaints(variables: &[(&str, &str)]) -> usize {
    let platform = Platform::embedded_with(variables).await;
    for number in 0..3 {
        let body = json!({"email": "ann@mail.example", "password": "wrong"});
        let request = platform.api.request(Method::POST, "/auth/v1/login").json(&body);
        let request = request.header("x-forwarded-for", format!("203.0.113.{number}"));
        platform
            .api
            .send(request)
            .await
            .expect_problem(401, "invalid_credentials");
    }
    let log = std::fs::read_to_string(&platform.logs()[0]).unwrap();
    assert!(!log.contains("203.0.113."), "the log names no client: {log}");
    platform.finish().await;
    log.matches(COMPLAINT).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_told_of_once() {
    assert_eq!(complaints(&[]).await, 1);
    assert_eq!(
        complaints(&[("KOPECK_AUTH__TRUSTED_PROXIES", "127.0.0.1")]).await,
        0
    );
}
