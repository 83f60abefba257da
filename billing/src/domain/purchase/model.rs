//! Every history of one purchase, explored breadth first: the real saga, a small model of
//! loyalty, and a network that loses (and sends again), repeats and reorders.
//!
//! Cancellation, deadline, block, an emptied wallet and loyalty's question for the outcome may
//! come at any moment, early ones included. A crash is a message that comes again, since what
//! a service does for a message is one transaction.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};

use chrono::Duration;
use shared::{
    clock::Instant,
    contracts::{FailureReason, NotHeldReason, UserStatus},
    ids::{PurchaseId, TariffId, UserId},
    money::Amount,
};
use uuid::Uuid;

use super::*;
use crate::domain::tariff::{NewTariff, Tariff};

const LIST_PRICE: Amount = Amount(1_000);
const DISCOUNT: Amount = Amount(100);
/// Enough for the discounted price, not for the full one.
const BALANCE: Amount = Amount(950);
/// As many copies of one message as are under way at once.
const COPIES: u8 = 2;

/// What is the same in all histories of one exploration.
#[derive(Clone, Copy, Debug)]
struct Setting {
    /// What the rules say.
    rules: Rules,
    /// Loyalty's rule that a failure which overtakes its hold inserts `cancelled`.
    late_hold_rule: bool,
    /// What a refund does by the campaign's terms; none if nobody refunds, and then the buyer
    /// cancels, is blocked and spends. Both at once are too many histories, and what ends a
    /// purchase has no say in its refund.
    refunds: Option<RefundTerms>,
}

/// What loyalty's rules say of the one hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rules {
    /// They grant the use.
    Admit,
    Refuse,
    /// They would grant it, and the price is not for this buyer.
    HoldNothing(NotHeldReason),
    /// They would grant it, and others hold all uses, which may come back or be confirmed.
    Wait,
}

/// Whether a refund gives the use back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RefundTerms {
    ReturnUse,
    KeepUse,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Wire {
    Hold,
    Held,
    Refused,
    NotHeld,
    Paid(i64),
    Failed(i64),
    Refunded(i64),
    Report,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Redemption {
    /// No redemption yet: the hold waits for a use that others hold.
    Waiting,
    Held,
    Confirmed,
    /// Given back, or never taken.
    Cancelled,
    Refused,
    /// Given back after a refund.
    Returned,
}

/// What loyalty hears of the purchase's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Paid,
    Failed,
    Refunded,
}

/// Loyalty's one row for the purchase.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Loyalty {
    redemption: Option<Redemption>,
    /// The answer that a repeated hold gets again.
    answer: Option<Wire>,
    /// The purchase's highest version so far.
    seen: i64,
    uses: i8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    state: PurchaseState,
    version: i64,
    discount: Amount,
    balance: Amount,
    charges: Vec<Amount>,
    refunds: Vec<Amount>,
    ended_subscriptions: u8,
    subscriptions: u8,
    after_deadline: bool,
    blocked: bool,
    loyalty: Loyalty,
    /// Under way: how many copies of what.
    network: BTreeMap<Wire, u8>,
    /// Lost on the way, and kept in the sender's outbox.
    unsent: BTreeSet<Wire>,
}

#[derive(Clone, Copy, Debug)]
enum Action {
    Deliver(Wire),
    Duplicate(Wire),
    Lose(Wire),
    Resend(Wire),
    Tick,
    WatchDeadline,
    Cancel,
    Block,
    EmptyWallet,
    AskOutcome,
    Refund,
    /// A use comes back that the hold waits for.
    UseComesBack,
    /// Others have all uses for good.
    UsesAreGone,
    /// Loyalty gives the waiting hold up.
    GiveUp,
}

fn requested_at() -> Instant {
    Instant::UNIX_EPOCH
}

/// The purchase of every history, as it starts.
fn beginning() -> Started {
    let new = NewTariff::parse("Basic", LIST_PRICE, "P1M").unwrap();
    let request = PurchaseRequest {
        id: PurchaseId(Uuid::nil()),
        user_id: UserId(Uuid::nil()),
        promocode: Some("SALE".to_owned()),
        expected_price: None,
        deadline: requested_at() + Duration::seconds(30),
    };
    let facts = Facts {
        user_status: None,
        has_purchased: false,
        balance: BALANCE,
        now: requested_at(),
        moves_at: requested_at(),
    };
    start(request, &Tariff::new(TariffId(Uuid::nil()), new), &facts).unwrap()
}

