//! Notifications: every outcome has its letter, exactly one in the inbox.
//!
//! Letters are made from the other services' events and from nothing else. What makes a second
//! one impossible is what a letter is about, which is unique in the database; what orders them
//! is the time of the event, not that of its arrival.
//!
//! Where a mail server is configured, letters are mailed too, at least once. Addresses are asked of
//! auth when a mail goes out, and kept nowhere.

mod app;
mod consumers;
pub mod domain;
mod http;
mod jobs;
mod mail;
mod store;

use std::{sync::Arc, time::Duration};

use shared::{
    contracts::ServiceName,
    host::{Context, Definition, Job, JobError, Service},
    token::ServiceTokens,
    users::{self, ReplicatedStatuses},
};

use app::{make_letters::Letters, outage::Outage, send_mails::Mailing};
use jobs::send_mails::SendMails;
use mail::{Auth, Smtp};

pub use app::reconcile::{letters_of_purchases, purchases_with_a_letter, refunds_with_a_letter};

/// The service, to be run by [`shared::host`].
#[must_use]
pub fn definition() -> Definition {
    Definition {
        name: ServiceName::Notifications,
        build: |context| Box::pin(std::future::ready(build(context))),
        migrate: |conn| Box::pin(migration::up(ServiceName::Notifications, conn)),
        pending: |conn| Box::pin(migration::pending(ServiceName::Notifications, conn)),
    }
}

fn build(context: &Context) -> Result<Service, JobError> {
    let users = context.cache.versioned();
    let guard = context.guard(ReplicatedStatuses {
        db: context.db.clone(),
        users: users.clone(),
    });
    let sessions = context.sessions.clone();
    let mailing = mailing(context)?;
    let letters = Letters {
        mailed: mailing.is_some(),
        time_zone: context.config.time_zone,
    };
    let state = http::AppState {
        db: context.db.clone(),
        guard: guard.clone(),
        mailed: letters.mailed,
    };
    let mut jobs: Vec<Arc<dyn Job>> = Vec::new();
    if let Some(mailing) = mailing {
        jobs.push(Arc::new(SendMails {
            db: context.db.clone(),
            mailing: Arc::new(mailing),
        }));
    }
    Ok(Service {
        api: http::routes(state),
        guard,
        handlers: consumers::handlers(&users, &sessions, letters),
        jobs,
        on_wake: Some(Arc::new(move |envelope| {
            sessions.hear(envelope);
            users::hear(&users, envelope);
        })),
    })
}

/// What mails go out by, if they do.
fn mailing(context: &Context) -> Result<Option<Mailing>, JobError> {
    let config = &context.config.notifications;
    let Some(url) = &config.mail_url else {
        return Ok(None);
    };
    let secret = config
        .client_secret
        .clone()
        .ok_or("`notifications.client_secret` must be set where mail is sent and auth is another process")?;
    let http = reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(2))
        // Auth is a neighbour: a proxy for the way out does not know it.
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()?;
    let tokens = ServiceTokens::new(
        &context.auth_url,
        ServiceName::Notifications.as_str(),
        secret,
        http.clone(),
        Arc::clone(&context.clock),
    );
    let post = Smtp::new(url, config.mail_from.as_deref().unwrap_or_default())?;
    Ok(Some(Mailing {
        contacts: Box::new(Auth {
            url: context.auth_url.clone(),
            tokens,
            http,
        }),
        post: Box::new(post),
        public_url: config.public_url.clone().unwrap_or_default(),
        time_zone: context.config.time_zone,
        outage: Outage::default(),
    }))
}
