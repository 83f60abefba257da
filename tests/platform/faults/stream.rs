//! People who buy all the time, each purchase under a key of its own that they repeat until they
//! know how it ended: so that every purchase is known, whatever happens to the answers.

use std::{
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::{Value, json};
use shared::testing::Api;
use tokio::{task::JoinSet, time::sleep};

use super::arena::{Buyer, EACH, OPEN};

/// How long a client waits for an answer before it asks again.
const PATIENCE: Duration = Duration::from_secs(4);
const BEFORE_AGAIN: Duration = Duration::from_millis(100);
/// In which every purchase has to be answered, whatever happens.
const LONGEST: Duration = Duration::from_secs(90);
/// Clients of each customer: their purchases meet in one wallet.
const CLIENTS: usize = 2;
/// Purchases with a promocode after which a stream is steady.
const STEADY: usize = 10;

/// What a client is after.
#[derive(Clone, Debug)]
pub struct Wish {
    pub buyer: usize,
    pub key: String,
    pub promocode: Option<String>,
}

/// How a purchase ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Paid,
    /// With the problem's code.
    Failed(String),
}

/// A wish, and what has become of it.
#[derive(Clone)]
pub struct Intent {
    pub wish: Wish,
    pub begun: Instant,
    ended: Option<(Instant, Outcome)>,
    tries: usize,
    /// What was wrong with the last try.
    trouble: String,
}

impl Intent {
    fn new(wish: Wish) -> Self {
        Self {
            wish,
            begun: Instant::now(),
            ended: None,
            tries: 0,
            trouble: String::new(),
        }
    }

    pub fn outcome(&self) -> Option<&Outcome> {
        self.ended.as_ref().map(|(_, outcome)| outcome)
    }

    pub fn is_paid(&self) -> bool {
        self.outcome() == Some(&Outcome::Paid)
    }

    pub fn is_timed_out(&self) -> bool {
        self.outcome() == Some(&Outcome::Failed("purchase_timed_out".to_owned()))
    }

    fn ended_at(&self) -> Option<Instant> {
        self.ended.as_ref().map(|(at, _)| *at)
    }
}

impl fmt::Debug for Intent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Wish {
            buyer,
            key,
            promocode,
        } = &self.wish;
        let (outcome, tries, trouble) = (self.outcome(), self.tries, &self.trouble);
        write!(
            f,
            "{key} of buyer {buyer} with {promocode:?}: {outcome:?} after {tries} tries ({trouble})"
        )
    }
}

/// What one try gives.
enum Answer {
    Ended(Outcome),
    /// Nobody knows; a well-behaved client asks again with the same key.
    Again(String),
}

/// Buys, and repeats the request until it is known how it ended; without outcome if that takes too
/// long or the answer is one that nobody should get. Each try is told to `now`.
pub async fn buy(api: &Api, tariff: &str, wish: Wish, now: impl Fn(&Intent)) -> Intent {
    let mut intent = Intent::new(wish);
    loop {
        intent.tries += 1;
        let answer = ask(api, tariff, &intent.wish).await;
        let goes_on = matches!(answer, Ok(Answer::Again(_))) && intent.begun.elapsed() < LONGEST;
        match answer {
            Ok(Answer::Ended(outcome)) => intent.ended = Some((Instant::now(), outcome)),
            Ok(Answer::Again(trouble)) | Err(trouble) => intent.trouble = trouble,
        }
        now(&intent);
        if !goes_on {
            return intent;
        }
        sleep(BEFORE_AGAIN).await;
    }
}

pub fn body_of(tariff: &str, wish: &Wish) -> Value {
    let mut body = json!({"tariff_id": tariff});
    if let Some(promocode) = &wish.promocode {
        body["promocode"] = json!(promocode);
    }
    body
}

async fn ask(api: &Api, tariff: &str, wish: &Wish) -> Result<Answer, String> {
    let sent = api
        .request(Method::POST, "/billing/v1/purchases")
        .header("idempotency-key", &wish.key)
        .timeout(PATIENCE)
        .json(&body_of(tariff, wish))
        .send()
        .await;
    let (status, body) = match sent {
        Err(error) => return Ok(Answer::Again(error.to_string())),
        Ok(answer) => (
            answer.status().as_u16(),
            answer.json::<Value>().await.unwrap_or_default(),
        ),
    };
    match (status, body["code"].as_str().unwrap_or_default()) {
        (201, _) if body["status"] == "paid" => Ok(Answer::Ended(Outcome::Paid)),
        (202 | 500.., _) | (409, "idempotency_key_in_flight") => {
            Ok(Answer::Again(format!("{status} {body}")))
        }
        (402 | 422, code @ ("insufficient_funds" | "promocode_refused" | "purchase_timed_out")) => {
            Ok(Answer::Ended(Outcome::Failed(code.to_owned())))
        }
        _ => Err(format!("unexpected: {status} {body}")),
    }
}

/// Customers who buy until they are told to stop.
pub struct Stream {
    stop: Arc<AtomicBool>,
    clients: JoinSet<()>,
    seen: Arc<Mutex<Vec<Intent>>>,
}

