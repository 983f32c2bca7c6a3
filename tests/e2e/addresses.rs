//! The traffic of `azure-facts.md`, E1 to E16: what Django makes of it behind forebay.
//!
//! Host and path are the site's own; every other field is as it was captured.

use serde_json::Value;

use crate::support::forebay::{APP_SERVICE, Forebay};
use crate::support::site::THREADS;

#[test]
fn e1_a_public_request_over_tls() {
    let seen = on_app_service(&[], E1);
    assert_client(&seen, "198.51.100.84");
    assert_eq!(seen["is_secure"], true);
    // Commas, equals signs and bars belong to the value.
    assert_eq!(
        seen["meta"]["HTTP_X_ARR_SSL"],
        "2048|256|C=US, O=DigiCert Inc, CN=GeoTrust TLS DV RSA Mixed SHA256 2020 CA-1|\
         CN=headers.netletic.com"
    );
}

#[test]
fn e2_a_public_request_of_today() {
    let seen = on_app_service(
        &[],
        "GET /echo/ HTTP/1.1
         Host: www.example.com
         Accept: */*
         Max-Forwards: 10
         User-Agent: curl/8.5.0
         X-ARR-LOG-ID: 4e939686-fa43-4b14-b1c8-1316b943d77c
         CLIENT-IP: 203.0.113.10:64769
         X-Client-IP: 203.0.113.10
         X-Client-Port: 64769
         DISGUISED-HOST: www.example.com
         X-SITE-DEPLOYMENT-ID: example-app
         WAS-DEFAULT-HOSTNAME: example-app.azurewebsites.net
         X-Forwarded-Proto: https
         X-AppService-Proto: https
         X-ARR-SSL: 2048|256|CN=Microsoft Azure RSA TLS Issuing CA 03, O=Microsoft Corporation, C=US|CN=*.azurewebsites.net, O=Microsoft Corporation, L=Redmond, S=WA, C=US
         X-Forwarded-TlsVersion: 1.3
         X-Forwarded-For: 203.0.113.10:64769
         X-Original-URL: /echo/
         X-WAWS-Unencoded-URL: /echo/",
    );
    assert_client(&seen, "203.0.113.10");
    assert_eq!(seen["is_secure"], true);
}

#[test]
fn e3_a_public_request_over_plain_http() {
    let seen = on_app_service(
        &[],
        "GET /echo/ HTTP/1.1
         Host: www.example.com
         Disguised-Host: www.example.com
         Client-Ip: 203.0.113.45:33148
         X-Client-Ip: 203.0.113.45
         X-Client-Port: 33148
         X-Forwarded-For: 203.0.113.45:33148",
    );
    assert_client(&seen, "203.0.113.45");
    assert_eq!(seen["is_secure"], false);
    assert_eq!(seen["meta"]["HTTP_X_FORWARDED_PROTO"], "http");
}

#[test]
fn e4_a_private_endpoint() {
    let seen = on_app_service(
        &[],
        "GET /echo/ HTTP/1.1
         Accept: */*
         Client-Ip: [fd40:4ccb:12:6cf8:7312:100:a0a:5]:38758
         Disguised-Host: www.example.com
         Host: www.example.com
         Max-Forwards: 10
         User-Agent: curl/7.68.0
         Was-Default-Hostname: vwan22-spoke3-8162.azurewebsites.net
         X-Arr-Log-Id: f5ba941a-02e1-4696-b57a-df2d1e1bd9ac
         X-Client-Ip: 10.10.0.5
         X-Client-Port: 0
         X-Forwarded-For: 10.10.0.5
         X-Original-Url: /echo/
         X-Site-Deployment-Id: vwan22-spoke3-8162-app
         X-Waws-Unencoded-Url: /echo/",
    );
    assert_client(&seen, "10.10.0.5");
    assert_eq!(seen["is_secure"], false);
}

#[test]
fn e5_a_spoofed_chain_does_not_count() {
    assert_client(&on_app_service(&[], E5), "203.0.113.10");
}

#[test]
fn e5_the_chain_is_handed_on_clean_when_it_is_wanted() {
    let seen = on_app_service(&["--forwarded", "chain"], E5);
    assert_eq!(seen["meta"]["HTTP_X_FORWARDED_FOR"], "203.0.113.10");
}

#[test]
fn e6_and_e7_an_address_as_host_becomes_the_canonical_host() {
    for host in ["127.0.0.1:8020", "169.254.130.4:8000", "localhost:8000", "[::1]:8000"] {
        let seen = on_app_service(
            &[],
            &format!(
                "GET /echo/ HTTP/1.1
                 host: {host}
                 user-agent: HealthCheck/1.0"
            ),
        );
        assert_eq!(seen["host"], "www.example.com", "{host}");
    }
}

