use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::*;
use crate::settings::{DurationText, Secret, SizeText, reference_page};

#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Root {
    /// Where everything is kept. Default: `/var/lib/weir`.
    data_dir: Option<PathBuf>,
    /// The durable log.
    journal: Journal,
    door: Door,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Journal {
    /// A file of this size is closed. Default: `1GiB`.
    roll_at: Option<SizeText>,
    /// How long records are kept. Default: `7d`.
    keep: Option<DurationText>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Door {
    /// TCP port | default by role.
    port: Option<u16>,
    tls: Option<bool>,
    mode: Option<Mode>,
    password: Option<Secret>,
    origins: Option<Vec<String>>,
    /// Limits by app.
    apps: BTreeMap<String, AppLimits>,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Mode {
    Fast,
    Safe,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct AppLimits {
    /// Events per second.
    max_tps: Option<u32>,
}

/// A folder with a file `weir.yaml`, whose path is taken out of messages.
struct Case {
    folder: tempfile::TempDir,
    environment: Environment,
    aliases: Vec<Alias>,
    wrong_aliases: WrongAliases,
    flags: Vec<FlagValue>,
    presets: Vec<Preset>,
    implied: Vec<Implied>,
}

impl Case {
    fn new(yaml: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("weir.yaml"), yaml).expect("is written");
        Self {
            folder,
            environment: Environment::default(),
            aliases: Vec::new(),
            wrong_aliases: WrongAliases::default(),
            flags: Vec::new(),
            presets: Vec::new(),
            implied: Vec::new(),
        }
    }

    fn environment<const N: usize>(self, variables: [(&str, &str); N]) -> Self {
        Self { environment: variables.into(), ..self }
    }

    fn flag(mut self, path: &'static str, value: &str, flag: &'static str) -> Self {
        self.flags.push(FlagValue { path, value: value.to_owned(), flag });
        self
    }

    fn alias(mut self, alias: Alias) -> Self {
        self.aliases.push(alias);
        self
    }

    fn load(&self) -> Loaded<Root> {
        self.load_as()
    }

    fn load_as<Raw: DeserializeOwned + JsonSchema + Default>(&self) -> Loaded<Raw> {
        let file = self.folder.path().join("weir.yaml");
        let (environment, aliases, flags) = (&self.environment, &self.aliases, &self.flags);
        let (presets, implied) = (&self.presets, &self.implied);
        let wrong_aliases = self.wrong_aliases;
        load(Sources { presets, implied, file: Some(&file), environment, aliases, wrong_aliases, flags })
    }

    fn raw(&self) -> Root {
        self.load().finish().expect("has no problems")
    }

    fn problems(&self) -> String {
        let problems = self.load().finish().expect_err("has problems").to_string();
        self.clean(&problems)
    }

    fn clean(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.folder.path().display()), "")
    }
}

