//! A virtual host of its own for each test, and the broker's management API.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use shared::{
    bus::{self, Bus},
    clock::{Clock, SystemClock},
    ids::new_uuid,
};

/// One virtual host.
pub struct Vhost {
    pub name: String,
    pub amqp_url: String,
    api: String,
    client: Client,
}

/// Runs a test on a virtual host of its own, which goes with it.
pub async fn with_vhost(test: impl AsyncFnOnce(&Vhost)) {
    let vhost = Vhost::create(&variable("TEST_AMQP_URL"), &variable("TEST_RABBIT_API")).await;
    let outcome = AssertUnwindSafe(test(&vhost)).catch_unwind().await;
    vhost
        .call(Method::DELETE, &format!("vhosts/{}", vhost.name), None)
        .await;
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

#[allow(clippy::disallowed_methods)] // the test command says here where the broker is
fn variable(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: run `./test`, which starts the servers"))
}

impl Vhost {
    /// A virtual host on the broker at these addresses, for the user that they name.
    pub async fn create(amqp_url: &str, api: &str) -> Self {
        // Several tests get here; only the first installs it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let name = format!("bus-{}", new_uuid(SystemClock.now()));
        let authority_end = amqp_url.find("://").unwrap() + 3;
        let path = amqp_url[authority_end..]
            .find('/')
            .map_or(amqp_url.len(), |at| authority_end + at);
        let user = amqp_url[authority_end..].split([':', '@']).next().unwrap();
        let vhost = Self {
            amqp_url: format!("{}/{name}", &amqp_url[..path]),
            api: format!("{}/api", api.trim_end_matches('/')),
            client: Client::new(),
            name,
        };
        vhost
            .call(Method::PUT, &format!("vhosts/{}", vhost.name), None)
            .await;
        let all = json!({"configure": ".*", "write": ".*", "read": ".*"});
        vhost
            .call(
                Method::PUT,
                &format!("permissions/{}/{user}", vhost.name),
                Some(all),
            )
            .await;
        vhost
    }

    pub fn bus(&self) -> Arc<dyn Bus> {
        bus::connect(&self.amqp_url).unwrap()
    }

    /// Calls the management API, which must agree.
    pub async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let mut request = self.client.request(method, format!("{}/{path}", self.api));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.expect("the management API answers");
        let status = response.status();
        let text = response.text().await.unwrap();
        assert!(
            status.is_success() || status == StatusCode::NOT_FOUND,
            "{path}: {status} {text}"
        );
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    pub async fn get(&self, path: &str) -> Value {
        self.call(Method::GET, path, None).await
    }

    pub async fn delete(&self, path: &str) {
        self.call(Method::DELETE, path, None).await;
    }

    pub async fn queue(&self, name: &str) -> Value {
        self.get(&format!("queues/{}/{name}", self.name)).await
    }

    /// The names of the open connections, as far as the API has heard of them.
    pub async fn connections(&self) -> Vec<String> {
        let list = self.get(&format!("vhosts/{}/connections", self.name)).await;
        let list = list.as_array().cloned().unwrap_or_default();
        list.iter()
            .filter_map(|connection| connection["name"].as_str().map(str::to_owned))
            .collect()
    }

    /// Waits until the API shows so many connections (it hears of them with a delay).
    pub async fn until_connections(&self, count: usize) -> Vec<String> {
        loop {
            let connections = self.connections().await;
            if connections.len() == count {
                return connections;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Cuts one connection as an administrator would.
    pub async fn cut(&self, connection: &str) {
        let name = connection
            .replace(' ', "%20")
            .replace('>', "%3E")
            .replace(':', "%3A");
        self.delete(&format!("connections/{name}")).await;
    }

    /// Takes one message off a queue by `mode`.
    pub async fn get_message(&self, queue: &str, mode: &str) -> Value {
        let body = json!({"count": 1, "ackmode": mode, "encoding": "auto"});
        let path = format!("queues/{}/{queue}/get", self.name);
        self.call(Method::POST, &path, Some(body)).await[0].clone()
    }
}
