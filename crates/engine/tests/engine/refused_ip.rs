//! Addresses that are never called.

use riskgate_engine::refused_ip::is_refused;

#[test]
fn metadata_and_link_local_addresses_are_refused_in_every_form() {
    for (ip, expected) in [
        ("169.254.169.254", true),
        ("169.254.170.2", true),
        ("::ffff:169.254.169.254", true),
        ("::169.254.169.254", true),
        ("64:ff9b::169.254.169.254", true),
        ("2002:a9fe:a9fe::1", true),
        ("fd00:ec2::254", true),
        ("fd00:ec2::23", true),
        ("fd20:ce::254", true),
        ("fe80::1", true),
        ("febf::1", true),
        ("100.100.100.200", true),
        ("::ffff:100.100.100.200", true),
        ("168.63.129.16", true),
        ("192.0.0.192", true),
        ("127.0.0.1", false),
        ("::1", false),
        ("10.0.0.1", false),
        ("100.100.100.201", false),
        ("fd00::1", false),
        ("fec0::1", false),
        ("64:ff9b::8.8.8.8", false),
        ("2002:808:808::1", false),
    ] {
        assert_eq!(is_refused(ip.parse().expect("an address")), expected, "{ip}");
    }
}
