use clap::CommandFactory as _;
use kulti_consumers::life::LifeOptions;
use kulti_gateway::{GatewayConfig, Visibility};

use super::*;

fn load(variables: &[(&str, &str)], set: &[&str], file: Option<&str>) -> anyhow::Result<Settings> {
    let folder = tempfile::tempdir().expect("a folder");
    let config = file.map(|text| {
        let file = folder.path().join("kulti.toml");
        std::fs::write(&file, text).expect("written");
        file
    });
    let set = set.iter().map(|pair| (*pair).to_owned()).collect();
    Settings::load(
        &ConfigArguments { config, set },
        &[],
        &Environment::of(variables, folder.path()),
    )
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file_and_that_over_the_default() {
    let file = Some(
        "listen = \"1.1.1.1:1\"\npublic_url = \"https://file\"\n[kafka]\nbrokers = \"file:1\"\npartitions = 3\n",
    );
    let variables = [
        ("KULTI_LISTEN", "2.2.2.2:2"),
        ("KULTI_KAFKA_BROKERS", "variable:2"),
    ];
    let settings = load(&variables, &["kafka.brokers=flag:3"], file).expect("settings");
    assert_eq!(
        settings.get("kafka.brokers"),
        ("flag:3", &Origin::Flag("--set".into()))
    );
    assert_eq!(
        settings.get("listen"),
        ("2.2.2.2:2", &Origin::Variable("KULTI_LISTEN"))
    );
    assert_eq!(settings.get("public_url").0, "https://file");
    assert_eq!(settings.kafka().expect("kafka").partitions, 3);
    assert_eq!(settings.get("kafka.replication"), ("1", &Origin::Default));
}

#[test]
fn defaults_are_the_crates_own() {
    let ours = load(&[], &[], None)
        .expect("settings")
        .gateway()
        .expect("a gateway");
    let theirs = GatewayConfig::default();
    assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
}

#[test]
fn every_default_is_one_that_its_crate_takes() {
    let settings = load(&[], &[], None).expect("settings");
    settings.listen().expect("an address");
    settings.log_format().expect("a format");
    settings.database().expect("a database");
    assert_eq!(
        format!("{:?}", settings.life().expect("a life")),
        format!("{:?}", LifeOptions::default())
    );
    assert_eq!(settings.kafka().expect("kafka").partitions, 64);
}

#[test]
fn agents_may_have_timeouts_of_their_own() {
    let settings = load(&[("KULTI_AGENT_TIMEOUTS", "nex=3600, a=b=5")], &[], None).expect("settings");
    let timeouts = settings.life().expect("a life").agent_timeouts;
    let mut timeouts: Vec<(&str, u64)> = timeouts
        .iter()
        .map(|(agent, time)| (agent.as_str(), time.as_secs()))
        .collect();
    timeouts.sort_unstable();
    assert_eq!(timeouts, [("a=b", 5), ("nex", 3_600)]);
    assert!(
        load(&[("KULTI_AGENT_TIMEOUTS", "nex")], &[], None)
            .expect("settings")
            .life()
            .is_err()
    );
}

#[test]
fn misspelt_names_are_refused_or_named() {
    let error = load(&[], &[], Some("lisen = 1")).expect_err("unknown");
    assert!(format!("{error:#}").contains("`lisen`"));
    assert!(load(&[], &["lisen=1"], None).is_err());
    let variables = [
        ("KULTI_LISEN", "1"),
        ("KULTI_URL", "x"),
        ("KULTI_TEST_KAFKA", "x"),
    ];
    assert_eq!(
        load(&variables, &[], None).expect("settings").unknown_variables(),
        ["KULTI_LISEN"]
    );
}

#[test]
fn values_that_make_no_sense_are_refused_with_name_and_origin() {
    let settings = load(
        &[
            ("KULTI_TOPIC_PARTITIONS", "many"),
            ("KULTI_DEFAULT_VISIBILITY", "all"),
        ],
        &[],
        None,
    );
    let settings = settings.expect("settings");
    let text = format!("{:#}", settings.kafka().expect_err("no number"));
    assert!(
        text.contains("kafka.partitions") && text.contains("KULTI_TOPIC_PARTITIONS"),
        "{text}"
    );
    assert!(settings.gateway().is_err());
}

#[test]
fn kafka_properties_come_as_a_table_or_as_text() {
    let file = Some("[kafka.properties]\n\"security.protocol\" = \"ssl\"\n");
    let expected = vec![("security.protocol".to_owned(), "ssl".to_owned())];
    assert_eq!(
        load(&[], &[], file)
            .expect("settings")
            .kafka()
            .expect("kafka")
            .properties,
        expected
    );
    let variables = [("KULTI_KAFKA_PROPERTIES", "security.protocol=ssl")];
    assert_eq!(
        load(&variables, &[], None)
            .expect("settings")
            .kafka()
            .expect("kafka")
            .properties,
        expected
    );
}

#[test]
fn a_default_can_be_replaced_but_not_what_somebody_said() {
    let mut settings = load(&[("KULTI_DEFAULT_VISIBILITY", "private")], &[], None).expect("settings");
    settings.set_default("default_visibility", "public");
    settings.set_default("listen", "127.0.0.1:9");
    assert_eq!(
        settings.gateway().expect("a gateway").default_visibility,
        Visibility::Private
    );
    assert_eq!(settings.get("listen").0, "127.0.0.1:9");
}

#[test]
fn the_page_of_settings_lists_what_there_is() {
    let page = include_str!("../../../docs/configuration.md");
    let rows: Vec<String> = SETTINGS
        .iter()
        .map(|setting| {
            let default = match setting.default {
                "" => String::new(),
                default => format!("`{default}`"),
            };
            let (name, variable) = (setting.name, setting.variable);
            format!("| `{name}` | `{variable}` | {default} | {} |", setting.meaning)
        })
        .collect();
    let (_, table) = page
        .split_once("| name | variable | default | meaning |\n|---|---|---|---|\n")
        .expect("the table");
    let listed: Vec<&str> = table.lines().take_while(|line| line.starts_with('|')).collect();
    assert_eq!(
        listed,
        rows,
        "docs/configuration.md should have:\n{}\n",
        rows.join("\n")
    );
    for variable in OTHER_VARIABLES {
        assert!(page.contains(&format!("| `{variable}` |")), "{variable}");
    }
    let mut command = crate::args::Arguments::command();
    command.build();
    for name in ["serve", "gateway", "consume"] {
        let flags = command.find_subcommand(name).expect("a command").get_arguments();
        for flag in flags
            .filter_map(|flag| flag.get_long())
            .filter(|flag| !["help", "version"].contains(flag))
        {
            assert!(page.contains(&format!("`--{flag}")), "--{flag} of kulti {name}");
        }
    }
}