impl Stream {
    /// Returns when purchases flow.
    pub async fn start(buyers: &[Buyer], tariff: &str, hot: &str, round: usize) -> Self {
        let mut stream = Self {
            stop: Arc::default(),
            clients: JoinSet::new(),
            seen: Arc::default(),
        };
        for client in 0..buyers.len() * CLIENTS {
            let buyer = client / CLIENTS;
            let client = Client {
                api: buyers[buyer].user.api.clone(),
                buyer,
                number: client,
                round,
                tariff: tariff.to_owned(),
                hot: hot.to_owned(),
                stop: Arc::clone(&stream.stop),
                seen: Arc::clone(&stream.seen),
            };
            stream.clients.spawn(client.run());
        }
        stream
            .waits_until("purchases flow", LONGEST, |seen| {
                seen.iter()
                    .filter(|intent| intent.is_paid() && intent.wish.promocode.is_some())
                    .count()
                    >= STEADY
            })
            .await;
        stream
    }

    fn seen(&self) -> Vec<Intent> {
        self.seen.lock().unwrap().clone()
    }

    /// Waits for something that the customers see.
    pub async fn waits_until(&self, what: &str, bound: Duration, is_so: impl Fn(&[Intent]) -> bool) {
        let start = Instant::now();
        loop {
            let seen = self.seen();
            if is_so(&seen) {
                return;
            }
            if start.elapsed() > bound {
                let waiting: Vec<_> = seen.iter().filter(|intent| intent.outcome().is_none()).collect();
                panic!("waited in vain until {what}; those who wait: {waiting:#?}");
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until at least `count` purchases with a promocode that were begun after `since` have been
    /// waiting for longer than one usually takes.
    pub async fn waits_for_somebody_stuck(&self, since: Instant, count: usize) {
        self.waits_until("purchases are stuck", LONGEST, |seen| {
            let stuck = seen.iter().filter(|intent| {
                intent.wish.promocode.is_some()
                    && intent.begun > since
                    && intent.outcome().is_none()
                    && intent.begun.elapsed() > Duration::from_millis(300)
            });
            stuck.count() >= count
        })
        .await;
    }

    /// After a fault that was over at `over`: purchases are paid again, and whatever was begun before
    /// that has ended, both within `bound`; then goes on a little. Says how long it took.
    pub async fn recovers(&self, fault: &str, over: Instant, bound: Duration) {
        let paid_again = |seen: &[Intent]| {
            seen.iter()
                .filter(|intent| intent.is_paid() && intent.wish.promocode.is_some())
                .filter_map(|intent| intent.ended_at().filter(|ended| *ended > over))
                .min()
        };
        let is_settled = |seen: &[Intent]| {
            seen.iter()
                .filter(|intent| intent.begun <= over)
                .all(|intent| intent.outcome().is_some())
        };
        self.waits_until(&format!("purchases are paid again ({fault})"), LONGEST, |seen| {
            paid_again(seen).is_some() && is_settled(seen)
        })
        .await;
        let seen = self.seen();
        let paid = paid_again(&seen).map_or(Duration::MAX, |at| at - over);
        let settled = seen
            .iter()
            .filter(|intent| intent.begun <= over)
            .filter_map(Intent::ended_at)
            .max()
            .map_or(Duration::ZERO, |at| at.saturating_duration_since(over));
        eprintln!(
            "fault {fault}: first purchase paid again after {} ms, all settled after {} ms",
            paid.as_millis(),
            settled.as_millis()
        );
        assert!(
            paid < bound && settled < bound,
            "{fault}: paid again after {paid:?}, settled after {settled:?}, and both should take less than {bound:?}"
        );
        let now = Instant::now();
        self.waits_until(&format!("purchases go on ({fault})"), LONGEST, |seen| {
            let since = seen
                .iter()
                .filter(|intent| intent.is_paid() && intent.begun > now);
            since.count() >= STEADY
        })
        .await;
    }

    /// Lets everybody finish what they are at; all that was ever asked for.
    pub async fn end(mut self) -> Vec<Intent> {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(client) = self.clients.join_next().await {
            client.unwrap();
        }
        let seen = self.seen();
        let unknown: Vec<_> = seen.iter().filter(|intent| intent.outcome().is_none()).collect();
        assert!(unknown.is_empty(), "nobody knows how these ended: {unknown:#?}");
        let paid = seen.iter().filter(|intent| intent.is_paid()).count();
        eprintln!(
            "{} purchases, {paid} of them paid, {} asked for more than once",
            seen.len(),
            seen.iter().filter(|intent| intent.tries > 1).count()
        );
        seen
    }
}

/// Somebody who buys one thing after the other.
struct Client {
    api: Api,
    buyer: usize,
    number: usize,
    round: usize,
    tariff: String,
    hot: String,
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<Vec<Intent>>>,
}

impl Client {
    async fn run(self) {
        let mut turn = 0;
        while !self.stop.load(Ordering::Relaxed) {
            turn += 1;
            let promocode = match (turn + self.number) % 6 {
                0 | 2 => Some(self.hot.as_str()),
                1 | 4 => Some(OPEN),
                3 => Some(EACH),
                _ => None,
            };
            let wish = Wish {
                buyer: self.buyer,
                key: format!("{}-{}-{turn}", self.round, self.number),
                promocode: promocode.map(str::to_owned),
            };
            let place = {
                let mut seen = self.seen.lock().unwrap();
                seen.push(Intent::new(wish.clone()));
                seen.len() - 1
            };
            let now = |intent: &Intent| self.seen.lock().unwrap()[place] = intent.clone();
            let intent = buy(&self.api, &self.tariff, wish, now).await;
            // Nobody buys twice in a blink; and the machine is to do more than this.
            let pause = (turn * 37 + self.number * 11) % 90;
            if intent.outcome().is_none() {
                return;
            }
            sleep(Duration::from_millis(20 + pause as u64)).await;
        }
    }
}
