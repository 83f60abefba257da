//! `kopeck bench`, on throw-away platforms and on one that runs.

use std::{process::Stdio, time::Duration};

use sea_orm::{ConnectionTrait as _, Database, DbBackend, Statement};
use serde_json::Value;
use shared::testing::server_variable;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::Command,
};

use crate::platform::{PROGRAM, Platform, interrupt};

/// In debug builds, beside other tests.
const PATIENCE: Duration = Duration::from_secs(240);

const PASSWORD: &str = "a long enough password";

/// Runs the benchmark with two clients for a second each; its JSON.
async fn bench(arguments: &[&str]) -> Value {
    let mut child = Command::new(PROGRAM)
        .arg("bench")
        .args([
            "--seconds",
            "1",
            "--warm-up",
            "0",
            "--clients",
            "2",
            "--codes",
            "20",
        ])
        .args(["--users-per-client", "2", "--json", "-"])
        .args(arguments)
        .current_dir(std::env::temp_dir())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(PASSWORD.as_bytes())
        .await
        .unwrap();
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output())
        .await
        .expect("it ends")
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("JSON and nothing else")
}

/// Something was done, nothing failed, and percentiles are in order.
fn is_sound(measured: &Value) {
    let operations = measured["operations"].as_u64().unwrap();
    assert!(operations > 0, "{measured:#}");
    assert_eq!(measured["per_second"].as_f64().unwrap(), operations as f64);
    assert_eq!(measured["errors"], 0, "{measured:#}");
    assert_eq!(measured["error_codes"], serde_json::json!([]));
    let latency = |name: &str| measured["latency_ms"][name].as_f64().unwrap();
    assert!(latency("p50") > 0.0, "{measured:#}");
    assert!(latency("p50") <= latency("p95") && latency("p95") <= latency("p99"));
    assert!(latency("p99") <= latency("max"), "{measured:#}");
}

fn names(measurements: &Value) -> Vec<&str> {
    let measurements = measurements.as_array().unwrap();
    measurements
        .iter()
        .map(|measured| measured["scenario"].as_str().unwrap())
        .collect()
}

/// The processes that were seen; each has memory.
fn processes(measured: &Value) -> Vec<&str> {
    let processes = measured["processes"].as_array().unwrap();
    for process in processes {
        assert!(process["resident_kib"].as_u64().unwrap() > 0, "{process:#}");
    }
    processes
        .iter()
        .map(|process| process["name"].as_str().unwrap())
        .collect()
}

fn process<'a>(measured: &'a Value, name: &str) -> &'a Value {
    let processes = measured["processes"].as_array().unwrap();
    processes.iter().find(|process| process["name"] == name).unwrap()
}

#[tokio::test]
async fn every_scenario_is_measured_on_an_embedded_platform() {
    let report = bench(&[
        "--platform",
        "embedded",
        "--scenario=hot",
        "--scenario=many",
        "--scenario=plain",
        "--scenario=validate",
        "--scenario=login",
    ])
    .await;
    assert_eq!(
        names(&report["scenarios"]),
        ["hot", "many", "plain", "validate", "login"]
    );
    assert_eq!(report["platform"]["kind"], "embedded");
    assert_eq!(report["raw_sql"], serde_json::json!([]));
    let mut client_ms = 0;
    for measured in report["scenarios"].as_array().unwrap() {
        is_sound(measured);
        if cfg!(target_os = "linux") {
            assert_eq!(processes(measured), ["kopeck", "client"]);
            let platform = process(measured, "kopeck");
            assert!(platform["cpu_ms"].as_u64().unwrap() > 0, "{measured:#}");
            assert!(platform["cpu_us_per_operation"].as_f64().unwrap() > 0.0);
            client_ms += process(measured, "client")["cpu_ms"].as_u64().unwrap();
        }
    }
    // Two clients may do less than a clock tick of work in a second, but not in five.
    assert!(client_ms > 0 || cfg!(not(target_os = "linux")));
    books_hold_every_purchase(&report, &["hot", "many", "plain"]);
}

