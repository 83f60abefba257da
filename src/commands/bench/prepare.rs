//! What there has to be before anything can be measured: a tariff, campaigns, promocodes, customers.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use axum::body::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use reqwest::{StatusCode, Url, header::HeaderValue};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use shared::{
    clock::{Clock as _, SystemClock},
    ids::new_uuid,
    money::Money,
};

use super::{
    http::{Http, bearer},
    load::Window,
    options::{Plan, cores},
    say,
    scenario::{Customers, Order, Scenario, User},
    subject::{Admin, Subject, Targets},
};

const PASSWORD: &str = "a long enough password";
/// In minor units; small beside the wallets, large enough for a discount.
const PRICE: i64 = 1_000;
/// In minor units; the most that one top-up may bring, and enough for a thousand million purchases.
const WALLET: i64 = 1_000_000_000_000;
/// Far above what can be used, so that nobody is refused.
const MAX_USES: i64 = 1_000_000_000;
/// Requests at the same time that make promocodes.
const MAKERS: usize = 16;
/// A token must be good for this much longer than the measurement: an operation may take its time.
const MARGIN: Duration = Duration::from_secs(60);
/// In which loyalty has to hear of a new tariff.
const PATIENCE: Duration = Duration::from_secs(30);

/// All that customers need.
pub(super) struct World {
    targets: Targets,
    /// A client for preparations.
    http: Http,
    /// One for each customer at work.
    connections: Vec<Http>,
    users: Vec<User>,
    users_per_client: usize,
    /// Until when the users' tokens are good.
    good_until: Instant,
    orders: Orders,
}

/// The bodies of requests, made once.
struct Orders {
    hot: Bytes,
    many: Arc<[Bytes]>,
    plain: Bytes,
}

/// The preparing administrator.
struct Shop<'a> {
    targets: &'a Targets,
    http: &'a Http,
    token: HeaderValue,
    /// Begins every name that is made here.
    name: String,
}

impl World {
    /// Makes everything on the platform.
    ///
    /// # Errors
    /// When anything can't be made.
    pub(super) async fn prepare(plan: &Plan, subject: &Subject) -> anyhow::Result<Self> {
        let targets = subject.targets.clone();
        let http = Http::new(targets.are_plain())?;
        let connections = (0..plan.clients).map(|_| Http::new(targets.are_plain()));
        let connections = connections.collect::<Result<Vec<_>, _>>()?;
        let shop = Shop::open(&targets, &http, &subject.admin).await?;
        let currency = shop.currency().await?;
        let orders = shop.stock(plan, &currency).await?;
        let count = plan.clients * plan.users_per_client;
        say(&format!("Registering {count} users."));
        let (users, good_until) = shop.register(count, &currency).await?;
        Ok(Self {
            connections,
            users,
            users_per_client: plan.users_per_client,
            good_until,
            orders,
            http,
            targets,
        })
    }

    /// Sees to it that no token runs out while it is measured.
    ///
    /// # Errors
    /// When the platform's tokens are not good for so long.
    pub(super) async fn renew_tokens(&mut self, window: Window) -> anyhow::Result<()> {
        let needed = window.whole() + MARGIN;
        if Instant::now() + needed <= self.good_until {
            return Ok(());
        }
        say("Logging the users in again.");
        let credentials = self.users.iter().map(|user| user.credentials.clone());
        let logged_in = log_in_all(&self.http, &self.targets.auth, credentials.collect()).await?;
        (self.users, self.good_until) = logged_in;
        let good_for = self.good_until.saturating_duration_since(Instant::now());
        anyhow::ensure!(
            good_for >= needed,
            "the platform's access tokens are good for {} s, and this takes {} s: measure for fewer seconds, \
             or raise `auth.access_token_seconds`",
            good_for.as_secs(),
            needed.as_secs()
        );
        Ok(())
    }

