//! Values: what is wrong is refused by its path, and what there is is documented.

use std::collections::BTreeSet;

use serde_json::Value;
use spot_tests::{
    Error, Result,
    deploy::{
        chart::{self, Render},
        readme,
    },
};

/// A value, and what is to be said of it.
const WRONG: &[(&str, &[&str])] = &[
    // By the schema.
    ("handler.pdb=\"ignore\"", &["/handler/pdb", "respect"]),
    (
        "handler.pollInterval=5",
        &["/handler/pollInterval", "string"],
    ),
    (
        "handler.pollInterval=\"5 seconds\"",
        &["/handler/pollInterval"],
    ),
    ("handler.pollInterval=\"99ms\"", &["/handler/pollInterval"]),
    ("handler.pollInterval=\"61s\"", &["/handler/pollInterval"]),
    ("handler.pollInterval=\"2m\"", &["/handler/pollInterval"]),
    ("handler.taint=\"A/b:NoSchedule\"", &["/handler/taint"]),
    ("handler.taint=\"a/b/c:NoSchedule\"", &["/handler/taint"]),
    ("enabled=\"yes\"", &["/enabled", "boolean"]),
    ("handler.dryRun=\"yes\"", &["/handler/dryRun", "boolean"]),
    (
        "handler.pollIntervall=\"5s\"",
        &["/handler", "pollIntervall"],
    ),
    ("handler.notices=[\"spot=drain\"]", &["/handler/notices/0"]),
    ("handler.taint=\"a/b:NoExecute\"", &["/handler/taint"]),
    ("handler.shutdownGrace=\"2m\"", &["/handler/shutdownGrace"]),
    ("handler.listen=\":9810\"", &["/handler/listen"]),
    (
        "handler.makeBeforeBreak=\"yes\"",
        &["/handler/makeBeforeBreak", "annotated"],
    ),
    (
        "handler.impersonateNode=\"never\"",
        &["/handler/impersonateNode"],
    ),
    ("image.digest=\"latest\"", &["/image/digest"]),
    ("image.repository=\"\"", &["/image/repository"]),
    ("replicas=2", &["replicas"]),
    ("nodeSelector={\"a\": 1}", &["/nodeSelector/a", "string"]),
    ("tolerations={\"a\": 1}", &["/tolerations", "array"]),
    (
        "terminationGracePeriodSeconds=\"2m\"",
        &["/terminationGracePeriodSeconds", "integer"],
    ),
    ("resources.limit={}", &["/resources", "limit"]),
    ("extraEnv=[{\"value\": \"x\"}]", &["/extraEnv/0", "name"]),
    (
        "admissionPolicy.create=\"maybe\"",
        &["/admissionPolicy/create"],
    ),
    // By what does not fit together.
    (
        "terminationGracePeriodSeconds=60",
        &["terminationGracePeriodSeconds", "140"],
    ),
    ("webhook.headersKey=\"x\"", &["webhook.secretName"]),
    ("webhook.template=\"{}\"", &["webhook.secretName"]),
    (
        "webhook.secretName=\"x\",extraEnv=[{\"name\": \"WEBHOOK_URL\", \"value\": \"x\"}]",
        &["webhook.secretName", "extraEnv"],
    ),
    ("dnsPolicy=\"None\"", &["dnsConfig.nameservers"]),
    (
        "hostNetwork=true,podMonitor.create=true,handler.listen=\"127.0.0.1:9810\"",
        &["handler.listen", "Prometheus"],
    ),
    (
        "podMonitor.create=true,handler.listen=\"\"",
        &["handler.listen", "Prometheus"],
    ),
    (
        "handler.listen=\"127.0.0.1:9810\"",
        &["handler.listen", "hostNetwork"],
    ),
];

