//! One pod of the DaemonSet: its arguments, its environment, and the token that a kubelet would
//! have asked for in its name.

use std::{path::PathBuf, time::Duration};

use k8s_openapi::{
    api::{
        authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec},
        core::v1::{Container, Pod, ServiceAccount},
        policy::v1::PodDisruptionBudget,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, Client, Config,
    api::{ListParams, PostParams},
};
use serde_json::json;

use super::{NAME, NAMESPACE, installed::Installed};
use crate::{
    Error, Result, error::Context as _, handler::Flags, scratch::Scratch, wait::wait_until,
};

const SOON: Duration = Duration::from_secs(30);

/// A pod of the DaemonSet, with its token.
#[derive(Debug)]
pub struct Agent {
    /// The pod, as the API server has it.
    pub pod: Pod,
    /// The node that it is on.
    pub node: String,
    token: String,
    config: Config,
    scratch: Scratch,
}

impl Agent {
    pub(super) async fn of(installed: &Installed, pod: Pod) -> Result<Self> {
        let admin = installed.admin()?;
        let token = token(&admin, Some(&pod)).await?;
        let mut config = installed.plane.config("nobody")?;
        config.auth_info.token = Some(token.clone().into());
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
        let agent = Self {
            node: node.unwrap_or_default(),
            pod,
            token,
            config,
            scratch: Scratch::new("agent")?,
        };
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "agent",
            "clusters": [{"name": "agent", "cluster": {
                "server": installed.plane.url(),
                "certificate-authority": installed.plane.ca(),
            }}],
            "users": [{"name": "agent", "user": {"token": agent.token}}],
            "contexts": [{"name": "agent", "context": {"cluster": "agent", "user": "agent"}}],
        });
        let path = agent.kubeconfig();
        std::fs::write(&path, kubeconfig.to_string())
            .context(format!("write {}", path.display()))?;
        agent.rights_are_known().await?;
        Ok(agent)
    }

    /// An API server takes a moment to know a role that was just made.
    async fn rights_are_known(&self) -> Result<()> {
        let budgets = Api::<PodDisruptionBudget>::all(self.client()?);
        let one = ListParams::default().limit(1);
        wait_until("the handler's rights", SOON, async || {
            let listed = budgets.list(&one).await;
            listed.map(drop).map_err(|error| error.to_string())
        })
        .await
    }

    /// A client configuration with the token.
    pub fn config(&self) -> Config {
        self.config.clone()
    }

    /// A client with the token.
    ///
    /// # Errors
    /// When none can be made.
    pub fn client(&self) -> Result<Client> {
        Client::try_from(self.config.clone()).context("make the agent's client")
    }

    /// A kubeconfig with the token.
    pub fn kubeconfig(&self) -> PathBuf {
        self.scratch.path().join("kubeconfig")
    }

    /// The token itself.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The container's own arguments and environment, but for what is not where a pod has it:
    /// the API server, the metadata service and the port for health.
    ///
    /// # Errors
    /// When the pod's container is not as expected.
    pub fn flags(&self, metadata_url: &str) -> Result<Flags> {
        let flags = Flags::raw(self.arguments()?)
            .with("--metadata-url", metadata_url)
            .with("--listen", "127.0.0.1:0")
            .with("--kubeconfig", &self.kubeconfig().display().to_string());
        self.env()?
            .iter()
            .try_fold(flags, |flags, (name, value)| Ok(flags.env(name, value)))
    }

    /// The container's own arguments, but for where the metadata service is and where it listens.
    ///
    /// # Errors
    /// When the pod has no container.
    pub fn arguments(&self) -> Result<Vec<String>> {
        let elsewhere = ["--metadata-url=", "--listen="];
        let arguments = self.container()?.args.iter().flatten();
        let kept = arguments.filter(|arg| !elsewhere.iter().any(|flag| arg.starts_with(flag)));
        Ok(kept.cloned().collect())
    }

    /// The container's environment, as a kubelet fills it in.
    ///
    /// # Errors
    /// When it names a field that is not known here.
    pub fn env(&self) -> Result<Vec<(String, String)>> {
        let env = self.container()?.env.iter().flatten();
        env.map(|variable| {
            let from = variable.value_from.as_ref();
            let field = from.and_then(|from| from.field_ref.as_ref());
            let value = match field.map(|field| field.field_path.as_str()) {
                Some("spec.nodeName") => Some(self.node.clone()),
                Some("metadata.name") => self.pod.metadata.name.clone(),
                Some("metadata.namespace") => self.pod.metadata.namespace.clone(),
                _ => variable.value.clone(),
            };
            let unknown = || Error::Usage(format!("{}: filled in from where?", variable.name));
            Ok((variable.name.clone(), value.ok_or_else(unknown)?))
        })
        .collect()
    }

    fn container(&self) -> Result<&Container> {
        let spec = self.pod.spec.as_ref();
        let container = spec.and_then(|spec| spec.containers.first());
        container.ok_or_else(|| Error::Usage("the handler's pod has no container".into()))
    }
}

/// A token of the handler's service account: bound to a pod, and so to its node, or to none.
///
/// # Errors
/// When the API server refuses.
pub async fn token(admin: &Client, pod: Option<&Pod>) -> Result<String> {
    let bound = pod.map(|pod| BoundObjectReference {
        api_version: Some("v1".into()),
        kind: Some("Pod".into()),
        name: pod.metadata.name.clone(),
        uid: pod.metadata.uid.clone(),
    });
    let request = TokenRequest {
        metadata: ObjectMeta::default(),
        spec: Some(TokenRequestSpec {
            bound_object_ref: bound,
            ..TokenRequestSpec::default()
        }),
        status: None,
    };
    let accounts: Api<ServiceAccount> = Api::namespaced(admin.clone(), NAMESPACE);
    let answer = accounts
        .create_token_request(NAME, &PostParams::default(), &request)
        .await
        .context("a token of the handler's")?;
    let token = answer.status.and_then(|status| status.token);
    token.ok_or_else(|| Error::Usage("the API server made no token".into()))
}
