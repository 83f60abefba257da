//! Somebody is to get a mail with a secret link.

use async_trait::async_trait;
use shared::{
    contracts::{MailPurpose, MailRequestedV1},
    db::Tx,
    inbox::{Handle, HandleError},
};

use crate::app::make_letters::Letters;

/// Puts the mails on the list, and makes the letters that tell that a new password was asked for. That an address is to be confirmed
/// is said in the mail alone: in the inbox it would be noise.
pub struct OnMailRequested(pub Letters);

#[async_trait]
impl Handle<MailRequestedV1> for OnMailRequested {
    async fn handle(&self, tx: &Tx, messages: &[MailRequestedV1]) -> Result<(), HandleError> {
        let told: Vec<_> = messages
            .iter()
            .filter(|request| request.purpose == MailPurpose::ResetPassword)
            .cloned()
            .collect();
        self.0.make(tx, &told).await?;
        Ok(self.0.mail_links(tx, messages).await?)
    }
}