/// Reconciliation has seen at least what was counted.
fn books_hold_every_purchase(report: &Value, purchases: &[&str]) {
    assert_eq!(report["books"]["clean"], true);
    let said = report["books"]["said"].as_array().unwrap();
    let last = said.last().unwrap().as_str().unwrap();
    let reconciled: u64 = last.split(' ').next().unwrap().parse().unwrap();
    let counted: u64 = report["scenarios"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|measured| purchases.contains(&measured["scenario"].as_str().unwrap()))
        .map(|measured| measured["operations"].as_u64().unwrap())
        .sum();
    assert!(reconciled >= counted, "{last}, and {counted} were counted");
}

#[tokio::test]
async fn replicas_are_held_against_raw_sql_on_their_own_servers() {
    let report = bench(&["--replicas=2", "--scenario=hot", "--scenario=many"]).await;
    assert_eq!(names(&report["scenarios"]), ["hot", "many"]);
    assert_eq!(names(&report["raw_sql"]), ["hot", "many"]);
    for measured in report["scenarios"].as_array().unwrap() {
        is_sound(measured);
        if cfg!(target_os = "linux") {
            let expected = [
                "auth-1",
                "auth-2",
                "billing-1",
                "billing-2",
                "loyalty-1",
                "loyalty-2",
                "notifications-1",
                "notifications-2",
                "postgres",
                "rabbitmq",
                "redis",
                "client",
            ];
            assert_eq!(processes(measured), expected);
            for name in ["billing-1", "billing-2", "postgres", "rabbitmq"] {
                assert!(process(measured, name)["cpu_ms"].as_u64().unwrap() > 0, "{name}");
            }
        }
    }
    report["raw_sql"].as_array().unwrap().iter().for_each(is_sound);
    for ratio in report["ratios"].as_array().unwrap() {
        assert!(ratio["ratio"].as_f64().unwrap() > 0.0, "{ratio}");
    }
    assert_eq!(report["ratios"].as_array().unwrap().len(), 2);
    books_hold_every_purchase(&report, &["hot", "many"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_platform_is_measured_by_one_of_its_administrators() {
    let platform = Platform::embedded().await;
    let url = platform.api.base();
    let (all, again) = (format!("--url={url}"), format!("--url=billing={url}"));
    let report = bench(&[
        &all,
        &again,
        "--admin-email=owner@cinema.example",
        "--scenario=plain",
    ])
    .await;
    assert_eq!(report["platform"]["kind"], "running");
    is_sound(&report["scenarios"][0]);
    if cfg!(target_os = "linux") {
        // Other tests have platforms and servers on the same machine.
        assert!(processes(&report["scenarios"][0]).contains(&"client"));
    }
    assert!(report.get("books").is_none());
    platform.finish().await;
}

#[tokio::test]
async fn an_interrupted_benchmark_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(PROGRAM)
        .args(["bench", "--platform=embedded", "--seconds=600", "--clients=1"])
        .args(["--scenario=hot", "--users-per-client=1", "--postgres-url"])
        .arg(server_variable("TEST_POSTGRES_URL"))
        .env("TMPDIR", folder.path())
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let measuring = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains("Measuring hot") {
                return;
            }
        }
        panic!("it ended before it measured");
    };
    tokio::time::timeout(PATIENCE, measuring)
        .await
        .expect("it measures");
    assert_eq!(raw_databases().await, 1);
    // Read on, so that it can say that it stops.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    let status = interrupt(child).await;
    assert!(!status.success(), "nothing was measured");
    let left: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(raw_databases().await, 0);
}

/// Databases of the comparison with raw SQL; no other test has them there.
async fn raw_databases() -> i64 {
    let server = Database::connect(server_variable("TEST_POSTGRES_URL"))
        .await
        .unwrap();
    let count = "SELECT count(*) FROM pg_database WHERE datname LIKE 'bench\\_%'";
    let count = Statement::from_string(DbBackend::Postgres, count);
    let row = server.query_one_raw(count).await.unwrap().unwrap();
    let count = row.try_get_by_index(0).unwrap();
    server.close().await.unwrap();
    count
}
