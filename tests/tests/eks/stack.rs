//! The guide's own commands, followed from nothing to cleaned up on simulated AWS services.

use serde_json::{Value, json};
use spot_tests::{
    Error, Result,
    eks::{guide::Guide, moto::Moto, shell::Printed, template::Template},
};

pub(crate) const SET_UP: [&str; 9] = [
    "names",
    "create-cluster",
    "find-stacks",
    "is-profile-set",
    "find-profile",
    "find-security-groups",
    "find-cluster-security-group",
    "find-the-rest",
    "is-all-set",
];
pub(crate) const LAUNCH: [&str; 3] = ["launch", "describe", "launch-link"];
pub(crate) const CLEAN_UP: [&str; 3] = ["delete-nodes", "delete-bucket", "is-anything-left"];
pub(crate) const UPDATE: [&str; 2] = ["update-eksctl-group-plan", "update-eksctl-group"];
/// The handler's image, and a real interruption.
pub(crate) const REAL: [&str; 6] = [
    "make-repository",
    "push-image",
    "make-experiment",
    "interrupt",
    "delete-repository",
    "delete-experiment",
];
pub(crate) const END: [&str; 1] = ["delete-cluster"];
/// What can be left behind in an account that had nothing but its default VPC.
const LEFT: &str = r#"
aws cloudformation describe-stacks --query 'Stacks[].StackName' --output text
aws autoscaling describe-auto-scaling-groups --output text \
  --query 'AutoScalingGroups[].AutoScalingGroupName'
aws ec2 describe-instances --output text \
  --query "Reservations[].Instances[?State.Name!='terminated'][].InstanceId"
aws ec2 describe-launch-templates --query 'LaunchTemplates[].LaunchTemplateName' --output text
aws ec2 describe-security-groups --output text \
  --query "SecurityGroups[?GroupName!='default'].GroupName"
aws iam list-roles --query "Roles[?Path=='/'].RoleName" --output text
aws iam list-instance-profiles --query 'InstanceProfiles[].InstanceProfileName' --output text
aws eks list-clusters --query 'clusters' --output text
aws ecr describe-repositories --query 'repositories[].repositoryName' --output text
aws fis list-experiment-templates --query 'experimentTemplates[].id' --output text
aws s3 ls
"#;
/// What the stack made: its outputs, its group, its launch template and the user data in that.
const THE_GROUP: &str = r#"
aws autoscaling describe-auto-scaling-groups --output json --query 'AutoScalingGroups[0]' \
  --auto-scaling-group-names "$(output "$STACK_NAME" NodeGroup)""#;
const THE_LAUNCH_TEMPLATE: &str = r#"
launch_template=$(output "$STACK_NAME" LaunchTemplate)
launch_template=$(aws ec2 describe-launch-template-versions --output json \
  --launch-template-id "${launch_template%:*}" --versions "${launch_template#*:}" \
  --query 'LaunchTemplateVersions[0].LaunchTemplateData')
echo "$launch_template""#;
const THE_USER_DATA: &str =
    r#"sed -n 's/.*"UserData": "\([^"]*\)".*/\1/p' <<<"$launch_template" | base64 --decode"#;
const THE_EXPERIMENT: &str = r#"
aws fis get-experiment-template --id "$EXPERIMENT_TEMPLATE" --query experimentTemplate"#;
const UPLOADED: &str = r#"aws s3 cp "s3://$BUCKET/nodegroup.yaml" - | cmp - nodegroup.yaml"#;
const UPDATED: &str = "aws autoscaling describe-auto-scaling-groups --output json \
                       --query 'AutoScalingGroups'";
const ROLES: &str = "aws iam list-roles --query 'Roles[].RoleName' --output text";
/// Who is let in where: group, protocol, ports, from which group.
const RULES: &str = "aws ec2 describe-security-group-rules --output text --query \
                     'SecurityGroupRules[?!IsEgress].[GroupId, IpProtocol, FromPort, ToPort, \
                     ReferencedGroupInfo.GroupId]'";
