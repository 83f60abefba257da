//! The servers together: really started, killed and stopped.

use std::time::Duration;

use sea_orm::{ConnectOptions, ConnectionTrait as _, Database, DatabaseConnection};

use super::{Needs, Servers, processes};

/// One that gives up soon.
async fn connect(url: String) -> DatabaseConnection {
    let mut options = ConnectOptions::new(url);
    options.acquire_timeout(Duration::from_secs(1));
    Database::connect(options).await.unwrap()
}

fn own_processes(servers: &Servers) -> Vec<u32> {
    let folder = servers.folder();
    let homes = ["postgres", "rabbitmq", "redis"].map(|name| folder.join(name).join("pid"));
    let leaders: Vec<u32> = homes
        .iter()
        .map(|file| std::fs::read_to_string(file).unwrap().trim().parse().unwrap())
        .collect();
    let below = leaders
        .iter()
        .flat_map(|leader| processes::descendants(*leader))
        .collect();
    [leaders, below].concat()
}

#[tokio::test]
async fn all_servers_survive_a_kill_with_their_data_and_leave_nothing_behind() {
    let servers = Servers::start(Needs::ALL).await.unwrap();
    let (postgres, rabbitmq, redis) = (
        servers.postgres().unwrap(),
        servers.rabbitmq().unwrap(),
        servers.redis().unwrap(),
    );
    postgres.create_databases(&["billing"]).await.unwrap();
    let connection = connect(postgres.database_url("billing")).await;
    connection
        .execute_unprepared("CREATE TABLE kept AS SELECT 1 AS one")
        .await
        .unwrap();
    rabbitmq.create_vhost("first").await.unwrap();

    postgres.kill();
    rabbitmq.kill();
    redis.kill();
    connection.execute_unprepared("SELECT 1").await.unwrap_err();
    let (one, two, three) = tokio::join!(
        postgres.start_again(),
        rabbitmq.start_again(),
        redis.start_again()
    );
    one.and(two).and(three).unwrap();

    let connection = connect(postgres.database_url("billing")).await;
    connection
        .execute_unprepared("SELECT one FROM kept")
        .await
        .unwrap();
    // Only a virtual host that is still there can give permissions.
    rabbitmq
        .request(
            "PUT",
            "/api/permissions/first/guest",
            r#"{"configure":"","write":"","read":""}"#,
        )
        .await
        .unwrap();
    rabbitmq
        .request(
            "PUT",
            "/api/permissions/second/guest",
            r#"{"configure":"","write":"","read":""}"#,
        )
        .await
        .unwrap_err();

    let (processes, folder) = (own_processes(&servers), servers.folder().to_owned());
    assert!(processes.len() > 5, "{processes:?}");
    servers.stop().await;
    let left: Vec<u32> = processes
        .into_iter()
        .filter(|pid| processes::is_running(*pid))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(!folder.exists());
}

#[tokio::test]
async fn a_polite_restart_keeps_the_port_and_the_data() {
    let servers = Servers::start(Needs {
        rabbitmq: false,
        ..Needs::ALL
    })
    .await
    .unwrap();
    let (postgres, redis) = (servers.postgres().unwrap(), servers.redis().unwrap());
    postgres.create_databases(&["kept"]).await.unwrap();
    let (one, two) = tokio::join!(postgres.restart(), redis.restart());
    one.and(two).unwrap();
    connect(postgres.database_url("kept")).await;
}

#[tokio::test]
async fn a_server_that_was_not_asked_for_is_not_there() {
    let servers = Servers::start(Needs {
        postgres: false,
        rabbitmq: false,
        redis: false,
    })
    .await
    .unwrap();
    assert!(servers.postgres().is_err() && servers.rabbitmq().is_err() && servers.redis().is_err());
}
