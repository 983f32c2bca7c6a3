//! The list of all settings: flags, help and README are made from it.
//!
//! Owns: what a setting is, the order of the groups.
//! Must not know: what a setting does.

mod platform;
mod application;
mod content;
mod children;
mod clients;
mod status;
pub(super) mod postgres;

use std::sync::LazyLock;

/// One setting, as the operator meets it.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The flag without its dashes; also the key in `forebay.toml`.
    pub name: &'static str,
    /// What stands for the value in the help.
    pub value: &'static str,
    /// The text that holds when nobody wrote another; empty for none.
    pub default: &'static str,
    /// One line of help, without a full stop.
    pub help: &'static str,
    /// Whether it may be given several times.
    pub repeats: bool,
    /// Whether its text is shown to nobody.
    pub is_secret: bool,
    /// The group in the help and in the README.
    pub group: &'static str,
}

impl Setting {
    /// The variable of the same meaning.
    pub fn variable(&self) -> String {
        format!("FOREBAY_{}", self.name.to_ascii_uppercase().replace('-', "_"))
    }
}

const fn one(
    group: &'static str,
    name: &'static str,
    value: &'static str,
    default: &'static str,
    help: &'static str,
) -> Setting {
    Setting { name, value, default, help, repeats: false, is_secret: false, group }
}

const fn many(
    group: &'static str,
    name: &'static str,
    value: &'static str,
    help: &'static str,
) -> Setting {
    Setting { name, value, default: "", help, repeats: true, is_secret: false, group }
}

const fn secret(
    group: &'static str,
    name: &'static str,
    value: &'static str,
    help: &'static str,
) -> Setting {
    Setting { name, value, default: "", help, repeats: false, is_secret: true, group }
}

/// Every setting.
pub static SETTINGS: LazyLock<Vec<Setting>> = LazyLock::new(|| {
    let lists = [
        platform::LIST,
        application::LIST,
        content::LIST,
        children::LIST,
        postgres::LIST,
        clients::LIST,
        status::LIST,
    ];
    lists.concat()
});

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;

    #[test]
    fn names_are_unique_and_helps_are_one_sentence() {
        for (place, setting) in SETTINGS.iter().enumerate() {
            assert!(SETTINGS[..place].iter().all(|other| other.name != setting.name));
            assert!(!setting.help.ends_with('.'), "{}", setting.name);
        }
    }

    /// The README's table, made from the list.
    fn table() -> String {
        let mut table = String::from("| Flag | Default | Meaning |\n|---|---|---|\n");
        let mut group = "";
        for setting in SETTINGS.iter() {
            if std::mem::replace(&mut group, setting.group) != setting.group {
                writeln!(table, "| **{}** | | |", setting.group).unwrap();
            }
            let default = match setting.default {
                "" => String::new(),
                default => format!("`{default}`"),
            };
            let several = if setting.repeats { " (repeatable)" } else { "" };
            let (name, value) = (setting.name, setting.value);
            let help = setting.help;
            writeln!(table, "| `--{name} {value}` | {default} | {help}{several} |").unwrap();
        }
        table
    }

    #[test]
    fn the_readme_lists_every_setting() {
        let readme = include_str!("../../../README.md");
        let (_, rest) = readme.split_once("<!-- settings -->\n").unwrap();
        let (listed, _) = rest.split_once("<!-- /settings -->").unwrap();
        assert_eq!(listed, table(), "put this between the marks in the README:\n{}", table());
    }
}
