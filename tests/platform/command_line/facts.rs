//! A platform that is configured otherwise than its databases does not start, and says why.

use std::path::Path;

use shared::testing::Api;

use crate::{
    platform::{PASSWORD, interrupt, log_in, rub, run_command, run_embedded},
    processes::run_embedded_with,
};

/// Runs a command that must fail, on the data in `folder`; what it says.
async fn refused(arguments: &[&str], folder: &Path, variables: &[(&str, &str)]) -> String {
    let mut environment = vec![("KOPECK_DATA".to_owned(), folder.display().to_string())];
    environment.extend(
        variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
    );
    let output = run_command(arguments, &environment, PASSWORD).await;
    assert!(!output.status.success(), "{arguments:?}: {output:?}");
    let shown = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!shown.contains("panicked"), "{shown}");
    shown
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roubles_do_not_become_dollars() {
    let folder = tempfile::tempdir().unwrap();
    // Before the first start, a command decides nothing.
    let environment = [
        ("KOPECK_DATA".to_owned(), folder.path().display().to_string()),
        ("KOPECK_CURRENCY".to_owned(), "EUR".to_owned()),
    ];
    let create = ["admin", "create", "--email", "owner@cinema.example"];
    let made = run_command(&create, &environment, PASSWORD).await;
    assert!(made.status.success(), "{made:?}");
    let first = run_embedded(folder.path()).await;
    assert!(interrupt(first.child).await.success());

    for arguments in [
        &["run", "--listen", "127.0.0.1:0"][..],
        &["migrate", "up"],
        &["reconcile"],
        &["parked", "list"],
        &["keys", "list"],
        &["client", "list"],
        &["admin", "create", "--email", "other@cinema.example"],
    ] {
        let shown = refused(arguments, folder.path(), &[("KOPECK_CURRENCY", "USD")]).await;
        assert!(
            shown.contains("keeps amounts in RUB") && shown.contains("USD"),
            "{arguments:?}: {shown}"
        );
    }
    let second = run_embedded(folder.path()).await;
    assert!(interrupt(second.child).await.success(), "it goes on as it was");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn play_money_is_not_taken_for_real_without_a_word() {
    let folder = tempfile::tempdir().unwrap();
    let production = [("KOPECK_ENVIRONMENT", "production")];
    let complaint = "credited by the sandbox payment provider";
    for is_there in [false, true] {
        let file = folder.path().join("kopeck.log");
        let log = std::fs::File::create(&file).unwrap();
        let platform = run_embedded_with(folder.path(), &production, log.into()).await;
        assert!(interrupt(platform.child).await.success());
        let log = std::fs::read_to_string(&file).unwrap();
        assert_eq!(log.contains(complaint), is_there, "{log}");

        let platform = run_embedded(folder.path()).await;
        let api = Api::new(format!("http://{}", platform.address));
        if !is_there {
            let body = serde_json::json!({"email": "anna@mail.example", "password": PASSWORD});
            api.post("/auth/v1/register", &body).await.expect(201);
            let anna = log_in(&api, "anna@mail.example").await;
            anna.post("/billing/v1/balance/top-up", &rub(100))
                .await
                .expect(200);
        }
        assert!(interrupt(platform.child).await.success());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_services_or_another_platforms_database_is_not_worked_on() {
    let [one, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    for folder in [&one, &other] {
        let platform = run_embedded(folder.path()).await;
        assert!(interrupt(platform.child).await.success());
    }
    let file =
        |folder: &tempfile::TempDir, name: &str| format!("sqlite:{}", folder.path().join(name).display());
    let run = ["run", "--listen", "127.0.0.1:0"];
    let swapped = file(&one, "loyalty.db");
    for arguments in [
        &run[..],
        &["migrate", "up"],
        &["migrate", "status"],
        &["reconcile"],
    ] {
        let shown = refused(
            arguments,
            one.path(),
            &[("KOPECK_BILLING__DATABASE_URL", &swapped)],
        )
        .await;
        let named = shown.contains("`billing.database_url` leads to the database of loyalty");
        assert!(named, "{arguments:?}: {shown}");
    }
    let foreign = file(&other, "billing.db");
    for arguments in [&run[..], &["migrate", "up"], &["reconcile"]] {
        let shown = refused(
            arguments,
            one.path(),
            &[("KOPECK_BILLING__DATABASE_URL", &foreign)],
        )
        .await;
        assert!(
            shown.contains("belong to different platforms"),
            "{arguments:?}: {shown}"
        );
    }
    // A folder that was moved as a whole is the same platform.
    let moved = other.path().join("moved");
    std::fs::create_dir(&moved).unwrap();
    for name in ["auth.db", "loyalty.db", "billing.db", "notifications.db"] {
        std::fs::rename(one.path().join(name), moved.join(name)).unwrap();
    }
    let platform = run_embedded(&moved).await;
    assert!(interrupt(platform.child).await.success());
}
