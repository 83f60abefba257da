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
    contracts::{FailureReason, UserStatus},
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
    /// Whether the rules grant the use.
    admits: bool,
    /// Loyalty's rule that a failure which overtakes its hold inserts `cancelled`.
    late_hold_rule: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Wire {
    Hold,
    Held,
    Refused,
    Paid(i64),
    Failed(i64),
    Report,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Redemption {
    Held,
    Confirmed,
    /// Given back, or never taken.
    Cancelled,
    Refused,
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
        deadline: requested_at() + Duration::seconds(30),
    };
    let facts = Facts {
        user_status: None,
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

    fn actions(&self) -> Vec<Action> {
        let mut actions = vec![
            Action::Tick,
            Action::WatchDeadline,
            Action::Cancel,
            Action::Block,
            Action::EmptyWallet,
            Action::AskOutcome,
        ];
        for message in self.network.keys() {
            actions.extend([
                Action::Deliver(*message),
                Action::Duplicate(*message),
                Action::Lose(*message),
            ]);
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
            Action::Block => self.blocked = true,
            Action::EmptyWallet => self.balance = Amount::ZERO,
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
            Wire::Paid(version) => self.settle(version, true, setting),
            Wire::Failed(version) => self.settle(version, false, setting),
            Wire::Held => {
                let held = SagaMessage::Held {
                    list_price: LIST_PRICE,
                    discount: DISCOUNT,
                    final_price: Amount(LIST_PRICE.0 - DISCOUNT.0),
                };
                self.tell(&held, template);
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
            balance: self.balance,
            now,
            moves_at: now,
        };
        let step = step(&purchase, message, &facts).unwrap();
        if let Some(change) = step.next {
            self.balance = change.balance_after;
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
            let (redemption, answer) = if setting.admits {
                self.loyalty.uses += 1;
                (Redemption::Held, Wire::Held)
            } else {
                (Redemption::Refused, Wire::Refused)
            };
            self.loyalty.redemption = Some(redemption);
            self.loyalty.answer = Some(answer);
        }
        if let Some(answer) = self.loyalty.answer {
            self.send(answer);
        }
    }

    /// Loyalty's transaction for an outcome: the highest version wins.
    fn settle(&mut self, version: i64, paid: bool, setting: Setting) {
        if version <= self.loyalty.seen {
            return;
        }
        self.loyalty.seen = version;
        match (self.loyalty.redemption, paid) {
            (Some(Redemption::Held), true) => self.loyalty.redemption = Some(Redemption::Confirmed),
            (Some(Redemption::Held), false) => {
                self.loyalty.uses -= 1;
                self.loyalty.redemption = Some(Redemption::Cancelled);
            }
            (None, false) if setting.late_hold_rule => {
                self.loyalty.redemption = Some(Redemption::Cancelled);
            }
            _ => {}
        }
    }

    /// What must hold in every state.
    fn check_always(&self) -> Result<(), String> {
        let paid = self.state == PurchaseState::Paid;
        let charges: &[Amount] = if paid {
            &[Amount(LIST_PRICE.0 - DISCOUNT.0)]
        } else {
            &[]
        };
        let rules = [
            (
                "charged exactly when paid, once, list price less discount",
                self.charges == charges,
            ),
            (
                "one subscription exactly when paid",
                self.subscriptions == u8::from(paid),
            ),
            ("a wallet is never overdrawn", !self.balance.is_negative()),
            ("at most one use is taken", (0..=1).contains(&self.loyalty.uses)),
            ("a paid purchase has its use", !paid || self.loyalty.uses == 1),
        ];
        verify(self, &rules)
    }

    /// What must hold when the purchase has ended and no message is under way or unsent.
    fn check_at_rest(&self) -> Result<(), String> {
        let paid = self.state == PurchaseState::Paid;
        let redemption = self.loyalty.redemption;
        let rules = [
            ("it has ended", self.state != PurchaseState::Pending),
            (
                "paid, and only then, the use is kept",
                paid == (self.loyalty.uses == 1),
            ),
            (
                "paid, and only then, it is confirmed",
                paid == (redemption == Some(Redemption::Confirmed)),
            ),
            (
                "nothing stays held or undecided",
                !matches!(redemption, None | Some(Redemption::Held)),
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
            world.check_at_rest()?;
            endings.insert(world.state);
        }
        world
            .clone()
            .come_to_rest(&beginning.purchase, setting)?
            .check_at_rest()?;
        for action in world.actions() {
            let mut next = world.clone();
            next.act(action, &beginning.purchase, setting);
            if world.state != PurchaseState::Pending
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
        admits: true,
        late_hold_rule: true,
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
fn a_refused_purchase_is_never_paid_whatever_the_network_does() {
    let endings = explore(Setting {
        admits: false,
        late_hold_rule: true,
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
fn without_the_rule_for_late_holds_the_exploration_finds_the_lost_use() {
    let found = explore(Setting {
        admits: true,
        late_hold_rule: false,
    })
    .unwrap_err();
    // A use held for a failed purchase, which no outcome ever gives back.
    assert!(
        found.starts_with("does not come to rest") && found.contains("redemption: Some(Held)"),
        "{found}"
    );
}