impl World {
    fn new(beginning: &Started) -> Self {
        let mut world = Self {
            state: beginning.purchase.state,
            version: beginning.purchase.version,
            discount: beginning.purchase.discount,
            balance: BALANCE,
            charges: Vec::new(),
            refunds: Vec::new(),
            ended_subscriptions: 0,
            subscriptions: 0,
            after_deadline: false,
            blocked: false,
            loyalty: Loyalty::default(),
            network: BTreeMap::new(),
            unsent: BTreeSet::new(),
        };
        world.carry_out(&beginning.effects);
        world
    }

    fn send(&mut self, message: Wire) {
        let copies = self.network.entry(message).or_default();
        *copies = (*copies + 1).min(COPIES);
    }

    fn take(&mut self, message: Wire) {
        if let Some(copies) = self.network.get_mut(&message) {
            *copies -= 1;
            if *copies == 0 {
                self.network.remove(&message);
            }
        }
    }

    fn actions(&self, setting: Setting) -> Vec<Action> {
        let mut actions = vec![Action::Tick, Action::WatchDeadline, Action::AskOutcome];
        if setting.refunds.is_some() {
            actions.push(Action::Refund);
        } else {
            actions.extend([Action::Cancel, Action::Block, Action::EmptyWallet]);
        }
        if self.loyalty.redemption == Some(Redemption::Waiting) {
            actions.extend([Action::UseComesBack, Action::UsesAreGone]);
            if self.after_deadline {
                actions.push(Action::GiveUp);
            }
        }
        for message in self.network.keys() {
            actions.extend([Action::Deliver(*message), Action::Lose(*message)]);
            // What is repeated before the purchase has ended is explored without refunds.
            let before_the_end = matches!(message, Wire::Hold | Wire::Report);
            if setting.refunds.is_none() || !before_the_end {
                actions.push(Action::Duplicate(*message));
            }
        }
        actions.extend(self.unsent.iter().map(|message| Action::Resend(*message)));
        actions
    }

    fn act(&mut self, action: Action, template: &Purchase, setting: Setting) {
        match action {
            Action::Deliver(message) => {
                self.take(message);
                self.deliver(message, template, setting);
            }
            Action::Duplicate(message) => self.send(message),
            Action::Lose(message) => {
                self.take(message);
                self.unsent.insert(message);
            }
            Action::Resend(message) => {
                self.unsent.remove(&message);
                self.send(message);
            }
            Action::Tick => self.after_deadline = true,
            Action::WatchDeadline => self.tell(&SagaMessage::DeadlinePassed, template),
            Action::Cancel => self.tell(&SagaMessage::CancelRequested, template),
            Action::Refund => {
                let refund = SagaMessage::RefundRequested {
                    reason: "a mistake".to_owned(),
                };
                self.tell(&refund, template);
            }
            Action::Block => self.blocked = true,
            Action::EmptyWallet => self.balance = Amount::ZERO,
            Action::UseComesBack => self.decide(Redemption::Held, Wire::Held),
            Action::UsesAreGone => self.decide(Redemption::Refused, Wire::Refused),
            // Billing hears nothing of it: its own deadline is over.
            Action::GiveUp => self.loyalty.redemption = Some(Redemption::Cancelled),
            Action::AskOutcome => {
                if self.loyalty.redemption == Some(Redemption::Held) {
                    self.send(Wire::Report);
                }
            }
        }
    }

    fn deliver(&mut self, message: Wire, template: &Purchase, setting: Setting) {
        match message {
            Wire::Hold => self.hold(setting),
            Wire::Paid(version) => self.settle(version, Outcome::Paid, setting),
            Wire::Failed(version) => self.settle(version, Outcome::Failed, setting),
            Wire::Refunded(version) => self.settle(version, Outcome::Refunded, setting),
            Wire::Held => {
                let held = SagaMessage::Held {
                    list_price: LIST_PRICE,
                    discount: DISCOUNT,
                    final_price: Amount(LIST_PRICE.0 - DISCOUNT.0),
                    first_purchase_only: false,
                };
                self.tell(&held, template);
            }
            Wire::NotHeld => {
                let Rules::HoldNothing(reason) = setting.rules else {
                    return;
                };
                let not_held = SagaMessage::NotHeld {
                    list_price: LIST_PRICE,
                    discount: DISCOUNT,
                    final_price: Amount(LIST_PRICE.0 - DISCOUNT.0),
                    reason,
                };
                self.tell(&not_held, template);
            }
            Wire::Refused => self.tell(&SagaMessage::Refused { reasons: Vec::new() }, template),
            Wire::Report => self.tell(&SagaMessage::ReportRequested, template),
        }
    }

