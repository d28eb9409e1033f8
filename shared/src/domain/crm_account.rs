//! Which integrations are of one RetailCRM account. An address can be entered by anybody who
//! may open an integration's page, so an account is what a key opens: the same key at the same
//! address, or keys of which it was shown that both see the other's module there.

use crate::digest::sha256_hex;
use crate::domain::{Integration, Secret};
use crate::random::random_hex;

/// What stands in the place of a proof in rows that are older than proofs: believed where
/// nothing is shown and every sender presents the key of each integration it names.
pub const ASSUMED: &str = "assumed";

/// Two spellings of one CRM address are one.
pub fn address(crm_url: &str) -> String {
    let url = crm_url.trim().to_ascii_lowercase();
    let host = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
    host.trim_end_matches('/').to_owned()
}

/// What an integration shows of its account. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    address: String,
    key: String,
    token: Option<String>,
    is_assumed: bool,
}

fn mark(address: &str, key: &str, token: &str) -> String {
    sha256_hex(format!("crm account|{address}|{key}|{token}").as_bytes())
}

impl Access {
    pub fn of(i: &Integration) -> Self {
        Self::new(&i.crm_url, &i.secrets.crm_api_key, i.crm_proof.as_deref())
    }

    /// Of its parts.
    pub fn new(crm_url: &str, key: &Secret, proof: Option<&str>) -> Self {
        let (address, key) = (address(crm_url), key.expose());
        let bound = proof.and_then(|proof| proof.split_once('|'));
        let token = bound.filter(|(token, given)| *given == mark(&address, key, token)).map(|(t, _)| t.to_owned());
        let is_assumed = proof == Some(ASSUMED);
        Self { key: sha256_hex(format!("crm access|{key}").as_bytes()), address, token, is_assumed }
    }

    /// One account, as was shown.
    pub fn is_one_with(&self, other: &Self) -> bool {
        let shown = self.token.is_some() && self.token == other.token;
        self.address == other.address && (self.key == other.key || shown)
    }

    /// The same where every integration's own key is presented.
    pub fn may_be_one_with(&self, other: &Self) -> bool {
        self.is_one_with(other) || self.is_assumed && other.is_assumed && self.address == other.address
    }

    /// Whether a proof would tell something: one address, two keys.
    pub fn is_unclear(&self, other: &Self) -> bool {
        self.address == other.address && !self.is_one_with(other)
    }
}

/// The integrations of an integration's account, itself too.
pub fn siblings(of: &Integration, all: Vec<Integration>) -> Vec<Integration> {
    let access = Access::of(of);
    all.into_iter().filter(|other| other.id == of.id || Access::of(other).is_one_with(&access)).collect()
}

/// Proofs for two integrations whose keys open one account: bound to address and key, so that a
/// change of either ends them.
pub fn proofs(one: &Integration, other: &Integration) -> (String, String) {
    let known = Access::of(one).token.or_else(|| Access::of(other).token);
    let token = known.unwrap_or_else(random_hex::<16>);
    let proof =
        |i: &Integration| format!("{token}|{}", mark(&address(&i.crm_url), i.secrets.crm_api_key.expose(), &token));
    (proof(one), proof(other))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{IntegrationId, IntegrationState, Secrets, Settings};
    use jiff::Timestamp;

    fn integration(id: i64, url: &str, key: &str) -> Integration {
        let secret = |text: &str| Secret::new(text);
        Integration {
            id: IntegrationId(id),
            title: String::new(),
            crm_url: url.to_owned(),
            crm_proof: None,
            measoft_url: String::new(),
            extra: String::new(),
            login: String::new(),
            prefix: String::new(),
            settings: Settings::default(),
            secrets: Secrets {
                crm_api_key: secret(key),
                password: secret(""),
                delivery_api_key: secret(""),
                client_id: secret(""),
            },
            state: IntegrationState::Active,
            version: 1,
            created_at: Timestamp::UNIX_EPOCH,
        }
    }

    fn one(a: &Integration, b: &Integration) -> bool {
        Access::of(a).is_one_with(&Access::of(b))
    }

    #[test]
    fn one_account_is_one_key_at_one_address_however_it_is_spelt() {
        let ours = integration(1, "https://Shop.retailcrm.ru/", "key");
        assert!(one(&ours, &integration(2, "https://shop.retailcrm.ru", "key")));
        assert!(!one(&ours, &integration(2, "https://other.retailcrm.ru", "key")));
        assert!(!one(&ours, &integration(2, "https://shop.retailcrm.ru", "another")), "an address alone shows nothing");
    }

    #[test]
    fn what_was_shown_counts_until_address_or_key_change() {
        let (mut a, mut b) = (integration(1, "https://a.ru", "one"), integration(2, "https://a.ru", "two"));
        assert!(Access::of(&a).is_unclear(&Access::of(&b)));
        let (of_a, of_b) = proofs(&a, &b);
        (a.crm_proof, b.crm_proof) = (Some(of_a), Some(of_b));
        assert!(one(&a, &b));
        let mut third = integration(3, "https://a.ru", "three");
        third.crm_proof = Some(proofs(&third, &b).0);
        assert!(one(&a, &third), "the account stays one");
        for changed in [
            Integration { crm_url: "https://b.ru".into(), ..b.clone() },
            Integration { secrets: Secrets { crm_api_key: Secret::new("new"), ..b.secrets.clone() }, ..b.clone() },
        ] {
            assert!(!one(&a, &changed));
        }
        let stolen = Integration { crm_proof: b.crm_proof.clone(), ..integration(4, "https://a.ru", "four") };
        assert!(!one(&a, &stolen), "a proof copied from another row is none");
    }

    #[test]
    fn what_is_only_assumed_shows_nothing() {
        let (mut a, mut b) = (integration(1, "https://a.ru", "one"), integration(2, "https://a.ru", "two"));
        (a.crm_proof, b.crm_proof) = (Some(ASSUMED.into()), Some(ASSUMED.into()));
        assert!(!one(&a, &b));
        assert!(Access::of(&a).may_be_one_with(&Access::of(&b)));
        b.crm_proof = None;
        assert!(!Access::of(&a).may_be_one_with(&Access::of(&b)));
    }
}