#[tokio::test]
async fn a_wrong_value_is_refused_and_its_path_named() -> Result<()> {
    for (value, words) in WRONG {
        let rendered = Render::of(chart::CURRENT).set(value).text().await;
        let Err(error) = rendered else {
            panic!("{value} is taken");
        };
        let said = error.to_string();
        for word in *words {
            assert!(said.contains(word), "{value}: {word}: {said}");
        }
    }
    Ok(())
}

/// Those that look as if they could be wrong.
#[tokio::test]
async fn what_the_binary_takes_is_taken() -> Result<()> {
    for value in [
        "handler.pollInterval=\"100ms\"",
        "handler.pollInterval=\"1s500ms\"",
        "handler.pollInterval=\"60s\"",
        "handler.pollInterval=\"1m\"",
        "handler.taint=\"example.com/A_b.c:NoSchedule\"",
        "handler.taint=\"a:PreferNoSchedule\"",
        "enabled=true",
        "global={\"imageRegistry\": \"x\"}",
        "dnsPolicy=\"None\",dnsConfig={\"nameservers\": [\"10.0.0.10\"]}",
    ] {
        let render = Render::of(chart::CURRENT).set(value);
        render
            .text()
            .await
            .map_err(|error| Error::Usage(format!("{value}: {error}")))?;
    }
    Ok(())
}

/// `null` leaves an option to the binary, and what follows from it to the binary's own default.
#[tokio::test]
async fn every_option_may_be_left_to_the_binary() -> Result<()> {
    let values = std::fs::read_to_string(chart::dir().join("values.yaml")).unwrap();
    let values: Value = serde_saphyr::from_str(&values).unwrap();
    let options = values["handler"].as_object().unwrap();
    assert!(options.len() >= 16, "{options:?}");
    let all = Render::of(chart::CURRENT).objects().await?;
    for name in options.keys() {
        let render = Render::of(chart::CURRENT).set(&format!("handler.{name}=null"));
        let objects = render.objects().await?;
        let arguments = chart::arguments(&objects);
        let kebab: String = name
            .chars()
            .flat_map(|c| {
                c.is_uppercase()
                    .then_some('-')
                    .into_iter()
                    .chain(c.to_lowercase())
            })
            .collect();
        let flag = format!("--{kebab}");
        let given = arguments
            .iter()
            .find(|argument| argument.starts_with(&flag));
        assert_eq!(given, None, "{name}");
        let policies = |objects: &[Value]| -> Vec<Value> {
            let policies = objects.iter();
            let policies = policies.filter(|o| o["kind"] == "ValidatingAdmissionPolicy");
            policies.cloned().collect()
        };
        assert_eq!(policies(&objects), policies(&all), "{name}");
    }
    let render = Render::of(chart::CURRENT).set("handler.listen=null");
    let container = container(&render.objects().await?);
    assert!(container["ports"].is_null() && container["readinessProbe"].is_null());
    Ok(())
}

fn pod(objects: &[Value]) -> Value {
    let set = objects.iter().find(|object| object["kind"] == "DaemonSet");
    set.unwrap()["spec"]["template"].clone()
}

fn container(objects: &[Value]) -> Value {
    pod(objects)["spec"]["containers"][0].clone()
}

