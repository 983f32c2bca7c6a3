//! Collects what was written, each text with its origin.
//!
//! Owns: the four sources and their precedence.
//! Must not know: what a setting does.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::process::{self, Process};
use super::setting::{SETTINGS, Setting};
use super::{Fault, Trouble};
use crate::telemetry;

/// The environment, as main read it.
pub type Environment = BTreeMap<String, String>;

/// What the command line says.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// Settings by name, with every text given.
    pub settings: BTreeMap<&'static str, Vec<String>>,
    /// `--config FILE`.
    pub file: Option<PathBuf>,
}

/// Where a text comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Origin {
    /// A flag.
    Flag(&'static str),
    /// A variable of forebay's own.
    Variable(String),
    /// The configuration file.
    File(PathBuf),
    /// A variable that the platform sets.
    Platform(&'static str),
    /// The command that `forebay run` starts, or the choice of a place for it.
    Command,
    /// What the application server's configuration says.
    Server,
    /// What Django's settings say.
    Django,
    /// Nobody wrote anything.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "--{name}"),
            Self::Variable(name) => f.write_str(name),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Platform(name) => write!(f, "{name} (platform)"),
            Self::Command => f.write_str("the start command"),
            Self::Server => f.write_str("the application server's configuration"),
            Self::Django => f.write_str("Django's settings"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A text that holds when nobody wrote one, and that is found out at the start.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Derived {
    /// The setting's name.
    pub name: &'static str,
    /// The text.
    pub text: String,
    /// Where it comes from.
    pub origin: Origin,
}

/// A setting in force.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Shown {
    /// Its name.
    pub name: &'static str,
    /// Its texts.
    pub values: Vec<String>,
    /// Where they come from.
    pub origin: Origin,
}

impl Shown {
    /// The texts as one.
    pub fn value(&self) -> String {
        if self.values.is_empty() {
            return "-".to_owned();
        }
        let texts: Vec<_> =
            self.values.iter().map(|text| without_secret(self.name, text)).collect();
        texts.join(", ")
    }
}

/// A text as it may be shown: where it can hold a password, not at all.
fn without_secret(name: &str, text: &str) -> String {
    if name == "release-lock" && !["auto", "off"].contains(&text) {
        return "[redacted]".to_owned();
    }
    // Elsewhere a URL with a password is a slip.
    telemetry::redacted(text)
}

/// All settings with their texts, and the faults found so far.
#[derive(Debug)]
pub(super) struct Sources {
    shown: Vec<Shown>,
    pub(super) processes: Vec<Process>,
    pub(super) faults: Vec<Fault>,
}

/// The file that is read when it is there and no other is named.
const DEFAULT_FILE: &str = "forebay.toml";

impl Sources {
    /// Collects flags, variables, the file and the defaults.
    pub(super) fn collect(mut flags: Flags, environment: &Environment) -> Self {
        let mut sources = Self { shown: Vec::new(), processes: Vec::new(), faults: Vec::new() };
        sources.refuse_unknown_variables(environment);
        let (mut file, path) = sources.read_file(&flags, environment);
        for setting in SETTINGS.iter() {
            let variable = setting.variable();
            // Taken in any case: what a stronger source overrides is not unknown.
            let written = file.remove(setting.name);
            let (values, origin) = if let Some(values) = flags.settings.remove(setting.name) {
                (values, Origin::Flag(setting.name))
            } else if let Some(text) = environment.get(&variable) {
                (split(setting, text), Origin::Variable(variable))
            } else if let Some(value) = written {
                (sources.texts(setting, value, &path), Origin::File(path.clone()))
            } else {
                let default = setting.default;
                let values = if default.is_empty() { vec![] } else { vec![default.to_owned()] };
                (values, Origin::Default)
            };
            sources.shown.push(Shown { name: setting.name, values, origin });
        }
        if let Some(written) = file.remove("processes") {
            match process::read(written) {
                Ok(processes) => sources.processes = processes,
                Err((trouble, mend)) => sources.faults.push(Fault {
                    setting: "processes".to_owned(),
                    origin: path.display().to_string(),
                    trouble: Trouble::Text(trouble),
                    mend,
                }),
            }
        }
        for name in file.keys() {
            sources.faults.push(unknown(name, &path.display().to_string()));
        }
        sources
    }

    /// Puts a platform's text in the place of a default, and of nothing else.
    pub(super) fn platform_default(
        &mut self,
        name: &'static str,
        text: String,
        variable: &'static str,
    ) {
        self.default(Derived { name, text, origin: Origin::Platform(variable) });
    }

    /// Puts a text in the place of a default, and of nothing else.
    pub(super) fn default(&mut self, derived: Derived) {
        let shown = self.shown.iter_mut().find(|shown| shown.name == derived.name);
        if let Some(shown) = shown
            && shown.origin == Origin::Default
        {
            shown.values = vec![derived.text];
            shown.origin = derived.origin;
        }
    }

    /// Reads a setting that has a text; a fault is kept and nothing returned.
    pub(super) fn read<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.read_all(name, parse)?.into_iter().next_back()
    }

    /// Reads a setting that may have no text or several.
    pub(super) fn read_all<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let shown = self.shown.iter().find(|shown| shown.name == name)?;
        let mut values = Vec::new();
        let mut is_sound = true;
        let is_secret = is_secret(name);
        for text in &shown.values {
            match parse(text) {
                Ok(value) => values.push(value),
                Err(why) => {
                    is_sound = false;
                    self.faults.push(Fault {
                        setting: name.to_owned(),
                        origin: shown.origin.to_string(),
                        trouble: Trouble::Text(if is_secret {
                            REDACTED.to_owned()
                        } else {
                            without_secret(name, text)
                        }),
                        mend: why,
                    });
                }
            }
        }
        is_sound.then_some(values)
    }

    /// Adds a fault of a setting whose text is sound in itself, or missing.
    pub(super) fn fault(&mut self, name: &'static str, mend: &str) {
        let Some(shown) = self.shown.iter().find(|shown| shown.name == name) else { return };
        let is_missing = shown.values.is_empty();
        self.faults.push(Fault {
            setting: name.to_owned(),
            origin: shown.origin.to_string(),
            trouble: if is_missing { Trouble::Missing } else { Trouble::Text(shown.value()) },
            mend: mend.to_owned(),
        });
    }

    /// What may be shown.
    pub(super) fn into_shown(mut self) -> Vec<Shown> {
        for shown in self.shown.iter_mut().filter(|shown| is_secret(shown.name)) {
            shown.values.fill(REDACTED.to_owned());
        }
        self.shown
    }

    /// A misspelt variable must not look as if it were obeyed.
    fn refuse_unknown_variables(&mut self, environment: &Environment) {
        let known: Vec<_> = SETTINGS.iter().map(Setting::variable).collect();
        for name in environment.keys().filter(|name| name.starts_with("FOREBAY_")) {
            if name != CONFIG_VARIABLE && !known.contains(name) && !is_service(name, environment) {
                self.faults.push(unknown(name, "the environment"));
            }
        }
    }

    fn read_file(&mut self, flags: &Flags, environment: &Environment) -> (toml::Table, PathBuf) {
        let (path, is_named) = match (&flags.file, environment.get(CONFIG_VARIABLE)) {
            (Some(path), _) => (path.clone(), true),
            (None, Some(path)) => (PathBuf::from(path), true),
            (None, None) => (PathBuf::from(DEFAULT_FILE), false),
        };
        if !is_named && !path.exists() {
            return (toml::Table::new(), path);
        }
        match read_table(&path) {
            Ok(table) => (table, path),
            Err(why) => {
                self.faults.push(Fault {
                    setting: "config".to_owned(),
                    origin: if is_named { "--config".to_owned() } else { "default".to_owned() },
                    trouble: Trouble::Text(path.display().to_string()),
                    mend: why,
                });
                (toml::Table::new(), path)
            }
        }
    }

    /// A value of the file as texts.
    fn texts(&mut self, setting: &Setting, value: toml::Value, path: &Path) -> Vec<String> {
        let scalar = |value: toml::Value| match value {
            toml::Value::String(text) => Some(text),
            toml::Value::Integer(number) => Some(number.to_string()),
            toml::Value::Boolean(true) => Some("on".to_owned()),
            toml::Value::Boolean(false) => Some("off".to_owned()),
            toml::Value::Float(_)
            | toml::Value::Datetime(_)
            | toml::Value::Array(_)
            | toml::Value::Table(_) => None,
        };
        let found = if setting.is_secret { REDACTED.to_owned() } else { value.to_string() };
        let texts = match value {
            toml::Value::Array(values) if setting.repeats => {
                values.into_iter().map(scalar).collect::<Option<Vec<_>>>()
            }
            value @ (toml::Value::String(_)
            | toml::Value::Integer(_)
            | toml::Value::Boolean(_)
            | toml::Value::Float(_)
            | toml::Value::Datetime(_)
            | toml::Value::Array(_)
            | toml::Value::Table(_)) => scalar(value).map(|text| vec![text]),
        };
        texts.unwrap_or_else(|| {
            let why =
                if setting.repeats { "write a text or a list of texts" } else { "write a text" };
            self.faults.push(Fault {
                setting: setting.name.to_owned(),
                origin: path.display().to_string(),
                trouble: Trouble::Text(found),
                mend: why.to_owned(),
            });
            Vec::new()
        })
    }
}

