//! What the template says: its parameters, and what moto does not model.

use std::{collections::BTreeSet, path::Path, process::Command};

use serde_json::{Value, json};
use spot_tests::{
    Result,
    eks::{EXAMPLE, FIXTURES, template::Template},
    python::Python,
};

const MODULE: [&str; 12] = [
    "BootstrapArgumentsForOnDemand",
    "BootstrapArgumentsForSpotFleet",
    "ClusterControlPlaneSecurityGroup",
    "ClusterName",
    "ExistingNodeSecurityGroups",
    "KeyName",
    "NodeGroupName",
    "NodeImageId",
    "NodeInstanceProfile",
    "Subnets",
    "UseExistingNodeSecurityGroups",
    "VpcId",
];

#[tokio::test]
async fn cfn_lint_has_nothing_to_say() -> Result<()> {
    let python = Python::ensure().await?;
    let fixtures = [
        "eksctl-cluster",
        "eksctl-nodegroup",
        "eksctl-managed-nodegroup",
    ];
    let output = Command::new(python.program("cfn-lint"))
        .args(["--include-checks", "I", "--"])
        .arg(Path::new(EXAMPLE).join("nodegroup.yaml"))
        .args(fixtures.map(|name| format!("{FIXTURES}/{name}.yaml")))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.is_empty(), "{said}");
    Ok(())
}

