//! `kopeck cluster`

use std::{net::SocketAddr, process::ExitCode};

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    cluster::{Cluster, Setup},
    servers::{Needs, Servers},
};

pub(super) async fn cluster(listen: SocketAddr) -> anyhow::Result<ExitCode> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    println!("Starting PostgreSQL, RabbitMQ and Redis of our own.");
    let servers = Servers::start(Needs::ALL).await?;
    let (postgres, rabbitmq, redis) = (servers.postgres()?, servers.rabbitmq()?, servers.redis()?);
    println!("Starting the services.");
    let setup = Setup {
        program: std::env::current_exe().context("this program can't find itself")?,
        postgres_url: postgres.url(),
        amqp_url: rabbitmq.url(),
        rabbit_api: rabbitmq.api(),
        redis_url: Some(redis.url()),
        listen,
        replicas: 1,
        environment: Vec::new(),
    };
    let outcome = tokio::select! {
        cluster = Cluster::start(setup) => Some(cluster?),
        _ = interrupt.recv() => None,
        _ = terminate.recv() => None,
    };
    if let Some(mut cluster) = outcome {
        show(&mut cluster);
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        println!("Stopping.");
        cluster.stop().await?;
    }
    servers.stop().await;
    println!("Stopped; its data is gone.");
    Ok(ExitCode::SUCCESS)
}

fn show(cluster: &mut Cluster) {
    println!("The distributed platform is running, each service a process of its own:");
    println!("  API   http://{}", cluster.address());
    for service in shared::contracts::ServiceName::ALL {
        for process in cluster.processes(service) {
            println!("        {service} at http://{}", process.address());
        }
    }
    println!("  Logs  {}", cluster.folder().display());
    println!("  Commands beside it (admin create, migrate status, reconcile) need its configuration:");
    for (name, value) in cluster.environment() {
        println!("        export {name}='{value}'");
    }
    println!("  Ctrl-C stops it; nothing is kept.");
}