    /// Billing's transaction.
    fn tell(&mut self, message: &SagaMessage, template: &Purchase) {
        let purchase = Purchase {
            state: self.state,
            version: self.version,
            discount: self.discount,
            ..template.clone()
        };
        let now = if self.after_deadline {
            template.deadline
        } else {
            requested_at()
        };
        let facts = Facts {
            user_status: Some(if self.blocked {
                UserStatus::Blocked
            } else {
                UserStatus::Active
            }),
            has_purchased: false,
            balance: self.balance,
            now,
            moves_at: now,
        };
        let step = step(&purchase, message, &facts).unwrap();
        if let Some(change) = step.next {
            self.balance = match &change.refund {
                Some(refund) => refund.balance_after,
                None => change.balance_after,
            };
            self.discount = change.discount;
            self.state = change.state;
            self.version = change.version;
        }
        self.carry_out(&step.effects);
    }

    fn carry_out(&mut self, effects: &[Effect]) {
        for effect in effects {
            match (effect, self.state) {
                (Effect::Hold, _) => self.send(Wire::Hold),
                (Effect::Charge { amount }, _) => self.charges.push(amount.amount()),
                (Effect::ActivateSubscription, _) => self.subscriptions += 1,
                (Effect::GiveBack { amount }, _) => self.refunds.push(amount.amount()),
                // Nobody is deleted here, only blocked.
                (Effect::Forfeit { .. }, _) => self.refunds.clear(),
                (Effect::EndSubscription, _) => self.ended_subscriptions += 1,
                (Effect::SayRefunded, _) | (Effect::SayAgain, PurchaseState::Refunded) => {
                    self.send(Wire::Refunded(self.version));
                }
                (Effect::SayPaid, _) | (Effect::SayAgain, PurchaseState::Paid) => {
                    self.send(Wire::Paid(self.version));
                }
                (Effect::SayFailed | Effect::SayAgain, _) => self.send(Wire::Failed(self.version)),
            }
        }
    }

    /// Loyalty's transaction for a hold: decides once, then repeats itself.
    fn hold(&mut self, setting: Setting) {
        if self.loyalty.redemption.is_none() {
            match setting.rules {
                Rules::Admit => self.decide(Redemption::Held, Wire::Held),
                Rules::Refuse => self.decide(Redemption::Refused, Wire::Refused),
                Rules::HoldNothing(_) => self.decide(Redemption::Cancelled, Wire::NotHeld),
                Rules::Wait => self.loyalty.redemption = Some(Redemption::Waiting),
            }
        } else if let Some(answer) = self.loyalty.answer {
            self.send(answer);
        }
    }

    /// Loyalty's one decision, with its answer.
    fn decide(&mut self, redemption: Redemption, answer: Wire) {
        self.loyalty.uses += i8::from(redemption == Redemption::Held);
        self.loyalty.redemption = Some(redemption);
        self.loyalty.answer = Some(answer);
        self.send(answer);
    }

    /// Loyalty's transaction for an outcome: the highest version wins.
    fn settle(&mut self, version: i64, outcome: Outcome, setting: Setting) {
        if version <= self.loyalty.seen {
            return;
        }
        self.loyalty.seen = version;
        let status = match (self.loyalty.redemption, outcome) {
            (Some(Redemption::Held), Outcome::Failed) => Redemption::Cancelled,
            (Some(Redemption::Held | Redemption::Confirmed), Outcome::Refunded)
                if setting.refunds == Some(RefundTerms::ReturnUse) =>
            {
                Redemption::Returned
            }
            // A refund that overtakes its payment says that it was paid.
            (Some(Redemption::Held | Redemption::Confirmed), Outcome::Paid | Outcome::Refunded) => {
                Redemption::Confirmed
            }
            (Some(Redemption::Waiting), Outcome::Failed) => {
                self.loyalty.redemption = Some(Redemption::Cancelled);
                return;
            }
            (None, Outcome::Failed) if setting.late_hold_rule => {
                self.loyalty.redemption = Some(Redemption::Cancelled);
                return;
            }
            _ => return,
        };
        if matches!(status, Redemption::Cancelled | Redemption::Returned) {
            self.loyalty.uses -= 1;
        }
        self.loyalty.redemption = Some(status);
    }

