use proptest::prelude::*;

use super::*;

fn target(text: &str) -> Target {
    Draft::of_url(text).unwrap().finish().unwrap()
}

fn tcp(host: &str, port: u16) -> Place {
    Place::Tcp { host: host.to_owned(), port }
}

#[test]
fn urls_are_read_as_djangos_packages_and_libpq_read_them() {
    let all = target("postgres://u%40s:p%2F%24%zz@h:5433/d?sslmode=require&options=-c%20a%3Db+c");
    assert_eq!(all.places, [tcp("h", 5433)]);
    assert_eq!((all.user.as_str(), all.password.as_deref()), ("u@s", Some("p/$%zz")));
    assert_eq!((all.database.as_str(), all.mode), ("d", Mode::Always));
    assert_eq!(all.options.as_deref(), Some("-c a=b c"));
    assert_eq!(target("pgsql://u:a@b@h/d").password.as_deref(), Some("a@b"));
    assert_eq!(target("postgresql://u@[::1]:1/d").places, [tcp("::1", 1)]);
    assert_eq!(target("postgresql://u@[::1]/d").places, [tcp("::1", 5432)]);
    assert_eq!(target("postgres://u@a:1,b/d").places, [tcp("a", 1), tcp("b", 5432)]);
    assert_eq!(target("POSTGRES://u@h").database, "u");
    let socket = Place::Unix { directory: "/run/a".into(), port: 5432 };
    for url in ["postgres://u@%2Frun%2Fa/d", "postgres://u@/d?host=/run/a"] {
        assert_eq!(target(url).places, std::slice::from_ref(&socket), "{url}");
    }
    let local = Place::Unix { directory: SOCKETS.into(), port: 5432 };
    assert_eq!(target("postgres://u@/d").places, [local]);
    let files = |url| target(url).trust.files;
    assert_eq!(files("postgres://u@h/d?sslrootcert=/a.pem"), [PathBuf::from("/a.pem")]);
    assert!(files("postgres://u@h/d?sslrootcert=system").is_empty());
}

#[test]
fn bad_urls_are_told_apart() {
    for (text, bad) in [
        ("", Bad::NotUrl),
        ("postgres", Bad::NotUrl),
        ("postgres:h/d", Bad::NotUrl),
        ("://h/d", Bad::NotUrl),
        ("postgres://u@[::1/d", Bad::NotUrl),
        ("postgres://u@h:0/d", Bad::Port),
        ("postgres://u@h:65536/d", Bad::Port),
        ("postgres://u:%ff@h/d", Bad::Text),
        ("postgres://u:%00@h/d", Bad::Text),
        ("postgres://u@h/d?options=%00", Bad::Text),
        ("postgres://u@h/d?sslmode=on", Bad::Mode("on".to_owned())),
        ("mysql+pymysql://u@h/d", Bad::OtherKind("mysql".to_owned())),
        ("cockroachdb://u@h/d", Bad::OtherKind("cockroachdb".to_owned())),
    ] {
        assert_eq!(Draft::of_url(text).err(), Some(bad), "{text}");
    }
    assert_eq!(Draft::of_url("postgres://h/d").unwrap().finish(), Err(Bad::Missing("user")));
}

#[test]
fn connection_strings_are_read_in_both_forms() {
    for text in [
        "host=h port=5433 dbname=d user=u password='p;\\' x' sslmode=verify-full",
        "Server=h;Port=5433;Database=d;User Id=u;Password=\"p;' x\";SSL Mode=VerifyFull",
        "host = h  port=5433\ndbname=d user= u password=p;\\'\\ x sslmode=require",
        "Host=h:5433; Database=d ;Username=u;Password='p;'' x';SslMode=Require;Pooling=true;",
    ] {
        let target = Draft::of_pairs(text).unwrap().finish();
        // Unknown spellings of sslmode are of no use, not an error.
        let target = target.unwrap();
        assert_eq!(target.places, [tcp("h", 5433)], "{text}");
        assert_eq!(target.password.as_deref(), Some("p;' x"), "{text}");
        assert_eq!((target.user.as_str(), target.database.as_str()), ("u", "d"), "{text}");
        assert_eq!(target.mode, Mode::Always, "{text}");
    }
    for text in ["", "   ", "word", "host='h", "a=b c", "password=a\\"] {
        assert_eq!(Draft::of_pairs(text).err(), Some(Bad::NotPairs), "{text}");
    }
    let pairs = Draft::of_pairs("host=a,b port=1,2,3 user=u").unwrap();
    assert_eq!(pairs.finish(), Err(Bad::Port));
}

proptest! {
    #[test]
    fn nothing_that_is_written_makes_it_panic(text in "\\PC*", tail in "[a-z0-9=;'\"\\\\ :/@%?&\\[\\],.]*") {
        for text in [&text, &tail, &format!("postgres://{text}"), &format!("postgres://{tail}"),
            &format!("host={tail}"), &format!("Server=a;{tail}")] {
            drop(Draft::of_url(text).and_then(Draft::finish));
            drop(Draft::of_pairs(text).and_then(Draft::finish));
        }
    }

    #[test]
    fn what_is_escaped_comes_back(user in "[^\0]{1,9}", password in "[^\0]{1,9}", name in "[^\0]{1,9}") {
        let escaped = |text: &str| {
            percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC)
                .to_string()
        };
        let url = format!("postgres://{}:{}@h:5/{}", escaped(&user), escaped(&password), escaped(&name));
        let read = target(&url);
        prop_assert_eq!((read.user, read.password, read.database), (user, Some(password), name));
    }

    #[test]
    fn what_is_quoted_comes_back(password in "[^\0]{1,9}") {
        let libpq = password.replace('\\', "\\\\").replace('\'', "\\'");
        let text = format!("host=h password='{libpq}' user=u");
        let read = Draft::of_pairs(&text).unwrap();
        prop_assert_eq!(read.password.as_ref(), Some(&password));
        let text = format!("Server=h;Password=\"{}\";User Id=u", password.replace('"', "\"\""));
        let read = Draft::of_pairs(&text).unwrap();
        prop_assert_eq!(read.password.as_ref(), Some(&password));
        prop_assert_eq!(read.user.as_deref(), Some("u"));
    }
}