/// What stands for a secret.
const REDACTED: &str = "[redacted]";

fn is_secret(name: &str) -> bool {
    SETTINGS.iter().any(|setting| setting.is_secret && setting.name == name)
}

/// Whether Kubernetes set a variable: it describes every Service of a namespace to every pod, one
/// that is called `forebay` too.
fn is_service(name: &str, environment: &Environment) -> bool {
    environment.contains_key("KUBERNETES_SERVICE_HOST")
        && (name.ends_with("_SERVICE_HOST")
            || name.contains("_SERVICE_PORT")
            || name == "FOREBAY_PORT"
            || name.starts_with("FOREBAY_PORT_"))
}

/// The variable that names the file.
const CONFIG_VARIABLE: &str = "FOREBAY_CONFIG";

fn read_table(path: &Path) -> Result<toml::Table, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|why| format!("the file cannot be read ({why}); correct its name"))?;
    text.parse::<toml::Table>().map_err(|why| why.to_string().trim_end().to_owned())
}

/// Splits a variable's text where the setting may have several.
fn split(setting: &Setting, text: &str) -> Vec<String> {
    if !setting.repeats {
        return vec![text.to_owned()];
    }
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

fn unknown(name: &str, origin: &str) -> Fault {
    Fault {
        setting: name.to_owned(),
        origin: origin.to_owned(),
        trouble: Trouble::Unknown,
        mend: "correct the name; `forebay config` lists all settings".to_owned(),
    }
}