#[test]
fn e10_front_door_is_an_edge_when_it_proves_itself() {
    let edge = ["--edges", "front-door", "--front-door-id", FRONT_DOOR];
    let seen = on_app_service(&edge, E10);
    assert_client(&seen, "203.0.113.230");
    assert_eq!((&seen["host"], &seen["is_secure"]), (&"www.example.com".into(), &true.into()));

    // Without the setting, or with the identity of another profile, it is the client itself.
    assert_client(&on_app_service(&[], E10), "147.243.18.238");
    let foreign = E10.replace(FRONT_DOOR, "ffffffff-ffff-4fff-8fff-ffffffffffff");
    assert_client(&on_app_service(&edge, &foreign), "147.243.18.238");
}

#[test]
fn e11_app_gateway_is_an_edge_when_it_is_trusted() {
    let seen = on_app_service(&["--edges", "app-gateway"], E11);
    assert_client(&seen, "203.0.113.7");
    assert_eq!(seen["host"], "www.example.com");
    assert_eq!(seen["is_secure"], true);
}

#[test]
fn e12_static_web_apps_is_one_edge() {
    let heads = [
        (
            "CLIENT-IP: [fde4:8dba:1f00:8ef5:6c1f:100:c0a8:fa06]:61981
             X-Forwarded-For: 203.0.113.42:58075, [fde4:8dba:1f00:8ef5:6c1f:100:c0a8:fa06]:61981",
            "203.0.113.42",
            "fde4:8dba:1f00:8ef5:6c1f:100:c0a8:fa06",
        ),
        (
            "Client-IP: 10.0.32.22:28828
             X-Forwarded-For: 203.0.113.148:37627, 13.69.64.134:22020",
            "203.0.113.148",
            "13.69.64.134",
        ),
    ];
    for (fields, visitor, edge) in heads {
        let head = format!(
            "GET /echo/ HTTP/1.1
             Host: www.example.com
             Disguised-Host: www.example.com
             X-Forwarded-Proto: https
             {fields}"
        );
        assert_client(&on_app_service(&["--edges", "1"], &head), visitor);
        assert_client(&on_app_service(&[], &head), edge);
    }
}

#[test]
fn e13_container_apps() {
    let head = "GET /echo/ HTTP/1.1
         Host: www.example.com
         X-Arr-Ssl: true
         X-Envoy-Expected-Rq-Timeout-Ms: 1800000
         X-Envoy-External-Address: 203.0.113.92
         X-Forwarded-For: 203.0.113.92
         X-Forwarded-Host: kong-gateway.gentleground-bfcffaab.japaneast.azurecontainerapps.io
         X-Forwarded-Proto: https
         X-K8Se-App-Kind: web
         X-K8Se-App-Name: kong-gateway--ccdquo8
         X-K8Se-App-Namespace: k8se-apps
         X-K8Se-Protocol: http1
         X-Ms-Containerapp-Name: kong-gateway
         X-Ms-Containerapp-Revision-Name: kong-gateway--ccdquo8";
    let seen = seen(&[], &[("CONTAINER_APP_NAME", "kong-gateway")], head);
    assert_client(&seen, "203.0.113.92");
    assert_eq!(seen["is_secure"], true);
    assert_eq!(seen["meta"]["HTTP_X_FORWARDED_HOST"], Value::Null);
}

