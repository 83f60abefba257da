//! The walls of the house: which room may use what.

use std::{fs, path::Path};

const SERVICES: [&str; 4] = ["auth", "loyalty", "billing", "notifications"];

/// A room of every service, and what must not be said in it.
const ROOMS: [(&str, &[&str]); 6] = [
    (
        "domain",
        &[
            "async fn",
            "sea_orm",
            "axum",
            "shared::db",
            "shared::bus",
            "shared::http",
            "shared::inbox",
            "shared::host",
            "crate::store",
            "crate::app",
            "crate::http",
            "crate::consumers",
            "crate::jobs",
            "Utc::now",
            "rand::",
        ],
    ),
    (
        "store",
        &[
            "axum",
            "crate::app",
            "crate::http",
            "crate::consumers",
            "crate::jobs",
        ],
    ),
    (
        "app",
        &["axum", "lapin", "crate::http", "crate::consumers", "crate::jobs"],
    ),
    (
        "http",
        &["crate::store", "crate::consumers", "crate::jobs", "lapin"],
    ),
    (
        "consumers",
        &["crate::store", "crate::http", "crate::jobs", "axum", "lapin"],
    ),
    (
        "jobs",
        &["crate::store", "crate::http", "crate::consumers", "axum", "lapin"],
    ),
];

/// What may be said in one place only, and where.
const ONE_HOME: [(&str, &[&str]); 9] = [
    ("lapin::", &["shared/src/bus/rabbit"]),
    ("Utc::now(", &["shared/src/clock.rs"]),
    ("std::env::var", &["shared/src/testing.rs"]),
    ("\"postgres\" |", &["shared/src/db/connect.rs"]),
    ("\"sqlite", &["shared/src/db/connect.rs"]),
    ("\"amqp\" |", &["shared/src/bus.rs"]),
    ("use redis::", &["shared/src/cache/redis"]),
    (
        "moka::",
        &["shared/src/cache/embedded.rs", "shared/src/token/verifier.rs"],
    ),
    ("\"redis\" |", &["shared/src/cache.rs"]),
];

fn sources(folder: &Path, found: &mut Vec<(String, String)>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let root = Path::new(env!("CARGO_MANIFEST_DIR"));
            let name = path.strip_prefix(root).unwrap().display().to_string();
            found.push((name, code(&fs::read_to_string(&path).unwrap())));
        }
    }
}

/// The text without comments, and without the tests at its end.
fn code(text: &str) -> String {
    text.split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or_default()
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n")
}

fn sources_of(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut found);
    found
}

#[test]
fn no_room_reaches_through_its_walls() {
    let mut breaches = Vec::new();
    for service in SERVICES {
        for (room, forbidden) in ROOMS {
            let mut files = sources_of(&format!("{service}/src/{room}"));
            let own = format!("{service}/src/{room}.rs");
            files.extend(
                sources_of(&format!("{service}/src"))
                    .into_iter()
                    .filter(|(name, _)| *name == own),
            );
            for (name, text) in files {
                for word in forbidden.iter().filter(|word| text.contains(**word)) {
                    breaches.push(format!("{name} uses {word}"));
                }
            }
        }
    }
    assert!(breaches.is_empty(), "{breaches:#?}");
}

#[test]
fn every_service_has_the_same_rooms() {
    for service in SERVICES {
        for room in ["domain", "app", "store", "http"] {
            assert!(
                !sources_of(&format!("{service}/src/{room}")).is_empty(),
                "{service} has no {room}"
            );
        }
    }
}

#[test]
fn no_service_knows_another() {
    for service in SERVICES {
        let manifest = format!("{}/{service}/Cargo.toml", env!("CARGO_MANIFEST_DIR"));
        let manifest = fs::read_to_string(manifest).unwrap();
        for other in SERVICES.iter().filter(|other| **other != service) {
            assert!(
                !manifest.contains(&format!("{other}.workspace")),
                "{service} depends on {other}"
            );
        }
    }
    let shared = fs::read_to_string(format!("{}/shared/Cargo.toml", env!("CARGO_MANIFEST_DIR"))).unwrap();
    for service in SERVICES {
        assert!(
            !shared.contains(&format!("{service}.workspace")),
            "shared depends on {service}"
        );
    }
}

#[test]
fn what_has_one_home_is_said_nowhere_else() {
    let mut breaches = Vec::new();
    for folder in [
        "shared/src",
        "src",
        "auth/src",
        "loyalty/src",
        "billing/src",
        "notifications/src",
    ] {
        for (name, text) in sources_of(folder) {
            for (word, homes) in ONE_HOME {
                if text.contains(word) && !homes.iter().any(|home| name.starts_with(home)) {
                    breaches.push(format!("{name} says {word}"));
                }
            }
        }
    }
    assert!(breaches.is_empty(), "{breaches:#?}");
}
