//! What a newcomer does at the shell.

use shared::testing::Api;

use crate::platform::{Platform, interrupt, log_in, rub, run_command, run_embedded};

const PASSWORD: &str = "a long enough password";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_platform_finds_its_data_again_after_ctrl_c() {
    let folder = tempfile::tempdir().unwrap();
    let first = run_embedded(folder.path()).await;
    let shown = first.output.join("\n");
    assert!(
        shown.contains(&first.address) && shown.contains("admin create --email"),
        "{shown}"
    );
    let api = Api::new(format!("http://{}", first.address));
    let body = serde_json::json!({"email": "anna@mail.example", "password": PASSWORD});
    api.post("/auth/v1/register", &body).await.expect(201);
    let anna = log_in(&api, "anna@mail.example").await;
    anna.post("/billing/v1/balance/top-up", &rub(12_300))
        .await
        .expect(200);
    assert!(interrupt(first.child).await.success(), "Ctrl-C is a clean end");

    let second = run_embedded(folder.path()).await;
    let api = Api::new(format!("http://{}", second.address));
    let anna = log_in(&api, "anna@mail.example").await;
    let balance = anna.get("/billing/v1/balance").await.expect(200);
    assert_eq!(balance["balance"], rub(12_300));
    assert!(interrupt(second.child).await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_administrator_is_made_beside_a_running_platform() {
    let platform = Platform::embedded().await; // makes one
    platform.admin.get("/auth/v1/users").await.expect(200);

    let again = ["admin", "create", "--email", "owner@cinema.example"];
    let taken = run_command(&again, platform.environment(), "another long password\n").await;
    assert!(!taken.status.success());
    let shown = String::from_utf8_lossy(&taken.stderr).into_owned();
    assert!(
        shown.contains("kopeck:") && !shown.contains("another long password"),
        "{shown}"
    );

    let weak = run_command(
        &["admin", "create", "--email", "new@cinema.example"],
        platform.environment(),
        "short\n",
    )
    .await;
    assert!(!weak.status.success(), "a weak password is refused");
    let none = run_command(
        &["admin", "create", "--email", "new@cinema.example"],
        platform.environment(),
        "",
    )
    .await;
    assert!(!none.status.success(), "no password is refused");
    platform.finish().await;
}

#[tokio::test]
async fn migrate_shows_what_was_applied() {
    let folder = tempfile::tempdir().unwrap();
    let environment = vec![("KOPECK_DATA".to_owned(), folder.path().display().to_string())];
    let before = run_command(&["migrate", "status"], &environment, "").await;
    assert!(!before.status.success(), "pending migrations are a failure");
    assert!(String::from_utf8_lossy(&before.stdout).contains("billing: pending"));
    let up = run_command(&["migrate", "up"], &environment, "").await;
    assert!(up.status.success(), "{up:?}");
    let after = run_command(&["migrate", "status"], &environment, "").await;
    assert!(
        after.status.success() && !String::from_utf8_lossy(&after.stdout).contains("pending"),
        "{after:?}"
    );
}

/// A start that must fail: arguments, environment, and what the error must name.
struct WrongStart {
    arguments: &'static [&'static str],
    environment: &'static [(&'static str, &'static str)],
    named: &'static str,
}

const fn wrong(
    arguments: &'static [&'static str],
    environment: &'static [(&'static str, &'static str)],
    named: &'static str,
) -> WrongStart {
    WrongStart {
        arguments,
        environment,
        named,
    }
}

const WRONG_STARTS: &[WrongStart] = &[
    wrong(&["run", "--only", "billing"], &[], "bus.url"),
    wrong(&["run"], &[("KOPECK_BILING__SANDBOX", "true")], "biling"),
    wrong(&["run"], &[("KOPECK_CURRENCY", "XYZ")], "XYZ"),
    wrong(&["run"], &[("KOPECK_LISTEN", "everywhere")], "listen"),
    wrong(&["run"], &[("KOPECK_BUS__URL", "kafka://nowhere")], "kafka"),
    wrong(
        &["run"],
        &[("KOPECK_AUTH__DATABASE_URL", "mysql://nowhere")],
        "mysql",
    ),
    wrong(&["run"], &[("KOPECK_LOG__FILTER", "a=b=c")], "log.filter"),
    wrong(
        &["run"],
        &[
            ("KOPECK_ENVIRONMENT", "production"),
            ("KOPECK_BILLING__SANDBOX", "true"),
        ],
        "billing.sandbox",
    ),
    wrong(
        &["run", "--config", "/nowhere/kopeck.toml"],
        &[],
        "/nowhere/kopeck.toml",
    ),
    wrong(
        &["run", "--only", "billing"],
        &[("KOPECK_BUS__URL", "amqp://127.0.0.1:1")],
        "auth.url",
    ),
];

#[tokio::test]
async fn a_wrong_start_says_which_value_and_why() {
    let folder = tempfile::tempdir().unwrap();
    for WrongStart {
        arguments,
        environment,
        named,
    } in WRONG_STARTS
    {
        let own = [
            ("KOPECK_DATA", folder.path().to_str().unwrap()),
            ("KOPECK_LISTEN", "127.0.0.1:0"),
        ];
        let environment: Vec<_> = own
            .iter()
            .chain(*environment)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let output = run_command(arguments, &environment, "").await;
        assert!(!output.status.success(), "{arguments:?} {environment:?}");
        let shown = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(shown.contains(named), "{arguments:?}: {shown}");
        assert!(!shown.contains("panicked"), "{shown}");
    }
}

#[tokio::test]
async fn secrets_of_the_configuration_are_not_shown() {
    let environment = vec![(
        "KOPECK_AUTH__DATABASE_URL".to_owned(),
        "postgres://kopeck:hunter2@127.0.0.1:1/x".to_owned(),
    )];
    let output = run_command(&["migrate", "status", "--only", "auth"], &environment, "").await;
    assert!(!output.status.success());
    assert!(!format!("{output:?}").contains("hunter2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_tells_the_whole_story() {
    let output = run_command(&["demo"], &[], "").await;
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{shown}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    for expected in [
        "insufficient_funds",
        "uses_exhausted",
        "campaign_ended",
        "user_limit_reached",
        "756.50 RUB",
    ] {
        assert!(shown.contains(expected), "{expected} is missing:\n{shown}");
    }
}
