//! Requests as App Service's front end hands them over.

/// A request to www.example.com over TLS from `client`, an address with a port; `fields` come last.
pub(crate) fn over_tls(line: &str, client: &str, fields: &str) -> String {
    let tls = "X-ARR-SSL: 2048|256|CN=Microsoft Azure RSA TLS Issuing CA 03, O=Microsoft, C=US|CN=www.example.com
         X-Forwarded-Proto: https
         X-AppService-Proto: https
         X-Forwarded-TlsVersion: 1.3";
    over_http(line, client, &format!("{tls}\n{fields}"))
}

/// The same over plain http, which the front end tells by leaving out four fields.
pub(crate) fn over_http(line: &str, client: &str, fields: &str) -> String {
    let (address, port) = client.rsplit_once(':').unwrap();
    format!(
        "{line} HTTP/1.1
         Host: www.example.com
         Max-Forwards: 10
         DISGUISED-HOST: www.example.com
         X-SITE-DEPLOYMENT-ID: example-app
         WAS-DEFAULT-HOSTNAME: example-app.azurewebsites.net
         X-ARR-LOG-ID: 4e939686-fa43-4b14-b1c8-1316b943d77c
         X-Original-URL: /
         X-WAWS-Unencoded-URL: /
         CLIENT-IP: {client}
         X-Client-IP: {address}
         X-Client-Port: {port}
         X-Forwarded-For: {client}
         {fields}"
    )
}
