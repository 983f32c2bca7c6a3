//! `forebay doctor` at real Django sites, each with exactly one fault, and at real PostgreSQL.

use std::fs;
use std::path::PathBuf;
use std::process::Output;

use serde_json::Value;

use crate::support::database::{self, WithTls};
use crate::support::free_port;
use crate::support::process::Process;
use crate::support::start::{Started, fresh_folder, path};

/// A site without a fault: nothing in it talks but what a test adds.
const SETTINGS: &str = r#"
import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent
SECRET_KEY = "a key of fifty letters, as startproject makes them!"
DEBUG = False
ALLOWED_HOSTS = ["www.example.com", "example-app.azurewebsites.net"]
INSTALLED_APPS = ["django.contrib.staticfiles"]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
]
SECURE_SSL_REDIRECT = True
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
CSRF_TRUSTED_ORIGINS = ["https://www.example.com"]
CSRF_COOKIE_SECURE = True
ROOT_URLCONF = "mysite.urls"
STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "collected"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": os.environ["PGHOST"],
        "NAME": "postgres",
        "USER": "postgres",
    }
}
"#;

const URLS: &str = r#"
from django.http import HttpResponse
from django.urls import path

urlpatterns = [path("", lambda request: HttpResponse("home"))]
"#;

const WSGI: &str = r#"
import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")
application = get_wsgi_application()
"#;

const GUNICORN: &[&str] =
    &["gunicorn", "--no-control-socket", "-k", "gthread", "--threads", "4", "mysite.wsgi"];

/// A site of its own, with its port.
struct Site {
    folder: PathBuf,
    port: u16,
}

/// What the doctor said.
struct Said {
    code: Option<i32>,
    report: Value,
}

impl Said {
    /// Rule and severity of each finding.
    fn found(&self) -> Vec<String> {
        let findings = self.report["findings"].as_array().unwrap();
        let of = |it: &Value| format!("{} {}", it["rule"], it["severity"]).replace('"', "");
        findings.iter().map(of).collect()
    }

    /// The rules that could not look; whether process 1 shows its environment is the machine's affair.
    fn not_looked(&self) -> Vec<&str> {
        let not_looked = self.report["not_looked"].as_array().unwrap();
        let rules = not_looked.iter().map(|it| it["rule"].as_str().unwrap());
        rules.filter(|rule| *rule != "FD-30").collect()
    }
}

impl Site {
    fn new() -> Self {
        let site = Self { folder: fresh_folder(), port: free_port() };
        let manage =
            "import os\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'mysite.settings')\n";
        for (name, text) in [
            ("manage.py", manage),
            ("mysite/__init__.py", ""),
            ("mysite/settings.py", SETTINGS),
            ("mysite/urls.py", URLS),
            ("mysite/wsgi.py", WSGI),
            ("collected/app.css", "body {}"),
        ] {
            site.put(name, text);
        }
        site
    }

    fn put(&self, name: &str, text: &str) {
        let path = self.folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Adds to the settings.
    fn settings(&self, more: &str) {
        self.put("mysite/settings.py", &format!("{SETTINGS}\n{more}\n"));
    }

    fn run(&self, flags: &[&str], command: &[&str], variables: &[(&str, &str)]) -> Output {
        let mut process = Process::command(env!("CARGO_BIN_EXE_forebay"));
        process.args(["doctor", "--host", "www.example.com"]).args(flags).arg("--").args(command);
        process.env("PATH", path()).env("PYTHONDONTWRITEBYTECODE", "1");
        process.envs([
            ("PGHOST", database::directory()),
            ("PORT", &self.port.to_string()),
            ("WEBSITE_SITE_NAME", "example-app"),
            ("WEBSITE_HOSTNAME", "example-app.azurewebsites.net"),
        ]);
        process.envs(variables.iter().copied()).current_dir(&self.folder).output().unwrap()
    }

    /// What the doctor says, with more flags, another command and more variables.
    fn said(&self, flags: &[&str], command: &[&str], variables: &[(&str, &str)]) -> Said {
        let flags = [&["--json"], flags].concat();
        let output = self.run(&flags, command, variables);
        let text = String::from_utf8_lossy(&output.stdout);
        let report = serde_json::from_str(&text);
        let report = report.unwrap_or_else(|why| panic!("{why}: {output:?}"));
        Said { code: output.status.code(), report }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.folder));
    }
}

#[test]
fn a_site_without_a_fault_is_exit_code_0() {
    let site = Site::new();
    let said = site.said(&[], GUNICORN, &[]);
    assert_eq!(said.found(), [""; 0], "{:#}", said.report);
    assert_eq!(said.code, Some(0));
    // Nobody listens at the public port yet.
    assert_eq!(said.not_looked(), ["FD-70", "FD-71"], "{:#}", said.report);
    let text = site.run(&[], GUNICORN, &[]);
    assert!(String::from_utf8_lossy(&text.stdout).contains("0 errors, 0 warnings, 0 notes"));
}

