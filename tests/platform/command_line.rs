//! What a newcomer does at the shell.

mod facts;
mod forgotten_proxy;
mod output;
mod stopping;
mod two_at_once;
mod wrong_starts;

use std::{path::Path, process::Stdio, sync::Arc, time::Duration};

use sea_orm::ConnectionTrait as _;
use shared::{
    clock::SystemClock,
    contracts::ServiceName,
    db::{Db, url_of_file},
    testing::{Api, new_postgres_database},
};
use tokio::{
    io::AsyncReadExt as _,
    process::{Child, Command},
};

use crate::platform::{PROGRAM, Platform, interrupt, log_in, rub, run_command, run_embedded};

const PASSWORD: &str = "a long enough password";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_platform_finds_its_data_again_after_ctrl_c() {
    let folder = tempfile::tempdir().unwrap();
    let first = run_embedded(folder.path()).await;
    let shown = first.output.join("\n");
    assert!(
        shown.contains(&first.address)
            && shown.contains("admin create --email")
            && shown.contains(&format!("--data {}", folder.path().display())),
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
    for name in files_in(folder.path()) {
        assert!(name.ends_with(".db"), "the databases are tidied up: {name}");
    }

    let second = run_embedded(folder.path()).await;
    let api = Api::new(format!("http://{}", second.address));
    let anna = log_in(&api, "anna@mail.example").await;
    let balance = anna.get("/billing/v1/balance").await.expect(200);
    assert_eq!(balance["balance"], rub(12_300));
    assert!(interrupt(second.child).await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_else_on_the_machine_may_read_the_data() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let platform = run_embedded(folder.path()).await;
    let mut files = 0;
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?} has mode {mode:o}", entry.path());
        files += 1;
    }
    assert!(files >= 4, "{files}");
    assert!(interrupt(platform.child).await.success());
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
async fn creating_an_administrator_says_in_which_database() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("auth.db").display().to_string();
    let environment = vec![("KOPECK_DATA".to_owned(), folder.path().display().to_string())];
    let create = ["admin", "create", "--email", "owner@cinema.example"];
    let made = run_command(&create, &environment, PASSWORD).await;
    assert!(made.status.success(), "{made:?}");
    assert!(String::from_utf8_lossy(&made.stdout).contains(&file), "{made:?}");
}

#[tokio::test]
async fn migrate_shows_what_was_applied() {
    let folder = tempfile::tempdir().unwrap();
    let environment = vec![("KOPECK_DATA".to_owned(), folder.path().display().to_string())];
    let before = run_command(&["migrate", "status"], &environment, "").await;
    assert!(!before.status.success(), "pending migrations are a failure");
    assert!(String::from_utf8_lossy(&before.stdout).contains("billing: pending"));
    assert!(files_in(folder.path()).is_empty(), "looking makes nothing");
    let up = run_command(&["migrate", "up"], &environment, "").await;
    assert!(up.status.success(), "{up:?}");
    let after = run_command(&["migrate", "status"], &environment, "").await;
    assert!(
        after.status.success() && !String::from_utf8_lossy(&after.stdout).contains("pending"),
        "{after:?}"
    );
}

