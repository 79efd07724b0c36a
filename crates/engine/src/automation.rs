//! Recognition of automated clients by the product names in a user agent.
//!
//! A name matches a complete product name, never a part of another word: `libwww-perl/6.77` is automated, `Paperless/2.4` is not.
//! Libraries of mobile and desktop apps (okhttp, CFNetwork, Electron) do not count as automation, and an app that is built on one
//! may have any name.

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

/// Names of automated clients that an app may also have, in lower case.
const AMBIGUOUS_PROGRAMS: &[&str] =
    &["java", "ruby", "perl", "axios", "selenium", "puppeteer", "playwright", "postman", "insomnia", "faraday", "mechanize", "bot", "spider", "crawler"];

/// Name endings that crawlers use.
const CRAWLER_SUFFIXES: &[&str] = &["bot", "spider", "crawler"];

/// Names with such an ending that are not crawlers, also as the end of a longer name.
const CRAWLER_SUFFIX_EXCEPTIONS: &[&str] =
    &["robot", "cubot", "abbot", "talbot", "turbot", "cabot", "sabot", "jabot", "skycrawler", "dungeoncrawler", "nightcrawler"];

/// Names in the user agents of phone, tablet and desktop apps.
const APP_MARKERS: &[&str] = &["cfnetwork", "darwin", "okhttp", "dalvik", "electron", "android", "iphone", "ipad", "ios", "ipados", "macos", "flutter", "dart"];

/// Whether a user agent names a program, an HTTP library or a headless browser.
pub fn is_automated(agent: &str) -> bool {
    let lower = agent.to_ascii_lowercase();
    let is_app = words(&lower).any(|word| APP_MARKERS.contains(&word.split(['/', '-', ':']).next().unwrap_or_default()));
    // Crawlers state a contact address.
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
        let is_crawler = (is_product || has_contact || is_last && is_first) && (has_crawler_suffix(name) || has_contact && CRAWLER_SUFFIXES.contains(&name));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn automated_clients_are_recognised() {
        for agent in [
            "libwww-perl/6.77",
            "python-requests/2.31.0",
            "Python/3.11 aiohttp/3.9.1",
            "Python-urllib/3.12",
            "python-httpx/0.27.0",
            "curl/8.4.0",
            "PycURL/7.45.2 libcurl/8.4.0",
            "Wget/1.21.4",
            "HTTPie/3.2.2",
            "Go-http-client/2.0",
            "Java/17.0.9",
            "Java-http-client/17.0.9",
            "axios/1.6.2",
            "node-fetch/1.0 (+https://github.com/bitinn/node-fetch)",
            "undici",
            "Scrapy/2.11 (+https://scrapy.org)",
            "PostmanRuntime/7.36.0",
            "insomnia/8.4.5",
            "Ruby",
            "Ruby/3.2.2",
            "rest-client/2.1.0 (linux x86_64) ruby/3.0.2p107",
            "Mojolicious (Perl)",
            "GuzzleHttp/7",
            "RestSharp/106.15.0.0",
            "Apache-HttpClient/4.5.14 (Java/17.0.9)",
            "selenium/4.16.0 (python linux)",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/140.0.0.0 Safari/537.36",
            "Mozilla/5.0 (Unknown; Linux x86_64) AppleWebKit/538.1 (KHTML, like Gecko) PhantomJS/2.1.1 Safari/538.1",
            "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            "Googlebot/2.1",
            "Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X Build/MMB29P) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
            "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
            "Mozilla/5.0 (compatible; MJ12bot/v1.4.8; http://mj12bot.com/)",
            "Mozilla/5.0 (compatible; Baiduspider/2.0; +http://www.baidu.com/search/spider.html)",
            "Sogou web spider/4.0(+http://www.sogou.com/docs/help/webmasters.htm#07)",
            "somebot/1.0",
            "ICC-Crawler/2.0",
        ] {
            assert!(is_automated(agent), "{agent}");
        }
    }

    #[test]
    fn apps_are_not_automated() {
        for agent in [
            "Paperless/2.4 CFNetwork/1498.700.2 Darwin/23.6.0",
            "Paperless/2.4",
            "RubyTuesday/5.1 (Android 14; SM-S918B)",
            "Ruby Tuesday/5.1 (Android 14)",
            "Ruby/5.1 CFNetwork/1496.0.7 Darwin/23.5.0",
            "iRobot/7.14 CFNetwork/1496.0.7 Darwin/23.5.0",
            "iRobot/7.14",
            "Perla/1.0",
            "Perlan/3.2 (iPhone; iOS 18.1)",
            "Spider Solitaire/5.1",
            "SpiderMan/1.0 (iPhone; iOS 18.1)",
            "Spider/3.0 (iPhone; iOS 18.1)",
            "SpiderOak/7.5",
            "Axios/4.2 CFNetwork/1496.0.7 Darwin/23.5.0",
            "WeatherBot/3.1 (iPad; iOS 17.2)",
            "Mozilla/5.0 (Linux; Android 13; CUBOT P60 Build/TP1A.220624.014) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36",
            "Mozilla/5.0 (Linux; Android 10; CUBOT_NOTE_20_PRO) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36",
            "Cubot/1.0",
            "Abbot/2.0 (Android 14)",
            "Javanese/2.2",
            "Curly/3.0",
            "Insomniac/2.0 okhttp/4.12.0",
            "Insomnia/2.0 (iPhone; iOS 18.1)",
            "Postmaniac/1.0",
            "Playwrights/1.1",
            "Guzzler/1.1 (Android 14)",
            "MyBank/7.3.1 (iOS 18.5.0)",
            "okhttp/4.12.0",
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
            "Mozilla/5.0 (Windows NT 6.1) AppleWebKit/538.19 (KHTML, like Gecko) JavaFX/8.0 Safari/538.19",
        ] {
            assert!(!is_automated(agent), "{agent}");
        }
    }
}
