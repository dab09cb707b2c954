//! `/s/{session}.svg` and `.png`: the screen at a moment, for those who may see it, and the tags that name it.

use kulti_gateway::GatewayConfig;
use kulti_gateway::control::Scope;
use serde_json::json;

use crate::harness::{Gateway, gateway, gateway_with, problem, public_gateway, send};

async fn with_screens(gateway: &Gateway, session: &str, visibility: Option<&str>) {
    gateway.insert_session(session, visibility).await;
    let started = json!({"title": "Count <b>\"stars\""});
    gateway.insert_event(session, 1, "session.started", started).await;
    for (position, text) in [
        (2, "\u{1b}[31mred giant\u{1b}[0m\r\n"),
        (3, "</text><script>x</script>\r\n"),
    ] {
        let data = json!({"text": text, "stream": "pty"});
        gateway
            .insert_event(session, position, "terminal.output", data)
            .await;
    }
    sqlx::query("update sessions set title = $2 where id = $1")
        .bind(session)
        .bind("Count <b>\"stars\"")
        .execute(&gateway.database.pool)
        .await
        .expect("a title");
}

#[tokio::test]
async fn a_picture_shows_the_screen_as_it_was() {
    let gateway = gateway().await;
    with_screens(&gateway, "s", Some("public")).await;
    let svg = async |query: &str| {
        let answer = send(gateway.get(&format!("/s/s.svg{query}"))).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "image/svg+xml");
        assert_eq!(answer.headers()["cache-control"], "public, max-age=60");
        let policy = answer.headers()["content-security-policy"]
            .to_str()
            .expect("text");
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
        answer.text().await.expect("a text")
    };
    let now = svg("").await;
    assert!(
        now.contains("fill=\"#f2777a\"") && now.contains("&lt;script&gt;"),
        "{now}"
    );
    assert!(!now.contains("<script"), "{now}");
    let earlier = svg("?at=2").await;
    assert!(
        earlier.contains("red giant") && !earlier.contains("script"),
        "{earlier}"
    );
    assert!(
        !svg("?at=1").await.contains("red giant"),
        "a session without a terminal has an empty one"
    );

    let answer = send(gateway.get("/s/s.png?at=2")).await;
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["content-type"]),
        (200, &"image/png".parse().expect("a header"))
    );
    let png = answer.bytes().await.expect("a picture");
    assert!(png.starts_with(b"\x89PNG"));
    let again = send(gateway.get("/s/s.png?at=2"))
        .await
        .bytes()
        .await
        .expect("a picture");
    assert_eq!(png, again);

    assert_eq!(
        problem(send(gateway.get("/s/s.png?terminal=none")).await).await,
        (404, "not_found".into())
    );
    assert_eq!(
        problem(send(gateway.get("/s/s.svg?at=soon")).await).await,
        (400, "invalid_parameter".into())
    );
    assert_eq!(
        problem(send(gateway.get("/s/nowhere.png")).await).await,
        (404, "not_found".into())
    );
}

#[tokio::test]
async fn of_private_sessions_there_is_neither_a_picture_nor_a_tag() {
    let gateway = public_gateway().await;
    with_screens(&gateway, "hidden", Some("private")).await;
    with_screens(&gateway, "open", Some("public")).await;
    let key = gateway.key(&[Scope::Read], None).await;
    for picture in ["/s/hidden.svg", "/s/hidden.png"] {
        assert_eq!(
            problem(send(gateway.get(picture)).await).await,
            (404, "not_found".into())
        );
        let seen = send(gateway.get(picture).bearer_auth(&key)).await;
        assert_eq!(
            (
                seen.status().as_u16(),
                seen.headers()["cache-control"].to_str().expect("text")
            ),
            (200, "private, no-store")
        );
    }
    let page = async |path: &str| {
        send(gateway.get(path).bearer_auth(&key))
            .await
            .text()
            .await
            .expect("a page")
    };
    assert!(!page("/s/hidden").await.contains("og:"));
    assert!(!page("/s/nowhere").await.contains("og:"));
    let open = page("/s/open?at=2").await;
    assert!(
        open.contains("property=\"og:title\" content=\"Count &lt;b&gt;&quot;stars&quot;\""),
        "{open}"
    );
    assert!(open.contains("/s/open.png?at=2\""), "{open}");
    assert!(
        open.contains("summary_large_image") && open.contains("/assets/session.js"),
        "{open}"
    );
}

#[tokio::test]
async fn what_a_redaction_hides_is_in_no_picture_after_it() {
    let gateway = gateway_with("127.0.0.1:0", GatewayConfig::default()).await;
    with_screens(&gateway, "s", Some("public")).await;
    let picture = async || {
        send(gateway.get("/s/s.svg?at=2"))
            .await
            .text()
            .await
            .expect("a picture")
    };
    assert!(picture().await.contains("red giant"));
    // As the replay consumer does it: rows and their version change in one transaction.
    sqlx::query("with hidden as (update sessions set fold_version = fold_version + 1 where id = 's')
        update events set data = jsonb_set(data::jsonb, '{text}', '\"*********\"')::json where session_id = 's' and position = 2")
        .execute(&gateway.database.pool)
        .await
        .expect("a redaction");
    let after = picture().await;
    assert!(
        !after.contains("red giant") && after.contains("*********"),
        "{after}"
    );
}
