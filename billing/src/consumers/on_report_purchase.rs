//! Loyalty has uses held for long and asks how their purchases ended.

use async_trait::async_trait;
use shared::{
    contracts::ReportPurchaseV1,
    db::Tx,
    inbox::{Handle, HandleError},
};

use super::Teller;
use crate::{app::settle_purchases::TellPurchase, domain::purchase::SagaMessage};

/// Says outcomes again, under new message ids.
pub(super) struct OnReportPurchase(pub Teller);

#[async_trait]
impl Handle<ReportPurchaseV1> for OnReportPurchase {
    async fn handle(&self, tx: &Tx, messages: &[ReportPurchaseV1]) -> Result<(), HandleError> {
        let told: Vec<_> = messages
            .iter()
            .map(|report| TellPurchase {
                purchase_id: report.purchase_id,
                user_id: None,
                message: SagaMessage::ReportRequested,
            })
            .collect();
        self.0.tell(tx, &told).await
    }
}
