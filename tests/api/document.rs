//! The OpenAPI document, held against real answers.

use crate::runs::{at, put_asks, start};
use crate::served::{Over, Served};
use crate::support::Cluster;
use serde_json::{Value as Json, json};

/// Checks an answer against the schema of this name.
fn fits(document: &Json, name: &str, answer: &Json) {
    let schema = json!({ "$ref": format!("#/components/schemas/{name}"), "components": document["components"] });
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> = validator
        .iter_errors(answer)
        .map(|e| format!("{}: {e}", e.instance_path()))
        .collect();
    assert_eq!(errors, Vec::<String>::new(), "{name}: {answer:#}");
    assert!(
        !validator.is_valid(&json!({ "no": "answer" })),
        "{name} fits everything"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_what_the_document_says() {
    let cluster = Cluster::asynchronous("api-document", 1).await;
    put_asks(&cluster);
    let served = Served::start(cluster.lab.site_file(), Over::Tls).await;
    let document = served
        .get("view", "/v1/openapi.json")
        .await
        .expect(200)
        .json();
    // Every path is there, and for nobody without a token.
    for (path, operations) in document["paths"].as_object().unwrap() {
        let path = path
            .replace("{cluster}", cluster.lab.name())
            .replace("{run}", "x");
        for (method, operation) in operations.as_object().unwrap() {
            let method = method.to_uppercase().parse().unwrap();
            let answer = served
                .request("nobody", method, &path)
                .send()
                .await
                .unwrap();
            let open = operation["security"] == json!([]);
            // Too many of these are another refusal.
            let refused = [401, 429].contains(&answer.status().as_u16());
            assert_ne!(open, refused, "{path}: {}", answer.status());
        }
    }
    let order = json!({ "playbook": "asks", "params": { "word": "so" } });
    fits(&document, "Asked", &order);
    let plan = served
        .post("operate", &at(&cluster, "/plans"), &order)
        .await
        .expect(200);
    fits(&document, "Plan", &plan.json());
    // Its steps see who asks, as those of the run would.
    let told = plan.json()["steps"].to_string();
    assert!(told.contains("asked by operate"), "{told}");
    let run = start(&served, &at(&cluster, "/runs"), &order).await;
    let busy = served
        .post("operate", &at(&cluster, "/runs"), &order)
        .await
        .json();
    fits(&document, "Problem", &busy);
    let cancel = format!("/v1/runs/{run}/cancel");
    let heard = served
        .post("admin", &cancel, &json!({ "reason": "x" }))
        .await
        .expect(200);
    fits(&document, "Heard", &heard.json());
    for (name, path) in [
        ("Clusters", "/v1/clusters".to_owned()),
        ("Glance", at(&cluster, "")),
        ("Watch", at(&cluster, "/analysis")),
        ("Incidents", at(&cluster, "/incidents")),
        ("Runs", "/v1/runs".to_owned()),
        ("Record", format!("/v1/runs/{run}")),
    ] {
        fits(
            &document,
            name,
            &served.get("view", &path).await.expect(200).json(),
        );
    }
    served.stop().await.expect(0);
}
