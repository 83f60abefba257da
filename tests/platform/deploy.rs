//! What `docker compose` is given, as far as it can be checked where no engine runs.

mod proxy;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

use serde_json::Value;
use shared::contracts::ServiceName;

use crate::platform::run_command;

fn text_of(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

/// The compose file with its variables replaced by their defaults, as without an `.env`.
fn compose() -> Value {
    serde_saphyr::from_str(&with_defaults(&text_of("docker-compose.yml"))).unwrap()
}

/// Replaces `${NAME:-default}`.
fn with_defaults(text: &str) -> String {
    let mut result = String::new();
    let mut rest = text;
    while let Some((before, variable)) = rest.split_once("${") {
        let (inside, after) = variable.split_once('}').expect("a closing brace");
        let (_, default) = inside.split_once(":-").expect("a default for each variable");
        result.push_str(before);
        result.push_str(default);
        rest = after;
    }
    result + rest
}

fn services(compose: &Value) -> &serde_json::Map<String, Value> {
    compose["services"].as_object().unwrap()
}

fn environment_of(service: &Value) -> Vec<(String, String)> {
    let variables = service["environment"].as_object().unwrap();
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    variables
        .iter()
        .map(|(name, value)| (name.clone(), text(value)))
        .collect()
}

fn arguments_of(service: &Value) -> Vec<&str> {
    let command = service["command"].as_array().unwrap();
    command.iter().map(|word| word.as_str().unwrap()).collect()
}

#[test]
fn every_service_has_its_container_its_migration_and_its_database() {
    let compose = compose();
    let services = services(&compose);
    let databases = text_of("deploy/postgres/databases.sh");
    for service in ServiceName::ALL {
        let name = service.as_str();
        let migration = format!("migrate-{name}");
        assert_eq!(arguments_of(&services[name]), ["run", "--only", name]);
        assert_eq!(
            arguments_of(&services[&migration]),
            ["migrate", "up", "--only", name]
        );
        let key = format!("KOPECK_{}__DATABASE_URL", name.to_uppercase());
        let url = |container: &str| services[container]["environment"][&key].clone();
        assert_eq!(url(name), url(&migration), "{name}");
        let currency = |container: &str| services[container]["environment"]["KOPECK_CURRENCY"].clone();
        assert_eq!(currency(name), currency(&migration), "{name}");
        assert!(
            url(name)
                .as_str()
                .unwrap()
                .starts_with(&format!("postgres://{name}:"))
        );
        assert!(
            url(name)
                .as_str()
                .unwrap()
                .ends_with(&format!("@postgres/{name}"))
        );
        assert!(databases.contains(&format!("database {name} \"$")), "{name}");
        let done = &services[name]["depends_on"][&migration]["condition"];
        assert_eq!(done, "service_completed_successfully", "{name}");
        assert!(services["proxy"]["depends_on"][name].is_object(), "{name}");
        assert!(
            text_of("deploy/Caddyfile")
                .contains(&format!("handle /{name}/* {{\n\t\treverse_proxy {name}:8080")),
            "{name}"
        );
    }
}

/// What is laid over the compose file for HTTPS fits it, and publishes what certificates need.
#[test]
fn https_takes_a_domain_and_keeps_its_certificates() {
    let text = text_of("deploy/https.yml").replace(
        "${KOPECK_DOMAIN:?is the domain of the platform, in .env}",
        "shop.example.com",
    );
    let https: Value = serde_saphyr::from_str(&text).unwrap();
    let proxy = &https["services"]["proxy"];
    assert!(compose()["services"]["proxy"].is_object());
    assert_eq!(proxy["environment"]["KOPECK_DOMAIN"], "shop.example.com");
    assert_eq!(
        proxy["ports"],
        serde_json::json!(["80:80", "443:443", "443:443/udp"])
    );
    assert_eq!(proxy["volumes"], serde_json::json!(["certificates:/data"]));
    assert!(https["volumes"].as_object().unwrap().contains_key("certificates"));
    assert!(text_of("deploy/Caddyfile").contains("\nhttp://:8080 {$KOPECK_DOMAIN} {\n"));
    let example = text_of(".env.example");
    for line in [
        "COMPOSE_FILE=docker-compose.yml:deploy/https.yml",
        "KOPECK_DOMAIN=shop.example.com",
    ] {
        assert!(example.contains(&format!("# {line}\n")), "{line}");
    }
}

#[test]
fn whatever_is_waited_for_is_there_and_can_say_that_it_is_well() {
    let compose = compose();
    let services = services(&compose);
    for (name, service) in services {
        for (other, wanted) in service["depends_on"].as_object().into_iter().flatten() {
            let waited_for = services
                .get(other)
                .unwrap_or_else(|| panic!("{name} waits for {other}"));
            if wanted["condition"] == "service_healthy" {
                assert!(waited_for["healthcheck"]["test"].is_array(), "{other}");
            }
        }
        for volume in service["volumes"].as_array().into_iter().flatten() {
            let source = volume.as_str().unwrap().split(':').next().unwrap();
            let is_there = if source.starts_with("./") {
                Path::new(env!("CARGO_MANIFEST_DIR")).join(source).exists()
            } else {
                compose["volumes"].as_object().unwrap().contains_key(source)
            };
            assert!(is_there, "{name} mounts {source}");
        }
    }
}

#[test]
fn what_is_published_can_say_that_it_is_well() {
    let compose = compose();
    for (name, service) in services(&compose) {
        if service["ports"].is_array() || service["restart"] == "unless-stopped" {
            assert!(service["healthcheck"]["test"].is_array(), "{name}");
        }
    }
}

/// Two builds of one name at a time fail with some engines, and no registry has the image. Whatever is
/// started alone has the one that builds among what it waits for.
#[test]
fn the_image_is_built_once_and_never_pulled() {
    let compose = compose();
    let services = services(&compose);
    let building: Vec<_> = services
        .iter()
        .filter(|(_, service)| !service["build"].is_null())
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(building, ["prepare"]);
    let with_image = services
        .iter()
        .filter(|(_, service)| service["image"] == "kopeck");
    let mut count = 0;
    for (name, service) in with_image {
        assert_eq!(service["pull_policy"], "never", "{name}");
        assert!(awaited_by(services, name).contains("prepare"), "{name}");
        count += 1;
    }
    assert_eq!(count, 1 + 2 * ServiceName::ALL.len());
}

/// `name`, and all that has to be there before it.
fn awaited_by(services: &serde_json::Map<String, Value>, name: &str) -> BTreeSet<String> {
    let mut awaited = BTreeSet::from([name.to_owned()]);
    for other in services[name]["depends_on"]
        .as_object()
        .into_iter()
        .flat_map(serde_json::Map::keys)
    {
        awaited.extend(awaited_by(services, other));
    }
    awaited
}

/// They are parts of URLs, and told to the servers as they are, which keep them for good.
#[test]
fn passwords_that_could_not_work_are_refused_before_a_server_keeps_them() {
    let compose = compose();
    let services = services(&compose);
    for server in ["postgres", "rabbitmq", "redis"] {
        let wanted = &services[server]["depends_on"]["prepare"]["condition"];
        assert_eq!(wanted, "service_completed_successfully", "{server}");
    }
    let good = environment_of(&services["prepare"]);
    let looked_at: BTreeSet<_> = good.iter().map(|(name, _)| name.as_str()).collect();
    let example = text_of(".env.example");
    let passwords: BTreeSet<_> = example
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name)
        .filter(|name| name.ends_with("_PASSWORD"))
        .collect();
    assert_eq!(looked_at, passwords);

    let look = |environment: &[(String, String)]| {
        Command::new("sh")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/passwords.sh"))
            .env_clear()
            .envs(environment.iter().cloned())
            .output()
            .unwrap()
    };
    let output = look(&good);
    assert!(output.status.success(), "{output:?}");
    for password in passwords {
        for (value, works) in [
            ("Az09-._~", true),
            ("", false),
            ("a#b", false),
            ("a/b", false),
            ("a?b", false),
            ("a%b", false),
            ("a@b", false),
            ("a:b", false),
            ("a b", false),
            ("a$b", false),
            ("ключ", false),
        ] {
            let mut environment = good.clone();
            environment.push((password.to_owned(), value.to_owned()));
            let output = look(&environment);
            let complaint = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.success(), works, "{password} {value}: {complaint}");
            assert_eq!(complaint.contains(password), !works, "{complaint}");
            assert!(value.is_empty() || !complaint.contains(value), "{complaint}");
        }
    }
}

