//! A real Chromium, driven through chromedriver. Each test has its own, with a profile of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use fantoccini::{Client, ClientBuilder};
use kulti_test_support::wait_until;
use serde_json::{Value, json};

/// Quiet on machines without a network, a GPU or a user namespace for root.
const ARGUMENTS: [&str; 8] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

/// Ends with the test, chromedriver and Chromium too.
pub struct Browser {
    pub client: Client,
    driver: Child,
    port: u16,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// With a window of this size.
    pub async fn open(width: u32, height: u32) -> Self {
        Self::open_with(width, height, &[]).await
    }

    /// The same without a network: whatever it asks for goes to a proxy that is not there.
    pub async fn open_offline(width: u32, height: u32) -> Self {
        let nowhere = [
            "--proxy-server=http://127.0.0.1:9",
            "--proxy-bypass-list=<-loopback>",
        ];
        Self::open_with(width, height, &nowhere).await
    }

    async fn open_with(width: u32, height: u32, more: &[&str]) -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver starts; `make test` installs it");
        let port = port_of(&mut driver);
        let profile = tempfile::tempdir().expect("a folder");
        let mut arguments: Vec<String> = ARGUMENTS.map(String::from).to_vec();
        arguments.push(format!("--user-data-dir={}", profile.path().display()));
        arguments.push(format!("--window-size={width},{height}"));
        arguments.extend(more.iter().map(ToString::to_string));
        let options = json!({"goog:chromeOptions": {"args": arguments}});
        let Value::Object(capabilities) = options else {
            unreachable!("it is an object")
        };
        let client = ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .expect("a Chromium");
        Browser {
            client,
            driver,
            port,
            _profile: profile,
        }
    }

    pub async fn goto(&self, url: &str) {
        self.client.goto(url).await.expect("the page loads");
    }

    /// What a JavaScript expression is in the page.
    pub async fn value(&self, expression: &str) -> Value {
        self.client
            .execute(&format!("return {expression}"), vec![])
            .await
            .expect("the expression runs")
    }

    /// The text of an element; empty while it is not there or not shown.
    pub async fn text(&self, id: &str) -> String {
        let expression = format!(
            "document.getElementById({id:?})?.checkVisibility() ? document.getElementById({id:?}).textContent : ''"
        );
        self.value(&expression)
            .await
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// Waits until the element's text holds this.
    pub async fn wait_for_text(&self, id: &str, part: &str) {
        wait_until(&format!("#{id} shows {part:?}"), async || {
            self.text(id).await.contains(part)
        })
        .await;
    }

    /// Waits until a JavaScript expression is true.
    pub async fn wait_for(&self, expression: &str) {
        wait_until(expression, async || self.value(expression).await == true).await;
    }

    /// Presses a key, as WebDriver names it.
    pub async fn press(&self, key: &str) {
        let body = self
            .client
            .find(fantoccini::Locator::Css("body"))
            .await
            .expect("a body");
        body.send_keys(key).await.expect("the key is pressed");
    }

    pub async fn click(&self, id: &str) {
        self.client
            .find(fantoccini::Locator::Id(id))
            .await
            .expect("the element")
            .click()
            .await
            .expect("a click");
    }
}

/// chromedriver says which port it took.
fn port_of(driver: &mut Child) -> u16 {
    let output = BufReader::new(driver.stdout.take().expect("piped"));
    for line in output.lines() {
        let line = line.expect("text");
        if let Some((_, port)) = line.split_once("successfully on port ") {
            return port.trim_end_matches('.').parse().expect("a port");
        }
    }
    panic!("chromedriver ended before it listened");
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Killed, chromedriver would leave its Chromium behind; asked, it ends both.
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) {
            let asked =
                stream.write_all(b"GET /shutdown HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
            if asked.is_ok() {
                let mut answer = Vec::new();
                drop(stream.read_to_end(&mut answer));
            }
        } else {
            drop(self.driver.kill());
        }
        drop(self.driver.wait());
    }
}