/// What eksctl knows its stack by.
const TAGS: &str = "aws cloudformation describe-stacks --stack-name \"$WORKERS_STACK\" \
                    --query 'Stacks[0].Tags' --output json";
/// moto forgets a change set's tags, so it is written down what is asked.
const LISTEN: &str =
    r#"asked=$(mktemp) && aws() { printf '%s\0' "$@" >>"$asked" && command aws "$@"; }"#;
const ASKED: &str = r#"cat "$asked" && rm "$asked" && unset -f aws"#;

#[tokio::test]
async fn the_guide_leads_from_nothing_to_nodes_and_back() -> Result<()> {
    let moto = Moto::start().await?;
    let (guide, shell) = (Guide::read()?, moto.shell());
    let printed = shell
        .follow(&guide)
        .blocks(&SET_UP)?
        .blocks(&LAUNCH)?
        .own("group", THE_GROUP)
        .own("launch template", THE_LAUNCH_TEMPLATE)
        .own("user data", THE_USER_DATA)
        .own("uploaded", UPLOADED)
        .blocks(&REAL[..4])?
        .own("experiment", THE_EXPERIMENT)
        .own("image", "echo \"$IMAGE\"")
        .blocks(&REAL[4..])?
        .blocks(&CLEAN_UP)?
        .own("tags", TAGS)
        .own("listen", LISTEN)
        .blocks(&UPDATE)?
        .own("asked", ASKED)
        .own("updated", UPDATED)
        .blocks(&END)?
        .own("left", LEFT)
        .run()
        .await?;

    assert_eq!(
        printed.by("is-profile-set"),
        "INSTANCE_PROFILE_ARN is not set"
    );
    let profile = printed.exported("INSTANCE_PROFILE_ARN");
    assert!(profile.starts_with("arn:aws:iam::123456789012:instance-profile/eksctl-"));
    assert_eq!(
        printed.by("find-profile"),
        format!("INSTANCE_PROFILE_ARN is {profile}")
    );
    let groups: Vec<_> = printed.exported("SECURITY_GROUPS").split(',').collect();
    assert_eq!(groups.len(), 2);
    assert_eq!(printed.by("is-all-set"), "");
    assert_eq!(printed.exported("NODE_IMAGE_ID"), "ami-0a10000000000001");

    mixed(&printed.json("group")?, 1);
    assert_eq!(
        printed.json("group")?["VPCZoneIdentifier"],
        printed.exported("SUBNETS")
    );
    // The outputs, and one line for each instance.
    let described = printed.by("describe");
    assert!(
        described.contains(&format!("NodeInstanceProfile\t{profile}\n")),
        "{described}"
    );
    assert_eq!(described.matches("InService").count(), 3, "{described}");

    let launch = printed.json("launch template")?;
    assert_eq!(launch["IamInstanceProfile"]["Arn"], profile);
    assert_eq!(launch["SecurityGroupIds"], json!(groups));
    assert_eq!(launch["ImageId"], "ami-0a10000000000001");
    assert_eq!(launch["KeyName"], Value::Null);
    let metadata = &launch["MetadataOptions"];
    assert_eq!(metadata["HttpTokens"], "required");
    assert_eq!(metadata["HttpPutResponseHopLimit"], 2);
    // Tests of the user data fill it in by themselves: as CloudFormation does?
    let set = [
        ("ApiServerEndpoint", "ENDPOINT"),
        ("CertificateAuthorityData", "CERTIFICATE_AUTHORITY"),
        ("ServiceCidr", "SERVICE_CIDR"),
    ]
    .map(|(parameter, variable)| (parameter, printed.exported(variable)));
    assert!(set[0].1.starts_with("https://") && set[2].1 == "172.20.0.0/16");
    let filled = Template::read().await?.user_data(&set)?;
    assert_eq!(printed.by("user data"), filled.trim_end());

    launches(&printed).await?;

    pushes(printed.by("push-image"), printed.by("image"));
    interrupts(&printed)?;

    updates(printed.by("update-eksctl-group-plan"));
    let updated = printed.json("updated")?;
    assert_eq!(updated.as_array().map(Vec::len), Some(1));
    mixed(&updated[0], 1);
    let tags = printed.json("tags")?;
    assert_eq!(tags.as_array().map(Vec::len), Some(4), "{tags}");
    let mut asked = printed.by("asked").split('\0');
    let handed_on = asked.find(|word| *word == "--tags").and(asked.next());
    let handed_on: Value = serde_json::from_str(handed_on.unwrap_or_default()).unwrap();
    assert_eq!(handed_on, tags);

    assert_eq!(printed.by("is-anything-left"), "");
    assert_eq!(printed.by("left"), "");
    Ok(())
}

