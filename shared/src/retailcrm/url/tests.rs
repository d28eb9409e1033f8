use super::*;
use proptest::prelude::*;

fn official(url: &str) -> Result<String, BadCrmUrl> {
    check(url, &AllowedHosts::none()).map(|url| url.to_string())
}

fn with(allowed: &str, url: &str) -> Result<String, BadCrmUrl> {
    check(url, &AllowedHosts::parse(allowed).expect("a list")).map(|url| url.to_string())
}

#[test]
fn accounts_of_every_domain_pass() {
    for domain in DOMAINS {
        let url = format!("https://my-shop1.{domain}");
        assert_eq!(official(&url), Ok(url.clone()));
    }
    assert_eq!(official(" https://Demo-Shop.RetailCRM.ru/ "), Ok("https://demo-shop.retailcrm.ru".into()));
    assert_eq!(official("HTTPS://a.b.retailcrm.pro"), Ok("https://a.b.retailcrm.pro".into()));
}

#[test]
fn look_alikes_are_foreign() {
    for url in [
        "https://retailcrm.ru.evil.com",
        "https://evilretailcrm.ru",
        "https://shop.evilretailcrm.ru",
        "https://shop-retailcrm.ru",
        "https://retailcrm.ru",
        "https://simla.com",
        "https://shop.retailcrm.com",
        "https://shop.retailcrm.ru.",
        "https://shop..retailcrm.ru",
        "https://.retailcrm.ru",
        "https://localhost",
        "https://example.org",
        "https://-.retailcrm.ru",
    ] {
        let error = official(url).expect_err(url);
        assert!(
            matches!(error, BadCrmUrl::ForeignHost { .. } | BadCrmUrl::OddHost | BadCrmUrl::Unreadable),
            "{url}: {error}"
        );
    }
}

#[test]
fn user_info_never_hides_the_host() {
    for url in [
        "https://user@shop.retailcrm.ru",
        "https://user:pass@shop.retailcrm.ru",
        "https://shop.retailcrm.ru@evil.com",
        "https://shop.retailcrm.ru:443@evil.com",
        "https://evil.com@shop.retailcrm.ru",
        "https://@shop.retailcrm.ru",
    ] {
        assert_eq!(official(url), Err(BadCrmUrl::UserInfo), "{url}");
    }
    for url in [
        "https://evil.com\\@shop.retailcrm.ru",
        "https://evil.com\\.retailcrm.ru",
        "https:\\\\shop.retailcrm.ru",
        "https://evil.com\t.retailcrm.ru",
        "https://evil.com\n.retailcrm.ru",
        "https://ev il.retailcrm.ru",
    ] {
        assert_eq!(official(url), Err(BadCrmUrl::Unreadable), "{url}");
    }
}

#[test]
fn nothing_follows_the_host() {
    for url in [
        "https://shop.retailcrm.ru/api",
        "https://shop.retailcrm.ru//",
        "https://shop.retailcrm.ru/?x=1",
        "https://shop.retailcrm.ru?x",
        "https://shop.retailcrm.ru#x",
        "https://evil.com/.retailcrm.ru",
        "https://evil.com#.retailcrm.ru",
        "https://evil.com?.retailcrm.ru",
        "https://shop.retailcrm.ru/..",
    ] {
        assert_eq!(official(url), Err(BadCrmUrl::MoreThanHost), "{url}");
    }
}

#[test]
fn schemes_and_ports() {
    for url in [
        "http://shop.retailcrm.ru",
        "ftp://shop.retailcrm.ru",
        "shop.retailcrm.ru",
        "//shop.retailcrm.ru",
        "file:///etc/passwd",
        "javascript:alert(1)",
    ] {
        assert_eq!(official(url), Err(BadCrmUrl::NotHttps), "{url}");
    }
    for url in [
        "https://shop.retailcrm.ru:443",
        "https://shop.retailcrm.ru:8443",
        "https://shop.retailcrm.ru:",
        "https://shop.retailcrm.ru:443/",
    ] {
        assert_eq!(official(url), Err(BadCrmUrl::Port), "{url}");
    }
    assert!(official("https://shop.retailcrm.ru:99999").is_err());
    assert_eq!(official("  "), Err(BadCrmUrl::Empty));
}

