//! A token that was stolen from a pod on one node.

use std::{collections::BTreeMap, time::Duration};

use http::Request;
use http_body_util::BodyExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::{Client, client::Body};
use serde_json::{Value, json};
use spot_tests::{
    Result,
    cluster::{Budget, Cluster, NodeSpec, Workload},
    deploy::{
        Manifests,
        agent::{self, Agent},
        installed::Installed,
    },
    error::Context as _,
    wait::wait_until,
};

use crate::misuses::{self, Misuse, Scene};

const SOON: Duration = Duration::from_secs(30);

/// What the API server says to a request.
async fn answer(client: &Client, misuse: &Misuse) -> Result<(u16, String)> {
    let mut request = Request::builder()
        .method(misuse.method)
        .uri(&misuse.path)
        .header("content-type", misuse.content);
    if let Some(user) = &misuse.user {
        request = request.header("impersonate-user", user);
    }
    for group in misuse.groups {
        request = request.header("impersonate-group", *group);
    }
    let body = if misuse.body.is_null() {
        Vec::new()
    } else {
        misuse.body.to_string().into_bytes()
    };
    let request = request.body(Body::from(body)).unwrap();
    let response = client.send(request).await.context(misuse.what)?;
    let status = response.status().as_u16();
    // A watch that was let through never ends; its status is enough.
    if status == 200 && misuse.path.contains("watch=true") {
        return Ok((status, "a watch".into()));
    }
    let body = response.into_body().collect().await;
    let body = body.context(misuse.what)?.to_bytes();
    let said: Value = serde_json::from_slice(&body).unwrap_or_default();
    let words = said["message"].as_str().map(str::to_owned);
    let all = || String::from_utf8_lossy(&body).into_owned();
    Ok((status, words.unwrap_or_else(all)))
}

/// Two nodes with a pod each, and the handler's token of the first.
struct Theft {
    cluster: Cluster,
    agent: Agent,
    nodes: [String; 2],
    pods: [String; 2],
}

impl Theft {
    async fn from(installed: &Installed) -> Result<Self> {
        let cluster = Cluster::create(&installed.admin()?, "stolen").await?;
        let ours = cluster.add_node(&NodeSpec::spot("ours")).await?;
        let other = cluster.add_node(&NodeSpec::spot("other")).await?;
        let web = Workload::new("web", 1);
        let here = cluster.deploy_on(&ours, &web).await?;
        let api = Workload::new("api", 1);
        let there = cluster.deploy_on(&other, &api).await?;
        cluster.budget(&web, Budget::MinAvailable(1)).await?;
        let mark = json!({
            "metadata": {"name": other.name, "namespace": "default"},
            "involvedObject": {"apiVersion": "v1", "kind": "Node", "name": other.name},
            "source": {"component": "spot-interrupt-handler", "host": other.name},
            "reason": "SpotInterruption", "type": "Normal",
        });
        let create = Request::post("/api/v1/namespaces/default/events?fieldManager=spot-tests")
            .header("content-type", "application/json")
            .body(mark.to_string().into_bytes())
            .unwrap();
        installed
            .admin()?
            .request_text(create)
            .await
            .context("an event")?;
        let name = |pods: &[Pod]| pods[0].metadata.name.clone();
        let pods = [name(&here).unwrap(), name(&there).unwrap()];
        let agent = installed.agent(&ours).await?;
        let theft = Self {
            cluster,
            agent,
            nodes: [ours.name, other.name],
            pods,
        };
        theft.policies_hold(installed.makes_first()).await?;
        Ok(theft)
    }

    fn scene(&self) -> Scene<'_> {
        Scene {
            ours: &self.nodes[0],
            other: &self.nodes[1],
            namespace: self.cluster.namespace(),
            our_pod: &self.pods[0],
            other_pod: &self.pods[1],
        }
    }

    /// An API server takes a moment to know its roles and policies: until one request of each
    /// sort is refused by what has to refuse it.
    async fn policies_hold(&self, of_pods: bool) -> Result<()> {
        let client = self.agent.client()?;
        let scene = self.scene();
        let mut all = [
            misuses::of_nodes(&scene),
            misuses::of_the_rest(&scene),
            misuses::events(&scene),
        ]
        .concat();
        if of_pods {
            all.extend(misuses::changes_of_pods(&scene));
        }
        let dry = |mut misuse: Misuse| {
            let more = if misuse.path.contains('?') { "&" } else { "?" };
            misuse.path.push_str(more);
            misuse.path.push_str("dryRun=All");
            misuse
        };
        let by_a_policy = |misuse: &Misuse| misuse.refused.contains("the handler");
        for misuse in all.into_iter().filter(by_a_policy).map(dry) {
            wait_until("the policies hold", SOON, async || {
                let (status, words) = answer(&client, &misuse).await.map_err(|e| e.to_string())?;
                let refused = words.contains(misuse.refused);
                refused
                    .then_some(())
                    .ok_or(format!("{}: {status} {words}", misuse.what))
            })
            .await?;
        }
        Ok(())
    }

    /// What was not refused as it should have been.
    async fn try_all(&self, misuses: &[Misuse]) -> Result<BTreeMap<&'static str, String>> {
        let client = self.agent.client()?;
        let mut through = BTreeMap::new();
        for misuse in misuses {
            let (status, words) = answer(&client, misuse).await?;
            // A policy's answer is that the object is invalid.
            let refused = matches!(status, 403 | 422) && words.contains(misuse.refused);
            if !refused {
                through.insert(misuse.what, format!("{status} {words}"));
            }
        }
        Ok(through)
    }
}

