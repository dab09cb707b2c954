//! asciinema's own API: who may write by it, and recordings. Streams are in `asciinema_streams.rs`.

use kulti_adapters::{Format, Options, Reader};
use kulti_gateway::control::{self, Scope};
use kulti_test_support::wait_until;
use reqwest::header::{CONTENT_TYPE, LOCATION};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Gateway, body, gateway, problem, public_gateway, send};

const RECORDING: &str = "{\"version\":3,\"term\":{\"cols\":100,\"rows\":30},\"timestamp\":1772000000,\"env\":{\"SHELL\":\"/bin/zsh\"}}\n\
    [0.5,\"o\",\"one\\r\\n\"]\n# a comment\n[0.25,\"m\",\"half\"]\n[0.25,\"o\",\"two\"]\n[0.1,\"x\",\"3\"]\n";

/// A form as the command line sends it.
fn form(gateway: &Gateway, path: &str, fields: &[(&str, Option<&str>, &[u8])]) -> RequestBuilder {
    let mut body = Vec::new();
    for (name, file_name, value) in fields {
        let file_name = file_name.map_or(String::new(), |name| format!("; filename=\"{name}\""));
        let head = format!("--edge\r\ncontent-disposition: form-data; name=\"{name}\"{file_name}\r\n\r\n");
        body.extend([head.as_bytes(), value, b"\r\n"].concat());
    }
    body.extend(b"--edge--\r\n");
    gateway
        .request(Method::POST, path)
        .header(CONTENT_TYPE, "multipart/form-data; boundary=edge")
        .body(body)
}

fn upload(gateway: &Gateway, recording: &[u8], more: &[(&str, Option<&str>, &[u8])]) -> RequestBuilder {
    let mut fields = vec![("file", Some("demo.cast"), recording)];
    fields.extend(more);
    form(gateway, "/api/v1/recordings", &fields)
}

/// The problem, which says the same in asciinema's words.
async fn refusal(response: Response) -> (u16, String, String) {
    let status = response.status().as_u16();
    let problem = body(response).await;
    assert_eq!(problem["message"], problem["detail"], "{problem}");
    let text = |name: &str| problem[name].as_str().expect("text").to_owned();
    (status, text("code"), text("message"))
}

fn imported(file_name: &str) -> Vec<kulti_adapters::ImportedEvent> {
    let options = Options {
        name: file_name.to_owned(),
        visibility: Some("private".to_owned()),
        ..Options::default()
    };
    let mut reader = Reader::new(Format::Asciicast, options);
    let mut events = Vec::new();
    for line in RECORDING.lines() {
        reader.read_line(line.as_bytes(), &mut events);
    }
    reader.finish(&mut events);
    events
}

#[tokio::test]
async fn an_upload_is_the_events_of_an_import_of_the_file() {
    let gateway = gateway().await;
    let answer = send(upload(&gateway, RECORDING.as_bytes(), &[])).await;
    assert_eq!(answer.status(), 201);
    let location = answer.headers()[LOCATION].to_str().expect("text").to_owned();
    let answer = body(answer).await;
    let expected = imported("demo.cast");
    let session = expected[0].session.as_str();
    let page = format!("http://{}/s/{session}", gateway.served.address);
    assert_eq!((answer["url"].as_str(), &location), (Some(page.as_str()), &page));
    assert_eq!(answer["id"], session);
    assert_eq!(
        answer.get("message"),
        None,
        "the command line prints the page alone"
    );

    let log = gateway.log().await;
    let told = |id: String, kind: &str, data: Value| json!([id, kind, data]);
    let data = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
    let logged: Vec<Value> = log
        .iter()
        .map(|event| {
            told(
                event.meta.event_id.to_string(),
                event.kind.name(),
                data(event.data.get()),
            )
        })
        .collect();
    let wanted: Vec<Value> = expected
        .iter()
        .map(|event| told(event.id.to_string(), event.kind, json!(event.data)))
        .collect();
    assert_eq!(logged, wanted);
    assert_eq!(logged[0][2]["title"], "Terminal (zsh)");
    assert!(
        log.iter()
            .zip(&expected)
            .all(|(event, wanted)| Some(event.meta.time) == wanted.time)
    );
}

#[tokio::test]
async fn version_two_of_the_command_line_uploads_by_its_own_route() {
    let gateway = gateway().await;
    let recording = "{\"version\":2,\"width\":80,\"height\":24}\n[0.1,\"o\",\"hi\"]\n";
    let fields = [("asciicast", Some("ascii.cast"), recording.as_bytes())];
    let answer = send(form(&gateway, "/api/asciicasts", &fields)).await;
    assert_eq!(answer.status(), 201);
    assert_eq!(gateway.log().await.len(), 4, "start, size, output, end");
}