/// The console's link names the template that was uploaded, and gives its parameters, and no others,
/// what was found.
async fn launches(printed: &Printed) -> Result<()> {
    let link = printed.by("launch-link").lines().last().unwrap_or_default();
    assert!(!link.contains(char::is_whitespace), "{link}");
    let (page, fragment) = link.split_once('#').unwrap_or_default();
    let console = "https://console.aws.amazon.com/cloudformation/home?region=us-east-2";
    assert_eq!(page, console);
    let (path, query) = fragment.split_once('?').unwrap_or_default();
    assert_eq!(path, "/stacks/quickcreate");
    let query = query.split('&').map(|both| {
        let (name, value) = both.split_once('=').unwrap_or_default();
        Ok((name.to_owned(), unescaped(value)?))
    });
    let query: Vec<_> = query.collect::<Result<_>>()?;
    let of_template = |(name, _): &(String, String)| name.starts_with("param_");
    let (parameters, others): (Vec<_>, Vec<_>) = query.into_iter().partition(of_template);
    let uploaded = "https://eksworkshop-spot-workers-123456789012.s3.us-east-2.amazonaws.com/\
                    nodegroup.yaml";
    let expected = [
        ("templateURL", uploaded),
        ("stackName", "eksworkshop-spot-workers"),
    ];
    assert_eq!(
        others,
        expected.map(|(name, value)| (name.into(), value.into()))
    );

    let template = Template::read().await?;
    let found = [
        ("ClusterName", "CLUSTER_NAME"),
        ("ClusterControlPlaneSecurityGroup", "CONTROL_PLANE_SG"),
        ("ApiServerEndpoint", "ENDPOINT"),
        ("CertificateAuthorityData", "CERTIFICATE_AUTHORITY"),
        ("ServiceCidr", "SERVICE_CIDR"),
        ("NodeInstanceProfile", "INSTANCE_PROFILE_ARN"),
        ("ExistingNodeSecurityGroups", "SECURITY_GROUPS"),
        ("NodeImageId", "NODE_IMAGE_ID"),
        ("VpcId", "VPC_ID"),
        ("Subnets", "SUBNETS"),
    ];
    let expected = found.map(|(parameter, variable)| {
        let known = template.at(&format!("/Parameters/{parameter}"));
        assert!(known.is_object(), "{parameter}");
        let value = printed.exported(variable);
        assert!(!value.is_empty(), "{variable}");
        (format!("param_{parameter}"), value.to_owned())
    });
    assert_eq!(parameters, expected);
    Ok(())
}

/// Without the escapes of a URL. A `+` there may become a space, so it has to be escaped itself.
fn unescaped(value: &str) -> Result<String> {
    let mut parts = value.split('%');
    let first = parts.next().unwrap_or_default().to_owned();
    let wrong = || Error::Usage(format!("not escaped as in a URL: {value}"));
    if value.contains('+') {
        return Err(wrong());
    }
    parts.try_fold(first, |text, part| {
        let code = part.get(..2).and_then(|c| u8::from_str_radix(c, 16).ok());
        let code = char::from(code.ok_or_else(wrong)?);
        Ok(format!("{text}{code}{}", &part[2..]))
    })
}

