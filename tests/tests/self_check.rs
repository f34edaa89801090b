//! The self-check against a real API server as a user with a handler's rights, and against TLS
//! servers whose certificates are wrong: each link broken, named, mended and cleared.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use k8s_openapi::api::{
    admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding},
    policy::v1::PodDisruptionBudget,
    rbac::v1::PolicyRule,
};
use kube::{
    Api, Config,
    api::{DeleteParams, ListParams, PostParams},
};
use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use serde_json::json;
use spot_core::{
    armed::{Finding, Link, SelfCheck as _, Verdict},
    notice::Instance,
};
use spot_drain::cluster::Cluster as Connection;
use spot_tests::{
    Result,
    cluster::{Budget, Cluster, Node, NodeSpec, Workload},
    control_plane::ControlPlane,
    rbac::{self, Who},
    wait::wait_until,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer},
        server::WebPkiClientVerifier,
    },
};

/// Rights take a moment to be known to the server.
const SOON: Duration = Duration::from_secs(30);
/// Those to the cluster, without make before break.
const LINKS: &[Link] = Link::ALL.split_at(2).1.split_at(7).0;

fn all_hold() -> Vec<Finding> {
    LINKS.iter().copied().map(Finding::holds).collect()
}

fn broken(found: &[Finding]) -> Vec<(Link, String)> {
    let broken = found.iter().filter_map(|finding| match &finding.verdict {
        Verdict::Broken { reason, remedy } => Some((finding.link, format!("{reason}; {remedy}"))),
        _ => None,
    });
    broken.collect()
}

/// A node with pods, and a user of its own.
struct Bench {
    plane: &'static ControlPlane,
    cluster: Cluster,
    node: Node,
    user: String,
}

impl Bench {
    async fn new(name: &str) -> Result<Self> {
        let plane = ControlPlane::shared().await?;
        let cluster = Cluster::create(&plane.client("admin")?, name).await?;
        let node = cluster.add_node(&NodeSpec::spot("node")).await?;
        let user = plane.take_plain_user()?;
        let bench = Self {
            plane,
            cluster,
            node,
            user,
        };
        bench.allow(rbac::handler_rules()?).await?;
        Ok(bench)
    }

    async fn allow(&self, rules: Vec<PolicyRule>) -> Result<()> {
        let admin = self.plane.client("admin")?;
        rbac::allow(&admin, &self.user, Who::User(&self.user), rules).await
    }

    fn config(&self) -> Result<Config> {
        self.plane.config(&self.user)
    }

    fn connect(&self) -> Result<Connection> {
        Ok(Connection::connect(self.config()?).unwrap())
    }

    async fn check(&self, connection: &Connection) -> Vec<Finding> {
        let instance = Instance::new(&self.node.instance_id);
        let check = connection.self_check(&self.node.name);
        check.check(Some(instance)).await
    }

    /// Checks until no link is broken, and all hold.
    async fn cleared(&self, connection: &Connection) -> Result<()> {
        wait_until("all links hold", SOON, async || {
            let found = self.check(connection).await;
            if found == all_hold() {
                Ok(())
            } else {
                Err(format!("{found:?}"))
            }
        })
        .await
    }

    /// Checks until just this link is broken; what is said of it.
    async fn named(&self, connection: &Connection, link: Link) -> Result<String> {
        wait_until(format!("{link} is broken"), SOON, async || {
            let found = self.check(connection).await;
            match broken(&found).as_slice() {
                [(found, said)] if *found == link => Ok(said.clone()),
                _ => Err(format!("{found:?}")),
            }
        })
        .await
    }

    /// Checks until this link is not proven, and none is broken; what is said of it.
    async fn unproven(&self, connection: &Connection, link: Link) -> Result<String> {
        wait_until(format!("{link} is not proven"), SOON, async || {
            let found = self.check(connection).await;
            let of_link = found.iter().find(|finding| finding.link == link);
            match of_link.map(|finding| &finding.verdict) {
                Some(Verdict::Unproven { reason }) if broken(&found).is_empty() => {
                    Ok(reason.clone())
                }
                _ => Err(format!("{found:?}")),
            }
        })
        .await
    }

