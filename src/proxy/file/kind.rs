//! The media type of a file, by its name.
//!
//! Owns: the lists.
//! Must not know: what a file holds.

use std::path::Path;

/// The media type of a file by its name, without parameters; bytes without a meaning where the
/// name has no known ending.
pub fn of(name: &str) -> &'static str {
    if let Some((_, kind)) = NAMES.iter().find(|(known, _)| name.eq_ignore_ascii_case(known)) {
        return kind;
    }
    let ending = Path::new(name).extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    let known = ENDINGS.iter().find(|(known, _)| ending.eq_ignore_ascii_case(known));
    known.map_or("application/octet-stream", |(_, kind)| kind)
}

/// A media type with the charset that text has.
pub fn with_charset(kind: &str, charset: &str) -> String {
    if kind.starts_with("text/") { format!("{kind}; charset={charset}") } else { kind.to_owned() }
}

/// Whole names, in lower case.
const NAMES: &[(&str, &str)] = &[
    // WhiteNoise says `application/pkc7-mime`; Apple has asked for JSON since 2015.
    ("apple-app-site-association", "application/json"),
    ("crossdomain.xml", "text/x-cross-domain-policy"),
];

/// Endings without their dot, in lower case: WhiteNoise's list, which is nginx's and more.
const ENDINGS: &[(&str, &str)] = &[
    ("3gp", "video/3gpp"),
    ("3gpp", "video/3gpp"),
    ("7z", "application/x-7z-compressed"),
    ("ai", "application/postscript"),
    ("asf", "video/x-ms-asf"),
    ("asx", "video/x-ms-asf"),
    ("atom", "application/atom+xml"),
    ("avi", "video/x-msvideo"),
    ("avif", "image/avif"),
    ("cco", "application/x-cocoa"),
    ("crt", "application/x-x509-ca-cert"),
    ("css", "text/css"),
    ("der", "application/x-x509-ca-cert"),
    ("doc", "application/msword"),
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("ear", "application/java-archive"),
    ("eot", "application/vnd.ms-fontobject"),
    ("eps", "application/postscript"),
    ("flv", "video/x-flv"),
    ("gif", "image/gif"),
    ("hqx", "application/mac-binhex40"),
    ("htc", "text/x-component"),
    ("htm", "text/html"),
    ("html", "text/html"),
    ("ico", "image/x-icon"),
    ("jad", "text/vnd.sun.j2me.app-descriptor"),
    ("jar", "application/java-archive"),
    ("jardiff", "application/x-java-archive-diff"),
    ("jng", "image/x-jng"),
    ("jnlp", "application/x-java-jnlp-file"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript"),
    ("json", "application/json"),
    ("jxl", "image/jxl"),
    ("kar", "audio/midi"),
    ("kml", "application/vnd.google-earth.kml+xml"),
    ("kmz", "application/vnd.google-earth.kmz"),
    ("m3u8", "application/vnd.apple.mpegurl"),
    ("m4v", "video/x-m4v"),
    ("md", "text/markdown"),
    ("mid", "audio/midi"),
    ("midi", "audio/midi"),
    ("mjs", "text/javascript"),
    ("mml", "text/mathml"),
    ("mng", "video/x-mng"),
    ("mov", "video/quicktime"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("mpeg", "video/mpeg"),
    ("mpg", "video/mpeg"),
    ("odg", "application/vnd.oasis.opendocument.graphics"),
    ("odp", "application/vnd.oasis.opendocument.presentation"),
    ("ods", "application/vnd.oasis.opendocument.spreadsheet"),
    ("odt", "application/vnd.oasis.opendocument.text"),
    ("ogg", "audio/ogg"),
    ("pdb", "application/x-pilot"),
    ("pdf", "application/pdf"),
    ("pem", "application/x-x509-ca-cert"),
    ("pl", "application/x-perl"),
    ("pm", "application/x-perl"),
    ("png", "image/png"),
    ("ppt", "application/vnd.ms-powerpoint"),
    ("pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
    ("prc", "application/x-pilot"),
    ("ps", "application/postscript"),
    ("ra", "audio/x-realaudio"),
    ("rar", "application/x-rar-compressed"),
    ("rpm", "application/x-redhat-package-manager"),
    ("rss", "application/rss+xml"),
    ("rtf", "application/rtf"),
    ("run", "application/x-makeself"),
    ("sea", "application/x-sea"),
    ("shtml", "text/html"),
    ("sit", "application/x-stuffit"),
    ("svg", "image/svg+xml"),
    ("svgz", "image/svg+xml"),
    ("swf", "application/x-shockwave-flash"),
    ("tcl", "application/x-tcl"),
    ("tif", "image/tiff"),
    ("tiff", "image/tiff"),
    ("tk", "application/x-tcl"),
    ("ts", "video/mp2t"),
    ("txt", "text/plain"),
    ("war", "application/java-archive"),
    ("wasm", "application/wasm"),
    ("wbmp", "image/vnd.wap.wbmp"),
    ("webm", "video/webm"),
    ("webp", "image/webp"),
    ("wml", "text/vnd.wap.wml"),
    ("wmlc", "application/vnd.wap.wmlc"),
    ("wmv", "video/x-ms-wmv"),
    ("woff2", "font/woff2"),
    ("xhtml", "application/xhtml+xml"),
    ("xls", "application/vnd.ms-excel"),
    ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("xml", "text/xml"),
    ("xpi", "application/x-xpinstall"),
    ("xspf", "application/xspf+xml"),
    ("zip", "application/zip"),
    // What WhiteNoise has otherwise or as bytes, as IANA and the WHATWG have it.
    ("bmp", "image/bmp"),
    ("m4a", "audio/mp4"),
    ("map", "application/json"),
    ("webmanifest", "application/manifest+json"),
    ("woff", "font/woff"),
    // What WhiteNoise lacks.
    ("cjs", "text/javascript"),
    ("csv", "text/csv"),
    ("epub", "application/epub+zip"),
    ("flac", "audio/flac"),
    ("geojson", "application/geo+json"),
    ("glb", "model/gltf-binary"),
    ("gltf", "model/gltf+json"),
    ("gz", "application/gzip"),
    ("heic", "image/heic"),
    ("ics", "text/calendar"),
    ("jsonld", "application/ld+json"),
    ("log", "text/plain"),
    ("oga", "audio/ogg"),
    ("ogv", "video/ogg"),
    ("opus", "audio/ogg"),
    ("otf", "font/otf"),
    ("tar", "application/x-tar"),
    ("ttf", "font/ttf"),
    ("vcf", "text/vcard"),
    ("vtt", "text/vtt"),
    ("wav", "audio/wav"),
    ("yaml", "application/yaml"),
    ("yml", "application/yaml"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ending_is_known_in_any_case_and_once() {
        assert_eq!(of("b.PDF"), "application/pdf");
        assert_eq!(of("b"), "application/octet-stream");
        assert_eq!(of(".pdf"), "application/octet-stream");
        assert_eq!(of("Apple-App-Site-Association"), "application/json");
        for (place, (ending, kind)) in ENDINGS.iter().enumerate() {
            assert!(ENDINGS[..place].iter().all(|(other, _)| other != ending), "{ending}");
            assert!(http::HeaderValue::from_static(kind).to_str().is_ok());
        }
    }

    #[test]
    fn only_text_has_a_charset() {
        assert_eq!(with_charset("text/css", "utf-8"), "text/css; charset=utf-8");
        assert_eq!(with_charset("application/json", "utf-8"), "application/json");
    }
}