#[test]
fn addresses_are_foreign_in_every_spelling() {
    for url in [
        "https://127.0.0.1",
        "https://2130706433",
        "https://0x7f000001",
        "https://0177.0.0.1",
        "https://127.1",
        "https://[::1]",
        "https://[::ffff:127.0.0.1]",
        "https://169.254.169.254",
        "https://10.0.0.1",
    ] {
        let error = official(url).expect_err(url);
        assert!(matches!(error, BadCrmUrl::ForeignHost { .. } | BadCrmUrl::OddHost), "{url}: {error}");
    }
}

#[test]
fn letters_that_only_look_latin_are_odd() {
    for url in [
        "https://магазин.retailcrm.ru",
        "https://shop.retailсrm.ru", // Cyrillic с
        "https://shop。retailcrm.ru",
        "https://shop.ｒetailcrm.ru",
        "https://shop%2eretailcrm.ru",
        "https://sh%6fp.retailcrm.ru",
    ] {
        assert!(matches!(official(url), Err(BadCrmUrl::OddHost | BadCrmUrl::Unreadable)), "{url}: {:?}", official(url));
    }
}

#[test]
fn listed_hosts_may_be_local_plain_and_on_any_port() {
    let allowed = "127.0.0.1, [::1], localhost,.crm.example, box.example";
    for (url, normal) in [
        ("http://127.0.0.1:8091", "http://127.0.0.1:8091"),
        ("http://127.0.0.1", "http://127.0.0.1"),
        ("http://[::1]:8091/", "http://[::1]:8091"),
        ("http://localhost:1", "http://localhost:1"),
        ("https://LOCALHOST", "https://localhost"),
        ("https://a.crm.example:444", "https://a.crm.example:444"),
        ("http://box.example", "http://box.example"),
        ("http://a.box.example", "http://a.box.example"),
        ("https://shop.retailcrm.ru", "https://shop.retailcrm.ru"),
    ] {
        assert_eq!(with(allowed, url).as_deref(), Ok(normal), "{url}");
    }
    for url in [
        "http://127.0.0.2",
        "http://crm.example",
        "http://evilbox.example",
        "http://evilcrm.example",
        "http://box.example.evil.com",
        "http://2130706433:8091",
        "http://127.1",
        "http://[0:0:0:0:0:0:0:1]",
        "http://[::2]",
        "http://[::ffff:127.0.0.1]",
        "http://box.example.",
        "http://shop.retailcrm.ru",
        "http://u@127.0.0.1",
        "http://127.0.0.1/path",
        "http://127.0.0.1:8091/?q",
    ] {
        assert!(with(allowed, url).is_err(), "{url}");
    }
}

#[test]
fn ipv6_entries_need_no_brackets() {
    assert!(with("::1", "http://[::1]:80").is_ok());
}

#[test]
fn methods_are_encoded_segment_by_segment() {
    let url = check("https://shop.retailcrm.ru", &AllowedHosts::none()).expect("good");
    assert_eq!(url.host(), "shop.retailcrm.ru");
    let method = url.method(&["api", "v5", "orders", "a/b ?#ё"]);
    assert_eq!(method.as_str(), "https://shop.retailcrm.ru/api/v5/orders/a%2Fb%20%3F%23%D1%91");
}

proptest! {
    #[test]
    fn whatever_passes_stays_under_a_domain_of_the_vendor(url in "(https?://)?[a-z0-9.@:/\\\\\\[\\]#?%-]{0,20}(retailcrm\\.ru|simla\\.com)?[a-z.@:/#?-]{0,8}") {
        if let Ok(checked) = check(&url, &AllowedHosts::none()) {
            let parsed = Url::parse(checked.as_str()).expect("parses");
            prop_assert_eq!(parsed.scheme(), "https");
            let host = parsed.host_str().expect("host");
            let ours = DOMAINS.iter().any(|domain| is_below(host, domain));
            prop_assert!(ours);
            prop_assert_eq!(parsed.port(), None);
            prop_assert_eq!(parsed.path(), "/");
            prop_assert_eq!(parsed.username(), "");
        }
    }

    #[test]
    fn no_text_makes_the_check_panic(url in ".{0,60}") {
        let _ = check(&url, &AllowedHosts::none());
        let _ = AllowedHosts::parse(&url);
    }
}
