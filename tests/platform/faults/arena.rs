//! Where a fault happens: private servers, two replicas of each service, a shop, and its customers.

use std::{path::PathBuf, time::Duration};

use kopeck::{
    cluster::{ServiceProcess, Setup},
    servers::{Needs, Servers},
};
use serde_json::{Value, json};
use shared::{contracts::ServiceName, testing::Api};
use tokio::sync::{Mutex, MutexGuard};

use super::{
    DEADLINE_SECONDS,
    proxy::Proxy,
    stream::{Intent, Outcome, Stream, Wish, buy},
    whole::{Books, Poison},
};
use crate::{
    platform::{PROGRAM, Platform, User, rub},
    processes::UNLIMITED,
};

const REPLICAS: usize = 2;
/// What a purchase costs without a promocode.
pub const PRICE: i64 = 10_000;
/// More than anybody here can spend.
const PLENTY: i64 = 1_000_000_000;
/// Enough for some purchases.
const LITTLE: i64 = 12 * PRICE;
/// Too little for the cheapest.
const NOTHING_TO_SPEAK_OF: i64 = 100;
/// Unlimited.
pub const OPEN: &str = "OPEN";
/// A few uses for each.
pub const EACH: &str = "EACH";
/// How many uses the promocode has that everybody is after.
const HOT_USES: usize = 60;

static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// Has the machine to itself until it is dropped.
pub async fn turn() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().await
}

/// What the services reach through a proxy of the test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behind {
    Nothing,
    Broker,
    Database,
    BrokerAndDatabase,
}

/// A customer.
#[derive(Clone)]
pub struct Buyer {
    pub user: User,
    /// All that was ever put into the wallet.
    pub funds: i64,
    /// In how many pieces.
    pub top_ups: usize,
}

/// A promocode with a limit, new for each stream.
#[derive(Clone, Debug)]
pub struct Hot {
    pub code: String,
    pub max_uses: usize,
}

/// Everything. Its fields are dropped in order: first the logs are shown, last the next test begins.
pub struct Arena {
    logs: LogsOfAFailure,
    pub books: Books,
    pub platform: Platform,
    /// The wire to the broker, if the services reach it through a proxy.
    pub broker_wire: Option<Proxy>,
    /// The same for the databases.
    pub database_wire: Option<Proxy>,
    pub servers: Servers,
    pub tariff: String,
    pub buyers: Vec<Buyer>,
    /// Each hot promocode there has been.
    pub hot: Vec<Hot>,
    /// All that was ever asked for.
    pub intents: Vec<Intent>,
    /// What was made to fail.
    pub poison: Vec<Poison>,
    _turn: MutexGuard<'static, ()>,
}

impl Arena {
    /// Everything is ready, and nobody buys yet.
    pub async fn start(behind: Behind) -> Self {
        let turn = turn().await;
        let servers = Servers::start(Needs::ALL).await.unwrap();
        let (mut postgres_url, mut amqp_url) = (
            servers.postgres().unwrap().url(),
            servers.rabbitmq().unwrap().url(),
        );
        let (mut broker_wire, mut database_wire) = (None, None);
        if matches!(behind, Behind::Broker | Behind::BrokerAndDatabase) {
            broker_wire = Some(Wire::lead(&mut amqp_url).await);
        }
        if matches!(behind, Behind::Database | Behind::BrokerAndDatabase) {
            database_wire = Some(Wire::lead(&mut postgres_url).await);
        }
        let mut platform = Platform::of(Setup {
            program: PROGRAM.into(),
            postgres_url,
            amqp_url,
            rabbit_api: servers.rabbitmq().unwrap().api(),
            redis_url: Some(servers.redis().unwrap().url()),
            listen: ([127, 0, 0, 1], 0).into(),
            replicas: REPLICAS,
            environment: environment(),
        })
        .await;
        for wire in [&broker_wire, &database_wire].into_iter().flatten() {
            platform.go_around(&wire.proxy.address().to_string(), &wire.server);
        }
        let books = Books::open(&platform).await;
        let logs = LogsOfAFailure(platform.cluster().folder().to_path_buf());
        let (tariff, buyers) = open_shop(&platform).await;
        Self {
            logs,
            books,
            platform,
            broker_wire: broker_wire.map(|wire| wire.proxy),
            database_wire: database_wire.map(|wire| wire.proxy),
            servers,
            tariff,
            buyers,
            hot: Vec::new(),
            intents: Vec::new(),
            poison: Vec::new(),
            _turn: turn,
        }
    }