    /// The versions of the node, its pods, and the budgets.
    async fn versions(&self) -> Result<Vec<Option<String>>> {
        let node = self.cluster.node(&self.node.name).await?;
        let mut versions = vec![node.metadata.resource_version];
        for pod in self.cluster.pods_on(&self.node.name).await? {
            versions.push(pod.metadata.resource_version);
        }
        let budgets: Api<PodDisruptionBudget> = self.cluster.api();
        for budget in budgets.list(&ListParams::default()).await.unwrap() {
            versions.push(budget.metadata.resource_version);
        }
        Ok(versions)
    }
}

#[tokio::test]
async fn all_links_hold_and_no_version_changes() -> Result<()> {
    // A budget that has room, and one that has none.
    for allowed in [1, 0] {
        let bench = Bench::new("armed").await?;
        let connection = bench.connect()?;
        // No pod yet: by an access review.
        bench.cleared(&connection).await?;
        let web = Workload::new("web", 1);
        bench.cluster.deploy_on(&bench.node, &web).await?;
        let budget = Budget::MaxUnavailable(allowed);
        bench.cluster.budget(&web, budget).await?;
        let disruptions = i32::try_from(allowed).unwrap_or_default();
        bench.cluster.wait_budget("web", disruptions).await?;
        let before = bench.versions().await?;
        assert_eq!(before.len(), 3);
        let asked = connection.requests();
        assert_eq!(bench.check(&connection).await, all_hold());
        assert_eq!(connection.requests(), asked + 4);
        assert_eq!(bench.versions().await?, before);
        bench.cluster.delete().await?;
    }
    Ok(())
}

#[tokio::test]
async fn each_missing_right_is_named_and_cleared() -> Result<()> {
    let bench = Bench::new("rights").await?;
    let web = Workload::new("web", 1);
    bench.cluster.deploy_on(&bench.node, &web).await?;
    let connection = bench.connect()?;
    bench.cleared(&connection).await?;
    let table = [
        ("get", "nodes", Link::Identity),
        ("patch", "nodes", Link::Quarantine),
        ("list", "pods", Link::Eviction),
        ("create", "pods/eviction", Link::Eviction),
    ];
    for (verb, resource, link) in table {
        let fewer = rbac::without(rbac::handler_rules()?, verb, resource);
        bench.allow(fewer).await?;
        let said = bench.named(&connection, link).await?;
        let expected = format!("not allowed to {verb} {resource}: 403 ");
        assert!(said.contains(&expected), "{said}");
        bench.allow(rbac::handler_rules()?).await?;
        bench.cleared(&connection).await?;
    }
    bench.cluster.delete().await
}

#[tokio::test]
async fn a_node_without_pods_shows_a_missing_right_by_a_review() -> Result<()> {
    let bench = Bench::new("review").await?;
    let connection = bench.connect()?;
    let fewer = rbac::without(rbac::handler_rules()?, "create", "pods/eviction");
    bench.allow(fewer).await?;
    let said = bench.named(&connection, Link::Eviction).await?;
    assert!(said.contains("an access review says so"), "{said}");
    bench.allow(rbac::handler_rules()?).await?;
    bench.cleared(&connection).await?;
    bench.cluster.delete().await
}