    /// The customers of a scenario, one client each.
    pub(super) fn customers(&self, scenario: Scenario) -> Vec<Customers> {
        const PURCHASES: &str = "/billing/v1/purchases";
        let (urls, path, expected) = match scenario {
            Scenario::Hot | Scenario::Many | Scenario::Plain => {
                (&self.targets.billing, PURCHASES, StatusCode::CREATED)
            }
            Scenario::Validate => (&self.targets.loyalty, VALIDATE, StatusCode::OK),
            Scenario::Login => (&self.targets.auth, LOGIN, StatusCode::OK),
        };
        let order = match scenario {
            // A validation and a purchase are asked for in the same words.
            Scenario::Hot | Scenario::Validate => Order::Same(self.orders.hot.clone()),
            Scenario::Many => Order::AnyOf(Arc::clone(&self.orders.many)),
            Scenario::Plain => Order::Same(self.orders.plain.clone()),
            Scenario::Login => Order::Credentials,
        };
        let urls: Arc<[Url]> = urls.iter().map(|url| at(url, path)).collect();
        let users = self.users.chunks(self.users_per_client);
        self.connections
            .iter()
            .zip(users)
            .enumerate()
            .map(|(number, (http, users))| Customers {
                http: http.clone(),
                urls: Arc::clone(&urls),
                order: order.clone(),
                expected,
                users: users.to_vec(),
                turn: number,
            })
            .collect()
    }
}

const LOGIN: &str = "/auth/v1/login";
const VALIDATE: &str = "/loyalty/v1/promocodes/validate";

impl<'a> Shop<'a> {
    async fn open(targets: &'a Targets, http: &'a Http, admin: &Admin) -> anyhow::Result<Self> {
        let credentials = json!({"email": admin.email, "password": admin.password.expose_secret()});
        let (token, _) = log_in(http, &targets.auth[0], bytes(&credentials))
            .await
            .with_context(|| format!("{} can't log in", admin.email))?;
        let id = new_uuid(SystemClock.now()).simple().to_string();
        // The end of an id is random; its beginning is the time.
        let name = format!("bench-{}", &id[20..]);
        Ok(Self {
            targets,
            http,
            token,
            name,
        })
    }

    /// The platform's currency, which is that of anybody's balance.
    async fn currency(&self) -> anyhow::Result<String> {
        let url = at(&self.targets.billing[0], "/billing/v1/balance");
        let answer = self.http.get(url, Some(&self.token)).await?;
        let balance = answer
            .expect(StatusCode::OK)
            .context("the balance can't be read")?;
        let code = balance["balance"]["currency"].as_str();
        Ok(code.context("the balance has no currency")?.to_owned())
    }

    /// Makes the tariff, the campaigns and the promocodes; what customers say to get them.
    async fn stock(&self, plan: &Plan, currency: &str) -> anyhow::Result<Orders> {
        let tariff = json!({
            "name": self.name,
            "price": {"amount": PRICE, "currency": currency},
            "period": "P1D",
        });
        let billing = &self.targets.billing[0];
        let tariff = self.make(at(billing, "/billing/v1/tariffs"), &tariff).await?;
        let hot = format!("{}-hot", self.name);
        self.campaign(&hot, json!({"code": hot, "max_uses": MAX_USES}))
            .await?;
        let mut many = Vec::new();
        if plan.scenarios.contains(&Scenario::Many) {
            many = self.promocodes(plan.codes).await?;
        }
        let order = |code: &str| bytes(&json!({"tariff_id": tariff["id"], "promocode": code}));
        let orders = Orders {
            hot: order(&hot),
            many: many.iter().map(|code| order(code)).collect(),
            plain: bytes(&json!({"tariff_id": tariff["id"]})),
        };
        self.until_loyalty_knows(&orders.hot).await?;
        Ok(orders)
    }

    /// Makes a campaign of many promocodes; all of them.
    async fn promocodes(&self, count: u32) -> anyhow::Result<Vec<String>> {
        say(&format!("Making {count} promocodes."));
        let code_of = |number| format!("{}-{number}", self.name);
        let campaign = json!({"code": code_of(1), "max_uses": MAX_USES});
        let campaign = self.campaign(&format!("{}-many", self.name), campaign).await?;
        let id = campaign["id"].as_str().context("a campaign has no id")?;
        let path = format!("/loyalty/v1/campaigns/{id}/promocodes");
        let made = stream::iter(2..=count).map(|number| {
            let url = at(turn(&self.targets.loyalty, number as usize), &path);
            async move {
                let promocode = json!({"code": code_of(number), "max_uses": MAX_USES});
                self.make(url, &promocode).await
            }
        });
        made.buffer_unordered(MAKERS)
            .try_for_each(|_| async { Ok(()) })
            .await?;
        Ok((1..=count).map(code_of).collect())
    }

    async fn campaign(&self, name: &str, promocode: Value) -> anyhow::Result<Value> {
        let campaign = json!({
            "name": name,
            "discount": {"type": "percent", "percent": "10"},
            "promocode": promocode,
        });
        let url = at(&self.targets.loyalty[0], "/loyalty/v1/campaigns");
        self.make(url, &campaign).await
    }

