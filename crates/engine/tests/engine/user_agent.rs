//! Device types and anomalies of user agents.

use riskgate_engine::user_agent::{DeviceType, UserAgent, UserAgentAnomaly};

#[test]
fn apps_on_phones_are_phones_and_not_tablets() {
    let chrome = |device: &str| format!("Mozilla/5.0 (Linux; Android 14; {device}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0");
    for (text, device_type) in [
        ("Dalvik/2.1.0 (Linux; U; Android 14; SM-S918B Build/UP1A.231005.007)".to_owned(), DeviceType::Mobile),
        ("MyBank/7.3.1 (Linux; Android 14; Pixel 8)".to_owned(), DeviceType::Mobile),
        ("MyBank/7.3.1 (Linux; Android 14; Tablet)".to_owned(), DeviceType::Tablet),
        (format!("{} Mobile Safari/537.36", chrome("Pixel 8")), DeviceType::Mobile),
        (format!("{} Safari/537.36", chrome("SM-X710")), DeviceType::Tablet),
        ("Mozilla/5.0 (Android 14; Tablet; rv:130.0) Gecko/130.0 Firefox/130.0".to_owned(), DeviceType::Tablet),
        ("Mozilla/5.0 (Android 14; Mobile; rv:130.0) Gecko/130.0 Firefox/130.0".to_owned(), DeviceType::Mobile),
    ] {
        assert_eq!(UserAgent::parse(&text).expect("a user agent").device_type, device_type, "{text}");
    }
}

#[test]
fn crawlers_that_the_parser_names_are_automation_but_its_guesses_are_not() {
    for text in ["facebookexternalhit/1.1", "AdsBot-Google-Mobile-Apps"] {
        assert_eq!(UserAgent::parse(text).expect("a user agent").anomaly, UserAgentAnomaly::Automation, "{text}");
    }
    for text in ["iRobot/7.14", "Cubot/1.0", "Spider Solitaire/5.1", "Perlan/3.2 (iPhone; iOS 18.1)", "RubyTuesday/5.1 (Android 14; SM-S918B)"] {
        assert_eq!(UserAgent::parse(text).expect("a user agent").anomaly, UserAgentAnomaly::None, "{text}");
    }
}

const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36";

#[test]
fn a_browser_is_parsed() {
    let ua = UserAgent::parse(CHROME).expect("a user agent");
    assert_eq!((ua.device_type, ua.os.as_str(), ua.browser.as_str(), ua.anomaly), (DeviceType::Desktop, "Windows 10", "Chrome", UserAgentAnomaly::None));
}

#[test]
fn automation_and_impossible_texts_are_recognised() {
    for (text, expected) in [
        ("python-requests/2.32", UserAgentAnomaly::Automation),
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/140.0.0.0 Safari/537.36", UserAgentAnomaly::Automation),
        ("${jndi:ldap://x}", UserAgentAnomaly::Impossible),
        ("Mozilla\u{0}/5.0 (Windows NT 10.0)", UserAgentAnomaly::Impossible),
        ("x", UserAgentAnomaly::Impossible),
    ] {
        assert_eq!(UserAgent::parse(text).expect("a user agent").anomaly, expected, "{text}");
    }
}

#[test]
fn long_texts_are_truncated_at_a_character_boundary() {
    let ua = UserAgent::parse(&"é".repeat(40_000)).expect("a user agent");
    assert!(ua.text.expose().len() <= 512);
    assert!(UserAgent::parse("  ").is_none());
}