#[tokio::test]
async fn what_is_said_about_a_recording_holds_also_for_one_that_is_here() {
    let gateway = gateway().await;
    let about: [(&str, Option<&str>, &[u8]); 2] =
        [("title", None, b"A demo"), ("visibility", None, b"public")];
    send(upload(&gateway, RECORDING.as_bytes(), &about)).await;
    let log = gateway.log().await;
    let started: Value = serde_json::from_str(log[0].data.get()).expect("JSON");
    assert_eq!(
        (&started["title"], &started["visibility"]),
        (&json!("A demo"), &json!("public"))
    );

    let session = log[0].meta.session_id.as_str();
    gateway.insert_session(session, Some("public")).await;
    let about: [(&str, Option<&str>, &[u8]); 1] = [("visibility", None, b"private")];
    send(upload(&gateway, RECORDING.as_bytes(), &about)).await;
    let again = gateway.log().await;
    let new = &again[2 * log.len()..];
    let kinds: Vec<&str> = new.iter().map(|event| event.kind.name()).collect();
    assert_eq!(kinds, ["session.updated", "session.ended"]);
    assert_eq!(new[0].data.get(), "{\"visibility\":\"private\"}");
}

#[tokio::test]
async fn what_is_no_recording_is_refused_with_the_reason_and_writes_nothing() {
    let gateway = gateway().await;
    let refused = async |request| refusal(send(request).await).await;
    let (status, code, message) = refused(upload(&gateway, b"hello\n", &[])).await;
    assert_eq!((status, code.as_str()), (422, "invalid_field"));
    assert!(message.contains("asciicast version 2 or 3"), "{message}");
    let first = b"{\"version\":1,\"width\":80,\"height\":24,\"stdout\":[]}";
    let (_, _, message) = refused(upload(&gateway, first, &[])).await;
    assert!(message.contains("asciinema convert"), "{message}");
    let (status, code, _) = refused(form(&gateway, "/api/v1/recordings", &[])).await;
    assert_eq!((status, code.as_str()), (422, "missing_field"));
    let about: [(&str, Option<&str>, &[u8]); 1] = [("visibility", None, b"secret")];
    let (status, _, message) = refused(upload(&gateway, RECORDING.as_bytes(), &about)).await;
    assert_eq!(status, 422);
    assert!(message.contains("public, unlisted or private"), "{message}");
    let json = gateway.post("/api/v1/recordings", &json!({}));
    assert_eq!(refused(json).await.0, 415);
    let cut = gateway
        .request(Method::POST, "/api/v1/recordings")
        .header(CONTENT_TYPE, "multipart/form-data; boundary=edge")
        .body("--edge\r\ncontent-disposition: form-data; name=\"file\"\r\n\r\n{");
    assert_eq!(refused(cut).await.1, "invalid_body");
    assert_eq!(gateway.log().await.len(), 0);
}

#[tokio::test]
async fn a_recording_that_is_too_large_is_refused_with_what_takes_it() {
    let gateway = gateway().await;
    let mut large = RECORDING.as_bytes().to_vec();
    large.resize((64 << 20) + (1 << 20), b'\n');
    let (status, code, message) = refusal(send(upload(&gateway, &large, &[])).await).await;
    assert_eq!((status, code.as_str()), (413, "body_too_large"));
    assert!(
        message.contains("64 MiB") && message.contains("kulti import"),
        "{message}"
    );
    // One that does not say how large it is.
    let body = form(&gateway, "/api/v1/recordings", &[("file", Some("a"), &large)])
        .build()
        .expect("a request");
    let bytes = body
        .body()
        .and_then(|body| body.as_bytes())
        .expect("bytes")
        .to_vec();
    let stream = futures_util::stream::iter(
        bytes
            .chunks(1 << 20)
            .map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec()))
            .collect::<Vec<_>>(),
    );
    let request = gateway
        .request(Method::POST, "/api/v1/recordings")
        .header(CONTENT_TYPE, "multipart/form-data; boundary=edge")
        .body(reqwest::Body::wrap_stream(stream));
    // The client may still be sending when it is refused, and see only that the connection was closed.
    if let Ok(answer) = request.send().await {
        assert_eq!(answer.status(), 413);
    }
    assert_eq!(gateway.log().await.len(), 0);
}

#[tokio::test]
async fn secrets_in_recordings_are_masked_before_the_log() {
    let gateway = gateway().await;
    let secret = ["ghp_", "aB3dE5gH7jK9", "mN1pQ3sT5vW7", "yZ9bC1dE3fG5"].concat();
    let (first, second) = secret.split_at(20);
    let recording = format!(
        "{{\"version\":2,\"width\":80,\"height\":24}}\n[0.1,\"o\",\"{secret} {first}\"]\n[0.2,\"o\",\"{second}\"]\n"
    );
    send(upload(&gateway, recording.as_bytes(), &[])).await;
    let log = gateway.log().await;
    let text: String = log.iter().map(|event| event.data.get()).collect();
    assert_eq!(text.matches("[masked:github-token]").count(), 2, "{text}");
    assert!(!text.contains(first) && !text.contains(second), "{text}");
}

