//! Programs that sign in by themselves, recognised by the product that a user agent names.
//!
//! A mark counts where it is the name of a product, never inside another word: `libwww-perl/6.77` is a
//! program, `Paperless/2.4` is not. Libraries that phone and desktop apps are built on (okhttp,
//! CFNetwork, Electron) are not marks, and an app on top of one may be called whatever it likes.

/// Names that nothing but a program has, in lower case; also with `-` and more behind them.
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

/// Programs whose names are words that an app can have too, in lower case.
const WORDS: &[&str] =
    &["java", "ruby", "perl", "axios", "selenium", "puppeteer", "playwright", "postman", "insomnia", "faraday", "mechanize", "bot", "spider", "crawler"];

/// Endings by which programs that fetch pages call themselves.
const ENDINGS: &[&str] = &["bot", "spider", "crawler"];

/// Words and names that end like that and are no programs; what goes before them does not matter.
const NO_PROGRAMS: &[&str] = &["robot", "cubot", "abbot", "talbot", "turbot", "cabot", "sabot", "jabot", "skycrawler", "dungeoncrawler", "nightcrawler"];

/// What an app on a phone, a tablet or a desktop has in its user agent.
const APPS: &[&str] = &["cfnetwork", "darwin", "okhttp", "dalvik", "electron", "android", "iphone", "ipad", "ios", "ipados", "macos", "flutter", "dart"];

/// Whether a user agent names a program, a library for programs, or a browser without a screen.
pub(super) fn names_program(agent: &str) -> bool {
    let lower = agent.to_ascii_lowercase();
    let is_app = words(&lower).any(|word| APPS.contains(&word.split(['/', '-', ':']).next().unwrap_or_default()));
    // How programs that fetch pages say who they are.
    let has_address = lower.contains("+http") || lower.contains("+mailto") || lower.contains("; http");
    let mut before = Before::Product;
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
        // In a name of several words, such as `Spider Solitaire/5.1`, none of them is a product.
        let is_whole = before == Before::Product && (is_product || is_last || is_first && lower.contains(" ("));
        if is_whole && !is_app && WORDS.contains(&name) {
            return true;
        }
        let is_ending = (is_product || has_address || is_last && is_first) && (has_ending(name) || has_address && ENDINGS.contains(&name));
        if is_ending && (has_address || !is_app) {
            return true;
        }
        before = if is_product || word.starts_with(|c: char| c.is_ascii_digit()) { Before::Product } else { Before::Word };
        is_first = false;
    }
    // `Mojolicious (Perl)`, `selenium/4.16.0 (python linux)`.
    !is_app && ["(perl)", "(python ", "(java "].iter().any(|comment| lower.contains(comment))
}

/// The words of a user agent, those in its comments too.
fn words(agent: &str) -> impl Iterator<Item = &str> {
    agent.split([' ', '(', ')', ';', ',', '\t']).filter(|word| !word.is_empty())
}

/// What stands before a word of a user agent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    /// Nothing, or a product with its version.
    Product,
    /// A word that may belong to the name.
    Word,
}

/// Whether a product's name is a program's, or a program's with something behind a hyphen.
fn is_program(name: &str) -> bool {
    PROGRAMS.iter().any(|program| name.strip_prefix(program).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', ':'])))
}

/// Whether a product's name ends as page fetchers' do.
fn has_ending(name: &str) -> bool {
    let name = name.trim_end_matches(|c: char| c.is_ascii_digit());
    ENDINGS.iter().any(|ending| name.len() > ending.len() && name.ends_with(ending)) && !NO_PROGRAMS.iter().any(|other| name.ends_with(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_recognised() {
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
            assert!(names_program(agent), "{agent}");
        }
    }

    #[test]
    fn honest_apps_are_not() {
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
            assert!(!names_program(agent), "{agent}");
        }
    }
}