    /// Begins to buy, with a hot promocode that nobody has used yet, and returns when purchases flow.
    pub async fn stream(&mut self) -> Stream {
        let hot = Hot {
            code: format!("HOT{}", self.hot.len()),
            max_uses: HOT_USES,
        };
        promocode(
            &self.platform,
            &hot.code,
            "50",
            json!({"promocode": {"code": hot.code, "max_uses": hot.max_uses}}),
        )
        .await;
        self.hot.push(hot.clone());
        Stream::start(&self.buyers, &self.tariff, &hot.code, self.hot.len()).await
    }

    /// Takes over what `stream` was for, and checks that nothing is lost, doubled or stuck, and that
    /// every use that is free can be had and no other one.
    pub async fn end_whole(&mut self, stream: Stream) {
        self.intents.extend(stream.end().await);
        self.assert_whole().await;
        self.spend_the_rest().await;
        self.assert_whole().await;
    }

    /// After everything has come to rest: exactly the free uses of the last hot promocode can be had.
    async fn spend_the_rest(&mut self) {
        let hot = self.hot.last().expect("a stream has been").clone();
        let free = hot.max_uses - self.paid_with(&hot.code);
        let wishes: Vec<_> = (0..=free)
            .map(|number| Wish {
                // One of those with plenty.
                buyer: number % 4,
                key: format!("rest-{}-{number}", hot.code),
                promocode: Some(hot.code.clone()),
            })
            .collect();
        let (last, wishes) = wishes.split_last().expect("one too many at least");
        let buy = |wish: &Wish| self.buy(wish.clone());
        let mut intents = futures::future::join_all(wishes.iter().map(buy)).await;
        for intent in &intents {
            assert!(intent.is_paid(), "a use of {hot:?} is free: {intent:?}");
        }
        let one_too_many = buy(last).await;
        let refused = Outcome::Failed("promocode_refused".to_owned());
        assert_eq!(
            one_too_many.outcome(),
            Some(&refused),
            "no use of {hot:?} is free: {one_too_many:?}"
        );
        intents.push(one_too_many);
        self.intents.extend(intents);
    }

    /// Somebody buys beside the streams.
    pub async fn buy(&self, wish: Wish) -> Intent {
        let api = &self.buyers[wish.buyer].user.api;
        buy(api, &self.tariff, wish, |_| {}).await
    }

    fn paid_with(&self, code: &str) -> usize {
        self.intents
            .iter()
            .filter(|intent| intent.wish.promocode.as_deref() == Some(code) && intent.is_paid())
            .count()
    }

    /// Puts money into a wallet, for as long as that takes.
    pub async fn top_up(&mut self, buyer: usize, amount: i64) {
        let buyer = &mut self.buyers[buyer];
        let key = format!("top-up-{}", buyer.top_ups);
        let body = rub(amount);
        let again = || async {
            let answer = buyer
                .user
                .api
                .post_once("/billing/v1/balance/top-up", &key, &body)
                .await;
            answer.status.is_success().then_some(())
        };
        shared::testing::eventually("the top-up is taken", again).await;
        buyer.funds += amount;
        buyer.top_ups += 1;
    }

    pub fn processes(&mut self, service: ServiceName) -> &mut [ServiceProcess] {
        self.platform.cluster().processes(service)
    }

