//! Client addresses: the accepted forms, the forwarding headers, and which addresses are public.

use riskgate_engine::client_ip::{ClientIp, forwarded::forwarded_for, host_of, network_of};

#[track_caller]
fn check_kind(text: &str, expected: &str) {
    let kind = match ClientIp::parse(text) {
        ClientIp::Missing => "missing",
        ClientIp::Invalid => "invalid",
        ClientIp::NonPublic(_) => "non_public",
        ClientIp::Public(_) => "public",
    };
    assert_eq!(kind, expected, "{text}");
}

#[test]
fn only_canonical_addresses_are_accepted() {
    for text in ["203.0.113.7, 10.0.0.1", "8.8.8.008", "0x7f000001", "2130706433", "127.1", "1.2.3", "8.8.8.8:80:90", "example.com"] {
        check_kind(text, "invalid");
    }
    for text in ["8.8.8.8", "2001:4860:4860::8888", "::ffff:8.8.8.8", " 8.8.8.8 ", "8.8.8.8:80", "[2001:4860::1]"] {
        check_kind(text, "public");
    }
    for text in ["", " ", "unknown", "_hidden", "-"] {
        check_kind(text, "missing");
    }
}

#[test]
fn reserved_addresses_are_not_public() {
    for text in [
        "10.1.2.3",
        "100.64.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "::1",
        "fc00::1",
        "0.0.0.0",
        "255.255.255.255",
        "192.0.2.1",
        "198.51.100.9",
        "203.0.113.7",
        "::ffff:10.0.0.1",
        "2001:db8::1",
        "fe80::1",
        "ff02::1",
        "2002:0a00:0001::1",
        "64:ff9b::808:808",
    ] {
        check_kind(text, "non_public");
    }
}

#[test]
fn host_and_network_sizes_depend_on_the_address_family() {
    assert_eq!(network_of("8.8.8.8".parse().unwrap()).to_string(), "8.8.8.0");
    assert_eq!(network_of("2001:4860:4860:1:2::3".parse().unwrap()).to_string(), "2001:4860:4860::");
    assert_eq!(host_of("2001:4860:4860:1:2::3".parse().unwrap()).to_string(), "2001:4860:4860:1::");
}

#[track_caller]
fn check_form(text: &str, expected: &str) {
    let expected = Some(ClientIp::parse(expected)).filter(|ip| ip.any().is_some());
    assert_eq!(Some(ClientIp::parse(text)).filter(|ip| ip.any().is_some()), expected, "{text}");
}

#[test]
fn every_form_that_proxies_write_is_parsed() {
    for text in [
        "203.0.113.7",
        "203.0.113.7:5678",
        " 203.0.113.7:5678\t",
        "\"203.0.113.7:5678\"",
        "\"203.0.113.7\"",
        "203.0.113.7%2",
        "203.0.113.7:_client",
        "::ffff:203.0.113.7",
        "[::ffff:203.0.113.7]:443",
        "::ffff:203.0.113.7:5678",
        "for=203.0.113.7",
        "For=\"203.0.113.7:5678\"; Proto=https;by=198.51.100.1",
        "by=_front;host=example.com;for=203.0.113.7;proto=http",
    ] {
        check_form(text, "203.0.113.7");
    }
    for text in [
        "2001:db8::1",
        "2001:DB8:0:0:0:0:0:1",
        "[2001:db8::1]",
        "[2001:db8::1]:443",
        "\"[2001:db8::1]:4711\"",
        "2001:db8::1:46532",
        "2001:db8:0:0:0:0:0:1:443",
        "2001:0db8:0000:0000:0000:0000:0000:0001:65535",
        "[2001:db8::1%25eth0]:443".replace("25", "").as_str(),
        "2001:db8::1%eth0",
        "for=\"[2001:db8::1]:4711\"",
        "for=\"[2001:db8::1]\";proto=https",
        "for=2001:db8::1",
    ] {
        check_form(text, "2001:db8::1");
    }
    check_form("fe80::1%eth0", "fe80::1");
    check_form("[fe80::1%11]:4711", "fe80::1");
}

#[test]
fn other_texts_are_not_addresses() {
    for text in [
        "1.2.3",
        "1.2.3:80",
        "0x7f000001",
        "127.1",
        "127.1:80",
        "203.0.113.007",
        "203.0.113.007:80",
        "unknown",
        "unknown:80",
        "_hidden",
        "_hidden:_port",
        "203.0.113.7:",
        "203.0.113.7:65536",
        "203.0.113.7:80:80",
        "203.0.113.7:http",
        "203.0.113.7, 198.51.100.1",
        "203.0.113.7 198.51.100.1",
        "[203.0.113.7]",
        "[203.0.113.7]:80",
        "[2001:db8::1",
        "2001:db8::1]",
        "[2001:db8::1]443",
        "[2001:db8::1]:99999",
        "2001:db8::12345",
        "2001:db8::1:99999",
        "\"203.0.113.7",
        "203.0.113.7\"",
        "for=203.0.113.7;for=198.51.100.1",
        "for=unknown;by=203.0.113.7",
        "by=203.0.113.7",
        "203.0.113.7%eth0",
        "2001:db8::1%",
        "203.0.113.7/32",
        "http://203.0.113.7",
        "unix:",
        "localhost",
        "3405803783",
    ] {
        check_form(text, "");
    }
}

#[test]
fn entries_are_counted_from_the_right() {
    let none = || std::iter::empty();
    let lines = || ["6.6.6.6, 8.8.4.4:99", "10.0.0.5"].into_iter();
    assert_eq!(forwarded_for(lines(), none(), 2), Some(ClientIp::parse("8.8.4.4")));
    assert_eq!(forwarded_for(lines(), none(), 0), Some(ClientIp::Missing));
    assert_eq!(forwarded_for(lines(), none(), 4), None);
    assert_eq!(forwarded_for(none(), none(), 1), None);
}

#[test]
fn the_forwarded_header_is_used_without_x_forwarded_for() {
    let standard = || ["for=\"6.6.6.6", "for=8.8.4.4;proto=https, for=\"[2001:4860::1]:4711\";by=10.0.0.1"].into_iter();
    assert_eq!(forwarded_for(std::iter::empty(), standard(), 1), Some(ClientIp::parse("2001:4860::1")));
    assert_eq!(forwarded_for(std::iter::empty(), standard(), 2), Some(ClientIp::parse("8.8.4.4")));
    assert_eq!(forwarded_for(["9.9.9.9"].into_iter(), standard(), 1), Some(ClientIp::parse("9.9.9.9")));
}
