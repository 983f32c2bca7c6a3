//! The names of fields that are known beforehand.
//!
//! Owns: which these are, finding one by its bytes.
//! Must not know: what a field means.

use std::sync::LazyLock;

use http::HeaderName;

/// A name that is known beforehand: its place in [`KNOWN`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Known(u8);

impl Known {
    /// Finds a known name in any case.
    pub fn find(name: &[u8]) -> Option<Self> {
        let sign = Sign::of(name)?;
        let mut place = sign.place();
        // Every search ends: most places are free.
        loop {
            let number = PLACES.get(place % ROOM).copied().filter(|number| *number != FREE)?;
            if SIGNS.get(usize::from(number)) == Some(&sign) {
                return Some(Self(number));
            }
            place += 1;
        }
    }

    /// Its place among all known names.
    pub(in crate::proxy) fn number(self) -> usize {
        usize::from(self.0)
    }

    /// The same name as `http` keeps it.
    pub(in crate::proxy) fn to_http(self) -> Option<HeaderName> {
        static ALL: LazyLock<Vec<HeaderName>> =
            LazyLock::new(|| KNOWN.iter().map(|text| HeaderName::from_static(text)).collect());
        ALL.get(self.number()).cloned()
    }

    /// The text, in lower case.
    pub fn as_str(self) -> &'static str {
        KNOWN.get(self.number()).copied().unwrap_or_default()
    }

    /// The name with this text, as a constant; the compiler refuses one that is not known.
    pub(in crate::proxy) const fn of(name: &str) -> Self {
        let mut number = 0;
        #[expect(
            clippy::indexing_slicing,
            reason = "a name that is not known is an error of the compiler"
        )]
        while !is_same(KNOWN[number].as_bytes(), name.as_bytes()) {
            number += 1;
        }
        #[expect(clippy::cast_possible_truncation, reason = "there are fewer")]
        Self(number as u8)
    }
}

/// What tells a known name from everything else: all its bytes, letters in lower case. What becomes of
/// `@` and a few other bytes beside the letters is in no known name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Sign {
    words: [u64; 4],
    length: usize,
}

impl Sign {
    /// Eight bytes at a time, the last eight as they stand at the end; nothing if it is longer.
    const fn of(name: &[u8]) -> Option<Self> {
        let length = name.len();
        let mut words = [0; 4];
        let Some(last) = name.last_chunk::<8>() else {
            words[0] = lower(short(name));
            return Some(Self { words, length });
        };
        words[3] = lower(u64::from_le_bytes(*last));
        let mut rest = name;
        let mut place = 0;
        while rest.len() > 8 {
            let Some((word, after)) = rest.split_first_chunk::<8>() else { break };
            if place == 3 {
                return None;
            }
            #[expect(clippy::indexing_slicing, reason = "it is below three")]
            {
                words[place] = lower(u64::from_le_bytes(*word));
            }
            place += 1;
            rest = after;
        }
        Some(Self { words, length })
    }

    const fn place(self) -> usize {
        let [first, second, _, last] = self.words;
        let mixed = first ^ second.rotate_left(17) ^ last.rotate_left(31) ^ self.length as u64;
        (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48) as usize
    }
}

/// Eight bytes with the letters among them in lower case.
const fn lower(word: u64) -> u64 {
    word | (word & 0x4040_4040_4040_4040) >> 1
}

/// Up to seven bytes.
const fn short(name: &[u8]) -> u64 {
    let mut word = 0;
    let mut rest = name;
    while let Some((&byte, after)) = rest.split_first() {
        word = word << 8 | byte as u64;
        rest = after;
    }
    word
}

const fn is_same(one: &[u8], other: &[u8]) -> bool {
    let (mut one, mut other) = (one, other);
    loop {
        match (one.split_first(), other.split_first()) {
            (None, None) => return true,
            (Some((first, rest)), Some((second, others))) if *first == *second => {
                (one, other) = (rest, others);
            }
            _ => return false,
        }
    }
}

/// Places for known names, several times as many as there are.
const ROOM: usize = 1024;

const FREE: u8 = u8::MAX;

static SIGNS: [Sign; KNOWN.len()] = signs();
static PLACES: [u8; ROOM] = places();

#[expect(clippy::indexing_slicing, reason = "the place is below the length")]
const fn signs() -> [Sign; KNOWN.len()] {
    let mut signs = [Sign { words: [0; 4], length: 0 }; KNOWN.len()];
    let mut number = 0;
    while number < KNOWN.len() {
        // A name that is too long is never found, which a test notices.
        if let Some(sign) = Sign::of(KNOWN[number].as_bytes()) {
            signs[number] = sign;
        }
        number += 1;
    }
    signs
}