    async fn make(&self, url: Url, body: &Value) -> anyhow::Result<Value> {
        let answer = self.http.post(&url, Some(&self.token), bytes(body)).await?;
        answer
            .expect(StatusCode::CREATED)
            .with_context(|| format!("POST {url} does not make {body}"))
    }

    /// Loyalty hears of a new tariff by a message; a validation asked for sooner finds none.
    async fn until_loyalty_knows(&self, validation: &Bytes) -> anyhow::Result<()> {
        let start = Instant::now();
        for url in &self.targets.loyalty {
            let url = at(url, VALIDATE);
            loop {
                let answer = self
                    .http
                    .post(&url, Some(&self.token), validation.clone())
                    .await?;
                if answer.status == StatusCode::OK {
                    break;
                }
                if start.elapsed() > PATIENCE {
                    answer
                        .expect(StatusCode::OK)
                        .context("loyalty does not hear of the tariff")?;
                }
                tokio::time::sleep(Duration::from_millis(25)).await;
            }
        }
        Ok(())
    }

    /// Registers users and fills their wallets. A few at a time: a password costs a core some
    /// 20 ms, on purpose.
    async fn register(&self, count: usize, currency: &str) -> anyhow::Result<(Vec<User>, Instant)> {
        let registered = stream::iter(1..=count).map(|number| {
            let url = at(turn(&self.targets.auth, number), "/auth/v1/register");
            let email = format!("{}-{number}@bench.example", self.name);
            async move {
                let credentials = bytes(&json!({"email": email, "password": PASSWORD}));
                let answer = self.http.post(&url, None, credentials.clone()).await?;
                answer
                    .expect(StatusCode::CREATED)
                    .with_context(|| format!("{email} can't be registered"))?;
                anyhow::Ok(credentials)
            }
        });
        let credentials = registered.buffered(cores() * 2).try_collect().await?;
        let (users, good_until) = log_in_all(self.http, &self.targets.auth, credentials).await?;
        let money = &bytes(&json!({"amount": WALLET, "currency": currency}));
        let topped_up = stream::iter(users.iter().enumerate()).map(|(number, user)| {
            let url = at(turn(&self.targets.billing, number), "/billing/v1/balance/top-up");
            async move {
                let answer = self.http.post(&url, Some(&user.token), money.clone()).await?;
                let balance = answer
                    .expect(StatusCode::OK)
                    .context("a wallet can't be filled")?;
                let balance = serde_json::from_value::<Money>(balance["balance"].clone())?;
                anyhow::ensure!(balance.amount.0 == WALLET, "a wallet holds {balance}");
                Ok(())
            }
        });
        topped_up.buffer_unordered(MAKERS).try_collect::<()>().await?;
        Ok((users, good_until))
    }
}

/// Logs everybody in, a few at a time; the users, and until when all their tokens are good.
async fn log_in_all(
    http: &Http,
    auth: &[Url],
    credentials: Vec<Bytes>,
) -> anyhow::Result<(Vec<User>, Instant)> {
    let logged_in =
        stream::iter(credentials.into_iter().enumerate()).map(|(number, credentials)| async move {
            let (token, until) = log_in(http, turn(auth, number), credentials.clone()).await?;
            anyhow::Ok((User { credentials, token }, until))
        });
    let logged_in: Vec<_> = logged_in.buffered(cores() * 2).try_collect().await?;
    let good_until = logged_in.iter().map(|(_, until)| *until).min();
    let users = logged_in.into_iter().map(|(user, _)| user).collect();
    Ok((users, good_until.context("there are no users")?))
}

async fn log_in(http: &Http, auth: &Url, credentials: Bytes) -> anyhow::Result<(HeaderValue, Instant)> {
    let before = Instant::now();
    let answer = http.post(&at(auth, LOGIN), None, credentials).await?;
    let tokens = answer.expect(StatusCode::OK)?;
    let token = tokens["access_token"].as_str().context("no token came")?;
    let seconds = tokens["expires_in"].as_u64().context("a token has no end")?;
    Ok((bearer(token)?, before + Duration::from_secs(seconds)))
}

/// Whose turn it is.
fn turn(urls: &[Url], number: usize) -> &Url {
    &urls[number % urls.len()]
}

/// A path of a service.
fn at(service: &Url, path: &str) -> Url {
    let mut url = service.clone();
    url.set_path(path);
    url
}

fn bytes(body: &Value) -> Bytes {
    Bytes::from(body.to_string())
}
