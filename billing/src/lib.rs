//! Billing: wallets, tariffs, purchases and subscriptions.

pub mod app;
mod consumers;
pub mod domain;
mod http;
mod jobs;
pub mod providers;
mod store;

use std::sync::Arc;

use chrono::Duration;
use consumers::OnEnded;
use http::{AppState, Asking, Waiters};
use jobs::{FailOverduePurchases, FinishTopUps, ForfeitLeftovers, Reconcile, RemindOfEndings};
use providers::{PaymentProvider, Sandbox};
use sea_orm::DbErr;
use shared::{
    batch::Batches,
    cache::Versioned,
    contracts::{Envelope, Message, PurchaseFailedV1, PurchasePaidV1, ServiceName},
    db::{Db, bounded},
    host::{Context, Definition, Job, JobError, OnWake, Service},
    ids::PurchaseId,
    sessions::EndedSessions,
    throttle::ForgetThrottles,
    users::{self, ReplicatedStatuses},
};

use crate::{
    app::{
        ask_again::{AskAgain, ask_again},
        books::Books,
        buy_tariff::{BuyTariff, buy_together},
        read_purchase::read_ended,
    },
    domain::failures::FreeFailures,
};

/// Billing, for the host.
#[must_use]
pub fn definition() -> Definition {
    Definition {
        name: ServiceName::Billing,
        build: |context| Box::pin(build(context)),
        migrate: |conn| Box::pin(migration::up(ServiceName::Billing, conn)),
        pending: |conn| Box::pin(migration::pending(ServiceName::Billing, conn)),
    }
}

async fn build(context: &Context) -> Result<Service, JobError> {
    let db = context.db.clone();
    let config = &context.config;
    let provider: Option<Arc<dyn PaymentProvider>> = if config.billing.sandbox_is_on(config.environment) {
        tracing::warn!("the sandbox payment provider is on: it makes money out of nothing, for trying only");
        Some(Arc::new(Sandbox::new(&config.billing)?))
    } else {
        warn_of_play_money(&db).await?;
        None
    };
    let names: Vec<_> = provider.iter().map(|provider| provider.name().clone()).collect();
    let (currency, names) = (config.currency, &names);
    let books = db
        .write(|tx| async move { Books::open(tx.conn(), currency, names.clone(), tx.now()).await })
        .await?
        .in_zone(config.time_zone);
    let mut jobs: Vec<Arc<dyn Job>> = vec![
        Arc::new(FailOverduePurchases {
            db: db.clone(),
            books: books.clone(),
        }),
        Arc::new(RemindOfEndings {
            db: db.clone(),
            notice: Duration::days(i64::from(config.billing.ending_notice_days)),
        }),
        Arc::new(ForfeitLeftovers {
            db: db.clone(),
            books: books.clone(),
        }),
        Arc::new(ForgetThrottles(db.clone())),
        Arc::new(Reconcile {
            db: db.clone(),
            every: std::time::Duration::from_secs(u64::from(config.billing.reconcile_minutes) * 60),
        }),
    ];
    if let Some(provider) = provider.clone() {
        jobs.push(Arc::new(FinishTopUps {
            db: db.clone(),
            books: books.clone(),
            provider,
        }));
    }
    let reader = db.clone();
    let waiters = Arc::new(Waiters::new(Box::new(move |ids| {
        let db = reader.clone();
        Box::pin(async move { bounded(read_ended(db.reader(), ids)).await })
    })));
    let (buys, sells) = (db.clone(), books.clone());
    let buying = Batches::new(move |asked: Vec<BuyTariff>| {
        let (db, books) = (buys.clone(), sells.clone());
        async move { buy_together(&db, &books, &asked).await }
    });
    let asking = asking(context, &books);
    let users = context.cache.versioned();
    let guard = context.guard(ReplicatedStatuses {
        db: db.clone(),
        users: users.clone(),
    });
    let sessions = context.sessions.clone();
    let state = AppState {
        buying: Arc::new(buying),
        guard: guard.clone(),
        db,
        books: books.clone(),
        provider,
        waiters: Arc::clone(&waiters),
        asking: Arc::new(asking),
        patience: Duration::seconds(i64::from(config.billing.purchase_deadline_seconds)),
        free_failures: FreeFailures {
            purchases: config.billing.max_failed_purchases,
            withdrawals: config.billing.max_failed_withdrawals,
            top_ups: config.billing.max_unpaid_top_ups,
        },
        proxies: context.trusted_proxies(),
    };
    Ok(Service {
        api: http::router(state),
        guard,
        handlers: consumers::handlers(&books, &users, &sessions, tells(Arc::clone(&waiters))),
        jobs,
        on_wake: Some(wakes(waiters, users, sessions)),
    })
}

/// Money that the sandbox made can be spent like any other. In production it is taken for real money, so
/// the log tells of it.
async fn warn_of_play_money(db: &Db) -> Result<(), DbErr> {
    if bounded(store::top_up::any_approved_by(db.reader(), "sandbox")).await? {
        tracing::error!(
            "wallets in this database were credited by the sandbox payment provider, which makes money out of \
             nothing; that money can be spent like any other"
        );
    }
    Ok(())
}

/// Asks loyalty again about purchases that requests wait for.
fn asking(context: &Context, books: &Books) -> Asking {
    let (db, books) = (context.db.clone(), books.clone());
    let batches = Batches::new(move |waiting: Vec<AskAgain>| {
        let (db, books) = (db.clone(), books.clone());
        async move {
            let (again, books) = (&waiting, &books);
            let asked = db
                .write(|tx| async move { ask_again(&tx, books, again).await })
                .await;
            if let Err(error) = asked {
                tracing::warn!(%error, "loyalty can't be asked again about purchases");
            }
            waiting.iter().map(|_| ()).collect()
        }
    });
    let after = context.config.billing.ask_again_milliseconds;
    let after = (after > 0).then(|| std::time::Duration::from_millis(u64::from(after)));
    Asking::new(batches, after)
}

/// Outcomes that this process itself brings about are told to the requests that wait here, which
/// then need not look.
fn tells(waiters: Arc<Waiters>) -> OnEnded {
    Arc::new(move |ended| waiters.tell(ended))
}

/// Outcomes wake the requests that wait for them, whichever replica said them; and what was
/// remembered of a user is forgotten when they change.
fn wakes(waiters: Arc<Waiters>, users: Versioned<users::entity::Model>, sessions: EndedSessions) -> OnWake {
    Arc::new(move |envelope: &Envelope| {
        sessions.hear(envelope);
        users::hear(&users, envelope);
        if [PurchasePaidV1::TYPE, PurchaseFailedV1::TYPE].contains(&envelope.message_type.as_str()) {
            waiters.wake(PurchaseId(envelope.subject));
        }
    })
}
