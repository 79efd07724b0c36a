//! Recognition of automated clients by the product names in a user agent.
//!
//! A name matches a complete product name, never a part of another word: `libwww-perl/6.77` is automated, `Paperless/2.4` is not.
//! Libraries of mobile and desktop apps (okhttp, CFNetwork, Electron) do not count as automation, and an app that is built on one
//! may have any name.

use std::sync::LazyLock;

/// Names that only automated clients use, in lower case. A suffix that starts with `-` or `:` also matches.
const PROGRAMS: &[&str] = &[
    "headlesschrome",
    "phantomjs",
    "slimerjs",
    "webdriver",
    "selenium-webdriver",
    "python",
    "python-requests",
    "python-urllib",
    "python-urllib3",
    "python-httpx",
    "curl",
    "libcurl",
    "pycurl",
    "wget",
    "wget2",
    "httpie",
    "go-http-client",
    "java-http-client",
    "libwww",
    "libwww-perl",
    "lwp",
    "lwp-trivial",
    "http-tiny",
    "www-mechanize",
    "node-fetch",
    "node-superagent",
    "undici",
    "aiohttp",
    "httpx",
    "scrapy",
    "postmanruntime",
    "guzzlehttp",
    "guzzle",
    "restsharp",
    "apache-httpclient",
    "apache-httpasyncclient",
    "rest-client",
    "httparty",
    "typhoeus",
    "googlebot",
    "bingbot",
    "slackbot",
    "applebot",
    "twitterbot",
    "discordbot",
    "baiduspider",
    "bytespider",
];

/// Names of crawlers and other programs, in order: one to three words each, in lower case. `data/crawlers.py` says where they come from.
static LISTED: LazyLock<Vec<&str>> = LazyLock::new(|| include_str!("../data/crawlers.txt").lines().filter(|line| !line.starts_with('#')).collect());

/// The longest listed name, in words.
const MAX_LISTED_WORDS: usize = 3;

/// The shortest listed name, in bytes.
const MIN_LISTED_BYTES: usize = 4;

/// Names of automated clients that an app may also have, in lower case.
const AMBIGUOUS_PROGRAMS: &[&str] =
    &["java", "ruby", "perl", "axios", "selenium", "puppeteer", "playwright", "postman", "insomnia", "faraday", "mechanize", "bot", "spider", "crawler"];

/// Name endings that crawlers use.
const CRAWLER_SUFFIXES: &[&str] =
    &["bot", "spider", "crawler", "crawl", "fetcher", "scraper", "validator", "extractor", "archiver", "checker", "scanner", "webhook", "webhooks"];

/// Name endings of crawlers that are also the last word of a name, such as `Magus Bot/1.0`.
const LAST_WORDS: &[&str] = &["bot", "spider", "crawler", "scraper", "checker", "scanner", "webhook", "webhooks"];

/// Names with such an ending that are not crawlers, also as the end of a longer name.
const CRAWLER_SUFFIX_EXCEPTIONS: &[&str] =
    &["robot", "cubot", "abbot", "talbot", "turbot", "cabot", "sabot", "jabot", "skycrawler", "dungeoncrawler", "nightcrawler"];

/// Names in the user agents of phone, tablet and desktop apps.
const APP_MARKERS: &[&str] = &["cfnetwork", "darwin", "okhttp", "dalvik", "electron", "android", "iphone", "ipad", "ios", "ipados", "macos", "flutter", "dart"];

/// What introduces the address of a crawler's operator.
const CONTACTS: &[&str] = &["http://", "https://", "+mailto:", "+www."];

/// The ends of domain names by which crawlers call themselves.
const DOMAIN_ENDS: &[&str] = &[".com", ".net", ".org", ".io"];

