//! `kulti config`: what is in force, and where from.

use clap::Args;
use serde_json::json;

use crate::environment::Environment;
use crate::output::{Paint, note, print_line, table};
use crate::settings::{ConfigArguments, SETTINGS, Setting, Settings};

/// Flags of `kulti config`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  kulti config\n  KULTI_LISTEN=0.0.0.0:80 kulti config --json | jq -r .name"
)]
pub(crate) struct ConfigCommandArguments {
    /// One setting per line, as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArguments,
}

/// Prints every setting; secrets are masked.
pub(crate) fn run(arguments: &ConfigCommandArguments, environment: &Environment) -> anyhow::Result<()> {
    let settings = Settings::load(&arguments.config, &[], environment)?;
    let mut rows = Vec::new();
    for setting in SETTINGS {
        let (value, origin) = settings.get(setting.name);
        let value = shown(setting, value);
        if arguments.json {
            let line = json!({"name": setting.name, "variable": setting.variable, "value": value,
                "origin": origin.to_string(), "meaning": setting.meaning});
            print_line(line)?;
        } else {
            let row = [
                setting.name,
                value.as_str(),
                &origin.to_string(),
                setting.variable,
                setting.meaning,
            ];
            rows.push(row.map(str::to_owned).to_vec());
        }
    }
    if !arguments.json {
        print_line(table(
            &["NAME", "VALUE", "FROM", "VARIABLE", "MEANING"],
            &rows,
            Paint::for_stdout(environment),
        ))?;
        match settings.file() {
            Some(file) => note(&format!("file: {}", file.display())),
            None => note("file: none (~/.config/kulti/kulti.toml, /etc/kulti/kulti.toml or --config FILE)"),
        }
    }
    for name in settings.unknown_variables() {
        note(&format!("warning: {name} means nothing; is it misspelt?"));
    }
    // Values that make no sense are an error here too, not only when a server starts.
    settings.listen()?;
    settings.kafka()?;
    settings.database()?;
    settings.gateway()?;
    settings.life()?;
    settings.log_format()?;
    Ok(())
}

fn shown(setting: &Setting, value: &str) -> String {
    match (setting.secret, value) {
        (_, "") => "-".to_owned(),
        (false, value) => value.to_owned(),
        (true, value) if setting.name == "database.url" => mask_url(value),
        (true, value) => {
            let names = value.split(',').map(|pair| {
                pair.split_once('=')
                    .map_or("***".to_owned(), |(name, _)| format!("{name}=***"))
            });
            names.collect::<Vec<_>>().join(",")
        }
    }
}

/// Without the password, and without parameters, which may hold one too.
fn mask_url(text: &str) -> String {
    let Ok(mut url) = reqwest::Url::parse(text) else {
        return "***".to_owned();
    };
    if url.password().is_some() {
        url.set_password(Some("***")).ok();
    }
    if url.query().is_some() {
        url.set_query(Some("***"));
    }
    url.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked() {
        assert_eq!(
            mask_url("postgres://u:p%40ss@h:5/d?password=x"),
            "postgres://u:***@h:5/d?***"
        );
        assert_eq!(mask_url("host=h password=x"), "***");
        let setting = SETTINGS
            .iter()
            .find(|setting| setting.name == "kafka.properties")
            .expect("there");
        assert_eq!(shown(setting, "sasl.password=x,a=b"), "sasl.password=***,a=***");
    }
}
