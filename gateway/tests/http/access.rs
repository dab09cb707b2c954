use kulti_gateway::control::Scope;
use kulti_gateway::{GatewayConfig, Visibility};
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, HOST, ORIGIN};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::{Gateway, body, gateway, gateway_with, problem, public_gateway, send, thought};

/// Headers that say that a request was not made on this machine, or not by its user.
const NOT_FROM_HERE: [(&str, &str); 9] = [
    ("host", "kulti.example"),
    ("host", "127.0.0.1.example:8080"),
    ("forwarded", "for=10.0.0.1"),
    ("x-forwarded-for", "10.0.0.1"),
    ("x-forwarded-proto", "https"),
    ("x-real-ip", "10.0.0.1"),
    ("via", "1.1 proxy"),
    ("origin", "https://evil.example"),
    ("origin", "null"),
];

async fn write_status(gateway: &Gateway, headers: &[(&str, &str)]) -> u16 {
    let mut statuses = Vec::new();
    let requests = [
        gateway.post("/v1/events", &thought("s", "x")),
        gateway.post("/api/agent/stream", &json!({"agentId": "nex"})),
        gateway.post("/", &json!({"agentId": "nex"})),
        gateway
            .request(Method::PATCH, "/api/agent/stream")
            .json(&json!({"agentId": "nex"})),
    ];
    for mut request in requests {
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = send(request).await;
        let status = response.status().as_u16();
        if status >= 400 {
            assert_eq!(problem(response).await.1, "writes_closed");
        }
        statuses.push(if status < 300 { 200 } else { status });
    }
    statuses.dedup();
    assert_eq!(
        statuses.len(),
        1,
        "every way in answers alike: {statuses:?} for {headers:?}"
    );
    statuses[0]
}

#[tokio::test]
async fn before_there_is_a_key_only_this_machine_may_write() {
    let gateway = gateway().await;
    let port = gateway.served.address.port();
    assert_eq!(write_status(&gateway, &[]).await, 200);
    let own = [
        format!("http://127.0.0.1:{port}"),
        format!("http://localhost:{port}"),
    ];
    let hosts = [format!("127.0.0.1:{port}"), format!("localhost:{port}")];
    for (origin, host) in own.iter().zip(&hosts) {
        assert_eq!(
            write_status(&gateway, &[("host", host), ("origin", origin)]).await,
            200,
            "{origin}"
        );
    }
    for header in NOT_FROM_HERE {
        assert_eq!(write_status(&gateway, &[header]).await, 403, "{header:?}");
    }
}

#[tokio::test]
async fn a_listener_on_all_interfaces_takes_no_writes_before_there_is_a_key() {
    let gateway = public_gateway().await;
    assert_eq!(write_status(&gateway, &[]).await, 403);
}

#[tokio::test]
async fn open_writes_lift_the_tests_of_listener_and_peer_and_no_others() {
    let config = GatewayConfig {
        open_writes: true,
        ..GatewayConfig::default()
    };
    let gateway = gateway_with("0.0.0.0:0", config).await;
    assert_eq!(write_status(&gateway, &[]).await, 200);
    for header in NOT_FROM_HERE {
        assert_eq!(write_status(&gateway, &[header]).await, 403, "{header:?}");
    }
    let key = json!({"name": "a", "scopes": ["admin"]});
    assert_eq!(
        problem(send(gateway.post("/v1/keys", &key)).await).await,
        (403, "writes_closed".to_owned())
    );
}