#[test]
fn each_fault_in_the_settings_is_found_and_no_other() {
    for (more, expected) in [
        ("raise KeyError('SECRET')", &["FD-01 error"][..]),
        ("ALLOWED_HOSTS = ['example-app.azurewebsites.net']", &["FD-10 error"]),
        ("CSRF_TRUSTED_ORIGINS = ['www.example.com']", &["FD-11 error"]),
        ("SECURE_PROXY_SSL_HEADER = None", &["FD-12 note"]),
        (
            "SECURE_PROXY_SSL_HEADER = ('HTTP_X_FORWARDED_PROTO', 'on')",
            &["FD-12 error", "FD-13 error"],
        ),
        ("CSRF_COOKIE_SECURE = False", &["FD-14 note"]),
        ("DEBUG = True", &["FD-15 error"]),
        (
            "MIDDLEWARE += ['django.contrib.sessions.middleware.SessionMiddleware']\n\
             SESSION_COOKIE_SECURE = True\n\
             SESSION_ENGINE = 'django.contrib.sessions.backends.cache'",
            &["FD-16 warning"],
        ),
        ("STATIC_ROOT = None", &["FD-20 warning"]),
        ("STATIC_ROOT = BASE_DIR / 'nowhere'", &["FD-21 warning"]),
        (
            "STORAGES = {'staticfiles': {'BACKEND': \
             'django.contrib.staticfiles.storage.ManifestStaticFilesStorage'}}",
            &["FD-21 error"],
        ),
        ("MIDDLEWARE.insert(1, 'whitenoise.middleware.WhiteNoiseMiddleware')", &["FD-22 note"]),
        (
            "DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': 'db'}}",
            &["FD-24 error"],
        ),
        ("SECRET_KEY = 'x&'", &["FD-30 warning"]),
    ] {
        let site = Site::new();
        site.settings(more);
        let said = site.said(&[], GUNICORN, &[]);
        assert_eq!(said.found(), expected, "{more}: {:#}", said.report);
        let is_bad = expected.iter().any(|it| !it.ends_with("note"));
        assert_eq!(said.code, Some(i32::from(is_bad)), "{more}");
    }
}

#[test]
fn each_fault_in_the_start_is_found_and_no_other() {
    let gunicorn = |more: &[&'static str]| -> Vec<&str> {
        [&["gunicorn", "--no-control-socket"], more, &["mysite.wsgi"]].concat()
    };
    let healthy = GUNICORN.to_vec();
    let threads = gunicorn(&["-k", "gthread", "--threads", "4"]);
    let missing = vec!["gunicorn", "--no-control-socket", "-w", "2", "mysite.wsgy"];
    let slow_wsgi = format!("import time\ntime.sleep(1.2)\n{WSGI}");
    let broken_wsgi = format!("import psycopg17\n{WSGI}");
    let asgi = vec!["uvicorn", "mysite.wsgi:application"];
    let cut = [("MAIL_PASSWORD", "x&"), ("APPSETTING_MAIL_PASSWORD", "x$mCyu&")];
    let none: &[(&str, &str)] = &[];
    let limit = [("WEBSITES_CONTAINER_START_TIME_LIMIT", "1")];
    let arguments = [("GUNICORN_CMD_ARGS", "--bind 0.0.0.0:8000")];
    for (file, flags, command, variables, expected) in [
        (("a", ""), &[][..], missing, none, &["FD-02 error", "FD-03 error"][..]),
        (("mysite/wsgi.py", broken_wsgi.as_str()), &[], healthy.clone(), none, &["FD-03 error"]),
        (("a", ""), &[], healthy.clone(), &cut, &["FD-30 error"]),
        (("a", ""), &[], healthy.clone(), &arguments, &["FD-31 warning"]),
        (
            ("run.sh", "python manage.py makemigrations"),
            &[],
            threads.clone(),
            none,
            &["FD-32 error"],
        ),
        (("run.sh", "python manage.py migrate"), &[], threads.clone(), none, &["FD-33 warning"]),
        (
            ("startup.sh", "gunicorn --bind 0.0.0.0:$PORT mysite.wsgi"),
            &[],
            threads.clone(),
            none,
            &["FD-40 warning"],
        ),
        (("a", ""), &[], gunicorn(&["-w", "1"]), none, &["FD-41 warning"]),
        (("a", ""), &[], asgi, none, &["FD-41 error"]),
        (("a", ""), &[], gunicorn(&["-w", "2", "--timeout", "600"]), none, &["FD-42 warning"]),
        (("mysite/wsgi.py", &slow_wsgi), &[], healthy.clone(), &limit, &["FD-43 error"]),
        (("a", ""), &["--listen", "0.0.0.0:1"], healthy.clone(), none, &["FD-44 error"]),
        (("a", ""), &["--listen", "0.0.0.0:1", "--only", "FD-10"], healthy.clone(), none, &[]),
    ] {
        let site = Site::new();
        site.put(file.0, file.1);
        let said = site.said(flags, &command, variables);
        assert_eq!(said.found(), expected, "{file:?} {command:?}: {:#}", said.report);
        assert!(!said.report.to_string().contains("mCyu"));
    }
}

