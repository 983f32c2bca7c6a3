//! What Django's settings say of hosts, schemes, databases and caches: what the doctor looks at.
//!
//! Owns: how that part of the answer is read.
//! Must not know: what is right or wrong.

use serde_json::Value;

/// Settings beyond those that `forebay run` needs; none of them is a secret.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "they are switches in Django's settings")]
pub struct Details {
    /// The version of Python.
    pub python: String,
    /// The version of Django.
    pub django: String,
    /// `CSRF_TRUSTED_ORIGINS`.
    pub csrf_trusted_origins: Vec<String>,
    /// `SECURE_PROXY_SSL_HEADER`: the name as in `META`, and the value that means https.
    pub proxy_ssl_header: Option<(String, String)>,
    /// `SECURE_SSL_REDIRECT`.
    pub ssl_redirect: bool,
    /// `SECURE_REDIRECT_EXEMPT`.
    pub redirect_exempt: Vec<String>,
    /// `USE_X_FORWARDED_HOST`.
    pub uses_forwarded_host: bool,
    /// `MIDDLEWARE`.
    pub middleware: Vec<String>,
    /// `INSTALLED_APPS`.
    pub apps: Vec<String>,
    /// `SESSION_COOKIE_SECURE`.
    pub session_cookie_secure: bool,
    /// `CSRF_COOKIE_SECURE`.
    pub csrf_cookie_secure: bool,
    /// `SESSION_ENGINE`.
    pub session_engine: String,
    /// `CACHES`: each alias with its backend.
    pub caches: Vec<(String, String)>,
    /// The length of `SECRET_KEY`, in characters.
    pub secret_key_length: u64,
    /// `DATABASES`.
    pub databases: Vec<Database>,
}

/// One of `DATABASES`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "they are switches in Django's settings")]
pub struct Database {
    /// Its alias.
    pub alias: String,
    /// Its engine, as `django.db.backends.postgresql`.
    pub engine: String,
    /// Its host; empty for none.
    pub host: String,
    /// Its port; empty for the engine's own.
    pub port: String,
    /// Its name, or its file.
    pub name: String,
    /// The role.
    pub user: String,
    /// The length of the password, in characters; nothing where there is no such key.
    pub password_length: Option<u64>,
    /// The names of `OPTIONS`.
    pub options: Vec<String>,
    /// `sslmode` of `OPTIONS`.
    pub sslmode: Option<String>,
    /// `sslrootcert` of `OPTIONS`.
    pub sslrootcert: Option<String>,
    /// Whether psycopg prepares statements at the server (`prepare_threshold`).
    pub prepares: bool,
    /// Whether connections are kept for ever: `CONN_MAX_AGE` is None.
    pub is_kept_for_ever: bool,
    /// `CONN_MAX_AGE`, in seconds.
    pub max_age: u64,
    /// `CONN_HEALTH_CHECKS`.
    pub is_checked: bool,
    /// Whether cursors of the server are used: not `DISABLE_SERVER_SIDE_CURSORS`.
    pub has_server_side_cursors: bool,
}

impl Database {
    /// Whether it is one of PostgreSQL, with or without its geometry.
    pub fn is_postgres(&self) -> bool {
        ["postgresql", "postgis", "psycopg"].iter().any(|part| self.engine.contains(part))
    }
}

impl Details {
    /// Reads what `django.py` prints; where it is a text, that names the exception.
    pub(super) fn read(answer: &Value) -> Result<Self, String> {
        if !answer.is_object() {
            return Err(answer.as_str().unwrap_or("no answer").to_owned());
        }
        let header = texts(&answer["proxy_ssl_header"]);
        let caches = answer["caches"].as_object().into_iter().flatten();
        Ok(Self {
            python: text(&answer["python"]),
            django: text(&answer["django"]),
            csrf_trusted_origins: texts(&answer["csrf_trusted_origins"]),
            proxy_ssl_header: match header.as_slice() {
                [name, value, ..] => Some((name.clone(), value.clone())),
                _ => None,
            },
            ssl_redirect: answer["ssl_redirect"] == true,
            redirect_exempt: texts(&answer["redirect_exempt"]),
            uses_forwarded_host: answer["uses_forwarded_host"] == true,
            middleware: texts(&answer["middleware"]),
            apps: texts(&answer["apps"]),
            session_cookie_secure: answer["session_cookie_secure"] == true,
            csrf_cookie_secure: answer["csrf_cookie_secure"] == true,
            session_engine: text(&answer["session_engine"]),
            caches: caches.map(|(alias, backend)| (alias.clone(), text(backend))).collect(),
            secret_key_length: answer["secret_key_length"].as_u64().unwrap_or_default(),
            databases: answer["databases"].as_array().into_iter().flatten().map(database).collect(),
        })
    }
}

fn database(answer: &Value) -> Database {
    Database {
        alias: text(&answer["alias"]),
        engine: text(&answer["engine"]),
        host: text(&answer["host"]),
        port: text(&answer["port"]),
        name: text(&answer["name"]),
        user: text(&answer["user"]),
        password_length: answer["password_length"].as_u64(),
        options: texts(&answer["options"]),
        sslmode: answer["sslmode"].as_str().map(str::to_owned),
        sslrootcert: answer["sslrootcert"].as_str().map(str::to_owned),
        prepares: answer["prepares"] == true,
        is_kept_for_ever: answer["is_kept_for_ever"] == true,
        max_age: answer["max_age"].as_u64().unwrap_or_default(),
        is_checked: answer["is_checked"] == true,
        has_server_side_cursors: answer["has_server_side_cursors"] == true,
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(text).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_exception_is_told_by_its_class_and_gaps_are_empty() {
        assert_eq!(Details::read(&json!("TypeError")), Err("TypeError".to_owned()));
        assert_eq!(Details::read(&Value::Null), Err("no answer".to_owned()));
        assert_eq!(Details::read(&json!({})), Ok(Details::default()));
        let answer = json!({"proxy_ssl_header": ["HTTP_X", "https"], "databases": [{
            "engine": "django.contrib.gis.db.backends.postgis", "password_length": 0}]});
        let details = Details::read(&answer).unwrap();
        assert_eq!(details.proxy_ssl_header, Some(("HTTP_X".to_owned(), "https".to_owned())));
        assert!(details.databases[0].is_postgres());
        assert_eq!(details.databases[0].password_length, Some(0));
    }
}
