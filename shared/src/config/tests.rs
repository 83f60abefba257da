//! What is read, and what is refused by name.

use std::io::Write as _;

use super::*;

pub(super) fn load(text: &str) -> Result<Config, ConfigError> {
    let mut file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
    file.write_all(text.as_bytes()).unwrap();
    Config::load(Some(file.path()))
}

#[test]
fn a_file_is_read_and_the_rest_has_defaults() {
    let text = "currency = \"EUR\"\ntime_zone = \"Europe/Berlin\"\n[billing]\npurchase_deadline_seconds = 5";
    let config = load(text).unwrap();
    assert_eq!(config.time_zone.name(), "Europe/Berlin");
    assert_eq!(config.currency, Currency::EUR);
    assert_eq!(config.billing.purchase_deadline_seconds, 5);
    assert_eq!(config.listen.port(), 8080);
}

#[test]
fn an_unknown_key_is_refused_by_name() {
    let error = load("[billing]\npurchase_deadlin = 5").unwrap_err().to_string();
    assert!(error.contains("purchase_deadlin"), "{error}");
}

#[test]
fn a_wrong_value_is_refused_by_name() {
    for (text, name) in [
        ("listen = \"nowhere\"", "listen"),
        ("currency = \"XYZ\"", "currency"),
        ("time_zone = \"Moscow\"", "time_zone"),
        (
            "[billing]\npurchase_deadline_seconds = 0",
            "billing.purchase_deadline_seconds",
        ),
        ("[billing]\nending_notice_days = 0", "billing.ending_notice_days"),
        ("[billing]\nending_notice_days = 28", "billing.ending_notice_days"),
        ("[auth]\nurl = \"auth:8080\"", "auth.url"),
        (
            "[notifications]\nmail_url = \"smtp://localhost\"\npublic_url = \"http://localhost\"",
            "notifications.mail_from",
        ),
        (
            "[notifications]\nmail_url = \"smtp://localhost\"\nmail_from = \"a@example.com\"",
            "notifications.public_url",
        ),
        (
            "[notifications]\npublic_url = \"localhost\"",
            "notifications.public_url",
        ),
        ("[auth]\nrefresh_token_seconds = 1", "auth.refresh_token_seconds"),
        ("[auth]\nmax_failed_logins = 0", "auth.max_failed_logins"),
        (
            "[auth]\nmax_registrations_per_address = 0",
            "auth.max_registrations_per_address",
        ),
        (
            "[auth]\nmax_letters_per_address = 0",
            "auth.max_letters_per_address",
        ),
        ("[auth]\ntrusted_proxies = [\"proxy\"]", "auth.trusted_proxies"),
    ] {
        let error = load(text).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn the_sandbox_is_refused_in_production() {
    let error = load("environment = \"production\"\n[billing]\nsandbox = true")
        .unwrap_err()
        .to_string();
    assert!(error.contains("billing.sandbox"), "{error}");
    let config = load("environment = \"production\"").unwrap();
    assert!(!config.billing.sandbox_is_on(config.environment));
}

#[test]
fn a_client_secret_that_is_short_or_known_to_everybody_is_refused() {
    let load = |environment: &str, secret: &str| {
        load(&format!(
            "environment = \"{environment}\"\n[notifications]\nclient_secret = \"{secret}\""
        ))
    };
    let good = "0123456789abcdef0123456789abcdef";
    for environment in ["development", "production"] {
        load(environment, good).unwrap();
        let error = load(environment, &good[1..]).unwrap_err().to_string();
        assert!(
            error.contains("notifications.client_secret") && error.contains("32"),
            "{error}"
        );
    }
    load("development", CLIENT_SECRET_FOR_TRYING).unwrap();
    let error = load("production", CLIENT_SECRET_FOR_TRYING)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("notifications.client_secret") && error.contains("production"),
        "{error}"
    );
}

#[test]
fn secrets_are_not_printed() {
    let config = load("[bus]\nurl = \"amqp://kopeck:hunter2@localhost\"").unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn an_empty_value_is_refused_by_name() {
    for (text, key) in [
        ("[loyalty]\ndatabase_url = \"\"", "loyalty.database_url"),
        ("[bus]\nurl = \"\"", "bus.url"),
        ("[auth]\nissuer = \"\"", "auth.issuer"),
        ("data = \"\"", "data"),
    ] {
        let error = load(text).unwrap_err().to_string();
        assert!(
            error.contains(&format!("`{key}`")) && error.contains("empty"),
            "{error}"
        );
    }
}

#[test]
fn a_missing_file_is_an_error_when_it_was_named() {
    assert!(Config::load(Some(Path::new("/nowhere/kopeck.toml"))).is_err());
}

#[test]
fn trusted_proxies_are_a_list_or_separated_by_commas() {
    for text in [
        "[auth]\ntrusted_proxies = [\"10.0.0.0/8\", \"127.0.0.1\"]",
        "[auth]\ntrusted_proxies = \"10.0.0.0/8, 127.0.0.1\"",
    ] {
        let config = load(text).unwrap();
        let shown: Vec<_> = config
            .auth
            .trusted_proxies
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(shown, ["10.0.0.0/8", "127.0.0.1/32"]);
    }
    assert!(
        load("").unwrap().auth.trusted_proxies.is_empty(),
        "nobody by default"
    );
}