    /// RabbitMQ's management API, and the virtual host of the platform.
    pub fn broker_api(&self) -> (Api, String) {
        let api = Api::new(self.servers.rabbitmq().unwrap().api());
        (api, self.platform.virtual_host().expect("a virtual host"))
    }

    /// Stops everything as a shutdown would.
    pub async fn close(self) {
        let Self {
            logs,
            books,
            platform,
            servers,
            ..
        } = self;
        books.close().await;
        platform.finish().await;
        drop(logs);
        servers.stop().await;
    }
}

/// A proxy, and the server that it leads to.
struct Wire {
    proxy: Proxy,
    server: String,
}

impl Wire {
    /// Starts a proxy before the server of `url`, and has `url` lead to it.
    async fn lead(url: &mut String) -> Self {
        let server = host_and_port(url);
        let proxy = Proxy::start(server.parse().unwrap()).await;
        *url = url.replace(&server, &proxy.address().to_string());
        Self { proxy, server }
    }
}

fn environment() -> Vec<(String, String)> {
    let deadline = DEADLINE_SECONDS.to_string();
    [
        ("KOPECK_LOG__FILTER", "info,sqlx=warn,lapin=warn"),
        ("KOPECK_BILLING__PURCHASE_DEADLINE_SECONDS", deadline.as_str()),
    ]
    .into_iter()
    // Those without money go on trying.
    .chain(UNLIMITED)
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect()
}

/// `scheme://user:password@HOST:PORT/name`
fn host_and_port(url: &str) -> String {
    let (_, rest) = url.rsplit_once('@').expect("a user");
    rest.split('/').next().expect("a host").to_owned()
}

/// A tariff, promocodes, and customers with much, some and no money.
async fn open_shop(platform: &Platform) -> (String, Vec<Buyer>) {
    let tariff = platform.tariff("Month", PRICE).await;
    promocode(platform, OPEN, "10", json!({"promocode": {"code": OPEN}})).await;
    let some = json!({"promocode": {"code": EACH}, "max_per_user": 15});
    promocode(platform, EACH, "20", some).await;
    let wallets = [
        PLENTY,
        PLENTY,
        PLENTY,
        PLENTY,
        LITTLE,
        NOTHING_TO_SPEAK_OF,
        NOTHING_TO_SPEAK_OF,
    ];
    let buyers = wallets.iter().enumerate().map(|(number, funds)| async move {
        let user = platform.user(&format!("buyer{number}"), *funds).await;
        Buyer {
            user,
            funds: *funds,
            top_ups: 1,
        }
    });
    (tariff, futures::future::join_all(buyers).await)
}

async fn promocode(platform: &Platform, name: &str, percent: &str, mut campaign: Value) {
    campaign["name"] = json!(name);
    campaign["discount"] = json!({"type": "percent", "percent": percent});
    platform.campaign(campaign).await;
}

/// Shows, when a test fails, what the services complained about.
struct LogsOfAFailure(PathBuf);

const SHOWN: usize = 25;

impl Drop for LogsOfAFailure {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let mut logs: Vec<_> = std::fs::read_dir(&self.0)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
            .collect();
        logs.sort();
        for log in logs {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            let complaints: Vec<_> = text
                .lines()
                .filter(|line| line.contains("WARN") || line.contains("ERROR"))
                .collect();
            eprintln!(
                "--- {} ({} complaints)",
                log.file_name().unwrap_or_default().display(),
                complaints.len()
            );
            for line in &complaints[complaints.len().saturating_sub(SHOWN)..] {
                eprintln!("{line}");
            }
        }
    }
}

/// Waits until `look` finds nothing, and fails with what it found last.
pub async fn until_nothing<F>(what: &str, bound: Duration, mut look: impl FnMut() -> F)
where
    F: Future<Output = Vec<String>>,
{
    let start = tokio::time::Instant::now();
    loop {
        let found = look().await;
        if found.is_empty() {
            return;
        }
        assert!(
            start.elapsed() < bound,
            "{what}, even after {bound:?}:\n  {}",
            found.join("\n  ")
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
