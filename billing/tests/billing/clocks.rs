//! Clocks that are wrong.

use std::sync::Arc;

use chrono::Duration;
use shared::{
    clock::{Clock as _, ManualClock, SystemClock},
    contracts::{
        PurchaseFailedV1, PurchasePaidV1, TopUpFailedV1, WalletCreditedV1, WalletDebitedV1,
        WithdrawalFailedV1,
    },
};

use crate::{Billing, DATABASES, LOYALTY, NOTIFICATIONS, held, rub};

/// As between replicas, or where the clock is read before the wallet is locked.
#[tokio::test]
async fn movements_of_a_wallet_follow_one_another_though_the_clock_goes_back() {
    for database in DATABASES {
        let clock = ManualClock::at(SystemClock.now());
        let billing = Billing::with(database, Arc::new(clock.clone()), |_| {}).await;
        let peers = &billing.service.peers;
        let (customer, cheap, dear) = (
            billing.customer(),
            billing.tariff(1_000).await,
            billing.tariff(50_000).await,
        );
        clock.advance(Duration::seconds(60));
        let back = || clock.advance(Duration::seconds(-1));
        customer.top_up(10_000).await.expect(200);
        back();
        customer.withdraw(500).await.expect(200);
        back();
        customer.buy(cheap).await.expect(201);
        back();
        customer.top_up(10_013).await.expect(402);
        back();
        customer.withdraw(20_000).await.expect(402);
        back();
        customer.buy(dear).await.expect(402);
        back();
        // Two in one batch, at one instant of the clock.
        let (first, one) = billing.begin(&customer, cheap).await;
        let (second, other) = billing.begin(&customer, cheap).await;
        peers
            .deliver(&peers.seal_all(&[held(&one, 100), held(&other, 200)]))
            .await;
        first.await.unwrap().expect(201);
        second.await.unwrap().expect(201);

        let transfers = customer.items("transfers").await;
        let balances: Vec<_> = transfers
            .iter()
            .map(|transfer| transfer["balance_after"].clone())
            .collect();
        assert_eq!(balances, [6_800, 7_600, 8_500, 9_500, 10_000].map(rub));
        let credited: WalletCreditedV1 = peers.hears(NOTIFICATIONS, |_| true).await;
        let debited: WalletDebitedV1 = peers.hears(NOTIFICATIONS, |_| true).await;
        let refused: WithdrawalFailedV1 = peers.hears(NOTIFICATIONS, |_| true).await;
        let declined: TopUpFailedV1 = peers.hears(NOTIFICATIONS, |_| true).await;
        let failed: PurchaseFailedV1 = peers.hears(NOTIFICATIONS, |_| true).await;
        peers
            .hears::<PurchasePaidV1>(LOYALTY, |paid| paid.purchase_id == other.purchase_id)
            .await;
        let paid: Vec<_> = peers
            .heard::<PurchasePaidV1>(LOYALTY)
            .iter()
            .map(|paid| paid.paid_at)
            .collect();
        let told = [
            credited.credited_at,
            debited.debited_at,
            paid[0],
            declined.failed_at,
            refused.failed_at,
            failed.failed_at,
            paid[1],
            paid[2],
        ];
        assert!(told.is_sorted_by(|one, next| one < next), "{told:#?}");
        billing.finish().await;
    }
}