#[tokio::test]
async fn a_stolen_token_does_nothing_beyond_its_node() -> Result<()> {
    let installed = Installed::shared(Manifests::Current).await?;
    let theft = Theft::from(installed).await?;
    let scene = theft.scene();
    let all = [
        misuses::of_nodes(&scene),
        misuses::in_others_names(&scene),
        misuses::of_pods(&scene),
        misuses::beside_pods(&scene),
        misuses::of_the_rest(&scene),
        misuses::events(&scene),
        changes_without_the_right(&scene),
    ]
    .concat();
    assert!(all.len() >= 75, "{}", all.len());
    let through = theft.try_all(&all).await?;
    assert!(through.is_empty(), "{through:#?}");
    // But for what is changed in them, those of events are as the handler's own.
    let own = misuses::changed_event(&scene, scene.ours, None);
    assert_eq!(answer(&theft.agent.client()?, &own).await?.0, 201);
    // What is left to it: nothing of the other node has changed.
    let other = theft.cluster.node(scene.other).await?;
    assert_eq!(other.spec.unwrap().unschedulable, None);
    assert_eq!(theft.cluster.pods_on(scene.ours).await?.len(), 1);
    assert_eq!(theft.cluster.pods_on(scene.other).await?.len(), 1);
    theft.cluster.delete().await
}

/// What the token may do to its node one request after the other, where it may do the first.
#[tokio::test]
async fn what_an_admin_has_cordoned_stays_cordoned() -> Result<()> {
    let installed = Installed::shared(Manifests::Current).await?;
    let theft = Theft::from(installed).await?;
    let (scene, cluster) = (theft.scene(), &theft.cluster);
    let client = theft.agent.client()?;
    let uncordons = "the handler uncordons a node only where it remembers that it cordoned it";
    let remembers = "the handler remembers a cordon only where it made it and it stands";
    let change = |cordoned: Value, memory: Option<Value>| {
        let mut body = json!({"spec": {"unschedulable": cordoned}});
        if let Some(memory) = memory {
            body["metadata"]["annotations"] = json!({"spot-interrupt-handler/memory": memory});
        }
        let template = misuses::of_nodes(&scene).remove(0);
        let path = format!("/api/v1/nodes/{}", scene.ours);
        Misuse {
            path,
            body,
            ..template
        }
    };
    let ours = || Some(Value::from(misuses::CORDONED));
    let refused = async |change: Misuse, words: &str| {
        let (status, said) = answer(&client, &change).await.unwrap();
        let refused = matches!(status, 403 | 422) && said.contains(words);
        assert!(refused, "{}: {status} {said}", change.body);
    };
    let allowed = async |change: Misuse| {
        let (status, said) = answer(&client, &change).await.unwrap();
        assert_eq!(status, 200, "{}: {said}", change.body);
    };

    // An administrator's cordon, and it cannot be made our own.
    cluster.cordon(scene.ours, true).await?;
    refused(change(Value::Null, None), uncordons).await;
    refused(change(false.into(), None), uncordons).await;
    refused(change(Value::Null, ours()), uncordons).await;
    refused(change(true.into(), ours()), remembers).await;
    // As the handler writes it where somebody else has cordoned.
    let theirs = Some(misuses::CORDONED.replace("true", "false").into());
    allowed(change(true.into(), theirs)).await;
    refused(change(Value::Null, Some(Value::Null)), uncordons).await;
    cluster.cordon(scene.ours, false).await?;

    // Our own: written down anew, and taken back; but no memory of it stays without it.
    allowed(change(true.into(), ours())).await;
    let again = Some(
        misuses::CORDONED
            .replace("\"v\":1", "\"v\":1,\"x\":2")
            .into(),
    );
    allowed(change(true.into(), again)).await;
    refused(change(Value::Null, None), remembers).await;
    allowed(change(Value::Null, Some(Value::Null))).await;
    theft.cluster.delete().await
}