    /// What must hold in every state.
    fn check_always(&self) -> Result<(), String> {
        let refunded = self.state == PurchaseState::Refunded;
        let charged = refunded || self.state == PurchaseState::Paid;
        let cost = [Amount(LIST_PRICE.0 - DISCOUNT.0)];
        let once = |happened: bool| if happened { &cost[..] } else { &[] };
        let rules = [
            (
                "charged exactly when paid, once, list price less discount",
                self.charges == once(charged),
            ),
            (
                "given back exactly when refunded, once, what was charged",
                self.refunds == once(refunded),
            ),
            (
                "one subscription exactly when paid, and it ends with a refund",
                self.subscriptions == u8::from(charged) && self.ended_subscriptions == u8::from(refunded),
            ),
            ("a wallet is never overdrawn", !self.balance.is_negative()),
            ("at most one use is taken", (0..=1).contains(&self.loyalty.uses)),
            (
                "a paid purchase has its use",
                self.state != PurchaseState::Paid || self.loyalty.uses == 1,
            ),
        ];
        verify(self, &rules)
    }

    /// What must hold when the purchase has ended and no message is under way or unsent.
    fn check_at_rest(&self, setting: Setting) -> Result<(), String> {
        let keeps_use = match self.state {
            PurchaseState::Paid => true,
            PurchaseState::Refunded => setting.refunds == Some(RefundTerms::KeepUse),
            _ => false,
        };
        let redemption = self.loyalty.redemption;
        let rules = [
            ("it has ended", self.state != PurchaseState::Pending),
            (
                "the use is kept when paid, and as the terms say when refunded",
                keeps_use == (self.loyalty.uses == 1),
            ),
            (
                "a use that is kept, and only that, is confirmed",
                keeps_use == (redemption == Some(Redemption::Confirmed)),
            ),
            (
                "a use is returned after a refund only",
                redemption != Some(Redemption::Returned) || self.state == PurchaseState::Refunded,
            ),
            (
                "nothing stays held or undecided",
                !matches!(redemption, None | Some(Redemption::Held | Redemption::Waiting)),
            ),
        ];
        verify(self, &rules)
    }

    fn is_at_rest(&self) -> bool {
        self.state != PurchaseState::Pending && self.network.is_empty() && self.unsent.is_empty()
    }

    /// Lets time pass and everything arrive, as it does in the end: it must come to rest.
    fn come_to_rest(mut self, template: &Purchase, setting: Setting) -> Result<Self, String> {
        self.act(Action::Tick, template, setting);
        self.act(Action::WatchDeadline, template, setting);
        for _ in 0..100 {
            if let Some(message) = self.unsent.first().copied() {
                self.act(Action::Resend(message), template, setting);
            } else if let Some(message) = self.network.keys().next().copied() {
                self.act(Action::Deliver(message), template, setting);
            } else if self.loyalty.redemption == Some(Redemption::Held) {
                self.act(Action::AskOutcome, template, setting);
            } else {
                return Ok(self);
            }
        }
        Err(format!("does not come to rest: {self:?}"))
    }
}

fn verify(world: &World, rules: &[(&str, bool)]) -> Result<(), String> {
    match rules.iter().find(|(_, holds)| !holds) {
        Some((rule, _)) => Err(format!("broken: {rule}: {world:?}")),
        None => Ok(()),
    }
}

