use super::*;

fn page(names: &[&str], token: &str) -> Answer {
    let items: Vec<_> = names
        .iter()
        .map(|name| json!({"metadata": {"name": name}}))
        .collect();
    says(
        200,
        &json!({"metadata": {"resourceVersion": "7", "continue": token}, "items": items}),
    )
}

#[tokio::test]
async fn a_list_comes_in_pages_and_begins_again_where_it_expires() {
    let expired = says(410, &refusal(410, "Expired", "the token is too old"));
    let wire = Wire::new([
        page(&["a"], "t/1"),
        expired,
        page(&["a"], "t/2"),
        page(&["b"], ""),
    ]);
    let nodes = wire.cluster().nodes(Some("zone in (a,b)")).await.unwrap();
    let names: Vec<_> = nodes.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    let first = "GET /api/v1/nodes?limit=250&labelSelector=zone%20in%20%28a%2Cb%29";
    let lines = [
        first.to_owned(),
        format!("{first}&continue=t%2F1"),
        first.to_owned(),
        format!("{first}&continue=t%2F2"),
    ];
    assert_eq!(wire.lines(), lines);
}

#[tokio::test]
async fn a_list_that_is_not_allowed_says_which() {
    let wire = Wire::new([says(403, &refusal(403, "Forbidden", "no"))]);
    let error = wire
        .cluster()
        .list_pods(Some("shop"), None)
        .await
        .unwrap_err();
    assert!(error.is_permission(), "{error}");
    assert_eq!(wire.lines(), ["GET /api/v1/namespaces/shop/pods?limit=250"]);
}
