//! What can be configured of wallets and purchases.

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::{ConfigError, Environment, error::wrong};

/// What can be guessed is no secret.
const SHORTEST_SECRET: usize = 16;

/// Wallets and purchases.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BillingConfig {
    /// `postgres://…`; absent means a file in the data folder.
    pub database_url: Option<SecretString>,
    /// After how many seconds a purchase without an answer about its promocode fails.
    pub purchase_deadline_seconds: u32,
    /// After how many milliseconds without an answer about its promocode loyalty is asked again while
    /// the buyer waits: another replica may answer. 0 is never.
    pub ask_again_milliseconds: u32,
    /// Whether the `sandbox` payment provider, which approves at once, is on. Refused in production.
    pub sandbox: Option<bool>,
    /// When the `sandbox` decides.
    pub sandbox_mode: SandboxMode,
    /// With what the webhooks of the `sandbox` are signed; without it, it takes none.
    pub sandbox_webhook_secret: Option<SecretString>,
    /// How many minutes there are between two times that billing holds its own books.
    pub reconcile_minutes: u32,
    /// How many days before its end a user is told that a subscription ends. Of one that is no longer
    /// than that they are not told, so it is less than any month.
    pub ending_notice_days: u32,
    /// How many purchases of a user may fail within a quarter of an hour for lack of money, and as many
    /// for their promocode, before the next ones that would fail, or have a promocode, have to wait.
    pub max_failed_purchases: u32,
    /// How many withdrawals may fail for lack of money before the next one that would has to wait.
    pub max_failed_withdrawals: u32,
    /// How many top-ups may be declined or undecided before the next one has to wait.
    pub max_unpaid_top_ups: u32,
}

impl Default for BillingConfig {
    fn default() -> Self {
        Self {
            database_url: None,
            purchase_deadline_seconds: 30,
            ask_again_milliseconds: 500,
            sandbox: None,
            sandbox_mode: SandboxMode::default(),
            sandbox_webhook_secret: None,
            reconcile_minutes: 60,
            ending_notice_days: 3,
            max_failed_purchases: 10,
            max_failed_withdrawals: 10,
            max_unpaid_top_ups: 20,
        }
    }
}

/// When the `sandbox` payment provider decides about a top-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum SandboxMode {
    /// At once.
    #[default]
    Immediate,
    /// When a signed webhook says what it decides, as real providers do.
    Asynchronous,
}

impl BillingConfig {
    /// Whether the sandbox provider is on: as configured, else everywhere but in production.
    #[must_use]
    pub fn sandbox_is_on(&self, environment: Environment) -> bool {
        self.sandbox.unwrap_or(environment == Environment::Development)
    }

    pub(super) fn check(&self, environment: Environment) -> Result<(), ConfigError> {
        if environment == Environment::Production && self.sandbox == Some(true) {
            return wrong(
                "billing.sandbox",
                "the sandbox makes money out of nothing and is refused in production",
            );
        }
        if !(1..=3_600).contains(&self.purchase_deadline_seconds) {
            return wrong("billing.purchase_deadline_seconds", "it must be from 1 to 3600");
        }
        if !matches!(self.ask_again_milliseconds, 0 | 100..=10_000) {
            return wrong(
                "billing.ask_again_milliseconds",
                "it must be 0, which is never, or from 100 to 10000",
            );
        }
        let secret = self.sandbox_webhook_secret.as_ref();
        if secret.is_none() && self.sandbox_mode == SandboxMode::Asynchronous {
            return wrong(
                "billing.sandbox_webhook_secret",
                "the asynchronous sandbox decides by signed webhook and needs it",
            );
        }
        if secret.is_some_and(|secret| secret.expose_secret().len() < SHORTEST_SECRET) {
            return wrong(
                "billing.sandbox_webhook_secret",
                "it must have at least 16 characters",
            );
        }
        for (key, most) in [
            ("billing.max_failed_purchases", self.max_failed_purchases),
            ("billing.max_failed_withdrawals", self.max_failed_withdrawals),
            ("billing.max_unpaid_top_ups", self.max_unpaid_top_ups),
        ] {
            if most == 0 {
                return wrong(key, "it must be at least 1");
            }
        }
        if !(1..=10_080).contains(&self.reconcile_minutes) {
            return wrong("billing.reconcile_minutes", "it must be from 1 to 10080");
        }
        if !(1..=27).contains(&self.ending_notice_days) {
            return wrong(
                "billing.ending_notice_days",
                "it must be from 1 to 27: nobody is told of what is no longer than that, as a month may be",
            );
        }
        Ok(())
    }
}