#[tokio::test]
async fn a_policy_that_refuses_a_change_is_quoted_and_cleared() -> Result<()> {
    let bench = Bench::new("policy").await?;
    let web = Workload::new("web", 1);
    bench.cluster.deploy_on(&bench.node, &web).await?;
    let connection = bench.connect()?;
    bench.cleared(&connection).await?;
    let admin = bench.plane.client("admin")?;
    let policies: Api<ValidatingAdmissionPolicy> = Api::all(admin.clone());
    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(admin);
    let name = bench.cluster.namespace();
    let of_node = format!("request.name == '{}'", bench.node.name);
    let of_namespace = format!("request.namespace == '{name}'");
    let table = [
        ("nodes", "UPDATE", of_node, Link::Quarantine),
        ("pods/eviction", "CREATE", of_namespace, Link::Eviction),
    ];
    for (resource, operation, which, link) in table {
        let policy = json!({"metadata": {"name": name}, "spec": {
            "matchConstraints": {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"],
                "resources": [resource], "operations": [operation]}]},
            "matchConditions": [{"name": "ours", "expression": which}],
            // The status that a policy gives unless told, and the one of a missing right.
            "validations": [{"expression": "false", "message": "not today",
                "reason": if link == Link::Eviction { "Forbidden" } else { "Invalid" }}]}});
        let binding = json!({"metadata": {"name": name},
            "spec": {"policyName": name, "validationActions": ["Deny"]}});
        let make = PostParams::default();
        let policy = serde_json::from_value(policy).unwrap();
        policies.create(&make, &policy).await.unwrap();
        let binding = serde_json::from_value(binding).unwrap();
        bindings.create(&make, &binding).await.unwrap();
        // What is said of one pod proves nothing about the others.
        let said = match link {
            Link::Eviction => bench.unproven(&connection, link).await?,
            _ => bench.named(&connection, link).await?,
        };
        assert!(said.contains("not today"), "{said}");
        bindings
            .delete(name, &DeleteParams::default())
            .await
            .unwrap();
        policies
            .delete(name, &DeleteParams::default())
            .await
            .unwrap();
        bench.cleared(&connection).await?;
    }
    bench.cluster.delete().await
}

#[tokio::test]
async fn a_token_that_is_not_taken_is_named_and_read_again() -> Result<()> {
    let bench = Bench::new("token").await?;
    let mut config = bench.config()?;
    config.auth_info.token = None;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "not-a-token").unwrap();
    config.auth_info.token_file = Some(file.path().display().to_string());
    let connection = Connection::connect(config).unwrap();
    let said = bench.named(&connection, Link::Credentials).await?;
    assert!(said.starts_with("401 "), "{said}");
    assert!(!said.contains("not-a-token"), "{said}");
    let kubeconfig = std::fs::read(bench.plane.kubeconfig(&bench.user)?).unwrap();
    let kubeconfig: serde_json::Value = serde_json::from_slice(&kubeconfig).unwrap();
    let token = kubeconfig["users"][0]["user"]["token"].as_str().unwrap();
    std::fs::write(file.path(), token).unwrap();
    bench.cleared(&connection).await?;

    // Whoever says nothing is taken for a guest, who may do nothing.
    let mut config = bench.config()?;
    config.auth_info.token = None;
    let nobody = Connection::connect(config).unwrap();
    let said = bench.named(&nobody, Link::Credentials).await?;
    assert!(said.contains("401") || said.contains("anonymous"), "{said}");
    bench.cluster.delete().await
}

#[tokio::test]
async fn a_node_of_another_instance_is_named_and_left_alone() -> Result<()> {
    let bench = Bench::new("identity").await?;
    let connection = bench.connect()?;
    bench.cleared(&connection).await?;
    let before = bench.versions().await?;
    let asked = connection.requests();
    let check = connection.self_check(&bench.node.name);
    let found = check.check(Some(Instance::new("i-0ther"))).await;
    let said = broken(&found);
    assert_eq!(said.len(), 1, "{found:?}");
    assert_eq!(said[0].0, Link::Identity);
    assert!(said[0].1.contains(&bench.node.instance_id), "{said:?}");
    assert_eq!(connection.requests(), asked + 1);
    assert_eq!(bench.versions().await?, before);
    bench.cleared(&connection).await?;

    let missing = connection.self_check("no-such-node").check(None).await;
    let said = broken(&missing);
    assert_eq!(said.len(), 1, "{missing:?}");
    assert!(said[0].1.contains("does not exist"), "{said:?}");
    bench.cluster.delete().await
}

/// What makes a configuration useless.
type Break = Box<dyn Fn(&mut Config)>;