/// The image that was built goes to the registry that was made, and the login with it.
fn pushes(said: &str, image: &str) {
    let registry = "123456789012.dkr.ecr.us-east-2.amazonaws.com";
    assert_eq!(image, format!("{registry}/spot-interrupt-handler:0.1.0"));
    for call in [
        format!("skopeo login --username AWS --password-stdin {registry}"),
        format!("skopeo copy oci-archive:handler.tar docker://{image}"),
    ] {
        assert!(said.contains(&call), "{said}");
    }
}

/// One running Spot node of the group, with two minutes' notice.
fn interrupts(printed: &Printed) -> Result<()> {
    assert_eq!(printed.by("interrupt"), "pending");
    let experiment = printed.json("experiment")?;
    let target = &experiment["targets"]["node"];
    assert_eq!(target["resourceType"], "aws:ec2:spot-instance");
    assert_eq!(
        target["resourceTags"]["Name"],
        "eksworkshop-eksctl-spotworkers"
    );
    assert_eq!(target["selectionMode"], "COUNT(1)");
    let action = &experiment["actions"]["interrupt"];
    assert_eq!(
        action["actionId"],
        "aws:ec2:send-spot-instance-interruptions"
    );
    assert_eq!(action["parameters"]["durationBeforeInterruption"], "PT2M");
    assert_eq!(action["targets"]["SpotInstances"], "node");
    let role = experiment["roleArn"].as_str();
    assert!(role.is_some_and(|role| role.ends_with(":role/eksworkshop-spot-workers-fis")));
    Ok(())
}

fn updates(plan: &str) {
    for change in [
        "Modify\tNodeGroup\t",
        "Modify\tNodeGroupLaunchTemplate\t",
        "Add\tWorkerRole\t",
        "Remove\tSG\t",
    ] {
        assert!(plan.contains(change), "{plan}");
    }
}

