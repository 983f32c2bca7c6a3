//! Reads how a database is written down: as a URL, or as a connection string.
//!
//! Owns: both forms, escapes and quotes.
//! Must not know: where a text comes from.

use std::path::PathBuf;

use percent_encoding::percent_decode_str;

use super::target::{Mode, Place, Target, Trust};

/// What is wrong with a text. It never shows the text: a password is in it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Bad {
    /// It belongs to another kind of database.
    #[error("it names a database of the kind `{0}`, not PostgreSQL")]
    OtherKind(String),
    /// It is no URL.
    #[error("it is not a URL such as `postgres://user:password@host:5432/database`")]
    NotUrl,
    /// It is no connection string.
    #[error("it is not a connection string such as `host=a dbname=b user=c password=d`")]
    NotPairs,
    /// A port is none.
    #[error("its port is not a number from 1 to 65535")]
    Port,
    /// A character that no part of it may have.
    #[error("it holds a NUL, or an escape that is not UTF-8")]
    Text,
    /// A word for encryption that is none.
    #[error("`{0}` is no sslmode")]
    Mode(String),
    /// A needed part is not there.
    #[error("it does not name the {0}")]
    Missing(&'static str),
}

/// What one text says; parts that it does not name are nothing.
#[derive(Clone, Default, Eq, PartialEq)]
pub(super) struct Draft {
    pub(super) hosts: Vec<String>,
    pub(super) ports: Vec<u16>,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) database: Option<String>,
    pub(super) mode: Option<Mode>,
    pub(super) roots: Option<PathBuf>,
    pub(super) options: Option<String>,
}

impl Draft {
    /// Reads a URL as Django's packages and libpq write it.
    ///
    /// # Errors
    ///
    /// [`Bad`]; [`Bad::OtherKind`] for a URL of another database.
    pub(super) fn of_url(text: &str) -> Result<Self, Bad> {
        let (scheme, rest) = text.trim().split_once(':').ok_or(Bad::NotUrl)?;
        check_scheme(scheme)?;
        let rest = rest.strip_prefix("//").ok_or(Bad::NotUrl)?;
        let rest = rest.split('#').next().unwrap_or_default();
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        // Some write an `@` of the password as it is: the last one ends it.
        let (credentials, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        let mut draft = Self { database: filled(decoded(database)?), ..Self::default() };
        let (user, password) = match credentials.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (credentials, None),
        };
        draft.user = filled(decoded(user)?);
        draft.password = password.map(decoded).transpose()?.and_then(filled);
        for host in hosts.split(',').filter(|host| !host.is_empty()) {
            let (host, port) = host_and_port(host)?;
            draft.hosts.push(decoded(host)?);
            draft.ports.push(port.unwrap_or(DEFAULT_PORT));
        }
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decoded(name)?, decoded(&value.replace('+', "%20"))?);
            draft.take(&name, value)?;
        }
        Ok(draft)
    }

    /// Reads `host=a dbname=b`, as libpq has it, or `Server=a;Database=b;`, as ADO.NET has it.
    ///
    /// # Errors
    ///
    /// [`Bad`].
    pub(super) fn of_pairs(text: &str) -> Result<Self, Bad> {
        let is_ado = text.split(';').next().is_some_and(|first| first.matches('=').count() == 1)
            && text.contains(';');
        let mut draft = Self::default();
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            let (name, value) = rest.split_once('=').ok_or(Bad::NotPairs)?;
            let (value, after) = value_and_rest(value.trim_start(), is_ado)?;
            draft.take(&name.trim().to_ascii_lowercase(), value)?;
            rest = after.trim_start_matches(|letter: char| {
                letter.is_whitespace() || (is_ado && letter == ';')
            });
        }
        if draft == Self::default() { Err(Bad::NotPairs) } else { Ok(draft) }
    }

    /// Takes one named part; what is not known is of no use here.
    pub(super) fn take(&mut self, name: &str, value: String) -> Result<(), Bad> {
        if value.contains('\0') {
            return Err(Bad::Text);
        }
        if value.is_empty() {
            return Ok(());
        }
        match name {
            "host" | "hostaddr" | "server" | "data source" | "addr" | "address" => {
                self.hosts.clear();
                for host in value.split(',').map(str::trim).filter(|host| !host.is_empty()) {
                    // ADO.NET and some URLs have the port with it.
                    let (host, port) =
                        if host.starts_with('/') { (host, None) } else { host_and_port(host)? };
                    self.hosts.push(host.to_owned());
                    self.ports.extend(port);
                }
            }
            "port" => {
                let ports = value.split(',').map(|port| port_of(port.trim()));
                self.ports = ports.collect::<Result<_, _>>()?;
            }
            "user" | "username" | "user id" | "userid" | "uid" | "user name" => {
                self.user = Some(value);
            }
            "password" | "pwd" | "psw" => self.password = Some(value),
            "dbname" | "database" | "db" | "name" | "initial catalog" => {
                self.database = Some(value);
            }
            "sslmode" | "ssl mode" => {
                self.mode = Some(Mode::parse(&value).ok_or(Bad::Mode(value))?);
            }
            "sslrootcert" | "root certificate" | "rootcertificate" => {
                // libpq's word for the roots that are there anyway.
                self.roots = (value != "system").then(|| PathBuf::from(value));
            }
            "options" => self.options = Some(value),
            _ => {}
        }
        Ok(())
    }

    /// Puts what another one names in the place of what this one does not.
    pub(super) fn or(mut self, other: Self) -> Self {
        if self.hosts.is_empty() {
            self.hosts = other.hosts;
        }
        if self.ports.is_empty() {
            self.ports = other.ports;
        }
        self.user = self.user.or(other.user);
        self.password = self.password.or(other.password);
        self.database = self.database.or(other.database);
        self.mode = self.mode.or(other.mode);
        self.roots = self.roots.or(other.roots);
        self.options = self.options.or(other.options);
        self
    }

    /// The target, with libpq's defaults.
    ///
    /// # Errors
    ///
    /// [`Bad::Missing`] without a user, and [`Bad::Port`] where ports and hosts do not pair.
    pub(super) fn finish(self) -> Result<Target, Bad> {
        let user = self.user.ok_or(Bad::Missing("user"))?;
        let hosts = if self.hosts.is_empty() { vec![SOCKETS.to_owned()] } else { self.hosts };
        let ports = match self.ports.as_slice() {
            [] => vec![DEFAULT_PORT; hosts.len()],
            [one] => vec![*one; hosts.len()],
            several if several.len() == hosts.len() => several.to_vec(),
            _ => return Err(Bad::Port),
        };
        let places = hosts.into_iter().zip(ports).map(|(host, port)| {
            if host.starts_with('/') {
                Place::Unix { directory: PathBuf::from(host), port }
            } else {
                Place::Tcp { host, port }
            }
        });
        Ok(Target {
            places: places.collect(),
            password: self.password,
            database: self.database.unwrap_or_else(|| user.clone()),
            user,
            mode: self.mode.unwrap_or_default(),
            trust: Trust { files: self.roots.into_iter().collect(), ..Trust::default() },
            options: self.options,
        })
    }
}

