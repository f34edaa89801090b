//! The real API server, with etcd and nothing else.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use kube::{Client, Config, client::Body};
use serde_json::{Value, json};

use super::target::{Target, User};
use crate::{
    Error, Result,
    control_plane::{ControlPlane, Part},
    error::Context as _,
};

/// An API server and its store, without controllers.
pub struct RealTarget {
    plane: ControlPlane,
    /// One for each user who has asked.
    clients: Mutex<Vec<(User, Client)>>,
}

impl RealTarget {
    /// Starts both.
    ///
    /// # Errors
    /// As [`ControlPlane::start`].
    pub async fn start() -> Result<Self> {
        let plane = ControlPlane::start_api_server().await?;
        Ok(Self {
            plane,
            clients: Mutex::default(),
        })
    }

    async fn create(&self, path: &str, body: Value) -> Result<()> {
        let what = || format!("create in {path}");
        let request = http::Request::post(path)
            .header("content-type", "application/json")
            .body(body.to_string().into_bytes())
            .map_err(|error| Error::Usage(format!("{}: {error}", what())))?;
        let client = self.client(User::Admin)?;
        client
            .request::<Value>(request)
            .await
            .map(drop)
            .context(what())
    }
}

#[async_trait]
impl Target for RealTarget {
    fn client(&self, user: User) -> Result<Client> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, client)) = clients.iter().find(|(known, _)| *known == user) {
            return Ok(client.clone());
        }
        let mut config = self.plane.config(match user {
            User::Admin => "admin",
            User::Nobody | User::Stranger => "nobody",
        })?;
        if user == User::Stranger {
            config.auth_info.token = Some("not-a-token".to_owned().into());
        }
        let client = Client::try_from(config).context("make a client")?;
        clients.push((user, client.clone()));
        Ok(client)
    }

    async fn namespace(&self, name: &str) -> Result<()> {
        let namespace = json!({"metadata": {"name": name}});
        self.create("/api/v1/namespaces", namespace).await?;
        // A controller would make it; pods cannot be made without.
        let account = json!({"metadata": {"name": "default"}});
        let path = format!("/api/v1/namespaces/{name}/serviceaccounts");
        self.create(&path, account).await
    }

    /// The store drops old versions, and the API server those that it has in memory.
    async fn forget(&self) -> Result<()> {
        let etcd = self.plane.etcd_url();
        let config = Config::new(
            etcd.parse()
                .map_err(|error| Error::Usage(format!("{etcd}: {error}")))?,
        );
        let client = Client::try_from(config).context("make a client")?;
        let revision = ask_etcd(&client, "/v3/kv/range", json!({"key": "Lw=="})).await?;
        let revision = revision["header"]["revision"].clone();
        let body = json!({"revision": revision, "physical": true});
        ask_etcd(&client, "/v3/kv/compaction", body).await?;
        self.plane.restart(Part::ApiServer).await?;
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients.clear();
        Ok(())
    }

    fn width(&self) -> usize {
        6
    }
}

async fn ask_etcd(client: &Client, path: &str, body: Value) -> Result<Value> {
    let request = http::Request::post(path)
        .body(Body::from(body.to_string().into_bytes()))
        .map_err(|error| Error::Usage(error.to_string()))?;
    let (parts, body) = client.send(request).await.context(path)?.into_parts();
    let body = http_body_util::BodyExt::collect(body).await.context(path)?;
    let body = body.to_bytes();
    let answer = || {
        format!(
            "{path}: {} {}",
            parts.status,
            String::from_utf8_lossy(&body)
        )
    };
    if !parts.status.is_success() {
        return Err(Error::Usage(answer()));
    }
    serde_json::from_slice(&body).map_err(|error| Error::Usage(format!("{}: {error}", answer())))
}