#[test]
fn e14_container_apps_from_app_to_app() {
    let head = "GET /echo/ HTTP/1.1
         accept: */*
         host: www.example.com
         x-forwarded-path: /request/dump
         x-forwarded-proto: https
         x-request-id: f443460e-aa1b-42a8-80a3-9a2fb0c90168";
    let seen = seen(&["--platform", "container-apps"], &[], head);
    assert_client(&seen, "127.0.0.1"); // the peer: nobody names another
    assert_eq!(seen["is_secure"], true);
    assert_eq!(seen["meta"]["HTTP_X_REQUEST_ID"], "f443460e-aa1b-42a8-80a3-9a2fb0c90168");
}

#[test]
fn e16_identity_fields_pass_where_easy_auth_is_on() {
    let head = "GET /echo/ HTTP/1.1
         Host: www.example.com
         Disguised-Host: www.example.com
         Client-Ip: 22.222.222.2222:64379
         X-Client-Ip: 22.222.222.222
         X-Forwarded-For: 22.222.222.22:64379
         X-Forwarded-Proto: https
         X-Ms-Client-Principal: your_base_64_encoded_token
         X-Ms-Client-Principal-Name: testusername@constoso.com";
    let principal = |switch| {
        let variables = [("WEBSITE_SITE_NAME", "example-app"), ("WEBSITE_AUTH_ENABLED", switch)];
        let seen = seen(&[], &variables, head);
        assert_client(&seen, "22.222.222.22");
        ["", "_NAME"].map(|end| seen["meta"][format!("HTTP_X_MS_CLIENT_PRINCIPAL{end}")].clone())
    };
    assert_eq!(principal("True"), ["your_base_64_encoded_token", "testusername@constoso.com"]);
    assert_eq!(principal("False"), [Value::Null, Value::Null]);
}

const E1: &str = "GET /echo/ HTTP/1.1
    Host: www.example.com
    X-Client-IP: 198.51.100.84
    X-Client-Port: 65078
    Connection: Keep-Alive
    Accept: */*
    Max-Forwards: 10
    User-Agent: curl/7.69.1
    X-WAWS-Unencoded-URL: /echo/
    Client-IP: 198.51.100.84:65078
    DISGUISED-HOST: www.example.com
    X-SITE-DEPLOYMENT-ID: azwebapp-netinfo-prod-1
    WAS-DEFAULT-HOSTNAME: azwebapp-netinfo-prod-1.azurewebsites.net
    X-Original-URL: /echo/
    X-Forwarded-For: 198.51.100.84:65078
    X-ARR-SSL: 2048|256|C=US, O=DigiCert Inc, CN=GeoTrust TLS DV RSA Mixed SHA256 2020 CA-1|CN=headers.netletic.com
    X-Forwarded-Proto: https
    X-AppService-Proto: https
    X-Forwarded-TlsVersion: 1.2";

const E5: &str = "GET /echo/ HTTP/1.1
    Host: www.example.com
    Disguised-Host: www.example.com
    Client-IP: 203.0.113.10:64769
    X-Client-IP: 203.0.113.10
    X-Forwarded-For: 127.0.0.1, 10.0.0.1:99, 203.0.113.10:64769
    X-Forwarded-Proto: https";

const FRONT_DOOR: &str = "a0a0a0a0-bbbb-4ccc-8ddd-e1e1e1e1e1e1";

const E10: &str = "GET /echo/ HTTP/1.1
    Host: www.example.com
    Disguised-Host: www.example.com
    Via: HTTP/1.1 Azure
    X-Azure-ClientIP: 203.0.113.230
    X-Azure-SocketIP: 203.0.113.230
    X-Azure-Ref: 20240711T031409Z-16f8dbf69ccxc7nz3vdync91ac00000001hg00000000d6vf
    X-Azure-FDID: a0a0a0a0-bbbb-4ccc-8ddd-e1e1e1e1e1e1
    X-Forwarded-For: 203.0.113.230,147.243.18.238:45498,147.243.18.238
    X-Forwarded-Host: www.example.com
    X-Forwarded-Proto: https";

const E11: &str = "GET /echo/ HTTP/1.1
    Host: example-app.azurewebsites.net
    x-forwarded-for: 203.0.113.7:59633, 10.0.0.4
    x-forwarded-proto: https
    x-forwarded-port: 443
    x-original-host: www.example.com
    x-original-url: /shop
    x-appgw-trace-id: 0123456789abcdef0123456789abcdef
    x-client-ip: 10.0.0.4";

/// What Django saw of a request that came over App Service.
fn on_app_service(flags: &[&str], head: &str) -> Value {
    seen(flags, APP_SERVICE, head)
}

/// What Django saw, with forebay started by these flags and variables.
fn seen(flags: &[&str], variables: &[(&str, &str)], head: &str) -> Value {
    Forebay::started(THREADS.address(), flags, variables).ready().exchange(head).json()
}

/// Every field that Django libraries take an address from names the client, without a port.
fn assert_client(seen: &Value, client: &str) {
    let meta = &seen["meta"];
    assert_eq!(meta["HTTP_X_FORWARDED_FOR"], client, "{seen:#}");
    for field in ["HTTP_X_REAL_IP", "HTTP_CLIENT_IP", "HTTP_X_CLIENT_IP"] {
        assert!(meta[field].is_null() || meta[field] == client, "{field} in {seen:#}");
    }
    let gone = ["FORWARDED", "X_ORIGINAL_FOR", "X_ORIGINAL_URL", "X_WAWS_UNENCODED_URL"];
    for field in gone {
        assert!(meta[format!("HTTP_{field}")].is_null(), "{field} in {seen:#}");
    }
}