fn installation() -> String {
    Uuid::now_v7().to_string()
}

fn connect(gateway: &Gateway, install_id: &str, key: &str) -> RequestBuilder {
    gateway
        .request(Method::POST, &format!("/connect/{install_id}"))
        .bearer_auth(key)
}

fn upload_as(gateway: &Gateway, install_id: &str) -> RequestBuilder {
    upload(gateway, RECORDING.as_bytes(), &[]).basic_auth("ada", Some(install_id))
}

#[tokio::test]
async fn an_installation_writes_as_the_key_that_it_was_connected_with_until_that_is_revoked() {
    let gateway = public_gateway().await;
    let key = gateway.key(&[Scope::Produce], None).await;
    let other = gateway.key(&[Scope::Produce], None).await;
    let reads = gateway.key(&[Scope::Read], None).await;
    let install_id = installation();

    let (status, code, message) = refusal(send(upload_as(&gateway, &install_id)).await).await;
    assert_eq!((status, code.as_str()), (401, "unauthorized"));
    assert!(message.contains("asciinema auth"), "{message}");
    let anonymous = send(upload(&gateway, RECORDING.as_bytes(), &[])).await;
    assert_eq!(refusal(anonymous).await.0, 401);

    let page = send(gateway.get(&format!("/connect/{install_id}"))).await;
    assert!(page.text().await.expect("a page").contains("Connect asciinema"));
    assert_eq!(
        problem(send(connect(&gateway, "no-uuid", &key)).await).await.0,
        422
    );
    assert_eq!(
        problem(send(connect(&gateway, &install_id, &reads)).await)
            .await
            .0,
        403
    );
    let nobody = send(gateway.request(Method::POST, &format!("/connect/{install_id}"))).await;
    assert_eq!(problem(nobody).await.0, 401);
    for _ in 0..2 {
        let connected = body(send(connect(&gateway, &install_id, &key)).await).await;
        assert_eq!(connected["connected"], true);
    }
    assert_eq!(
        problem(send(connect(&gateway, &install_id, &other)).await).await,
        (403, "forbidden".to_owned()),
        "whoever sees the address must not take the installation over"
    );

    let answer = body(send(upload_as(&gateway, &install_id)).await).await;
    let session = answer["id"].as_str().expect("a session");
    let owner: String = sqlx::query_scalar("select key_id from control.session_owners where session_id = $1")
        .bind(session)
        .fetch_one(&gateway.database.pool)
        .await
        .expect("an owner");
    assert!(key.contains(&owner));
    let stored: Vec<String> = sqlx::query_scalar("select i::text from control.installations i")
        .fetch_all(&gateway.database.pool)
        .await
        .expect("rows");
    assert!(
        stored.iter().all(|row| !row.contains(&install_id)),
        "only its hash is stored"
    );

    assert!(
        control::revoke_key(&gateway.database.pool, &owner)
            .await
            .expect("revoked")
    );
    wait_until("it is refused", async || {
        send(upload_as(&gateway, &install_id)).await.status() == 401
    })
    .await;
    let connected = body(send(connect(&gateway, &install_id, &other)).await).await;
    assert_eq!(connected["connected"], true, "it is free again");
    let (status, code, _) = refusal(send(upload_as(&gateway, &install_id)).await).await;
    assert_eq!(
        (status, code.as_str()),
        (422, "session_not_yours"),
        "its first key owns the session"
    );
}

#[tokio::test]
async fn a_key_may_be_the_installations_id_and_its_agent_is_the_sessions() {
    let gateway = public_gateway().await;
    let key = gateway.key(&[Scope::Produce], Some("galileo")).await;
    assert_eq!(send(upload_as(&gateway, &key)).await.status(), 201);
    let log = gateway.log().await;
    assert!(log.iter().all(|event| event.meta.agent_id.as_str() == "galileo"));
    let wrong = format!("{}0", &key[..key.len() - 1]);
    let refused = send(upload_as(&gateway, &wrong)).await;
    assert!(wrong == key || refused.status() == 401);
}

#[tokio::test]
async fn before_there_is_a_key_this_machine_uploads_and_others_do_not() {
    let gateway = gateway().await;
    let install_id = installation();
    let connected = body(send(gateway.request(Method::POST, &format!("/connect/{install_id}"))).await).await;
    assert_eq!(connected["connected"], false, "{connected}");
    assert_eq!(send(upload_as(&gateway, &install_id)).await.status(), 201);
    let foreign = upload_as(&gateway, &install_id).header("origin", "https://evil.example");
    assert_eq!(refusal(send(foreign).await).await.1, "writes_closed");
    let public = public_gateway().await;
    let (status, code, _) = refusal(send(upload_as(&public, &install_id)).await).await;
    assert_eq!((status, code.as_str()), (403, "writes_closed"));
}