/// Helm merges maps: a label of ours stays until it is said that it goes.
#[tokio::test]
async fn a_label_of_the_nodes_is_left_out_by_null() -> Result<()> {
    let selected = async |value: &str| -> Result<Value> {
        let render = Render::of(chart::CURRENT).set(&format!("nodeSelector={value}"));
        Ok(pod(&render.objects().await?)["spec"]["nodeSelector"].clone())
    };
    let both = selected(r#"{"pool": "spot"}"#).await?;
    assert_eq!(both["lifecycle"], "Ec2Spot");
    let one = selected(r#"{"pool": "spot", "lifecycle": null}"#).await?;
    let expected = serde_json::json!({"kubernetes.io/os": "linux", "pool": "spot"});
    assert_eq!(one, expected);
    Ok(())
}

/// A template is read at the start: pods are replaced when it changes, and only then.
#[tokio::test]
async fn another_template_replaces_the_pods() -> Result<()> {
    let rendered = async |template: &str| -> Result<Vec<Value>> {
        // With the URL in a variable it needs no Secret.
        let value = format!(
            "webhook.template={template:?},extraEnv=[{{\"name\": \"WEBHOOK_URL\", \"value\": \"x\"}}]"
        );
        Render::of(chart::CURRENT).set(&value).objects().await
    };
    let (one, other) = (rendered("[1]").await?, rendered("[2]").await?);
    assert_ne!(pod(&one), pod(&other));
    assert_eq!(pod(&one), pod(&rendered("[1]").await?));
    let arguments = chart::arguments(&one).join(" ");
    assert!(arguments.contains("--webhook-template="), "{arguments}");
    assert!(!arguments.contains("--webhook-url-file"), "{arguments}");
    let mounts = &container(&one)["volumeMounts"];
    assert_eq!(mounts[0]["name"], "webhook-template");
    assert!(mounts[1].is_null());
    let none = pod(&Render::of(chart::CURRENT).objects().await?);
    assert!(none["metadata"]["annotations"].is_null());
    Ok(())
}

/// By the `PodMonitor` an alert knows the node.
#[tokio::test]
async fn a_pod_monitor_names_the_node() -> Result<()> {
    let render = Render::of(chart::CURRENT).set("podMonitor.create=true");
    let objects = render.objects().await?;
    let monitor = objects.iter().find(|o| o["kind"] == "PodMonitor").unwrap();
    let label = &monitor["spec"]["podMetricsEndpoints"][0]["relabelings"][0];
    assert_eq!(label["sourceLabels"][0], "__meta_kubernetes_pod_node_name");
    assert_eq!(label["targetLabel"], "node");
    Ok(())
}

#[test]
fn the_readme_lists_the_values_as_they_are() {
    let kept = std::fs::read_to_string(chart::dir().join("README.md")).unwrap();
    let values = std::fs::read_to_string(chart::dir().join("values.yaml")).unwrap();
    let written = readme::with_values(&kept, &values).unwrap();
    assert!(
        kept == written,
        "write it anew by `cargo run -p spot-tests --bin deploy`"
    );
    let rows = readme::rows(&values).unwrap();
    let undocumented: Vec<_> = rows.iter().filter(|row| row.what.is_empty()).collect();
    assert!(undocumented.is_empty(), "{undocumented:?}");
}

/// The paths of a schema's properties, as far as it names them.
fn paths(schema: &Value, at: &str, into: &mut BTreeSet<String>) {
    let Some(properties) = schema["properties"].as_object() else {
        into.insert(at.to_owned());
        return;
    };
    for (name, property) in properties {
        let at = if at.is_empty() {
            name.clone()
        } else {
            format!("{at}.{name}")
        };
        paths(property, &at, into);
    }
}

#[test]
fn every_value_of_the_schema_is_in_the_readme() {
    let values = std::fs::read_to_string(chart::dir().join("values.yaml")).unwrap();
    let schema = std::fs::read_to_string(chart::dir().join("values.schema.json")).unwrap();
    let mut named = BTreeSet::new();
    paths(&serde_json::from_str(&schema).unwrap(), "", &mut named);
    let rows = readme::rows(&values).unwrap();
    let documented = |path: &String| {
        let below =
            |row: &readme::Row| path == &row.path || path.starts_with(&format!("{}.", row.path));
        rows.iter().any(below)
    };
    // Helm's own, and what probes have besides.
    let besides = |path: &String| {
        path == "global"
            || path == "enabled"
            || path.ends_with("initialDelaySeconds")
            || path.ends_with("successThreshold")
    };
    let missing: Vec<_> = named
        .iter()
        .filter(|p| !documented(p) && !besides(p))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