/// Whether a user agent names a program, an HTTP library or a headless browser.
pub fn is_automated(agent: &str) -> bool {
    let lower = agent.to_ascii_lowercase();
    let is_app = words(&lower).any(|word| APP_MARKERS.contains(&word.split(['/', '-', ':']).next().unwrap_or_default()));
    // Only Internet Explorer and Konqueror are compatible and browsers. Apart from an app's bundle name, only crawlers state an address.
    let is_compatible = ["(compatible; ", "; compatible; "].iter().any(|mark| lower.contains(mark))
        && !["(compatible; msie", "(compatible; konqueror"].iter().any(|browser| lower.contains(browser));
    // Crawlers claim to be phones, but no phone's browser is compatible.
    if is_compatible && lower.starts_with("mozilla/") {
        return true;
    }
    let states_contact = CONTACTS.iter().any(|contact| lower.contains(contact)) || words(&lower).any(|word| word.contains('@') || is_domain(word));
    if !is_app && (is_compatible || states_contact || is_listed(&lower) || starts_like_crawler(&lower)) {
        return true;
    }
    let has_contact = lower.contains("+http") || lower.contains("+mailto") || lower.contains("; http");
    let mut previous = Previous::Product;
    let mut words = words(&lower).peekable();
    let mut is_first = true;
    while let Some(word) = words.next() {
        let (name, is_product) = match word.split_once('/') {
            Some((name, _)) => (name, true),
            None => (word.trim_end_matches(':'), false),
        };
        let is_last = words.peek().is_none();
        if is_program(name) {
            return true;
        }
        // In a name of several words, such as `Spider Solitaire/5.1`, no single word is the product name.
        let is_full_name = previous == Previous::Product && (is_product || is_last || is_first && lower.contains(" ("));
        if is_full_name && !is_app && AMBIGUOUS_PROGRAMS.contains(&name) {
            return true;
        }
        let is_named = is_product || has_contact || is_last && is_first || lower.starts_with("mozilla/");
        let is_crawler = is_named && (has_crawler_suffix(name) || has_contact && CRAWLER_SUFFIXES.contains(&name));
        if is_crawler && (has_contact || !is_app) {
            return true;
        }
        previous = if is_product || word.starts_with(|c: char| c.is_ascii_digit()) { Previous::Product } else { Previous::Word };
        is_first = false;
    }
    // Such as `Mojolicious (Perl)` and `selenium/4.16.0 (python linux)`.
    !is_app && ["(perl)", "(python ", "(java "].iter().any(|comment| lower.contains(comment))
}

/// The words of a user agent, including those in comments.
fn words(agent: &str) -> impl Iterator<Item = &str> {
    agent.split([' ', '(', ')', ';', ',', '\t']).filter(|word| !word.is_empty())
}

/// What precedes a word of a user agent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Previous {
    /// Nothing, or a product with its version.
    Product,
    /// A word that may be part of the same name.
    Word,
}

/// Whether a word is a domain name such as `example.com`. An app's bundle name has more parts, in the reverse order.
fn is_domain(word: &str) -> bool {
    let host = word.split('/').next().unwrap_or_default();
    let host = host.strip_prefix("www.").unwrap_or(host);
    DOMAIN_ENDS
        .iter()
        .find_map(|end| host.strip_suffix(end))
        .is_some_and(|name| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'))
}

/// Whether words that follow each other are a name in [`LISTED`]. A look-up for each word and each number of words: the cost is bounded by the
/// length of the text.
fn is_listed(agent: &str) -> bool {
    let mut at = 0;
    // Every separator has one byte.
    let spans = agent.split(['/', ' ', '(', ')', ';', ',', ':', '\t']).map(|word| {
        at += word.len() + 1;
        (at - word.len() - 1, at - 1)
    });
    let spans: Vec<(usize, usize)> = spans.filter(|(start, end)| start < end).collect();
    (0..spans.len()).any(|first| {
        let (start, mut end) = spans[first];
        for following in spans[first + 1..].iter().map(Some).chain([None]).take(MAX_LISTED_WORDS) {
            if end - start >= MIN_LISTED_BYTES && LISTED.binary_search(&&agent[start..end]).is_ok() {
                return true;
            }
            // The words of a name are separated by one space.
            match following {
                Some((next, last)) if *next == end + 1 && agent.as_bytes()[end] == b' ' => end = *last,
                Some(_) | None => return false,
            }
        }
        false
    })
}

/// Whether the name at the start is a crawler's, such as `Magus Bot 1.0` or `ExampleBot-Images (..)`. Not a browser's text.
fn starts_like_crawler(agent: &str) -> bool {
    if agent.starts_with("mozilla/") {
        return false;
    }
    let is_version = |word: &str| word.trim_start_matches('v').starts_with(|c: char| c.is_ascii_digit());
    let name = agent.split(['/', '(', ';', ',']).next().unwrap_or_default();
    let words: Vec<&str> = words(name).take_while(|word| !is_version(word)).collect();
    let is_last = |before: &str, last: &str| LAST_WORDS.contains(&last) && has_crawler_suffix(&[before, last].concat());
    match words.as_slice() {
        [] => false,
        [word] => word.split(['-', '_']).any(has_crawler_suffix) || word.rsplit_once(['-', '_']).is_some_and(|(before, last)| is_last(before, last)),
        [.., before, last] => has_crawler_suffix(last) || is_last(before, last),
    }
}

/// Whether a product name is in [`PROGRAMS`], with or without a suffix.
fn is_program(name: &str) -> bool {
    PROGRAMS.iter().any(|program| name.strip_prefix(program).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', ':'])))
}

/// Whether a product name ends like a crawler's name.
fn has_crawler_suffix(name: &str) -> bool {
    let name = name.trim_end_matches(|c: char| c.is_ascii_digit());
    CRAWLER_SUFFIXES.iter().any(|suffix| name.len() > suffix.len() && name.ends_with(suffix))
        && !CRAWLER_SUFFIX_EXCEPTIONS.iter().any(|other| name.ends_with(other))
}