/// What the security notes call open on servers before 1.36, and nothing more.
#[tokio::test]
async fn on_older_servers_it_reads_all_pods_and_evicts_any_and_does_no_more() -> Result<()> {
    let installed = Installed::shared(Manifests::Before136).await?;
    let theft = Theft::from(installed).await?;
    let scene = theft.scene();
    let closed = [
        misuses::of_nodes(&scene),
        misuses::beside_pods(&scene),
        misuses::of_the_rest(&scene),
        misuses::events(&scene),
        changes_without_the_right(&scene),
    ]
    .concat();
    let through = theft.try_all(&closed).await?;
    assert!(through.is_empty(), "{through:#?}");
    let lent = misuses::in_others_names(&scene).into_iter();
    let lent: Vec<Misuse> = lent.map(nobody_is_lent).collect();
    let through = theft.try_all(&lent).await?;
    assert!(through.is_empty(), "{through:#?}");

    let open = misuses::of_pods(&scene);
    let client = theft.agent.client()?;
    for misuse in &open {
        let (status, words) = answer(&client, misuse).await?;
        // 429: our pod's budget has no room.
        assert!(
            matches!(status, 200 | 201 | 429),
            "{}: {status} {words}",
            misuse.what
        );
    }
    theft.cluster.delete().await
}

/// Where replacements are not made first no pod may be changed.
fn changes_without_the_right(scene: &Scene) -> Vec<Misuse> {
    let changes = misuses::changes_of_pods(scene).into_iter();
    changes.map(Misuse::without_the_right).collect()
}

/// With make before break it may change pods: those of its node, and of them what detaches them.
#[tokio::test]
async fn with_make_before_break_it_changes_two_words_of_its_own_nodes_pods() -> Result<()> {
    for manifests in Manifests::ALL {
        let installed = Installed::shared_making_first(manifests).await?;
        let theft = Theft::from(installed).await?;
        let scene = theft.scene();
        let mut all = [
            misuses::of_nodes(&scene),
            misuses::changes_of_pods(&scene),
            misuses::beside_pods(&scene),
            misuses::of_the_rest(&scene),
            misuses::events(&scene),
        ]
        .concat();
        if manifests == Manifests::Current {
            all.extend(misuses::in_others_names(&scene));
            all.extend(misuses::of_pods(&scene));
        }
        let through = theft.try_all(&all).await?;
        assert!(through.is_empty(), "{through:#?}");
        gives_back_what_it_removed(&theft).await?;
        theft.cluster.delete().await?;
    }
    Ok(())
}

/// A pod that was detached is put back under its own ReplicaSet, and no other.
async fn gives_back_what_it_removed(theft: &Theft) -> Result<()> {
    let scene = theft.scene();
    let client = theft.agent.client()?;
    let pod: Pod = theft.cluster.api().get(scene.our_pod).await.unwrap();
    let hash = &pod.metadata.labels.unwrap()["pod-template-hash"];
    // A merge patch of our pod.
    let template = misuses::changes_of_pods(&scene).pop().unwrap();
    let change = |label: Option<&str>, annotation: Option<String>| Misuse {
        body: json!({"metadata": {
            "labels": {"pod-template-hash": label},
            "annotations": {"spot-interrupt-handler/detached": annotation},
        }}),
        ..template.clone()
    };
    let written = json!({"hash": hash, "replicaSet": "web"}).to_string();
    let detach = change(None, Some(written));
    assert_eq!(answer(&client, &detach).await?.0, 200);
    let (status, said) = answer(&client, &change(Some("another"), None)).await?;
    assert!(
        status == 422 && said.contains("puts back only what it removed"),
        "{status} {said}"
    );
    assert_eq!(answer(&client, &change(Some(hash), None)).await?.0, 200);
    Ok(())
}

/// Where nobody may be impersonated it is that which is refused.
fn nobody_is_lent(misuse: Misuse) -> Misuse {
    Misuse {
        refused: "cannot impersonate",
        ..misuse
    }
}

#[tokio::test]
async fn a_token_that_is_bound_to_no_pod_changes_no_node_and_no_pod() -> Result<()> {
    let installed = Installed::shared_making_first(Manifests::Current).await?;
    let theft = Theft::from(installed).await?;
    let scene = theft.scene();
    let mut config = installed.plane.config("nobody")?;
    let token = agent::token(&installed.admin()?, None).await?;
    config.auth_info.token = Some(token.into());
    let client = Client::try_from(config).context("a client")?;
    let cordon: Value = json!({"spec": {"unschedulable": true}});
    let node = format!("/api/v1/nodes/{}", scene.ours);
    let as_node = format!("system:node:{}", scene.ours);
    let template = misuses::of_nodes(&scene).remove(0);
    let patch = Misuse {
        what: "cordons the node",
        path: node.clone(),
        body: cordon,
        ..template.clone()
    };
    let read = Misuse {
        what: "reads the node as the node",
        method: "GET",
        path: node,
        user: Some(as_node),
        body: Value::Null,
        refused: "cannot impersonate",
        ..template
    };
    let hash = json!({"metadata": {"labels": {"pod-template-hash": null}}});
    let detach = Misuse {
        what: "detaches a pod",
        path: format!(
            "/api/v1/namespaces/{}/pods/{}",
            scene.namespace, scene.our_pod
        ),
        body: hash,
        refused: "only pods on the node that its token is bound to",
        ..patch.clone()
    };
    for misuse in [patch, read, detach] {
        let (status, words) = answer(&client, &misuse).await?;
        let refused = matches!(status, 403 | 422) && words.contains(misuse.refused);
        assert!(refused, "{}: {status} {words}", misuse.what);
    }
    theft.cluster.delete().await
}