/// A key that does not exist is refused at the start, and so is what compose sets in vain.
#[tokio::test]
async fn the_program_knows_every_key_that_is_set() {
    let compose = compose();
    for (name, service) in services(&compose) {
        // What only looks at passwords is no program of ours.
        if service["image"] != "kopeck" || service["entrypoint"].is_array() {
            continue;
        }
        // What reads the configuration and then fails for want of a platform.
        let output = run_command(
            &["health", "--url", "http://127.0.0.1:9"],
            &environment_of(service),
            "",
        )
        .await;
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(complaint.is_empty(), "{name}: {complaint}");
        assert!(
            String::from_utf8_lossy(&output.stdout).contains("no answer"),
            "{name}"
        );
    }
}

/// Everybody can read what compose takes where nothing is set.
#[tokio::test]
async fn the_secret_for_trying_is_refused_in_production() {
    let compose = compose();
    for name in ["auth", "notifications"] {
        let mut environment = environment_of(&services(&compose)[name]);
        environment.push(("KOPECK_ENVIRONMENT".to_owned(), "production".to_owned()));
        let output = run_command(&["health", "--url", "http://127.0.0.1:9"], &environment, "").await;
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success());
        assert!(
            complaint.contains("notifications.client_secret") && complaint.contains("production"),
            "{name}: {complaint}"
        );
    }
}

#[test]
fn the_example_of_an_env_names_exactly_what_can_be_set() {
    let pairs = |text: String| -> BTreeMap<String, String> {
        text.lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    };
    let example = pairs(text_of(".env.example"));
    let file = text_of("docker-compose.yml");
    let used: BTreeSet<(String, String)> = file
        .split("${")
        .skip(1)
        .map(|rest| rest.split('}').next().unwrap())
        .map(|inside| inside.split_once(":-").unwrap())
        .map(|(name, default)| (name.to_owned(), default.to_owned()))
        .collect();
    assert_eq!(example.into_iter().collect::<BTreeSet<_>>(), used);
}

#[test]
fn the_image_runs_as_nobody_special_and_needs_nothing_from_outside_of_the_folder() {
    let dockerfile = text_of("Dockerfile");
    assert!(dockerfile.contains("\nUSER 10001\n"));
    for line in dockerfile
        .lines()
        .filter(|line| line.starts_with("COPY") && !line.contains("--from="))
    {
        assert_eq!(line, "COPY . .");
    }
    let toolchain = text_of("Cargo.toml");
    let version = toolchain
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = "))
        .unwrap()
        .trim_matches('"');
    assert!(dockerfile.contains(&format!("FROM rust:{version}-")), "{version}");
}
