//! A data folder is one platform's.

use crate::platform::{PASSWORD, interrupt, run_command, run_embedded};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_platform_on_the_same_data_is_refused_and_commands_beside_the_first_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = run_embedded(folder.path()).await;
    let environment = vec![("KOPECK_DATA".to_owned(), folder.path().display().to_string())];

    let second = run_command(&["run", "--listen", "127.0.0.1:0"], &environment, "").await;
    assert!(!second.status.success(), "{second:?}");
    let why = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(
        why.contains("in use by another") && why.contains(&environment[0].1) && why.contains("--data"),
        "{why}"
    );
    for (arguments, input) in [
        (&["migrate", "status"][..], ""),
        (&["migrate", "up"], ""),
        (&["admin", "create", "--email", "owner@cinema.example"], PASSWORD),
        (&["reconcile", "--older-than", "0"], ""),
        (&["parked", "list"], ""),
    ] {
        let beside = run_command(arguments, &environment, input).await;
        assert!(beside.status.success(), "{beside:?}");
    }
    assert!(first.child.try_wait().unwrap().is_none(), "the first runs on");

    // However it ends, the folder is free.
    first.child.kill().await.unwrap();
    let third = run_embedded(folder.path()).await;
    assert!(interrupt(third.child).await.success());
    let fourth = run_embedded(folder.path()).await;
    assert!(interrupt(fourth.child).await.success());
}