/// PostgreSQL's own port.
pub(super) const DEFAULT_PORT: u16 = 5432;

/// Where Debian's and Azure's images of PostgreSQL have their socket.
const SOCKETS: &str = "/var/run/postgresql";

/// PostgreSQL by the names that Django's packages give it, also with a driver: `postgresql+psycopg`.
fn check_scheme(scheme: &str) -> Result<(), Bad> {
    let is_word = !scheme.is_empty()
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-._".contains(&byte));
    if !is_word {
        return Err(Bad::NotUrl);
    }
    let kind = scheme.split('+').next().unwrap_or_default().to_ascii_lowercase();
    let is_known = ["postgres", "postgresql", "postgis", "pgsql", "psql", "timescale"]
        .contains(&kind.as_str());
    if is_known { Ok(()) } else { Err(Bad::OtherKind(kind)) }
}

/// `host`, `host:5432`, `[::1]` or `[::1]:5432`.
fn host_and_port(text: &str) -> Result<(&str, Option<u16>), Bad> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or(Bad::NotUrl)?;
        return match rest.strip_prefix(':') {
            None if rest.is_empty() => Ok((host, None)),
            None => Err(Bad::NotUrl),
            Some("") => Ok((host, None)),
            Some(port) => Ok((host, Some(port_of(port)?))),
        };
    }
    match text.split_once(':') {
        None | Some((_, "")) => Ok((text.trim_end_matches(':'), None)),
        // An IPv6 address without brackets.
        Some((_, rest)) if rest.contains(':') => Ok((text, None)),
        Some((host, port)) => Ok((host, Some(port_of(port)?))),
    }
}

fn port_of(text: &str) -> Result<u16, Bad> {
    if text.is_empty() {
        return Ok(DEFAULT_PORT);
    }
    text.parse().ok().filter(|port| *port != 0).ok_or(Bad::Port)
}

/// A value of a connection string, and what is behind it.
fn value_and_rest(text: &str, is_ado: bool) -> Result<(String, &str), Bad> {
    let quote = text.chars().next().filter(|it| *it == '\'' || (is_ado && *it == '"'));
    let (mut value, mut is_escaped) = (String::new(), false);
    let mut letters = text.char_indices().skip(usize::from(quote.is_some())).peekable();
    while let Some((place, letter)) = letters.next() {
        let rest = || text.get(place..).unwrap_or_default();
        if std::mem::take(&mut is_escaped) {
            value.push(letter);
        } else if letter == '\\' && !is_ado {
            is_escaped = true;
        } else if Some(letter) == quote {
            // ADO.NET doubles a quote that is meant.
            if is_ado && letters.peek().is_some_and(|(_, next)| Some(*next) == quote) {
                letters.next();
                value.push(letter);
            } else {
                let rest = rest();
                return Ok((value, rest.get(1..).unwrap_or_default()));
            }
        } else if quote.is_none() && (if is_ado { letter == ';' } else { letter.is_whitespace() }) {
            return Ok((if is_ado { value.trim_end().to_owned() } else { value }, rest()));
        } else {
            value.push(letter);
        }
    }
    if quote.is_some() || is_escaped { Err(Bad::NotPairs) } else { Ok((value, "")) }
}

/// Without escapes; what only looks like one stays, as Django's packages have it.
fn decoded(text: &str) -> Result<String, Bad> {
    let text = percent_decode_str(text).decode_utf8().map_err(|_| Bad::Text)?;
    if text.contains('\0') { Err(Bad::Text) } else { Ok(text.into_owned()) }
}

pub(super) fn filled(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests;