#[tokio::test]
async fn the_console_shows_every_parameter_once_and_by_a_label() -> Result<()> {
    let template = Template::read().await?;
    let interface = "/Metadata/AWS::CloudFormation::Interface";
    let parameters = keys(template.at("/Parameters"));
    let groups = template.at(&format!("{interface}/ParameterGroups"));
    let shown: Vec<_> = groups
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|group| group["Parameters"].as_array().unwrap())
        .map(|name| name.as_str().unwrap().to_owned())
        .collect();
    assert_eq!(shown.len(), parameters.len());
    assert_eq!(shown.into_iter().collect::<BTreeSet<_>>(), parameters);
    let labels = keys(template.at(&format!("{interface}/ParameterLabels")));
    assert_eq!(labels, parameters);
    for name in MODULE {
        assert!(parameters.contains(name), "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn what_moto_does_not_model_is_in_the_template() -> Result<()> {
    let template = Template::read().await?;
    let group = template.properties("NodeGroup");
    assert_eq!(group["CapacityRebalance"], json!(true));
    let hooks = &group["LifecycleHookSpecificationList"];
    assert_eq!(hooks.as_array().unwrap().len(), 1);
    assert_eq!(
        hooks[0]["LifecycleTransition"],
        "autoscaling:EC2_INSTANCE_TERMINATING"
    );
    assert_eq!(hooks[0]["DefaultResult"], "CONTINUE");
    let tags = group["Tags"].as_array().unwrap();
    assert!(
        tags.iter()
            .all(|tag| tag["PropagateAtLaunch"] == json!(true))
    );

    let rolling = template.at("/Resources/NodeGroup/UpdatePolicy/AutoScalingRollingUpdate");
    assert_eq!(rolling["MaxBatchSize"], json!(1));
    let suspended = rolling["SuspendProcesses"].as_array().unwrap();
    assert!(!suspended.contains(&json!("Launch")) && !suspended.contains(&json!("Terminate")));

    let rule = template.at("/Rules/ExistingSecurityGroupsAreNamed");
    assert_eq!(
        rule["RuleCondition"],
        json!({"Fn::Equals": [{"Ref": "UseExistingNodeSecurityGroups"}, "Yes"]})
    );
    assert_eq!(
        rule["Assertions"][0]["Assert"],
        json!({"Fn::Not": [{"Fn::Equals": [{"Ref": "ExistingNodeSecurityGroups"}, ""]}]})
    );
    for (rule, from, to) in [
        ("FromControlPlane", 1025, 65535),
        ("FromControlPlane443", 443, 443),
    ] {
        let rule = template.properties(rule);
        assert_eq!(
            rule["GroupId"],
            json!({"Ref": "ClusterControlPlaneSecurityGroup"})
        );
        assert_eq!(
            rule["DestinationSecurityGroupId"],
            json!({"Ref": "NodeSecurityGroup"})
        );
        assert_eq!(
            (&rule["FromPort"], &rule["ToPort"]),
            (&json!(from), &json!(to))
        );
    }
    let entry = template.properties("WorkerAccessEntry");
    assert_eq!(entry["Type"], "EC2_LINUX");
    assert_eq!(
        template.at("/Resources/WorkerAccessEntry/Condition"),
        "NewAccessEntry"
    );
    // EC2 takes 16 KB, before base64. The other half is for what parameters add.
    assert!(template.user_data(&[("ClusterName", "c")])?.len() < 8 * 1024);
    Ok(())
}

#[tokio::test]
async fn what_lets_nodes_in_is_made_before_them_and_outlives_them() -> Result<()> {
    let template = Template::read().await?;
    let waited_for = template.at("/Resources/NodeGroup/DependsOn");
    assert_eq!(waited_for, "NodesAreLetIn");
    // Each is referred to under its own condition, and under no other.
    let of = |condition: &str| {
        let resources = template.at("/Resources").as_object().unwrap().iter();
        let types = [
            "AWS::EKS::AccessEntry",
            "AWS::EC2::SecurityGroupIngress",
            "AWS::EC2::SecurityGroupEgress",
        ];
        let lets_in = resources.filter(|(_, resource)| {
            let of_type = resource["Type"].as_str().unwrap_or_default();
            resource["Condition"] == condition && types.contains(&of_type)
        });
        let names = lets_in.map(|(name, _)| json!({"Ref": name}));
        names.collect::<Vec<_>>()
    };
    let metadata = template.at("/Resources/NodesAreLetIn/Metadata");
    let [entry] = &of("NewAccessEntry")[..] else {
        panic!("{metadata}");
    };
    let expected = json!({"Fn::If": ["NewAccessEntry", entry, ""]});
    assert_eq!(metadata["AccessEntry"], expected);
    let rules = of("NewSecurityGroup");
    assert_eq!(rules.len(), 6);
    let [condition, referred_to, none] = &metadata["Rules"]["Fn::If"].as_array().unwrap()[..]
    else {
        panic!("{metadata}");
    };
    assert_eq!((condition, none), (&json!("NewSecurityGroup"), &json!([])));
    let sorted = |names: &[Value]| {
        let mut names: Vec<_> = names.iter().map(Value::to_string).collect();
        names.sort_unstable();
        names
    };
    assert_eq!(sorted(referred_to.as_array().unwrap()), sorted(&rules));
    Ok(())
}

#[tokio::test]
async fn the_default_arguments_are_those_that_the_guide_lists() -> Result<()> {
    let template = Template::read().await?;
    let guide = std::fs::read_to_string(Path::new(EXAMPLE).join("README.md")).unwrap();
    for (parameter, default) in [
        (
            "BootstrapArgumentsForOnDemand",
            "--kubelet-extra-args --node-labels=lifecycle=OnDemand",
        ),
        (
            "BootstrapArgumentsForSpotFleet",
            "--kubelet-extra-args '--node-labels=lifecycle=Ec2Spot \
             --register-with-taints=spotInstance=true:PreferNoSchedule'",
        ),
    ] {
        assert_eq!(template.default(parameter), default);
        assert!(guide.contains(&format!("| `{parameter}` | `{default}` |")));
    }
    Ok(())
}

#[tokio::test]
async fn values_that_would_break_a_node_are_refused_at_once() -> Result<()> {
    let template = Template::read().await?;
    let arguments = [
        "",
        "--kubelet-extra-args --node-labels=lifecycle=OnDemand",
        "--kubelet-extra-args '--node-labels=a=b,c=d --max-pods=20' --use-max-pods false",
        r#"--kubelet-extra-args "--node-labels=a=b --v=4""#,
        r#"--docker-config-json '{"debug": true, "x": "$(y)"}'"#,
    ];
    let not_arguments = [
        "--kubelet-extra-args '--node-labels=lifecycle=Ec2Spot",
        "--kubelet-extra-args \"--v=4",
        "a; reboot",
        "a && reboot",
        "$(reboot)",
        "`reboot`",
        "\"$HOME\"",
        "a\nreboot",
        "'a\nreboot'",
        "\"a\nreboot\"",
        "--kubelet-extra-args '--v=4\r'",
        "a > /etc/passwd",
        "a # b",
        "a \\",
        "{a,b}",
    ];
    let profile = "arn:aws:iam::123456789012:instance-profile";
    let (plain, path) = (format!("{profile}/workers"), format!("{profile}/a/b-c_d"));
    let types = "m5.large,m5a.large,m5d.large,m6i.large,m6a.large,m7i-flex.large";
    let cases: [(&str, &[&str], &[&str]); 9] = [
        ("BootstrapArgumentsForOnDemand", &arguments, &not_arguments),
        ("BootstrapArgumentsForSpotFleet", &arguments, &not_arguments),
        (
            "NodeInstanceProfile",
            &["", &plain, &path],
            &["workers", "arn:aws:iam::123456789012:role/workers", "None"],
        ),
        (
            "ExistingNodeSecurityGroups",
            &["", "sg-0123abcd", "sg-0123abcd,sg-0123456789abcdef0"],
            &[
                "workers",
                "sg-0123abcd, sg-0123abcd",
                "sg-0123abcd,",
                "None",
            ],
        ),
        (
            "InstanceTypesOverride",
            &[template.default("InstanceTypesOverride"), types],
            &["m5.large", "m5.large, m5a.large", ""],
        ),
        (
            "ApiServerEndpoint",
            &["", "https://0A.gr7.us-east-2.eks.amazonaws.com"],
            &["0A.gr7.us-east-2.eks.amazonaws.com", "https://a'b", "None"],
        ),
        (
            "CertificateAuthorityData",
            &["", "LS0t+/8="],
            &["-----BEGIN CERTIFICATE-----", "a'b"],
        ),
        (
            "ServiceCidr",
            &["", "10.100.0.0/16", "fd00:1::/108"],
            &["10.100.0.0", "None", "a'b"],
        ),
        (
            "ClusterName",
            &["eksworkshop-eksctl", "1"],
            &["", "a b", "a;b", "-a"],
        ),
    ];
    let python = Python::ensure().await?;
    for (parameter, good, bad) in cases {
        let parameter_at = format!("/Parameters/{parameter}");
        let pattern = &template.at(&parameter_at)["AllowedPattern"];
        assert!(template.at(&parameter_at)["ConstraintDescription"].is_string());
        let args: Vec<_> = std::iter::once(pattern.as_str().unwrap())
            .chain(good.iter().chain(bad).copied())
            .collect();
        let matches = python.script("full_match.py", &args).await?;
        let expected: Vec<_> = good
            .iter()
            .map(|_| true)
            .chain(bad.iter().map(|_| false))
            .collect();
        assert_eq!(matches, [json!(expected)], "{parameter}: {args:?}");
    }
    Ok(())
}

fn keys(object: &Value) -> BTreeSet<String> {
    let keys = object
        .as_object()
        .into_iter()
        .flat_map(|object| object.keys());
    keys.cloned().collect()
}