#[tokio::test]
async fn a_server_that_is_not_reached_or_not_trusted_is_named_and_cleared() -> Result<()> {
    let bench = Bench::new("transport").await?;
    let ca = CertifiedIssuer::self_signed(authority(), KeyPair::generate().unwrap()).unwrap();
    let other = ca.der().to_vec();
    let table: [(Link, &str, Break); 4] = [
        (
            Link::NameResolution,
            "nowhere.invalid",
            Box::new(|c| c.cluster_url = "https://api.nowhere.invalid:6443".parse().unwrap()),
        ),
        (
            Link::Connection,
            "refused",
            Box::new(|c| c.cluster_url = "https://127.0.0.1:1".parse().unwrap()),
        ),
        (
            Link::Certificate,
            "certificate-authority",
            Box::new(move |c| {
                c.root_cert_file = None;
                c.root_cert = Some(vec![other.clone()]);
            }),
        ),
        (
            Link::Certificate,
            "tls-server-name",
            Box::new(|c| c.tls_server_name = Some("other.example".into())),
        ),
    ];
    for (link, words, change) in table {
        let mut config = bench.config()?;
        change(&mut config);
        let connection = Connection::connect(config).unwrap();
        let said = bench.named(&connection, link).await?;
        assert!(said.contains(words), "{said}");
        bench.cleared(&bench.connect()?).await?;
    }
    bench.cluster.delete().await
}

fn authority() -> CertificateParams {
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    ca
}

type Issuer = CertifiedIssuer<'static, KeyPair>;

/// Who is served by a TLS server.
#[derive(Clone, Copy, PartialEq)]
enum Clients {
    Any,
    WithCertificate,
}

/// A TLS server with a certificate of these times, which says that it is busy.
async fn serve(ca: &Issuer, years: (i32, i32), clients: Clients) -> (SocketAddr, impl Future) {
    let mut params = CertificateParams::new(vec!["127.0.0.1".into()]).unwrap();
    params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
    params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, ca).unwrap();
    let builder = ServerConfig::builder();
    let builder = match clients {
        Clients::Any => builder.with_no_client_auth(),
        Clients::WithCertificate => {
            let mut roots = RootCertStore::empty();
            roots.add(ca.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder(roots.into()).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        }
    };
    let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(builder.with_single_cert(chain, key).unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let _ = stream.read(&mut [0; 4096]).await;
            let busy = "HTTP/1.1 429 Busy\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            let _ = stream.write_all(busy.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    };
    (address, serving)
}

/// What is found at a server with such a certificate.
async fn found(ca: &Issuer, years: (i32, i32), clients: Clients) -> Vec<Finding> {
    let (address, serving) = serve(ca, years, clients).await;
    let mut config = Config::new(format!("https://{address}").parse().unwrap());
    config.root_cert = Some(vec![ca.der().to_vec()]);
    let connection = Connection::connect(config).unwrap();
    let check = connection.self_check("node");
    tokio::select! {
        _ = serving => unreachable!(),
        found = check.check(None) => found,
    }
}

#[tokio::test]
async fn a_certificate_whose_time_has_not_come_or_has_gone_is_named() {
    let ca = Issuer::self_signed(authority(), KeyPair::generate().unwrap()).unwrap();
    let held = found(&ca, (2000, 4000), Clients::Any).await;
    assert_eq!(broken(&held), []);
    assert!(
        held.contains(&Finding::holds(Link::Certificate)),
        "{held:?}"
    );
    let table = [
        (
            (2000, 2001),
            Clients::Any,
            "renew the API server's certificate",
        ),
        ((3999, 4000), Clients::Any, "set this machine's clock"),
        (
            (2000, 4000),
            Clients::WithCertificate,
            "renew the client certificate",
        ),
    ];
    for (years, clients, words) in table {
        let found = found(&ca, years, clients).await;
        let said = broken(&found);
        assert_eq!(said.len(), 1, "{found:?}");
        assert_eq!(said[0].0, Link::Certificate, "{said:?}");
        assert!(said[0].1.contains(words), "{said:?}");
        assert!(
            found.contains(&Finding::holds(Link::Connection)),
            "{found:?}"
        );
    }
}
