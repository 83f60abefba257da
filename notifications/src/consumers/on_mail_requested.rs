//! Somebody is to get a mail with a secret link.

use async_trait::async_trait;
use shared::{
    contracts::{MailPurpose, MailRequestedV1},
    db::Tx,
    inbox::{Handle, HandleError},
};

use crate::app::make_letters::make_letters;

/// Makes the letters that tell that a new password was asked for. That an address is to be confirmed
/// is said in the mail alone: in the inbox it would be noise.
pub struct OnMailRequested;

#[async_trait]
impl Handle<MailRequestedV1> for OnMailRequested {
    async fn handle(&self, tx: &Tx, messages: &[MailRequestedV1]) -> Result<(), HandleError> {
        let told: Vec<_> = messages
            .iter()
            .filter(|request| request.purpose == MailPurpose::ResetPassword)
            .cloned()
            .collect();
        Ok(make_letters(tx, &told).await?)
    }
}