#[test]
fn several_faults_are_told_together_the_worst_first() {
    let site = Site::new();
    site.settings("DEBUG = True\nSECURE_PROXY_SSL_HEADER = None\nSTATIC_ROOT = None");
    let said = site.said(&[], GUNICORN, &[]);
    assert_eq!(said.found(), ["FD-15 error", "FD-20 warning", "FD-12 note"]);
    assert_eq!(said.code, Some(1));
}

#[test]
fn an_old_root_file_is_found_without_connecting() {
    let site = Site::new();
    let made = std::process::Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "/dev/null"])
        .args(["-subj", "/C=US/O=DigiCert Inc/CN=DigiCert Global Root CA"])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    site.put("DigiCertGlobalRootCA.crt.pem", &String::from_utf8(made.stdout).unwrap());
    site.settings(
        "DATABASES['default'] |= {'HOST': 'db.postgres.database.azure.com', 'PASSWORD': 'p' * 20, \
         'OPTIONS': {'sslmode': 'require', 'sslrootcert': 'DigiCertGlobalRootCA.crt.pem'}}",
    );
    let said = site.said(&["--offline"], GUNICORN, &[]);
    assert_eq!(said.found(), ["FD-62 error"], "{:#}", said.report);
    let what = said.report["findings"][0]["what"].as_str().unwrap();
    assert!(what.contains("turns sslmode=require into verify-ca"), "{what}");
    let offline = ["FD-03", "FD-43", "FD-50", "FD-60", "FD-61", "FD-70", "FD-71"];
    assert_eq!(said.not_looked(), offline, "{:#}", said.report);
}

#[test]
fn the_database_is_reached_over_tls_or_the_reason_is_told() {
    let server = WithTls::start();
    server.query("CREATE ROLE app LOGIN PASSWORD 's3cr@t-word'");
    server.query("CREATE DATABASE app OWNER app");
    let (root, port) = (format!("{}/ca.pem", server.directory), server.port);
    let site = Site::new();
    site.settings(
        "from urllib.parse import urlsplit, unquote\n\
         url = urlsplit(os.environ['DATABASE_URL'])\n\
         DATABASES['default'] |= {'HOST': url.hostname, 'PORT': url.port, 'NAME': 'app', 'USER': 'app', \
         'PASSWORD': unquote(url.password), 'OPTIONS': {'sslmode': 'require'}}",
    );
    let url = |password: &str, port: u16, more: &str| {
        format!("postgres://app:{password}@localhost:{port}/app?sslmode=require{more}")
    };
    let (right, believed) = ("s3cr%40t-word", format!("&sslrootcert={root}"));
    for (url, expected, part) in [
        (url(right, port, &believed), &[][..], ""),
        (url("wrong-one", port, &believed), &["FD-61 error"], "(28P01)"),
        (url(right, port, ""), &["FD-60 error"], "signed by nobody that is believed"),
        (url(right, free_port(), &believed), &["FD-60 error"], "cannot connect to localhost"),
    ] {
        let said = site.said(&[], GUNICORN, &[("DATABASE_URL", &url)]);
        assert_eq!(said.found(), expected, "{url}: {:#}", said.report);
        let report = said.report.to_string();
        assert!(report.contains(part), "{part}: {report}");
        assert!(!report.contains("s3cr") && !report.contains("wrong-one"), "{report}");
    }
    // What only Django knows stays there: forebay has no password to try.
    site.settings(&format!(
        "DATABASES['default'] |= {{'HOST': 'localhost', 'PORT': {port}, 'NAME': 'app', 'USER': 'app', \
         'PASSWORD': 'known-to-django', 'OPTIONS': {{'sslrootcert': '{root}', 'sslmode': 'require'}}}}"
    ));
    let said = site.said(&["--only", "FD-60,FD-61"], GUNICORN, &[]);
    assert_eq!((said.found(), said.not_looked()), (vec![], vec!["FD-61"]), "{:#}", said.report);
}

#[test]
fn the_running_site_is_asked_for_its_hosts() {
    let site = Site::new();
    let (folder, host) = (site.folder.clone(), database::directory());
    let variables = [
        ("DJANGO_SETTINGS_MODULE", "mysite.settings"),
        ("PGHOST", host),
        ("FOREBAY_SCHEME", "https"),
    ];
    let running = Started::within(folder.clone(), GUNICORN, &variables);
    assert_eq!(running.get("/").status, 200);
    let only = ["--only", "FD-40,FD-44,FD-70,FD-71", "--listen", running.address()];
    let home = [&only[..], &["--platform", "none"]].concat();
    let said = site.said(&home, GUNICORN, &[]);
    assert_eq!(said.found(), [""; 0], "{:#}", said.report);
    let other = [&home[..], &["--host", "other.example.com"]].concat();
    let said = site.said(&other, GUNICORN, &[]);
    assert_eq!(said.found(), ["FD-70 error"], "{:#}", said.report);
    let what = said.report["findings"][0]["what"].as_str().unwrap();
    assert_eq!(what, "the running site refuses the host other.example.com");
}
