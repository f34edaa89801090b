//! Every row of the table of replies, told apart on the wire.

use super::*;
use crate::facts::Uid;
use crate::plan::Call;
use crate::pods::Pods as _;
use crate::reply::{Refusal, Reply};

/// What an eviction that is answered so comes to.
async fn evict(answer: Answer) -> Reply {
    let wire = Wire::new([answer]);
    let call = Call {
        pod: Uid("u".into()),
        namespace: "shop".into(),
        name: "web".into(),
        grace: None,
        dry_run: false,
    };
    wire.cluster().pods("spot-0").evict(call).await
}

/// The API server's 429 for a budget.
fn budget(words: &str, retry: Option<u64>) -> Answer {
    let mut body = refusal(
        429,
        "TooManyRequests",
        "Cannot evict pod as it would violate the pod's disruption budget.",
    );
    body["details"] = json!({"causes": [{"reason": "DisruptionBudget", "message": words}]});
    if let Some(seconds) = retry {
        body["details"]["retryAfterSeconds"] = seconds.into();
    }
    says(429, &body)
}

#[tokio::test]
async fn accepted() {
    let success = json!({"kind": "Status", "status": "Success", "code": 201});
    assert_eq!(evict(says(201, &success)).await, Reply::Accepted);
}

#[tokio::test(start_paused = true)]
async fn every_answer_and_every_silence_is_told() {
    #[derive(Clone, Default)]
    struct Told(Arc<Mutex<Vec<ApiCall>>>);
    impl CallObserver for Told {
        fn called(&self, call: &ApiCall) {
            self.0.lock().unwrap().push(*call);
        }
    }
    let told = Told::default();
    let wire = Wire::new([plain(409, ""), Answer::Breaks, Answer::Never]);
    let pods = wire.cluster().with_observer(told.clone()).pods("spot-0");
    pods.may_evict(String::new()).await;
    pods.may_evict(String::new()).await;
    pods.volumes().await.unwrap_err();
    let told = told.0.lock().unwrap();
    let told: Vec<_> = told.iter().map(|call| (call.method, call.answer)).collect();
    let silence = [("POST", Err("no-answer")), ("GET", Err("timed-out"))];
    assert_eq!(told, [("POST", Ok(409)), silence[0], silence[1]]);
}

#[tokio::test]
async fn a_closed_budget() {
    let words = "The disruption budget web-budget needs 3 healthy pods and has 3 currently";
    let refusal = Refusal {
        budget: Some("web-budget".into()),
        stale: false,
        words: words.into(),
    };
    assert_eq!(
        evict(budget(words, None)).await,
        Reply::BudgetClosed(refusal)
    );
}

#[tokio::test]
async fn a_budget_whose_status_is_stale() {
    let words = "The disruption budget web-budget is still being processed by the server.";
    let refusal = Refusal {
        budget: Some("web-budget".into()),
        stale: true,
        words: words.into(),
    };
    assert_eq!(
        evict(budget(words, Some(10))).await,
        Reply::BudgetClosed(refusal)
    );
}

#[tokio::test]
async fn an_overload_in_plain_text_with_and_without_a_time() {
    let text = "Too many requests, please try again later.\n";
    assert_eq!(
        evict(plain(429, text)).await,
        Reply::Overloaded { retry_after: None }
    );
    for (header, expected) in [
        ("7", Some(7)),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
        ("-1", None),
    ] {
        let mut storm = reply(429, text);
        storm
            .headers_mut()
            .insert("Retry-After", header.parse().unwrap());
        let retry_after = expected.map(Duration::from_secs);
        assert_eq!(
            evict(Answer::Says(storm)).await,
            Reply::Overloaded { retry_after },
            "{header}"
        );
    }
}

#[tokio::test]
async fn more_than_one_budget() {
    let words = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
    let body = json!({"kind": "Status", "status": "Failure", "message": words, "code": 500});
    let words = words.into();
    assert_eq!(
        evict(says(500, &body)).await,
        Reply::Misconfigured { words }
    );
}

#[tokio::test]
async fn no_such_pod() {
    let body = refusal(404, "NotFound", "pods \"web\" not found");
    assert_eq!(evict(says(404, &body)).await, Reply::Gone);
}

#[tokio::test]
async fn another_pod_under_that_name() {
    let body = refusal(
        409,
        "Conflict",
        "the UID in the precondition does not match",
    );
    assert_eq!(evict(says(409, &body)).await, Reply::Conflict);
}

#[tokio::test]
async fn a_namespace_that_is_being_deleted_and_other_403s() {
    let mut body = refusal(403, "Forbidden", "namespace shop is being terminated");
    body["details"] =
        json!({"causes": [{"reason": "NamespaceTerminating", "field": "metadata.namespace"}]});
    assert_eq!(evict(says(403, &body)).await, Reply::NamespaceTerminating);
    let words = "pods \"web\" is forbidden: cannot create resource \"pods/eviction\"";
    let body = refusal(403, "Forbidden", words);
    let words = words.into();
    assert_eq!(evict(says(403, &body)).await, Reply::Forbidden { words });
}

#[tokio::test]
async fn a_token_that_is_no_longer_good() {
    let body = refusal(401, "Unauthorized", "Unauthorized");
    assert_eq!(evict(says(401, &body)).await, Reply::Unauthorized);
}

#[tokio::test]
async fn a_webhook_that_denies_is_quoted() {
    let words = "admission webhook \"guard.example\" denied the request: not today";
    let body = refusal(400, "BadRequest", words);
    let words = words.into();
    assert_eq!(
        evict(says(400, &body)).await,
        Reply::Denied { status: 400, words }
    );
}

#[tokio::test]
async fn what_may_or_may_not_have_taken_effect_is_unclear() {
    let answers = [
        says(
            500,
            &refusal(500, "InternalError", "etcdserver: request timed out"),
        ),
        plain(502, "<html>bad gateway</html>"),
        says(503, &refusal(503, "ServiceUnavailable", "busy")),
        says(504, &refusal(504, "Timeout", "slow")),
        cut_short(201),
        Answer::Breaks,
    ];
    for answer in answers {
        let reply = evict(answer).await;
        assert!(
            matches!(&reply, Reply::Unclear { what } | Reply::Lost { what } if !what.is_empty()),
            "{reply:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_not_answered_is_given_up_and_lost() {
    let start = Instant::now();
    let reply = evict(Answer::Never).await;
    assert!(matches!(reply, Reply::Lost { .. }), "{reply:?}");
    assert_eq!(start.elapsed(), Duration::from_secs(30));
}
