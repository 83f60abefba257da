//! PostgreSQL is down under all services. Each operation of each of them says so, with the 503 that its
//! description has, and soon; and when PostgreSQL is back, all answer again.

mod operation;

use std::time::{Duration, Instant};

use kopeck::{
    cluster::Setup,
    servers::{Needs, Servers},
};
use shared::testing::{Answer, eventually};

use self::operation::{Operation, People};
use super::arena;
use crate::platform::{self, Platform};

/// In what time each is to be answered: a request waits four seconds for a connection, and may need
/// another one.
const LONGEST: Duration = Duration::from_secs(10);
/// With what the sandbox signs its webhooks.
const WEBHOOK_SECRET: &str = "a secret of some length";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operation_says_that_it_is_unavailable() {
    let _turn = arena::turn().await;
    // Nothing happens to the others: those of the test command will do.
    let needs = Needs {
        rabbitmq: false,
        redis: false,
        ..Needs::ALL
    };
    let servers = Servers::start(needs).await.unwrap();
    let platform = Platform::of(setup(&servers)).await;
    let people = People::of(&platform).await;
    let operations = Operation::all(&platform).await;
    assert!(operations.len() > 100, "{}", operations.len());

    servers.postgres().unwrap().stop().await.unwrap();
    let began = Instant::now();
    let answers = operations
        .iter()
        .map(|operation| tokio::time::timeout(LONGEST, operation.call(&people)));
    let answers = futures::future::join_all(answers).await;
    println!(
        "{} operations, answered in {:?}",
        operations.len(),
        began.elapsed()
    );
    let faults: Vec<_> = operations
        .iter()
        .zip(&answers)
        .filter_map(|(operation, answer)| {
            let answered = answer.as_ref().map_err(|_| "no answer in time".to_owned());
            let fault = answered.and_then(|answer| is_right(operation, answer)).err()?;
            Some(format!("{}: {fault}", operation.name))
        })
        .collect();
    assert!(
        faults.is_empty(),
        "{} faults:\n{}",
        faults.len(),
        faults.join("\n")
    );

    servers.postgres().unwrap().start_again().await.unwrap();
    // Who has logged out can't ask for anything else.
    let ends_session = |operation: &Operation| operation.name.contains("/logout");
    let (last, others): (Vec<_>, Vec<_>) = operations.iter().partition(|operation| ends_session(operation));
    for operations in [others, last] {
        let again = operations.iter().map(|operation| {
            eventually(&operation.name, || async {
                let answer = operation.call(&people).await;
                let status = answer.status;
                let may_be_refused = operation.is_public() || ends_session(operation);
                assert!(status != 401 || may_be_refused, "{}: {answer:?}", operation.name);
                (!status.is_server_error()).then_some(())
            })
        });
        futures::future::join_all(again).await;
    }
    platform.finish().await;
    servers.stop().await;
}

fn setup(servers: &Servers) -> Setup {
    let mut setup = platform::setup();
    setup.postgres_url = servers.postgres().unwrap().url();
    let sandbox = [
        ("KOPECK_BILLING__SANDBOX_MODE", "asynchronous"),
        ("KOPECK_BILLING__SANDBOX_WEBHOOK_SECRET", WEBHOOK_SECRET),
    ];
    let sandbox = sandbox.map(|(name, value)| (name.to_owned(), value.to_owned()));
    setup.environment.extend(sandbox);
    setup
}

/// Whether that is what `operation` is to say while the database is away.
fn is_right(operation: &Operation, answer: &Answer) -> Result<(), String> {
    let status = answer.status.as_u16();
    let code = answer.body["code"].as_str().unwrap_or_default();
    // None is answered from memory, and none refuses a request that nothing is wrong with.
    if (status, code) != (503, "unavailable") {
        return Err(format!("{status} {}", answer.body));
    }
    if !operation.describes(status, code) {
        return Err(format!("{status} `{code}` is not described"));
    }
    let kind = answer.headers.get("content-type");
    let is_problem = kind.is_some_and(|kind| kind == "application/problem+json")
        && answer.body["type"] == format!("urn:kopeck:problem:{code}")
        && answer.body["status"] == status
        && answer.body["request_id"].is_string();
    if !is_problem {
        return Err(format!("{status} is no problem document: {answer:?}"));
    }
    if !answer.headers.contains_key("retry-after") {
        return Err("does not say when to try again".to_owned());
    }
    Ok(())
}