/// nginx with its defaults: a local Host, nothing that says who asked, and HTTP/1.0.
#[tokio::test]
async fn a_proxy_with_its_defaults_is_not_this_machine() {
    let gateway = gateway().await;
    let event = thought("s", "x").to_string();
    let address = gateway.served.address;
    let mut stream = tokio::net::TcpStream::connect(address)
        .await
        .expect("a connection");
    let length = event.len();
    let request = format!(
        "POST /v1/events HTTP/1.0\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{event}"
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    assert!(
        answer.contains(" 403 ") && answer.contains("writes_closed"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_server_that_people_reach_elsewhere_has_no_loopback_privilege() {
    let config = GatewayConfig {
        public_url: Some("https://kulti.example/live".to_owned()),
        ..GatewayConfig::default()
    };
    let gateway = gateway_with("127.0.0.1:0", config).await;
    assert_eq!(write_status(&gateway, &[]).await, 403);
}

/// The GET routes of a session, from the description that the server gives of itself.
async fn session_routes(gateway: &Gateway) -> Vec<String> {
    let document = body(send(gateway.get("/openapi.json")).await).await;
    let paths = document["paths"].as_object().expect("paths");
    let routes = paths
        .iter()
        .filter(|(path, item)| path.contains("/sessions/{id}") && item.get("get").is_some());
    let routes: Vec<String> = routes.map(|(path, _)| path.clone()).collect();
    assert!(routes.len() >= 3, "{routes:?}");
    routes
}

#[tokio::test]
async fn every_route_of_a_session_that_one_may_not_see_answers_as_if_it_were_not_there() {
    let gateway = public_gateway().await;
    for (id, visibility) in [
        ("default", None),
        ("private", Some("private")),
        ("unlisted", Some("unlisted")),
    ] {
        gateway.insert_session(id, visibility).await;
        gateway
            .insert_event(id, 1, "thought", json!({"content": "secret"}))
            .await;
    }
    let foreign_key = format!("Bearer {}", gateway.key(&[Scope::Produce], None).await);
    let bound_key = format!(
        "Bearer {}",
        gateway.key(&[Scope::Produce, Scope::Read], Some("other")).await
    );
    for route in session_routes(&gateway).await {
        for key in [None, Some(&foreign_key), Some(&bound_key)] {
            let mut answers = Vec::new();
            for id in ["default", "private", "unlisted", "nowhere", "no%20id", "%00"] {
                let mut request = gateway.get(&route.replace("{id}", id));
                if let Some(key) = key {
                    request = request.header(AUTHORIZATION, key);
                }
                let response = send(request).await;
                assert_eq!(response.status(), 404, "{route} {id} {key:?}");
                answers.push(body(response).await["code"].clone());
            }
            answers.dedup();
            assert_eq!(answers, [json!("not_found")], "{route}");
        }
    }
}

async fn listed(gateway: &Gateway, headers: &[(&str, &str)]) -> Vec<String> {
    let mut request = gateway.get("/v1/sessions");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let page = body(send(request).await).await;
    let items = page["items"].as_array().expect("items").iter();
    let mut ids: Vec<String> = items
        .map(|item| item["id"].as_str().expect("an id").to_owned())
        .collect();
    ids.sort();
    ids
}

#[tokio::test]
async fn lists_hold_what_the_reader_may_see() {
    let gateway = public_gateway().await;
    for (id, visibility) in [
        ("a", None),
        ("b", Some("private")),
        ("c", Some("unlisted")),
        ("d", Some("public")),
        ("e", None),
    ] {
        gateway.insert_session(id, visibility).await;
    }
    let owner = gateway.key(&[Scope::Produce], None).await;
    let owner_header = format!("Bearer {owner}");
    let written = send(
        gateway
            .post("/v1/events", &thought("e", "mine"))
            .header(AUTHORIZATION, &owner_header),
    )
    .await;
    assert_eq!(written.status(), 200);
    let reader = format!("Bearer {}", gateway.key(&[Scope::Read], None).await);
    let admin = format!("Bearer {}", gateway.key(&[Scope::Admin], None).await);
    assert_eq!(listed(&gateway, &[]).await, ["d"]);
    assert_eq!(
        listed(&gateway, &[("authorization", &owner_header)]).await,
        ["d", "e"]
    );
    assert_eq!(
        listed(&gateway, &[("authorization", &reader)]).await,
        ["a", "b", "c", "d", "e"]
    );
    assert_eq!(
        listed(&gateway, &[("authorization", &admin)]).await,
        ["a", "b", "c", "d", "e"]
    );
    let mine = send(gateway.get("/v1/sessions/e").header(AUTHORIZATION, &owner_header)).await;
    assert_eq!(mine.status(), 200);
}

#[tokio::test]
async fn a_server_may_make_sessions_public_that_say_nothing() {
    let config = GatewayConfig {
        default_visibility: Visibility::Public,
        ..GatewayConfig::default()
    };
    let gateway = gateway_with("0.0.0.0:0", config).await;
    gateway.insert_session("a", None).await;
    gateway.insert_session("b", Some("private")).await;
    assert_eq!(listed(&gateway, &[]).await, ["a"]);
    assert_eq!(
        body(send(gateway.get("/v1/sessions/a")).await).await["visibility"],
        "public"
    );
    assert_eq!(send(gateway.get("/v1/sessions/b")).await.status(), 404);
}

#[tokio::test]
async fn on_a_loopback_listener_this_machine_reads_everything_and_foreign_pages_do_not() {
    let gateway = gateway().await;
    gateway.insert_session("a", Some("private")).await;
    assert_eq!(listed(&gateway, &[]).await, ["a"]);
    for header in NOT_FROM_HERE {
        assert!(listed(&gateway, &[header]).await.is_empty(), "{header:?}");
        let answer = send(gateway.get("/v1/sessions/a/events").header(header.0, header.1)).await;
        assert_eq!(answer.status(), 404, "{header:?}");
    }
}

#[tokio::test]
async fn sockets_refuse_pages_of_other_origins_unless_they_are_listed() {
    let allowed_origins = vec!["https://friend.example".to_owned()];
    let config = GatewayConfig {
        allowed_origins,
        ..GatewayConfig::default()
    };
    let gateway = gateway_with("127.0.0.1:0", config).await;
    let open = async |origin: &str| {
        let request = gateway
            .get("/v1/watch")
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
            .header(HOST, gateway.served.address.to_string())
            .header(ORIGIN, origin);
        send(request).await
    };
    assert_eq!(
        problem(open("https://evil.example").await).await,
        (403, "foreign_origin".to_owned())
    );
    assert_eq!(
        problem(open("null").await).await,
        (403, "foreign_origin".to_owned())
    );
    assert_eq!(open("https://friend.example").await.status(), 101);
    assert_eq!(
        open(&format!("http://{}", gateway.served.address)).await.status(),
        101
    );
}

#[tokio::test]
async fn public_reads_are_open_to_pages_and_writes_are_not() {
    let gateway = gateway().await;
    let read = send(
        gateway
            .get("/v1/sessions")
            .header(ORIGIN, "https://other.example"),
    )
    .await;
    assert_eq!(read.headers()["access-control-allow-origin"], "*");
    let gone = send(
        gateway
            .get("/v1/sessions/none")
            .header(ORIGIN, "https://other.example"),
    )
    .await;
    assert_eq!(gone.headers()["access-control-allow-origin"], "*", "an error too");
    let write = gateway
        .post("/v1/events", &Value::Null)
        .header(ORIGIN, "https://other.example");
    assert!(
        send(write)
            .await
            .headers()
            .get("access-control-allow-origin")
            .is_none()
    );
}

/// A page of another origin that reads with a key: the browser asks first.
#[tokio::test]
async fn a_browser_may_send_a_key_with_a_read() {
    let gateway = gateway().await;
    let ask = |path: &str, method: &str| {
        send(
            gateway
                .request(Method::OPTIONS, path)
                .header(ORIGIN, "https://other.example")
                .header("access-control-request-method", method)
                .header("access-control-request-headers", "authorization"),
        )
    };
    for path in ["/v1/sessions", "/v1/sessions/s1/segments/aa", "/openapi.json"] {
        let answer = ask(path, "GET").await;
        assert_eq!(answer.status(), 204, "{path}");
        let header = |name: &str| answer.headers()[name].to_str().expect("text").to_owned();
        assert_eq!(header("access-control-allow-origin"), "*");
        assert_eq!(header("access-control-allow-methods"), "GET,HEAD");
        assert!(header("access-control-allow-headers").contains("authorization"));
    }
    let write = ask("/v1/events", "POST").await;
    assert_eq!(write.status(), 405);
    assert!(write.headers().get("access-control-allow-origin").is_none());
    let plain = send(gateway.request(Method::OPTIONS, "/v1/sessions")).await;
    assert_eq!(plain.status(), 405, "nobody asked for a page");
    assert_eq!(plain.headers()["allow"], "GET,HEAD");
    assert_eq!(plain.headers()["x-content-type-options"], "nosniff");
}
