//! A provider for trying: no money changes hands.

use async_trait::async_trait;
use secrecy::SecretString;
use shared::config::{BillingConfig, SandboxMode};

use super::{Charge, Outcome, PaymentProvider, ProviderError};
use crate::domain::ledger::{InvalidProviderName, ProviderName};

/// Amounts that end in these minor units (`10.13`) are declined, so that a decline can be tried.
const DECLINED_ENDING: i64 = 13;

/// Approves every charge at once, but declines amounts that end in `.13`; or, if it is asynchronous,
/// leaves each to whoever signs a webhook.
#[derive(Clone, Debug)]
pub struct Sandbox {
    name: ProviderName,
    mode: SandboxMode,
    secret: Option<SecretString>,
}

impl Sandbox {
    /// The sandbox, as it is configured.
    ///
    /// # Errors
    /// Never: its name is a good one.
    pub fn new(config: &BillingConfig) -> Result<Self, InvalidProviderName> {
        Ok(Self {
            name: "sandbox".parse()?,
            mode: config.sandbox_mode,
            secret: config.sandbox_webhook_secret.clone(),
        })
    }
}

#[async_trait]
impl PaymentProvider for Sandbox {
    fn name(&self) -> &ProviderName {
        &self.name
    }

    async fn charge(&self, charge: &Charge) -> Result<Outcome, ProviderError> {
        if self.mode == SandboxMode::Asynchronous {
            return Ok(Outcome::Pending);
        }
        Ok(if charge.amount.amount.0 % 100 == DECLINED_ENDING {
            Outcome::Declined {
                reason: Some("The sandbox declines amounts that end in 13.".to_owned()),
            }
        } else {
            Outcome::Approved
        })
    }

    fn webhook_secret(&self) -> Option<&SecretString> {
        self.secret.as_ref()
    }
}
