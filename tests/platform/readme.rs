//! What the documentation shows is typed in as it stands there.

use std::{
    path::Path,
    process::{Output, Stdio},
    time::Duration,
};

use serde_json::Value;
use shared::testing::eventually;
use tokio::process::Command;

use crate::platform::{PASSWORD, Platform, User, log_in, rub, run_command};

/// The `sh` block of `file` under `heading`.
fn block(file: &str, heading: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = std::fs::read_to_string(path).unwrap();
    let (_, section) = text
        .split_once(&format!("\n{heading}\n"))
        .unwrap_or_else(|| panic!("{file} has a heading {heading}"));
    let (_, block) = section.split_once("```sh\n").expect("an sh block");
    block.split_once("```").expect("its end").0.to_owned()
}

/// Has `sh`, whichever that is, do what `script` says, with `platform` in the place of the one that it names.
async fn typed_in(platform: &Platform, script: &str) -> Output {
    let home = tempfile::tempdir().unwrap();
    let address = platform.api.base().trim_start_matches("http://");
    let settings = format!("connect-to = \"127.0.0.1:8080:{address}\"\nnoproxy = \"*\"\nfail-with-body\n");
    std::fs::write(home.path().join(".curlrc"), settings).unwrap();
    let run = Command::new("sh")
        .args(["-eu", "-c", script])
        .env("CURL_HOME", home.path())
        .current_dir(home.path())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_secs(60), run)
        .await
        .expect("it comes to an end")
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    output
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purchase_with_curl() {
    let platform = Platform::embedded().await;
    let create = ["admin", "create", "--email", "you@example.com"];
    let made = run_command(&create, platform.environment(), PASSWORD).await;
    assert!(made.status.success(), "{made:?}");
    let output = typed_in(&platform, &block("README.md", "### A purchase with `curl`")).await;
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(
        !shown.contains("urn:kopeck:problem"),
        "nothing is refused: {shown}"
    );

    let api = log_in(&platform.api, "anna@example.com").await;
    let me = api.get("/auth/v1/me").await.expect(200);
    let anna = User {
        id: me["id"].as_str().unwrap().to_owned(),
        api,
    };
    let letters = anna.letters(4).await;
    let mut kinds: Vec<_> = letters
        .iter()
        .map(|letter| letter["kind"].as_str().unwrap())
        .collect();
    kinds.sort_unstable();
    assert_eq!(
        kinds,
        ["purchase_paid", "purchase_refunded", "wallet_credited", "welcome"]
    );
    assert_eq!(anna.balance().await, 100_000);
    let campaigns = platform.admin.get("/loyalty/v1/campaigns").await.expect(200);
    let campaign = &campaigns["items"][0];
    assert_eq!(campaign["name"], "Autumn", "{campaigns:#}");
    eventually("the use is given back", || async {
        (platform.redemptions(campaign, "returned").await == 1).then_some(())
    })
    .await;
    platform.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_by_hand() {
    let secret = "a secret of some length";
    let platform = Platform::embedded_with(&[
        ("KOPECK_BILLING__SANDBOX_MODE", "asynchronous"),
        ("KOPECK_BILLING__SANDBOX_WEBHOOK_SECRET", secret),
    ])
    .await;
    let anna = platform.user("anna", 0).await;
    let top_up = anna.top_up(12_300).await;
    assert_eq!(top_up.status.as_u16(), 202, "{top_up:?}");
    assert_eq!(anna.balance().await, 0);
    let id = top_up_of(&top_up.body);
    let script = block("docs/architecture.md", "## Webhooks");
    assert!(script.contains("\"top_up_id\": \"…\""), "{script}");
    let script = format!("secret='{secret}'\n{}", script.replace('…', &id));
    typed_in(&platform, &script).await;
    assert_eq!(
        anna.api.get("/billing/v1/balance").await.expect(200)["balance"],
        rub(12_300)
    );
    platform.finish().await;
}

fn top_up_of(answer: &Value) -> String {
    answer["id"].as_str().expect("an id").to_owned()
}
