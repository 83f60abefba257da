//! Payment providers: how money from outside comes into wallets.

mod sandbox;
pub mod signature;

use async_trait::async_trait;
pub use sandbox::Sandbox;
use secrecy::SecretString;
use shared::{
    ids::{TopUpId, UserId},
    money::Money,
};

use crate::domain::ledger::ProviderName;

/// Money that is asked of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge {
    /// The top-up; names the charge to the provider, who charges once however often it is asked.
    pub id: TopUpId,
    /// Who pays.
    pub user_id: UserId,
    /// How much.
    pub amount: Money,
}

/// What a provider says to a charge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The money is there.
    Approved,
    /// There will be none.
    Declined {
        /// Why, for the customer, if it says so.
        reason: Option<String>,
    },
    /// It will tell later.
    Pending,
}

/// The provider could not be asked. Nobody knows whether it charged; asking again is safe.
#[derive(Debug, thiserror::Error)]
#[error("the payment provider does not answer")]
pub struct ProviderError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Where money comes from.
#[async_trait]
pub trait PaymentProvider: Send + Sync {
    /// Its name; also that of its account in the ledger.
    fn name(&self) -> &ProviderName;

    /// Asks for the money. The same charge asked for again gets the same answer and moves no
    /// more money.
    async fn charge(&self, charge: &Charge) -> Result<Outcome, ProviderError>;

    /// With what it signs its webhooks; none if it sends none.
    fn webhook_secret(&self) -> Option<&SecretString> {
        None
    }
}