#[tokio::test]
async fn without_a_profile_or_groups_the_stack_makes_them_and_takes_them_back() -> Result<()> {
    let moto = Moto::start().await?;
    let (guide, shell) = (Guide::read()?, moto.shell().env("WORKERS", "managed"));
    let create = "aws cloudformation create-stack --stack-name \"$STACK_NAME\" \
         --template-body file://nodegroup.yaml --capabilities CAPABILITY_IAM --parameters \
         \"ParameterKey=ClusterControlPlaneSecurityGroup,ParameterValue=$CONTROL_PLANE_SG\" \
         \"ParameterKey=NodeImageId,ParameterValue=$NODE_IMAGE_ID\" \
         \"ParameterKey=Subnets,ParameterValue='$SUBNETS'\" ";
    let no_on_demand = "\"ParameterKey=VpcId,ParameterValue=$VPC_ID\" \
         ParameterKey=OnDemandBaseCapacity,ParameterValue=0 \
         ParameterKey=KeyName,ParameterValue=workshop \
         ParameterKey=UseExistingNodeSecurityGroups,ParameterValue=No";
    let without_workers = [
        "create-cluster",
        "find-stacks",
        "find-profile",
        "find-security-groups",
        "find-cluster-security-group",
    ]
    .map(|name| guide.commands(name));
    let without_workers: String = without_workers.into_iter().collect::<Result<_>>()?;
    let printed = shell
        .follow(&guide)
        .blocks(&SET_UP)?
        .own(
            "missing",
            &format!("(VPC_ID=\n{})", guide.commands("is-all-set")?),
        )
        .blocks(&["launch"])?
        .own("group of the guide", THE_GROUP)
        .own("launch template of the guide", THE_LAUNCH_TEMPLATE)
        .blocks(&["delete-nodes"])?
        .own("refused", &format!("{create} 2>&1 || true"))
        .own("roles before", ROLES)
        .own("create", &format!("{create} {no_on_demand}"))
        .own("group", THE_GROUP)
        .own("launch template", THE_LAUNCH_TEMPLATE)
        .own("rules", RULES)
        .own("role", "output \"$STACK_NAME\" NodeInstanceRole")
        .own("delete", guide.commands("delete-nodes")?)
        .own("rules after", RULES)
        .own("roles after", ROLES)
        .own(
            "without workers",
            &format!("(export WORKERS=none CLUSTER_NAME=bare\n{without_workers}\necho \"$SECURITY_GROUPS\")"),
        )
        .run()
        .await?;

    assert_eq!(
        printed.by("find-profile"),
        "INSTANCE_PROFILE_ARN is not set"
    );
    let shared = printed.exported("SECURITY_GROUPS");
    assert!(
        shared.starts_with("sg-") && !shared.contains(','),
        "{shared}"
    );
    assert_eq!(printed.by("missing"), "VPC_ID is not set");
    let refused = printed.by("refused");
    assert!(
        refused.contains("ValidationError") && refused.contains("VpcId"),
        "{refused}"
    );

    // As the guide does it: a profile of the stack's own, and the cluster's group.
    mixed(&printed.json("group of the guide")?, 1);
    let launch = printed.json("launch template of the guide")?;
    let profile = launch["IamInstanceProfile"]["Arn"].as_str().unwrap();
    assert!(profile.contains("WorkerInstanceProfile"), "{profile}");
    assert_eq!(launch["SecurityGroupIds"], json!([shared]));

    let without_workers: Vec<_> = printed.by("without workers").lines().rev().collect();
    assert!(without_workers[0].starts_with("sg-"), "{without_workers:?}");
    assert!(!without_workers[0].contains(','), "{without_workers:?}");
    assert!(without_workers.contains(&"INSTANCE_PROFILE_ARN is not set"));

    mixed(&printed.json("group")?, 0);
    let launch = printed.json("launch template")?;
    assert_eq!(launch["KeyName"], "workshop");
    let profile = launch["IamInstanceProfile"]["Arn"].as_str().unwrap();
    assert!(profile.contains("WorkerInstanceProfile"), "{profile}");
    let role = printed.by("role");
    assert!(
        role.starts_with("arn:aws:iam::123456789012:role/"),
        "{role}"
    );

    let groups = launch["SecurityGroupIds"].as_array().unwrap();
    let nodes = groups[0].as_str().unwrap();
    assert!(groups.len() == 1 && nodes != shared, "{groups:?}");
    let control_plane = printed.exported("CONTROL_PLANE_SG");
    let mut rules: Vec<_> = printed.by("rules").lines().collect();
    rules.sort_unstable();
    let mut expected = [
        format!("{control_plane}\ttcp\t443\t443\t{nodes}"),
        format!("{nodes}\t-1\t-1\t-1\t{nodes}"),
        format!("{nodes}\ttcp\t1025\t65535\t{control_plane}"),
        format!("{nodes}\ttcp\t443\t443\t{control_plane}"),
    ];
    expected.sort_unstable();
    assert_eq!(rules, expected);
    let left = printed.by("rules after");
    assert!(!left.lines().any(|rule| rule.starts_with(nodes)), "{left}");
    assert_eq!(printed.by("roles after"), printed.by("roles before"));
    Ok(())
}

/// The policy of an Auto Scaling group with so much On-Demand capacity, and all else by default.
fn mixed(group: &Value, base: u32) {
    let policy = &group["MixedInstancesPolicy"];
    let distribution = &policy["InstancesDistribution"];
    assert_eq!(
        distribution["SpotAllocationStrategy"],
        "price-capacity-optimized"
    );
    assert_eq!(distribution["OnDemandBaseCapacity"], base);
    assert_eq!(distribution["OnDemandPercentageAboveBaseCapacity"], 0);
    let types = policy["LaunchTemplate"]["Overrides"]
        .as_array()
        .into_iter()
        .flatten();
    let types: Vec<_> = types.map(|over| &over["InstanceType"]).collect();
    let six = [
        "m5.large",
        "m5a.large",
        "m5d.large",
        "m6i.large",
        "m6a.large",
        "m7i.large",
    ];
    assert_eq!(types, six);
    assert_eq!(group["MinSize"], 1);
    assert_eq!(group["DesiredCapacity"], 3);
    assert_eq!(group["MaxSize"], 5);
    assert_eq!(group["Instances"].as_array().map(Vec::len), Some(3));
}
