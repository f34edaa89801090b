//! What is rendered is what a real API server takes, field by field.

use std::{path::Path, time::Duration};

use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;
use spot_tests::{
    Result,
    cluster::Cluster,
    control_plane::ControlPlane,
    deploy::{
        self, Manifests,
        chart::{self, Render},
        installed::apply,
        schemas,
    },
    error::Context as _,
    scratch::Scratch,
    wait::wait_until,
};

const SOON: Duration = Duration::from_secs(60);

/// The Prometheus operator's kind, as far as the chart writes it.
async fn pod_monitors(plane: &ControlPlane) -> Result<()> {
    let text = json!({"type": "string"});
    let texts = json!({"type": "object", "additionalProperties": text});
    let relabeling = json!({"type": "object", "properties": {
        "sourceLabels": {"type": "array", "items": text}, "targetLabel": text}});
    let endpoint = json!({"type": "object",
        "properties": {"port": text, "path": text, "interval": text,
            "relabelings": {"type": "array", "items": relabeling}}});
    let spec = json!({"type": "object", "properties": {
        "selector": {"type": "object", "properties": {"matchLabels": texts}},
        "podMetricsEndpoints": {"type": "array", "items": endpoint},
    }});
    let definition: CustomResourceDefinition = deploy::typed(json!({
        "metadata": {"name": "podmonitors.monitoring.coreos.com"},
        "spec": {
            "group": "monitoring.coreos.com",
            "names": {"kind": "PodMonitor", "plural": "podmonitors"},
            "scope": "Namespaced",
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {
                "openAPIV3Schema": {"type": "object", "properties": {"spec": spec}},
            }}],
        },
    }))?;
    let admin = plane.client("admin")?;
    Api::all(admin)
        .create(&PostParams::default(), &definition)
        .await
        .context("the kind PodMonitor")?;
    Ok(())
}

/// Checks what was rendered against the API server's own schemas, then applies it.
async fn is_taken(plane: &ControlPlane, name: &str, text: &str) -> Result<()> {
    let scratch = Scratch::new("applied")?;
    let file = scratch.path().join(format!("{name}.yaml"));
    std::fs::write(&file, text).context("write what was rendered")?;
    let objects = deploy::objects(text)?;
    let admin = plane.client("admin")?;
    wait_until("schemas of all kinds", SOON, async || {
        let written = schemas::write(&admin, &objects, scratch.path()).await;
        written.map_err(|error| format!("{error:?}"))
    })
    .await?;
    let said = chart::conforms(&file, scratch.path()).await?;
    let all = format!(
        "Valid: {}, Invalid: 0, Errors: 0, Skipped: 0",
        objects.len()
    );
    assert!(said.contains(&all), "{name}: {said}");
    // One release after the other: what the last one had otherwise is taken over.
    let namespace = ["--namespace", deploy::NAMESPACE, "--force-conflicts"];
    let said = apply(plane, &file, &namespace).await?;
    assert_eq!(
        said.matches("serverside-applied").count(),
        objects.len(),
        "{said}"
    );
    assert!(!said.contains("Warning"), "{name}: {said}");
    Ok(())
}

#[tokio::test]
async fn what_is_rendered_conforms_and_is_taken_with_all_values_of_ci() -> Result<()> {
    let plane = ControlPlane::start_api_server().await?;
    pod_monitors(&plane).await?;
    let values = chart::ci_values()?;
    assert!(values.len() >= 5, "{values:?}");
    for version in [chart::CURRENT, chart::BEFORE] {
        is_taken(&plane, "none", &Render::of(version).text().await?).await?;
        for file in &values {
            let name = file.file_stem().and_then(|stem| stem.to_str()).unwrap();
            let text = Render::of(version).values(file).text().await?;
            is_taken(&plane, name, &text).await?;
        }
    }
    for manifests in Manifests::ALL {
        let text = std::fs::read_to_string(manifests.path()).unwrap();
        is_taken(&plane, "manifests", &text).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_field_that_kubernetes_does_not_know_is_found() -> Result<()> {
    let plane = ControlPlane::start_api_server().await?;
    let text = Render::of(chart::CURRENT).text().await?;
    let wrong = text.replace("readOnlyRootFilesystem:", "readOnlyRootFileSystem:");
    assert_ne!(text, wrong);
    let scratch = Scratch::new("conforms")?;
    let file = scratch.path().join("wrong.yaml");
    std::fs::write(&file, &wrong).context("write it")?;
    schemas::write(
        &plane.client("admin")?,
        &deploy::objects(&wrong)?,
        scratch.path(),
    )
    .await?;
    let said = chart::conforms(&file, Path::new(scratch.path())).await;
    let said = said.unwrap_err().to_string();
    assert!(said.contains("readOnlyRootFileSystem"), "{said}");
    Ok(())
}

/// Its pods are let in where the Pod Security Standard *restricted* is enforced.
#[tokio::test]
async fn its_pods_are_restricted_but_for_the_hosts_network() -> Result<()> {
    let plane = ControlPlane::start().await?;
    let cluster = Cluster::create(&plane.client("admin")?, "restricted").await?;
    let name = cluster.namespace();
    let label =
        json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
    let namespaces: Api<Namespace> = Api::all(cluster.client().clone());
    let patch = Patch::Merge(&label);
    namespaces
        .patch(name, &PatchParams::default(), &patch)
        .await
        .context("label the namespace")?;
    for file in chart::ci_values()? {
        let objects = Render::of(chart::CURRENT).values(&file).objects().await?;
        let set = objects.iter().find(|o| o["kind"] == "DaemonSet").unwrap();
        let mut spec = set["spec"]["template"]["spec"].clone();
        spec["serviceAccountName"] = "default".into();
        let pod = json!({"metadata": {"name": "handler"}, "spec": spec});
        let dry = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        let made = cluster
            .api::<Pod>()
            .create(&dry, &deploy::typed(pod)?)
            .await;
        if file.ends_with("host-network-values.yaml") {
            let refused = made.unwrap_err().to_string();
            assert!(refused.contains("host namespaces"), "{refused}");
        } else {
            made.context(format!("{}", file.display()))?;
        }
    }
    Ok(())
}
