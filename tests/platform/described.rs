//! The API against its own description: whatever a client sends that the description allows, and
//! much that it does not, gets a documented answer and never a 5xx.

use std::{path::Path, process::Stdio, time::Duration};

use shared::{contracts::ServiceName, testing::server_variable};
use tokio::process::Command;

use crate::platform::{ADMIN_EMAIL, PASSWORD, Platform};

mod embedded {
    crate::on_platforms!(
        crate::platform::Platform::embedded();
        auth_answers_as_described,
        loyalty_answers_as_described,
        billing_answers_as_described,
        notifications_answers_as_described,
    );
}

/// Over all processes the answers come from the same code.
mod full {
    use super::*;

    mod distributed {
        crate::on_platforms!(
            crate::platform::Platform::distributed();
            auth_answers_as_described,
            loyalty_answers_as_described,
            billing_answers_as_described,
            notifications_answers_as_described,
        );
    }
}

const CHECKS: &str =
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";
const LONGEST: Duration = Duration::from_secs(110);

async fn auth_answers_as_described(platform: &Platform) {
    answers_as_described(platform, ServiceName::Auth).await;
}

async fn loyalty_answers_as_described(platform: &Platform) {
    answers_as_described(platform, ServiceName::Loyalty).await;
}

async fn billing_answers_as_described(platform: &Platform) {
    answers_as_described(platform, ServiceName::Billing).await;
}

async fn notifications_answers_as_described(platform: &Platform) {
    answers_as_described(platform, ServiceName::Notifications).await;
}

async fn answers_as_described(platform: &Platform, service: ServiceName) {
    let program = server_variable("TEST_SCHEMATHESIS");
    let folder = tempfile::tempdir().unwrap();
    let hooks = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/platform/described");
    let url = platform.api.base();
    let trying = Command::new(program)
        .args(["run", &format!("{url}/{service}/openapi.json")])
        .args(["--checks", CHECKS, "--max-examples", "10", "--no-color"])
        .arg("--generation-deterministic")
        .env("SCHEMATHESIS_HOOKS", "hooks")
        .env("PYTHONPATH", &hooks)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("KOPECK_URL", url)
        .env("KOPECK_EMAIL", ADMIN_EMAIL)
        .env("KOPECK_PASSWORD", PASSWORD)
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(LONGEST, trying)
        .await
        .expect("it comes to an end")
        .unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
