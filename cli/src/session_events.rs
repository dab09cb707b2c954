//! A session's events as rows, page by page.

use kulti_schemas::SessionId;
use reqwest::Method;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::client::Client;
use crate::failure::usage;

/// What the server gives at once, at the most.
const PAGE: &str = "1000";

/// Reads one session from its first event to its last row.
pub(crate) struct SessionEvents<'a> {
    client: &'a Client,
    session: &'a str,
    cursor: Option<String>,
    is_over: bool,
}

#[derive(Deserialize)]
struct Page {
    items: Vec<Box<RawValue>>,
    #[serde(default)]
    next: Option<String>,
}

impl<'a> SessionEvents<'a> {
    /// From the start.
    pub(crate) fn new(client: &'a Client, session: &'a str) -> anyhow::Result<Self> {
        SessionId::parse(session).map_err(|error| usage(format!("`{session}` is no session: {error}")))?;
        Ok(SessionEvents {
            client,
            session,
            cursor: None,
            is_over: false,
        })
    }

    /// The next page, each event as it came; `None` after the last one.
    pub(crate) async fn next_page(&mut self) -> anyhow::Result<Option<Vec<Box<RawValue>>>> {
        if self.is_over {
            return Ok(None);
        }
        let url = self.client.url(&["v1", "sessions", self.session, "events"]);
        let mut query = vec![("limit", PAGE.to_owned())];
        query.extend(self.cursor.take().map(|cursor| ("cursor", cursor)));
        let page: Page = self
            .client
            .json(self.client.request(Method::GET, url).query(&query))
            .await?;
        self.is_over = page.next.is_none();
        self.cursor = page.next;
        Ok(Some(page.items))
    }
}
