//! The API as it describes itself.

use serde_json::Value;
use shared::testing::TestDatabase;

use crate::Billing;

fn parameters<'d>(document: &'d Value, path: &str, method: &str) -> Vec<&'d str> {
    let operation = &document["paths"][path][method];
    assert!(operation.is_object(), "{method} {path} is not described");
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    parameters
        .map(|parameter| parameter["name"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn every_route_is_described_with_what_it_takes_and_answers() {
    let billing = Billing::start(TestDatabase::Sqlite).await;
    let document = billing.service.api.get("/openapi.json").await.expect(200);
    for (method, path, answers) in [
        ("get", "/billing/v1/tariffs", &["200", "400"][..]),
        ("post", "/billing/v1/tariffs", &["201", "422"]),
        ("get", "/billing/v1/tariffs/{id}", &["200", "404"]),
        ("patch", "/billing/v1/tariffs/{id}", &["200", "404", "409", "422"]),
        ("post", "/billing/v1/tariffs/{id}/archive", &["200", "404"]),
        ("get", "/billing/v1/balance", &["200", "403"]),
        (
            "post",
            "/billing/v1/balance/top-up",
            &["200", "202", "402", "409", "503"],
        ),
        ("post", "/billing/v1/balance/withdraw", &["200", "402", "409"]),
        ("get", "/billing/v1/top-ups/{id}", &["200", "404"]),
        ("get", "/billing/v1/transfers", &["200", "400"]),
        ("get", "/billing/v1/purchases", &["200", "400"]),
        (
            "post",
            "/billing/v1/purchases",
            &["201", "202", "402", "403", "404", "409", "422"],
        ),
        ("get", "/billing/v1/purchases/{id}", &["200", "404"]),
        (
            "post",
            "/billing/v1/purchases/{id}/cancel",
            &["200", "404", "409"],
        ),
        (
            "post",
            "/billing/v1/purchases/{id}/refund",
            &["200", "403", "404", "409", "422"],
        ),
        ("get", "/billing/v1/subscriptions", &["200", "400"]),
        (
            "post",
            "/billing/v1/subscriptions/{id}/cancel",
            &["200", "404", "409"],
        ),
        (
            "post",
            "/billing/v1/users/{id}/credit",
            &["200", "404", "409", "422"],
        ),
        (
            "post",
            "/billing/v1/users/{id}/debit",
            &["200", "402", "404", "409", "422"],
        ),
        (
            "post",
            "/billing/v1/providers/{name}/webhook",
            &["200", "401", "404", "409", "413", "415", "422"],
        ),
    ] {
        let operation = &document["paths"][path][method];
        for status in answers {
            assert!(
                operation["responses"][status].is_object(),
                "{method} {path} {status}: {operation:#}"
            );
        }
    }
    for path in [
        "/billing/v1/purchases",
        "/billing/v1/purchases/{id}/refund",
        "/billing/v1/balance/top-up",
        "/billing/v1/balance/withdraw",
        "/billing/v1/users/{id}/credit",
        "/billing/v1/users/{id}/debit",
    ] {
        assert!(
            parameters(&document, path, "post").contains(&"Idempotency-Key"),
            "{path}"
        );
    }
    let webhook = "/billing/v1/providers/{name}/webhook";
    assert_eq!(
        parameters(&document, webhook, "post"),
        ["name", "Kopeck-Signature"]
    );
    let security = &document["paths"][webhook]["post"]["security"];
    assert_eq!(security, &serde_json::json!([{}]), "needs no token");
    let list = parameters(&document, "/billing/v1/purchases", "get");
    assert_eq!(
        list,
        ["user_id", "status", "tariff_id", "from", "to", "limit", "cursor"]
    );
    billing.finish().await;
}