#[expect(clippy::indexing_slicing, reason = "the place is below the room")]
#[expect(clippy::cast_possible_truncation, reason = "there are fewer names")]
const fn places() -> [u8; ROOM] {
    let signs = signs();
    let mut places = [FREE; ROOM];
    let mut number = 0;
    while number < signs.len() {
        let mut place = signs[number].place();
        while places[place % ROOM] != FREE {
            place += 1;
        }
        places[place % ROOM] = number as u8;
        number += 1;
    }
    places
}

macro_rules! known {
    ($($constant:ident $text:literal)*) => {
        /// Every known name.
        pub(in crate::proxy) const KNOWN: &[&str] = &[$($text),*];

        /// The names of known fields.
        pub mod names {
            use super::Known;
            use super::super::name::Name;
            $(
                #[doc = concat!("`", $text, "`")]
                pub const $constant: Name = Name::known(Known::of($text));
            )*
        }
    };
}

// What browsers, front ends and programs send all day, and every name that a step asks for. The order
// means nothing.
known! {
    ACCEPT "accept"
    ACCEPT_CHARSET "accept-charset"
    ACCEPT_ENCODING "accept-encoding"
    ACCEPT_LANGUAGE "accept-language"
    ACCEPT_RANGES "accept-ranges"
    ACCESS_CONTROL_REQUEST_HEADERS "access-control-request-headers"
    ACCESS_CONTROL_REQUEST_METHOD "access-control-request-method"
    AGE "age"
    ALLOW "allow"
    AUTHORIZATION "authorization"
    CACHE_CONTROL "cache-control"
    CDN_LOOP "cdn-loop"
    CF_CONNECTING_IP "cf-connecting-ip"
    CF_CONNECTING_IPV6 "cf-connecting-ipv6"
    CLIENT_IP "client-ip"
    CONNECTION "connection"
    CONTENT_DISPOSITION "content-disposition"
    CONTENT_ENCODING "content-encoding"
    CONTENT_LANGUAGE "content-language"
    CONTENT_LENGTH "content-length"
    CONTENT_RANGE "content-range"
    CONTENT_SECURITY_POLICY "content-security-policy"
    CONTENT_TYPE "content-type"
    COOKIE "cookie"
    CROSS_ORIGIN_OPENER_POLICY "cross-origin-opener-policy"
    DATE "date"
    DISGUISED_HOST "disguised-host"
    DNT "dnt"
    ETAG "etag"
    EXPECT "expect"
    EXPIRES "expires"
    FASTLY_CLIENT_IP "fastly-client-ip"
    FORWARDED "forwarded"
    FORWARDED_FOR "forwarded-for"
    FRONT_END_HTTPS "front-end-https"
    HOST "host"
    HTTP2_SETTINGS "http2-settings"
    IF_MATCH "if-match"
    IF_MODIFIED_SINCE "if-modified-since"
    IF_NONE_MATCH "if-none-match"
    IF_RANGE "if-range"
    IF_UNMODIFIED_SINCE "if-unmodified-since"
    KEEP_ALIVE "keep-alive"
    LAST_MODIFIED "last-modified"
    LINK "link"
    LOCATION "location"
    MAX_FORWARDS "max-forwards"
    ORIGIN "origin"
    PATH_INFO "path-info"
    PERMISSIONS_POLICY "permissions-policy"
    PRAGMA "pragma"
    PRIORITY "priority"
    PROXY "proxy"
    PROXY_AUTHENTICATE "proxy-authenticate"
    PROXY_AUTHORIZATION "proxy-authorization"
    PROXY_CONNECTION "proxy-connection"
    RANGE "range"
    REFERER "referer"
    REFERRER_POLICY "referrer-policy"
    REMOTE_USER "remote-user"
    RETRY_AFTER "retry-after"
    SCRIPT_NAME "script-name"
    SEC_CH_UA "sec-ch-ua"
    SEC_CH_UA_MOBILE "sec-ch-ua-mobile"
    SEC_CH_UA_PLATFORM "sec-ch-ua-platform"
    SEC_FETCH_DEST "sec-fetch-dest"
    SEC_FETCH_MODE "sec-fetch-mode"
    SEC_FETCH_SITE "sec-fetch-site"
    SEC_FETCH_USER "sec-fetch-user"
    SEC_GPC "sec-gpc"
    SEC_WEBSOCKET_EXTENSIONS "sec-websocket-extensions"
    SEC_WEBSOCKET_KEY "sec-websocket-key"
    SEC_WEBSOCKET_PROTOCOL "sec-websocket-protocol"
    SEC_WEBSOCKET_VERSION "sec-websocket-version"
    SERVER "server"
    SET_COOKIE "set-cookie"
    STRICT_TRANSPORT_SECURITY "strict-transport-security"
    STRIPE_SIGNATURE "stripe-signature"
    TE "te"
    TRACEPARENT "traceparent"
    TRACESTATE "tracestate"
    TRAILER "trailer"
    TRANSFER_ENCODING "transfer-encoding"
    TRUE_CLIENT_IP "true-client-ip"
    UPGRADE "upgrade"
    UPGRADE_INSECURE_REQUESTS "upgrade-insecure-requests"
    USER_AGENT "user-agent"
    VARY "vary"
    VIA "via"
    WAS_DEFAULT_HOSTNAME "was-default-hostname"
    X_ACCEL_BUFFERING "x-accel-buffering"
    X_APPGW_TRACE_ID "x-appgw-trace-id"
    X_APPSERVICE_PROTO "x-appservice-proto"
    X_ARR_CLIENTCERT "x-arr-clientcert"
    X_ARR_LOG_ID "x-arr-log-id"
    X_ARR_SSL "x-arr-ssl"
    X_AZURE_CLIENTIP "x-azure-clientip"
    X_AZURE_FDID "x-azure-fdid"
    X_AZURE_REF "x-azure-ref"
    X_AZURE_REQUESTCHAIN "x-azure-requestchain"
    X_AZURE_SOCKETIP "x-azure-socketip"
    X_CLIENT_IP "x-client-ip"
    X_CLIENT_PORT "x-client-port"
    X_CLUSTER_CLIENT_IP "x-cluster-client-ip"
    X_CONTENT_TYPE_OPTIONS "x-content-type-options"
    X_CSRFTOKEN "x-csrftoken"
    X_CSRF_TOKEN "x-csrf-token"
    X_ENVOY_EXTERNAL_ADDRESS "x-envoy-external-address"
    X_FD_HEALTHPROBE "x-fd-healthprobe"
    X_FORWARDED "x-forwarded"
    X_FORWARDED_CLIENT_CERT "x-forwarded-client-cert"
    X_FORWARDED_FOR "x-forwarded-for"
    X_FORWARDED_HOST "x-forwarded-host"
    X_FORWARDED_PATH "x-forwarded-path"
    X_FORWARDED_PORT "x-forwarded-port"
    X_FORWARDED_PREFIX "x-forwarded-prefix"
    X_FORWARDED_PROTO "x-forwarded-proto"
    X_FORWARDED_PROTOCOL "x-forwarded-protocol"
    X_FORWARDED_SCHEME "x-forwarded-scheme"
    X_FORWARDED_SERVER "x-forwarded-server"
    X_FORWARDED_SSL "x-forwarded-ssl"
    X_FORWARDED_TLSVERSION "x-forwarded-tlsversion"
    X_FRAME_OPTIONS "x-frame-options"
    X_LIGHTTPD_SEND_FILE "x-lighttpd-send-file"
    X_MS_AUTH_TOKEN "x-ms-auth-token"
    X_MS_CLIENT_DISPLAY_NAME "x-ms-client-display-name"
    X_MS_CLIENT_PRINCIPAL "x-ms-client-principal"
    X_ORIGINAL_FOR "x-original-for"
    X_ORIGINAL_FORWARDED_FOR "x-original-forwarded-for"
    X_ORIGINAL_HOST "x-original-host"
    X_ORIGINAL_PROTO "x-original-proto"
    X_ORIGINAL_URI "x-original-uri"
    X_ORIGINAL_URL "x-original-url"
    X_REAL_IP "x-real-ip"
    X_REMOTE_USER "x-remote-user"
    X_REQUESTED_WITH "x-requested-with"
    X_REQUEST_ID "x-request-id"
    X_REWRITE_URL "x-rewrite-url"
    X_SCHEME "x-scheme"
    X_SITE_DEPLOYMENT_ID "x-site-deployment-id"
    X_URL_SCHEME "x-url-scheme"
    X_WAWS_UNENCODED_URL "x-waws-unencoded-url"
    X_ZUMO_AUTH "x-zumo-auth"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_name_is_found_in_any_case() {
        assert!(KNOWN.len() < usize::from(FREE));
        for (number, text) in KNOWN.iter().enumerate() {
            for text in [(*text).to_owned(), text.to_uppercase()] {
                let name = Known::find(text.as_bytes()).unwrap_or_else(|| panic!("{text}"));
                assert_eq!((name.number(), name.as_str()), (number, KNOWN[number]));
            }
        }
    }
}
