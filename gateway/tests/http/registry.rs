use kulti_gateway::GatewayConfig;
use kulti_schemas::{SchemaId, schema_by_id, schemas};
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};

use crate::harness::{Gateway, body, gateway, gateway_with, send};

async fn get(gateway: &Gateway, path: &str) -> Value {
    let response = send(gateway.get(path)).await;
    assert_eq!(response.status(), 200, "{path}");
    assert_eq!(
        response.headers()[CONTENT_TYPE],
        "application/vnd.schemaregistry.v1+json"
    );
    body(response).await
}

async fn error_code(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = send(request).await;
    (
        response.status().as_u16(),
        body(response).await["error_code"].clone(),
    )
}

#[tokio::test]
async fn every_record_in_the_log_can_be_decoded_with_what_the_registry_says() {
    // Anybody may ask, also where nothing else may be seen.
    let gateway = gateway_with("0.0.0.0:0", GatewayConfig::default()).await;
    for schema in schemas() {
        let answer = get(&gateway, &format!("/schemas/ids/{}", schema.id.0)).await;
        assert_eq!(answer["schema"], schema.json);
        let text = send(gateway.get(&format!("/schemas/ids/{}/schema", schema.id.0)))
            .await
            .text()
            .await;
        assert_eq!(text.expect("a schema"), schema.json);
    }
    assert_eq!(get(&gateway, "/schemas/types").await, json!(["AVRO"]));
}

#[tokio::test]
async fn subjects_and_versions_can_be_walked() {
    let gateway = gateway().await;
    let subjects = get(&gateway, "/subjects").await;
    let subjects = subjects.as_array().expect("subjects");
    assert!(!subjects.is_empty());
    for subject in subjects.iter().map(|subject| subject.as_str().expect("a name")) {
        assert!(subject.starts_with(&gateway.topics.session_events()), "{subject}");
        let versions = get(&gateway, &format!("/subjects/{subject}/versions")).await;
        for version in versions.as_array().expect("versions") {
            let answer = get(&gateway, &format!("/subjects/{subject}/versions/{version}")).await;
            assert_eq!(
                (&answer["subject"], &answer["version"]),
                (&json!(subject), version)
            );
            let id = SchemaId(
                answer["id"]
                    .as_u64()
                    .and_then(|id| u32::try_from(id).ok())
                    .expect("an id"),
            );
            let schema = schema_by_id(id).expect("one of ours");
            assert_eq!(answer["schema"], schema.json);
            // White space and the order of members do not matter.
            let reordered: Value = serde_json::from_str(schema.json).expect("JSON");
            let question = json!({"schema": reordered.to_string()});
            let found = body(send(gateway.post(&format!("/subjects/{subject}"), &question)).await).await;
            assert_eq!(found["id"], id.0, "{subject}");
            let registered = send(gateway.post(&format!("/subjects/{subject}/versions"), &question)).await;
            assert_eq!(body(registered).await, json!({"id": id.0}));
        }
        let latest = get(&gateway, &format!("/subjects/{subject}/versions/latest")).await;
        assert_eq!(
            Some(&latest["version"]),
            versions.as_array().expect("versions").last()
        );
    }
}

#[tokio::test]
async fn what_is_not_there_is_answered_in_the_registrys_own_way() {
    let gateway = gateway().await;
    let subject = get(&gateway, "/subjects").await[0]
        .as_str()
        .expect("a subject")
        .to_owned();
    let table = [
        (gateway.get("/subjects/none/versions"), 404, 40401),
        (gateway.get("/subjects/none/versions/1"), 404, 40401),
        (
            gateway.get(&format!("/subjects/{subject}/versions/99")),
            404,
            40402,
        ),
        (
            gateway.get(&format!("/subjects/{subject}/versions/x")),
            422,
            42202,
        ),
        (gateway.get("/schemas/ids/1"), 404, 40403),
        (gateway.get("/schemas/ids/x"), 404, 40403),
        (
            gateway.post("/subjects/none", &json!({"schema": "\"string\""})),
            404,
            40401,
        ),
        (
            gateway.post(&format!("/subjects/{subject}"), &json!({"schema": "\"string\""})),
            404,
            40403,
        ),
        (
            gateway.post(&format!("/subjects/{subject}"), &json!({"schema": "{"})),
            422,
            42201,
        ),
        (
            gateway.post("/subjects/new/versions", &json!({"schema": "\"string\""})),
            422,
            42205,
        ),
    ];
    for (request, status, code) in table {
        assert_eq!(error_code(request).await, (status, json!(code)));
    }
    assert_eq!(
        get(&gateway, "/config").await["compatibilityLevel"],
        "FULL_TRANSITIVE"
    );
    assert_eq!(get(&gateway, "/mode").await["mode"], "READONLY");
}