#[tokio::test]
async fn secrets_of_the_configuration_are_not_shown() {
    for url in [
        "postgres://kopeck:hunter2@127.0.0.1:1/x",
        "postgres://kopeck:#hunter2@127.0.0.1:1/x",
        "postgres://kopeck:hunter2/x@127.0.0.1:1/x",
        "hunter2_and_no_scheme",
        "hunter2://127.0.0.1:1/x",
    ] {
        for (variable, arguments) in [
            ("KOPECK_AUTH__DATABASE_URL", ["migrate", "status"]),
            ("KOPECK_AUTH__DATABASE_URL", ["migrate", "up"]),
            ("KOPECK_AUTH", ["migrate", "status"]),
            ("KOPECK_BUS__URL", ["run", "--listen=127.0.0.1:0"]),
        ] {
            // A broker that is not there yet is waited for.
            if variable == "KOPECK_BUS__URL" && url.contains("hunter2@") {
                continue;
            }
            let folder = tempfile::tempdir().unwrap();
            let environment = vec![
                ("KOPECK_DATA".to_owned(), folder.path().display().to_string()),
                (variable.to_owned(), url.to_owned()),
            ];
            let output = run_command(&arguments, &environment, "").await;
            assert!(!output.status.success(), "{variable} {url}");
            assert!(!format!("{output:?}").contains("hunter2"), "{output:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_data_folder_may_have_any_name() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("a b%20?c#d");
    std::fs::create_dir(&folder).unwrap();
    let platform = run_embedded(&folder).await;
    let shown = platform.output.join("\n");
    assert!(interrupt(platform.child).await.success());
    assert!(
        files_in(&folder).contains(&"billing.db".to_owned()),
        "{:?}",
        files_in(&folder)
    );
    assert!(shown.contains("a b%20?c#d'"), "the hint can be pasted: {shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_a_newer_program_has_migrated_is_worked_with() {
    let folder = tempfile::tempdir().unwrap();
    let environment = vec![("KOPECK_DATA".to_owned(), folder.path().display().to_string())];
    let up = run_command(&["migrate", "up"], &environment, "").await;
    assert!(up.status.success(), "{up:?}");
    let url = url_of_file(&folder.path().join("loyalty.db"));
    let db = Db::open_existing(ServiceName::Loyalty, &url, Arc::new(SystemClock))
        .await
        .unwrap();
    let insert = "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m2099_of_tomorrow', 0)";
    db.writer().execute_unprepared(insert).await.unwrap();
    db.close().await;

    let platform = run_embedded(folder.path()).await;
    let api = Api::new(format!("http://{}", platform.address));
    let ready = api.get("/loyalty/health/ready").await.expect(200);
    assert_eq!(ready["checks"]["database"], "ok");
    assert!(interrupt(platform.child).await.success());
    for arguments in [["migrate", "status"], ["migrate", "up"]] {
        let output = run_command(&arguments, &environment, "").await;
        assert!(output.status.success(), "{output:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_for_the_way_out_does_not_keep_tokens_from_being_checked() {
    let folder = tempfile::tempdir().unwrap();
    let proxies = ["HTTP_PROXY", "http_proxy", "ALL_PROXY"].map(|name| (name, "http://127.0.0.1:1"));
    let (child, address) = start(&["run"], folder.path(), &proxies).await;
    let api = Api::new(format!("http://{address}"));
    let body = serde_json::json!({"email": "anna@mail.example", "password": PASSWORD});
    api.post("/auth/v1/register", &body).await.expect(201);
    let anna = log_in(&api, "anna@mail.example").await;
    anna.get("/billing/v1/balance").await.expect(200);
    assert!(interrupt(child).await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_without_accounts_does_not_tell_how_to_make_an_administrator() {
    let folder = tempfile::tempdir().unwrap();
    let url = new_postgres_database().await;
    let variables = [
        ("KOPECK_LOYALTY__DATABASE_URL", url.as_str()),
        // Not there yet, which is no reason not to start.
        ("KOPECK_BUS__URL", "amqp://127.0.0.1:1"),
        ("KOPECK_AUTH__URL", "http://127.0.0.1:1"),
    ];
    let environment: Vec<_> = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let up = run_command(&["migrate", "up", "--only", "loyalty"], &environment, "").await;
    assert!(up.status.success(), "{up:?}");
    let (mut child, _) = start(&["run", "--only", "loyalty"], folder.path(), &variables).await;
    let mut output = child.stdout.take().unwrap();
    assert!(interrupt(child).await.success());
    let mut shown = String::new();
    output.read_to_string(&mut shown).await.unwrap();
    assert!(
        shown.contains("Ctrl-C") && !shown.contains("admin create"),
        "{shown}"
    );
}

/// Starts the program on a free port with its data in `folder`; returns where it serves.
pub(crate) async fn start(
    arguments: &[&str],
    folder: &Path,
    environment: &[(&str, &str)],
) -> (Child, String) {
    let mut child = Command::new(PROGRAM)
        .args(arguments)
        .args(["--listen", "127.0.0.1:0", "--data"])
        .arg(folder)
        .envs(environment.iter().copied())
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let output = child.stdout.as_mut().unwrap();
    let read = async {
        // By the byte, so that what comes after is left for the test.
        let mut shown = String::new();
        loop {
            shown.push(char::from(output.read_u8().await.expect("it starts")));
            if let Some((_, rest)) = shown.split_once("http://")
                && let Some((address, _)) = rest.split_once('\n')
            {
                return address.to_owned();
            }
        }
    };
    let address = tokio::time::timeout(Duration::from_secs(60), read)
        .await
        .expect("it starts");
    (child, address)
}

fn files_in(folder: &Path) -> Vec<String> {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect()
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
