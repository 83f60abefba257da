//! Starts that must fail, and say why.

use crate::platform::run_command;

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
    wrong(&["run"], &[("KOPECK_TIME_ZONE", "Moscow")], "Moscow"),
    wrong(&["run"], &[("KOPECK_LISTEN", "everywhere")], "listen"),
    wrong(
        &["run"],
        &[("KOPECK_ENVIRONMENT", "prod")],
        "neither development nor production",
    ),
    wrong(
        &["run"],
        &[("KOPECK_LOG__FORMAT", "xml")],
        "neither text nor json",
    ),
    wrong(
        &["migrate", "up", "--only", "billing"],
        &[("KOPECK_BILLING__DATABASE_URL", "postgres://kopeck@127.0.0.1:1/x")],
        "127.0.0.1:1/x",
    ),
    wrong(&["run"], &[("KOPECK_BUS__URL", "kafka://nowhere")], "kafka"),
    wrong(
        &["run"],
        &[("KOPECK_AUTH__DATABASE_URL", "mysql://nowhere")],
        "mysql",
    ),
    wrong(
        &["run"],
        &[("KOPECK_LOYALTY__DATABASE_URL", "")],
        "loyalty.database_url",
    ),
    wrong(&["run"], &[("KOPECK_LISTEN", "")], "listen"),
    wrong(
        &["run", "--only", "loyalty"],
        &[
            ("KOPECK_BUS__URL", "amqp://127.0.0.1:1"),
            ("KOPECK_AUTH__URL", "http://127.0.0.1:1"),
        ],
        "loyalty.database_url",
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
        &[
            ("KOPECK_BUS__URL", "amqp://127.0.0.1:1"),
            ("KOPECK_BILLING__DATABASE_URL", "postgres://127.0.0.1:1/x"),
        ],
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
