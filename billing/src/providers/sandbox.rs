//! A provider for trying: no money changes hands.

use async_trait::async_trait;

use super::{Charge, Outcome, PaymentProvider, ProviderError};
use crate::domain::ledger::{InvalidProviderName, ProviderName};

/// Amounts that end in these minor units (`10.13`) are declined, so that a decline can be tried.
const DECLINED_ENDING: i64 = 13;

/// Approves every charge at once, but declines amounts that end in `.13`.
#[derive(Clone, Debug)]
pub struct Sandbox {
    name: ProviderName,
}

impl Sandbox {
    /// The sandbox.
    ///
    /// # Errors
    /// Never: its name is a good one.
    pub fn new() -> Result<Self, InvalidProviderName> {
        Ok(Self {
            name: "sandbox".parse()?,
        })
    }
}

#[async_trait]
impl PaymentProvider for Sandbox {
    fn name(&self) -> &ProviderName {
        &self.name
    }

    async fn charge(&self, charge: &Charge) -> Result<Outcome, ProviderError> {
        Ok(if charge.amount.amount.0 % 100 == DECLINED_ENDING {
            Outcome::Declined {
                reason: "The sandbox declines amounts that end in 13.".to_owned(),
            }
        } else {
            Outcome::Approved
        })
    }
}