/// Explores everything that can happen; gives the states in which purchases came to rest.
fn explore(setting: Setting) -> Result<HashSet<PurchaseState>, String> {
    let beginning = beginning();
    let first = World::new(&beginning);
    let mut known = HashSet::from([first.clone()]);
    let mut waiting = VecDeque::from([first]);
    let mut endings = HashSet::new();
    while let Some(world) = waiting.pop_front() {
        world.check_always()?;
        if world.is_at_rest() {
            world.check_at_rest(setting)?;
            endings.insert(world.state);
        }
        world
            .clone()
            .come_to_rest(&beginning.purchase, setting)?
            .check_at_rest(setting)?;
        for action in world.actions(setting) {
            let mut next = world.clone();
            next.act(action, &beginning.purchase, setting);
            let refunds = (world.state, next.state) == (PurchaseState::Paid, PurchaseState::Refunded);
            if world.state != PurchaseState::Pending
                && !refunds
                && (next.state, next.version) != (world.state, world.version)
            {
                return Err(format!("{action:?} changes what is final: {world:?}"));
            }
            if known.insert(next.clone()) {
                waiting.push_back(next);
            }
        }
    }
    Ok(endings)
}

#[test]
fn every_purchase_ends_and_its_use_follows_it_whatever_the_network_does() {
    let endings = explore(Setting {
        rules: Rules::Admit,
        late_hold_rule: true,
        refunds: None,
    })
    .unwrap();
    let expected = [
        PurchaseState::Paid,
        PurchaseState::Failed(FailureReason::InsufficientFunds),
        PurchaseState::Failed(FailureReason::UserBlocked),
        PurchaseState::Failed(FailureReason::TimedOut),
        PurchaseState::Failed(FailureReason::Cancelled),
    ];
    assert_eq!(endings, HashSet::from(expected));
}

#[test]
fn a_refund_gives_back_what_was_charged_and_the_use_as_the_terms_say_whatever_the_network_does() {
    for terms in [RefundTerms::ReturnUse, RefundTerms::KeepUse] {
        let endings = explore(Setting {
            rules: Rules::Admit,
            late_hold_rule: true,
            refunds: Some(terms),
        })
        .unwrap();
        let expected = [
            PurchaseState::Paid,
            PurchaseState::Refunded,
            PurchaseState::Failed(FailureReason::TimedOut),
        ];
        assert_eq!(endings, HashSet::from(expected), "{terms:?}");
    }
}

#[test]
fn a_refused_purchase_is_never_paid_whatever_the_network_does() {
    let endings = explore(Setting {
        rules: Rules::Refuse,
        late_hold_rule: true,
        refunds: None,
    })
    .unwrap();
    let expected = [
        FailureReason::PromocodeRefused,
        FailureReason::TimedOut,
        FailureReason::Cancelled,
    ];
    assert_eq!(endings, HashSet::from(expected.map(PurchaseState::Failed)));
}

#[test]
fn a_purchase_at_the_wrong_price_is_never_paid_and_never_has_a_use_whatever_the_network_does() {
    for (reason, failure) in [
        (NotHeldReason::InsufficientFunds, FailureReason::InsufficientFunds),
        (NotHeldReason::PriceChanged, FailureReason::PriceChanged),
    ] {
        let endings = explore(Setting {
            rules: Rules::HoldNothing(reason),
            late_hold_rule: true,
            refunds: None,
        })
        .unwrap();
        let expected = [
            failure,
            FailureReason::UserBlocked,
            FailureReason::TimedOut,
            FailureReason::Cancelled,
        ];
        assert_eq!(endings, HashSet::from(expected.map(PurchaseState::Failed)));
    }
}

#[test]
fn a_hold_that_waits_ends_with_its_purchase_whatever_the_network_does() {
    let endings = explore(Setting {
        rules: Rules::Wait,
        late_hold_rule: true,
        refunds: None,
    })
    .unwrap();
    let expected = [
        PurchaseState::Paid,
        PurchaseState::Failed(FailureReason::PromocodeRefused),
        PurchaseState::Failed(FailureReason::InsufficientFunds),
        PurchaseState::Failed(FailureReason::UserBlocked),
        PurchaseState::Failed(FailureReason::TimedOut),
        PurchaseState::Failed(FailureReason::Cancelled),
    ];
    assert_eq!(endings, HashSet::from(expected));
}

#[test]
fn without_the_rule_for_late_holds_the_exploration_finds_the_lost_use() {
    let found = explore(Setting {
        rules: Rules::Admit,
        late_hold_rule: false,
        refunds: None,
    })
    .unwrap_err();
    // A use held for a failed purchase, which no outcome ever gives back.
    assert!(
        found.starts_with("does not come to rest") && found.contains("redemption: Some(Held)"),
        "{found}"
    );
}
