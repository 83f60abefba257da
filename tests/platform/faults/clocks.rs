//! Machines whose clocks are wrong.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use shared::{
    contracts::ServiceName,
    testing::{Api, eventually},
};

use super::{SOON, arena::Arena, stream::Stream};

/// The library that gives a process another time than the machine's.
fn faketime() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").unwrap();
    let libraries = folders.map(|folder| folder.unwrap().path().join("faketime/libfaketimeMT.so.1"));
    let mut found = libraries.filter(|library| library.exists());
    found.next().expect("faketime is installed: ./test does it")
}

/// One replica of billing is 90 s ahead, then 90 s behind, while `count` purchases are paid each time.
/// None of them fails for it.
pub async fn are_off(arena: &mut Arena, stream: &Stream, count: usize) {
    for offset in ["+90s", "-90s"] {
        set_clock(arena, ServiceName::Billing, offset).await;
        buys_in_peace(stream, offset, count).await;
    }
    set_clock(arena, ServiceName::Billing, "+0s").await;
    let fault = "clocks that are off";
    stream.recovers(fault, Instant::now(), SOON).await;
}

/// Until so many purchases with a promocode are paid; none that was begun meanwhile times out.
async fn buys_in_peace(stream: &Stream, offset: &str, count: usize) {
    let begun = Instant::now();
    let what = format!("{count} have bought at {offset}");
    stream
        .waits_until(&what, Duration::from_secs(120), |seen| {
            let meanwhile = || seen.iter().filter(|intent| intent.begun > begun);
            let timed_out: Vec<_> = meanwhile().filter(|intent| intent.is_timed_out()).collect();
            assert!(timed_out.is_empty(), "{offset}: {timed_out:#?}");
            let paid = meanwhile().filter(|intent| intent.is_paid() && intent.wish.promocode.is_some());
            paid.count() >= count
        })
        .await;
}

/// Starts the first replica of `service` again, with its clock off by `offset`.
async fn set_clock(arena: &mut Arena, service: ServiceName, offset: &str) {
    let library = faketime().display().to_string();
    let process = &mut arena.processes(service)[0];
    for (name, value) in [
        ("LD_PRELOAD", library.as_str()),
        ("FAKETIME", offset),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("NO_FAKE_STAT", "1"),
    ] {
        process.set_variable(name, value);
    }
    process.kill().await.unwrap();
    process.start_again().await.unwrap();
    process.ready().await.unwrap();
}

/// It is ready, says that it is degraded, and shows by how much.
async fn says_how_far_it_is_off(arena: &mut Arena, service: ServiceName, seconds: f64) {
    let mut api = |process: usize| {
        let address = arena.processes(service)[process].address();
        Api::new(format!("http://{address}"))
    };
    let (wrong, right) = (api(0), api(1));
    let ready = format!("/{service}/health/ready");
    let shown = wrong.get(&ready).await.expect(200);
    assert_eq!(
        (shown["status"].as_str(), shown["checks"]["clock"].as_str()),
        (Some("degraded"), Some("degraded")),
        "{service}: {shown:#}"
    );
    assert_eq!(
        right.get(&ready).await.expect(200)["status"],
        "ready",
        "{service}"
    );
    let series = format!("kopeck_clock_offset_seconds{{service=\"{service}\"}} ");
    eventually(&format!("{service} shows that its clock is off"), || async {
        let request = wrong.request(reqwest::Method::GET, "/metrics");
        let metrics = request.send().await.unwrap().text().await.unwrap();
        let line = metrics.lines().find_map(|line| line.strip_prefix(&series))?;
        ((line.parse::<f64>().unwrap() - seconds).abs() < 2.0).then_some(())
    })
    .await;
}

mod full {
    use super::*;
    use crate::faults::arena::Behind;

    /// Purchases with a promocode that must be paid while clocks are wrong.
    const ENOUGH: usize = 150;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_purchase_fails_for_clocks_that_are_ahead() {
        no_purchase_fails("+90s", 90.0).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_purchase_fails_for_clocks_that_are_behind() {
        no_purchase_fails("-90s", -90.0).await;
    }

    /// One replica of every service is off by so much.
    async fn no_purchase_fails(offset: &str, seconds: f64) {
        let mut arena = Arena::start(Behind::Nothing).await;
        for service in ServiceName::ALL {
            set_clock(&mut arena, service, offset).await;
            says_how_far_it_is_off(&mut arena, service, seconds).await;
        }
        let stream = arena.stream().await;
        buys_in_peace(&stream, offset, ENOUGH).await;
        // Whichever replica issues a token, every other one takes it.
        for number in 0..4 {
            arena.platform.user(&format!("newcomer{number}"), 1_000).await;
        }
        // What it has leased is free when it has gone, and not in 90 seconds.
        for service in [ServiceName::Billing, ServiceName::Loyalty] {
            let killed = Instant::now();
            let process = &mut arena.processes(service)[0];
            process.kill().await.unwrap();
            process.start_again().await.unwrap();
            process.ready().await.unwrap();
            let fault = format!("kill -9 of {service} at {offset}");
            stream.recovers(&fault, killed, SOON).await;
        }
        arena.end_whole(stream).await;
        arena.close().await;
    }
}
