//! What a link to a session looks like elsewhere: `og:` and `twitter:` tags of its page. Only of sessions that everybody
//! may see.

use axum::http::request::Parts;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::access;
use crate::links::{base_url, session_url};
use crate::reads::parameters::Parameters;
use crate::reads::visible_session;
use crate::state::AppState;
use crate::store::{self, answered};

const TEXT_CHARACTERS: usize = 200;

/// The tags; `None` where there is nothing to tell. Whoever opens the page has it without them too.
pub(super) async fn tags(state: &AppState, id: &str, request: &Parts) -> Option<String> {
    let reader = access::reader(state, &request.headers, &request.extensions)
        .await
        .ok()?;
    let (session, about) = visible_session(state, &reader, id).await.ok()?;
    if !reader.is_public(about.visibility.as_deref()) {
        return None;
    }
    let row = answered(store::session_row(&state.pool, &session)).await.ok()??;
    let base = base_url(state, &request.headers);
    let url = session_url(&base, session.as_str());
    let parameters = Parameters::of(&request.uri).ok()?;
    let at = parameters.text("at").map_or(String::new(), |at| {
        format!("?at={}", utf8_percent_encode(at, NON_ALPHANUMERIC))
    });
    let agent = row.agent_name.as_deref().unwrap_or(&row.agent_id);
    let title = row.title.as_deref().or(row.task.as_deref()).unwrap_or(agent);
    let description = match row.ended_at {
        Some(_) => format!("{agent} at work: replay it from any moment"),
        None => format!("{agent} at work, live"),
    };
    let image = format!("{url}.png{at}");
    let properties = [
        ("property", "og:type", "website"),
        ("property", "og:site_name", "Kulti"),
        ("property", "og:title", title),
        ("property", "og:description", &description),
        ("property", "og:url", &format!("{url}{at}")),
        ("property", "og:image", &image),
        ("name", "twitter:card", "summary_large_image"),
        ("name", "twitter:title", title),
        ("name", "twitter:image", &image),
    ];
    let tags = properties.iter().map(|(attribute, name, content)| {
        format!("<meta {attribute}=\"{name}\" content=\"{}\">\n", escaped(content))
    });
    Some(tags.collect())
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars().take(TEXT_CHARACTERS) {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            character if character.is_control() => out.push(' '),
            character => out.push(character),
        }
    }
    out
}
