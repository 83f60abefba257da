//! The platform that is measured.

use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use shared::contracts::ServiceName;

use super::{
    books::Books,
    options::{Choice, Kind, Plan},
    processes::Watch,
    say,
    throwaway::ThrowAway,
};

/// Where the services that the clients call are served; replicas take turns.
#[derive(Clone, Debug)]
pub(super) struct Targets {
    pub(super) auth: Vec<Url>,
    pub(super) loyalty: Vec<Url>,
    pub(super) billing: Vec<Url>,
}

impl Targets {
    pub(super) fn by_service(&self) -> [(ServiceName, &[Url]); 3] {
        [
            (ServiceName::Auth, &self.auth),
            (ServiceName::Loyalty, &self.loyalty),
            (ServiceName::Billing, &self.billing),
        ]
    }

    /// Whether no TLS is needed.
    pub(super) fn are_plain(&self) -> bool {
        self.all().all(|url| url.scheme() == "http")
    }

    /// Whether every service is on this machine, so that its processes can be seen.
    fn are_local(&self) -> bool {
        self.all()
            .all(|url| matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]")))
    }

    fn all(&self) -> impl Iterator<Item = &Url> {
        self.by_service().into_iter().flat_map(|(_, urls)| urls)
    }
}

/// An administrator's name and password.
pub(super) struct Admin {
    pub(super) email: String,
    pub(super) password: SecretString,
}

/// Which platform was measured, as the report says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum SubjectName {
    /// A throw-away one in one process.
    Embedded,
    /// A throw-away one with a process a service and replica.
    Distributed { replicas: usize },
    /// One that ran already.
    Running,
}

impl SubjectName {
    pub(super) const fn of(choice: &Choice) -> Self {
        match choice {
            Choice::ThrowAway {
                kind: Kind::Embedded, ..
            } => Self::Embedded,
            Choice::ThrowAway {
                kind: Kind::Distributed,
                replicas,
            } => Self::Distributed { replicas: *replicas },
            Choice::Running { .. } => Self::Running,
        }
    }
}

/// A platform that runs, with an administrator.
pub(super) struct Subject {
    pub(super) targets: Targets,
    pub(super) admin: Admin,
    throw_away: Option<ThrowAway>,
}

impl Subject {
    /// Starts a throw-away platform, or takes the running one.
    ///
    /// # Errors
    /// When it does not start.
    pub(super) async fn start(plan: &Plan) -> anyhow::Result<Self> {
        let (kind, replicas) = match &plan.platform {
            Choice::ThrowAway { kind, replicas } => (*kind, *replicas),
            Choice::Running {
                targets,
                admin_email,
                password,
            } => {
                return Ok(Self {
                    targets: targets.clone(),
                    admin: Admin {
                        email: admin_email.clone(),
                        password: password.clone(),
                    },
                    throw_away: None,
                });
            }
        };
        say("Starting a throw-away platform.");
        let mut platform = match kind {
            Kind::Embedded => ThrowAway::embedded().await?,
            Kind::Distributed => ThrowAway::distributed(replicas).await?,
        };
        Ok(Self {
            targets: platform.targets()?,
            admin: platform.make_admin().await?,
            throw_away: Some(platform),
        })
    }

    /// The PostgreSQL for the comparison with raw SQL, if there is one.
    pub(super) fn postgres_url(&self, plan: &Plan) -> Option<SecretString> {
        let own = || self.throw_away.as_ref()?.postgres_url();
        let url = plan
            .postgres_url
            .as_ref()
            .map(|url| url.expose_secret().to_owned());
        url.or_else(own).map(SecretString::from)
    }

    /// Its processes, as far as they can be seen from here.
    pub(super) fn watch(&self) -> Watch {
        match &self.throw_away {
            Some(_) => Watch::Descendants,
            None if self.targets.are_local() => Watch::Machine,
            None => Watch::ClientOnly,
        }
    }

    /// Whether its books are right, once it is done with all that it was told. Nobody knows where
    /// a running platform keeps them.
    ///
    /// # Errors
    /// When that can't be found out.
    pub(super) async fn books(&self) -> anyhow::Result<Option<Books>> {
        match &self.throw_away {
            Some(platform) => Books::of(platform).await.map(Some),
            None => Ok(None),
        }
    }

    /// Stops it, if it was started here.
    ///
    /// # Errors
    /// When it does not stop as it should.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        match self.throw_away {
            Some(platform) => platform.stop().await,
            None => Ok(()),
        }
    }
}