#[test]
fn every_problem_of_the_text_is_reported_at_once() {
    let yaml = "\
data_dir: [1]
jornal:
  keep: 1d
journal:
  rol_at: 1GiB
  roll_at: 64
  keep: 7 days
door:
  port: 70000
  tls: 1
  mode: quick
  password: 12345
  origins: all
  roll_at: 1GiB
  apps:
    a.shop:
      max_tps: -1
    b:
      max_tsp: 5
";
    insta::assert_snapshot!(Case::new(yaml).problems(), @r#"
    weir.yaml:1: data_dir: invalid type: list, expected a text
    weir.yaml:2: jornal: unknown key (did you mean `journal`?)
    weir.yaml:5: journal.rol_at: unknown key (did you mean `roll_at`?)
    weir.yaml:6: journal.roll_at: `64` has no unit, expected a size with its unit, such as `500B`, `64KiB`, `64MiB` or `1GiB`
    weir.yaml:7: journal.keep: ` days` is not a unit, expected a duration with its unit, such as `250ms`, `30s`, `15m`, `24h` or `7d`
    weir.yaml:9: door.port: invalid value: integer `70000`, expected a whole number from 0 to 65535
    weir.yaml:10: door.tls: invalid type: integer `1`, expected `true` or `false`
    weir.yaml:11: door.mode: unknown variant `quick`, expected `fast` or `safe`
    weir.yaml:12: door.password: is not a text
    weir.yaml:13: door.origins: invalid type: string "all", expected a list
    weir.yaml:14: door.roll_at: unknown key (did you mean `journal.roll_at`?)
    weir.yaml:17: door.apps.a.shop.max_tps: invalid value: integer `-1`, expected a whole number from 0 to 4294967295
    weir.yaml:19: door.apps.b.max_tsp: unknown key (did you mean `max_tps`?)
    "#);
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Doors {
    doors: Vec<Door>,
}

#[test]
fn problems_in_lists_of_sections_have_their_path() {
    let yaml = "\
doors:
  - {port: 1, tls: maybe, colour: red}
  - 5
  - port: 2
    apps: {shop: {max_tps: -1}}
    origins: [a, 7]
";
    let case = Case::new(yaml);
    let loaded = case.load_as::<Doors>();
    let [first, second, third] = loaded.raw.doors.as_slice() else { unreachable!("{:?}", loaded.raw) };
    assert_eq!((first.port, second, third.port), (Some(1), &Door::default(), Some(2)));
    let problems = loaded.finish().expect_err("some of it is wrong").to_string();
    insta::assert_snapshot!(case.clean(&problems), @r#"
    weir.yaml:2: doors[0].colour: unknown key
    weir.yaml:2: doors[0].tls: invalid type: string "maybe", expected `true` or `false`
    weir.yaml:3: doors[1]: is not a text
    weir.yaml:5: doors[2].apps.shop.max_tps: invalid value: integer `-1`, expected a whole number from 0 to 4294967295
    weir.yaml:6: doors[2].origins: invalid type: integer `7`, expected a text
    "#);
}

#[test]
fn no_secret_is_told() {
    let case = Case::new("door:\n  password: 12345\n  apps: {a: {max_tps: x}}\n");
    assert!(!case.problems().contains("12345"));
}

#[test]
fn what_is_wrong_is_left_out_and_the_rest_is_there() {
    let loaded = Case::new("door: {port: x, tls: true}\njournal: {keep: 1d, kept: 1d}\n").load();
    assert_eq!(loaded.raw.door, Door { tls: Some(true), ..Door::default() });
    assert_eq!(loaded.raw.journal, Journal { keep: Some(DurationText::from_secs(86_400)), roll_at: None });
}

#[test]
fn a_later_layer_wins_and_is_named() {
    let yaml = "data_dir: /file\njournal:\n  roll_at: 1GiB\n\n  keep: 1d\ndoor:\n  password: ${PASSWORD}\n  apps:\n    shop: {max_tps: 5}\n";
    let case = Case::new(yaml)
        .environment([
            ("WEIR_DATA_DIR", "/env"),
            ("WEIR_JOURNAL__KEEP", "2d"),
            ("WEIR_DOOR__PORT", "8080"),
            ("WEIR_DOOR__TLS", "true"),
            ("WEIR_DOOR__ORIGINS", "a, b"),
            ("WEIR_DOOR__APPS__CART__MAX_TPS", "7"),
            ("WEIR_CONFIG", "weir.yaml"),
            ("PASSWORD", "hunter2"),
        ])
        .flag("data_dir", "/flag", "--data-dir");
    let raw = case.raw();
    assert_eq!(raw.data_dir, Some(PathBuf::from("/flag")));
    assert_eq!(raw.journal.keep, Some(DurationText::from_secs(2 * 86_400)));
    assert_eq!(raw.door.port, Some(8080));
    assert_eq!(raw.door.origins, Some(vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(raw.door.password, Some(Secret::new("hunter2")));
    let explained = case.load().explain();
    let line = |Explained { path, value, origin }: &Explained| {
        format!("{path}  {}  {origin}", value.as_deref().unwrap_or("-"))
    };
    let lines: Vec<String> = explained.iter().map(line).collect();
    insta::assert_snapshot!(case.clean(&lines.join("\n")), @r#"
    data_dir  /flag  flag --data-dir
    door.apps.shop.max_tps  5  file weir.yaml:9
    door.apps.cart.max_tps  7  env WEIR_DOOR__APPS__CART__MAX_TPS
    door.mode  -  default
    door.origins  ["a","b"]  env WEIR_DOOR__ORIGINS
    door.password  ***  file weir.yaml:7
    door.port  8080  env WEIR_DOOR__PORT
    door.tls  true  env WEIR_DOOR__TLS
    journal.keep  2d  env WEIR_JOURNAL__KEEP
    journal.roll_at  1GiB  file weir.yaml:3
    "#);
}

#[test]
fn variables_and_flags_are_checked_as_the_file_is() {
    let case = Case::new("door: {port: '${PORT}', tls: '${TLS:-maybe}', password: '${ABSENT}'}\n")
        .environment([
            ("PORT", "http"),
            ("WEIR_JOURNAL__ROL_AT", "1GiB"),
            ("WEIR_JOURNAL__KEEP", "forever"),
            ("WEIR_DOOR", "open"),
            ("WEIR_PORT", "tcp://10.0.0.1:8080"),
            ("WEIR_SERVICE_PORT_GRPC", "8082"),
            ("WEIR_NONSENSE", "1"),
        ])
        .flag("journal.roll_at", "64", "--roll-at")
        .flag("journal.absent", "64", "--absent");
    insta::assert_snapshot!(case.problems(), @"
    weir.yaml:1: door.password: the variable `ABSENT` is not set
    weir.yaml:1: door.port: `http` is not a whole number
    weir.yaml:1: door.tls: `maybe` is neither `true` nor `false`
    env WEIR_DOOR: door: is a section, only the values in it can be set by a variable
    env WEIR_JOURNAL__ROL_AT: unknown setting (did you mean `WEIR_JOURNAL__ROLL_AT`?)
    env WEIR_NONSENSE: unknown setting
    flag --absent: journal.absent: unknown setting
    env WEIR_JOURNAL__KEEP: journal.keep: `forever` is not a whole number followed by a unit, expected a duration with its unit, such as `250ms`, `30s`, `15m`, `24h` or `7d`
    flag --roll-at: journal.roll_at: `64` has no unit, expected a size with its unit, such as `500B`, `64KiB`, `64MiB` or `1GiB`
    ");
}

/// In whole hours; no hour at all is the default.
const KEEP_HOURS: Alias = Alias {
    name: "BARITO_KEEP_HOURS",
    path: "journal.keep",
    convert: |text| match text {
        "" => Ok(None),
        text => text.parse::<u32>().map(|hours| Some(format!("{hours}h"))).map_err(|error| error.to_string()),
    },
};

#[test]
fn an_alias_speaks_its_own_language_and_is_weaker_than_ours() {
    let check = |environment: Environment, expected: Result<Option<u64>, &str>| {
        let mut case = Case::new("journal: {keep: 1h}\n").alias(KEEP_HOURS);
        case.environment = environment;
        let outcome =
            case.load().finish().map(|raw| raw.journal.keep.map(|keep| keep.duration().as_secs() / 3600));
        assert_eq!(outcome.map_err(|problems| problems.to_string()), expected.map_err(str::to_owned));
    };
    check(Environment::default(), Ok(Some(1)));
    check([("BARITO_KEEP_HOURS", "")].into(), Ok(Some(1)));
    check([("BARITO_KEEP_HOURS", "5")].into(), Ok(Some(5)));
    check([("BARITO_KEEP_HOURS", "5"), ("WEIR_JOURNAL__KEEP", "9h")].into(), Ok(Some(9)));
    check(
        [("BARITO_KEEP_HOURS", "x")].into(),
        Err("env BARITO_KEEP_HOURS: journal.keep: invalid digit found in string\n"),
    );
}

#[test]
fn wrong_aliases_can_be_notices() {
    const PORT: Alias =
        Alias { name: "BARITO_PORT", path: "door.port", convert: |text| Ok(Some(text.to_owned())) };
    let mut case = Case::new("data_dir: /file\ndoor: {tls: 1}\n")
        .alias(KEEP_HOURS)
        .alias(PORT)
        .environment([("BARITO_KEEP_HOURS", "x"), ("BARITO_PORT", "high"), ("WEIR_JOURNAL__ROLL_AT", "64")]);
    case.wrong_aliases = WrongAliases::Ignored;
    let loaded = case.load();
    insta::assert_snapshot!(loaded.notices(), @"
    env BARITO_KEEP_HOURS: journal.keep: invalid digit found in string
    env BARITO_PORT: door.port: `high` is not a whole number
    ");
    assert_eq!(loaded.raw.journal.keep, None);
    insta::assert_snapshot!(case.problems(), @"
    weir.yaml:2: door.tls: invalid type: integer `1`, expected `true` or `false`
    env WEIR_JOURNAL__ROLL_AT: journal.roll_at: `64` has no unit, expected a size with its unit, such as `500B`, `64KiB`, `64MiB` or `1GiB`
    ");
}

const SAFE: Preset = Preset {
    path: "door.mode",
    value: "safe",
    defaults: &[
        ("journal.keep", "30d"),
        ("journal.roll_at", "2GiB"),
        ("door.origins", "a,b"),
        ("door.port", "7"),
    ],
};

#[test]
fn defaults_that_go_with_a_value_are_weaker_than_all_that_is_said() {
    let mut case = Case::new("journal: {keep: 1h}\ndoor: {mode: safe}\n")
        .environment([("BARITO_KEEP_HOURS", "x"), ("WEIR_DOOR__PORT", "80")])
        .alias(KEEP_HOURS);
    case.presets.push(SAFE);
    let raw = Case { wrong_aliases: WrongAliases::Ignored, ..case }.raw();
    assert_eq!((raw.journal.keep, raw.door.port), (Some(DurationText::from_secs(3_600)), Some(80)));
    assert_eq!(raw.journal.roll_at, Some(SizeText::from_bytes(2 << 30)));
    assert_eq!(raw.door.origins, Some(vec!["a".to_owned(), "b".to_owned()]));

    let mut other = Case::new("door: {mode: fast}\n");
    other.presets.push(SAFE);
    assert_eq!(other.raw().journal.roll_at, None);
}

#[test]
fn a_wrong_value_that_is_passed_over_leaves_its_place_to_the_preset() {
    let mut case = Case::new("{}\n").environment([("BARITO_PORT", "high")]).alias(Alias {
        name: "BARITO_PORT",
        path: "door.port",
        convert: |text| Ok(Some(text.to_owned())),
    });
    case.wrong_aliases = WrongAliases::Ignored;
    case.presets.push(SAFE);
    case.implied.push(Implied { path: "door.mode", value: "safe", by: "BARITO_*" });
    let loaded = case.load();
    assert_eq!(loaded.origin("door.mode").to_string(), "by BARITO_*");
    assert_eq!(loaded.origin("door.port").to_string(), "by door.mode: safe");
    assert_eq!((loaded.raw.door.mode, loaded.raw.door.port), (Some(Mode::Safe), Some(7)));
    assert_eq!(loaded.notices().iter().count(), 1);
    let implied_otherwise = Case { flags: vec![], ..case }.flag("door.mode", "fast", "--mode");
    assert_eq!(implied_otherwise.raw().door.port, None, "what is said beats what is implied");
}

#[test]
fn problems_of_validation_get_path_and_origin() {
    let case = Case::new("journal:\n  keep: 1s\ndoor:\n  origins:\n    - a\n    - b\n");
    let mut loaded = case.load();
    let journal = loaded.section("journal", |_| -> Result<(), Problems> {
        let mut problems = Problems::from(Problem::at("keep", "is too short").hint("at least `1m`"));
        problems.push(Problem::at("roll_at", "must be set together with `keep`"));
        Err(problems)
    });
    let door = loaded.section("door", |_| Err::<(), _>(Problem::at("origins[1]", "is no origin").into()));
    assert_eq!((journal, door), (None, None));
    assert_eq!(loaded.section("door", |raw| Ok(raw.door.port)), Some(None));
    let problems = loaded.finish().expect_err("has problems").to_string();
    insta::assert_snapshot!(case.clean(&problems), @"
    weir.yaml:2: journal.keep: is too short (at least `1m`)
    weir.yaml:2: journal.roll_at: must be set together with `keep`
    weir.yaml:6: door.origins[1]: is no origin
    ");
}

#[test]
fn a_value_never_changes_the_structure() {
    let case = Case::new("data_dir: ${DIR}\n").environment([("DIR", "/a\njournal: {keep: 1s}")]);
    let raw = case.raw();
    assert_eq!(raw.data_dir, Some(PathBuf::from("/a\njournal: {keep: 1s}")));
    assert_eq!(raw.journal, Journal::default());
}

#[test]
fn a_file_that_is_no_map_or_not_there_is_named() {
    insta::assert_snapshot!(Case::new("- a\n- b\n").problems(), @"weir.yaml:1: expected settings in the form `key: value`");
    insta::assert_snapshot!(Case::new("a: 1\nb: [\n").problems(), @"weir.yaml:2: unclosed bracket '['");
    insta::assert_snapshot!(Case::new("data_dir: a\ndata_dir: b\n").problems(), @"weir.yaml:2: the key `data_dir` is given twice");
    let case = Case::new("");
    fs::remove_file(case.folder.path().join("weir.yaml")).expect("is there");
    insta::assert_snapshot!(case.problems(), @"cannot read `weir.yaml`: No such file or directory (os error 2)");
}

#[test]
fn an_empty_file_is_all_defaults() {
    assert_eq!(Case::new("").raw(), Root::default());
    assert_eq!(Case::new("journal:\n  keep:\ndoor:\n").raw(), Root::default());
}

#[test]
fn documented_defaults_are_read_from_the_comments() {
    let root: Root = documented_defaults();
    assert_eq!(root.data_dir, Some(PathBuf::from("/var/lib/weir")));
    assert_eq!(root.journal.roll_at, Some(SizeText::from_bytes(1 << 30)));
    assert_eq!(root.door, Door::default());
}

#[test]
fn the_reference_has_every_setting() {
    let page = reference_page::<Root>(&[]);
    let page = page.split_once("came from.\n").expect("has an introduction").1;
    insta::assert_snapshot!(page.split_once("\n## Variables").expect("has variables").0.trim(), @r"
    | key | value | default | meaning |
    |---|---|---|---|
    | `data_dir` | text | `/var/lib/weir` | Where everything is kept. |

    ## `door`

    | key | value | default | meaning |
    |---|---|---|---|
    | `mode` | `fast`, `safe` |  |  |
    | `origins` | list of text |  |  |
    | `password` | secret text |  |  |
    | `port` | whole number |  | TCP port \| default by role. |
    | `tls` | `true`, `false` |  |  |

    ## `door.apps.<name>`

    | key | value | default | meaning |
    |---|---|---|---|
    | `max_tps` | whole number |  | Events per second. |

    ## `journal`

    The durable log.

    | key | value | default | meaning |
    |---|---|---|---|
    | `keep` | duration | `7d` | How long records are kept. |
    | `roll_at` | size | `1GiB` | A file of this size is closed. |
    ");
}

#[test]
fn a_text_of_others_sees_nothing_of_this_machine() {
    let loaded: Loaded<Root> =
        load_text("offered", "data_dir: '${file:/etc/hostname}'\njournal: {keep: 2d}\n");
    let root = loaded.finish().expect("it is good");
    assert_eq!(root.data_dir, Some(PathBuf::from("${file:/etc/hostname}")));
    let loaded: Loaded<Root> = load_text("offered", "journal:\n  rol_at: 1GiB\n  keep: never\n");
    insta::assert_snapshot!(loaded.finish().expect_err("both are wrong"));
    let loaded: Loaded<Root> = load_text("offered", "- a\n");
    insta::assert_snapshot!(loaded.finish().expect_err("it is no map"), @"offered:1: expected settings in the form `key: value`");
}
