//! An ID token, and whether it is to be believed: OpenID Connect Core 1.0, 3.1.3.7; signatures by
//! RFC 7515 and 7518, keys by RFC 7517 and 8037.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512,
    RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};
use serde_json::{Map, Value};

/// By so much may the provider's clock and ours differ.
const APART: Duration = Duration::from_secs(60);

/// What somebody is said to be.
pub type Claims = Map<String, Value>;

/// What a token must say.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    pub issuer: &'a str,
    pub client_id: &'a str,
    pub nonce: &'a str,
}

/// Why a token is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    NoToken,
    /// Signed in a way that only whoever knows a secret can check, or not at all.
    Algorithm,
    /// None of the provider's keys fits: they may be new ones.
    Key,
    Signature,
    Issuer,
    Audience,
    Expired,
    NotYet,
    Nonce,
    Subject,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoToken => "it cannot be read",
            Self::Algorithm => "its algorithm is none that is accepted",
            Self::Key => "no key of the provider fits it",
            Self::Signature => "its signature is not the provider's",
            Self::Issuer => "it is of another issuer",
            Self::Audience => "it is meant for another client",
            Self::Expired => "it is over",
            Self::NotYet => "it is of a time to come: look at the clocks",
            Self::Nonce => "it is of another sign-in",
            Self::Subject => "it names nobody",
        })
    }
}

/// What a token says, if it is signed by one of the `keys` and says what it must.
pub fn believed(token: &str, keys: &[Value], expected: Expected<'_>, now: Timestamp) -> Result<Claims, Flaw> {
    let (signed, signature) = token.rsplit_once('.').ok_or(Flaw::NoToken)?;
    let (head, body) = signed.split_once('.').ok_or(Flaw::NoToken)?;
    let head = part(head)?;
    let signature = bytes(signature).ok_or(Flaw::NoToken)?;
    // What must be understood is not.
    if head.contains_key("crit") {
        return Err(Flaw::Algorithm);
    }
    let scheme = head.get("alg").and_then(Value::as_str).and_then(Scheme::of).ok_or(Flaw::Algorithm)?;
    let fitting: Vec<&Value> = keys.iter().filter(|key| scheme.fits(key, &head)).collect();
    if fitting.is_empty() {
        return Err(Flaw::Key);
    }
    if !fitting.iter().any(|key| scheme.has_signed(key, signed.as_bytes(), &signature) == Some(true)) {
        return Err(Flaw::Signature);
    }
    let claims = part(body)?;
    check(&claims, expected, now)?;
    Ok(claims)
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

fn part(text: &str) -> Result<Claims, Flaw> {
    bytes(text).and_then(|json| serde_json::from_slice(&json).ok()).ok_or(Flaw::NoToken)
}

/// How a token is signed: by the provider's private key, whatever the algorithm.
#[derive(Clone, Copy)]
struct Scheme {
    name: &'static str,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    Rsa(&'static RsaParameters),
    /// With its name and the bytes of a coordinate.
    Curve(&'static dyn VerificationAlgorithm, &'static str, usize),
    Edwards,
}

static SCHEMES: [Scheme; 9] = [
    Scheme { name: "RS256", kind: Kind::Rsa(&RSA_PKCS1_2048_8192_SHA256) },
    Scheme { name: "RS384", kind: Kind::Rsa(&RSA_PKCS1_2048_8192_SHA384) },
    Scheme { name: "RS512", kind: Kind::Rsa(&RSA_PKCS1_2048_8192_SHA512) },
    Scheme { name: "PS256", kind: Kind::Rsa(&RSA_PSS_2048_8192_SHA256) },
    Scheme { name: "PS384", kind: Kind::Rsa(&RSA_PSS_2048_8192_SHA384) },
    Scheme { name: "PS512", kind: Kind::Rsa(&RSA_PSS_2048_8192_SHA512) },
    Scheme { name: "ES256", kind: Kind::Curve(&ECDSA_P256_SHA256_FIXED, "P-256", 32) },
    Scheme { name: "ES384", kind: Kind::Curve(&ECDSA_P384_SHA384_FIXED, "P-384", 48) },
    Scheme { name: "EdDSA", kind: Kind::Edwards },
];

impl Scheme {
    fn of(name: &str) -> Option<Self> {
        SCHEMES.iter().copied().find(|scheme| scheme.name == name)
    }

    /// Whether a key may have signed a token with such a head.
    fn fits(self, key: &Value, head: &Claims) -> bool {
        let is = |name: &str, wanted: &str| key[name].as_str() == Some(wanted);
        let of_kind = match self.kind {
            Kind::Rsa(_) => is("kty", "RSA"),
            Kind::Curve(_, curve, _) => is("kty", "EC") && is("crv", curve),
            Kind::Edwards => is("kty", "OKP") && is("crv", "Ed25519"),
        };
        let named = head.get("kid").is_none_or(|id| key["kid"] == *id);
        of_kind && named && (key["use"].is_null() || is("use", "sig")) && (key["alg"].is_null() || is("alg", self.name))
    }

    /// `None`: the key cannot be read.
    fn has_signed(self, key: &Value, text: &[u8], signature: &[u8]) -> Option<bool> {
        let part = |name: &str| key[name].as_str().and_then(bytes);
        let checked = match self.kind {
            Kind::Rsa(parameters) => {
                RsaPublicKeyComponents { n: part("n")?, e: part("e")? }.verify(parameters, text, signature)
            }
            Kind::Curve(algorithm, _, length) => {
                let (x, y) = (part("x")?, part("y")?);
                if (x.len(), y.len()) != (length, length) {
                    return None;
                }
                // Uncompressed, SEC 1, 2.3.3.
                UnparsedPublicKey::new(algorithm, [&[4][..], &x, &y].concat()).verify(text, signature)
            }
            Kind::Edwards => UnparsedPublicKey::new(&ED25519, part("x")?).verify(text, signature),
        };
        Some(checked.is_ok())
    }
}

fn check(claims: &Claims, expected: Expected<'_>, now: Timestamp) -> Result<(), Flaw> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    if text("iss") != Some(expected.issuer) {
        return Err(Flaw::Issuer);
    }
    let own = |value: &Value| value.as_str() == Some(expected.client_id);
    let is_audience = match claims.get("aud") {
        Some(Value::Array(all)) => all.iter().any(own) && (all.len() == 1 || claims.contains_key("azp")),
        Some(one) => own(one),
        None => false,
    };
    if !is_audience || !claims.get("azp").is_none_or(own) {
        return Err(Flaw::Audience);
    }
    // Seconds, and a fraction of them is allowed.
    let moment = |name: &str| claims.get(name).and_then(Value::as_f64).ok_or(Flaw::NoToken);
    let (now, apart) = (now.as_duration().as_secs_f64(), APART.as_secs_f64());
    if moment("exp")? + apart <= now {
        return Err(Flaw::Expired);
    }
    if moment("iat")? > now + apart || (claims.contains_key("nbf") && moment("nbf")? > now + apart) {
        return Err(Flaw::NotYet);
    }
    if text("nonce") != Some(expected.nonce) {
        return Err(Flaw::Nonce);
    }
    text("sub").filter(|subject| !subject.is_empty()).map(|_| ()).ok_or(Flaw::Subject)
}

#[cfg(test)]
mod tests {
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
    use serde_json::json;

    use super::*;

    const EXPECTED: Expected<'_> = Expected { issuer: "https://id.example", client_id: "console", nonce: "n-1" };

    fn now() -> Timestamp {
        "2026-09-01T10:00:00Z".parse().expect("a moment")
    }

    fn good() -> Value {
        let at = now().as_second();
        json!({ "iss": "https://id.example", "aud": "console", "sub": "u1", "iat": at, "exp": at + 300, "nonce": "n-1" })
    }

    fn text(value: &Value) -> String {
        URL_SAFE_NO_PAD.encode(value.to_string())
    }

    struct Curve(EcdsaKeyPair, Value);

    impl Curve {
        fn new(kid: &str) -> Self {
            let random = SystemRandom::new();
            let kind = &ECDSA_P256_SHA256_FIXED_SIGNING;
            let document = EcdsaKeyPair::generate_pkcs8(kind, &random).expect("a key");
            let pair = EcdsaKeyPair::from_pkcs8(kind, document.as_ref(), &random).expect("a key");
            let point = pair.public_key().as_ref()[1..].to_vec();
            let [x, y] = [&point[..32], &point[32..]].map(|half| URL_SAFE_NO_PAD.encode(half));
            let key = json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": kid, "use": "sig" });
            Self(pair, key)
        }

        fn sign(&self, head: &Value, claims: &Value) -> String {
            let signed = format!("{}.{}", text(head), text(claims));
            let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes()).expect("signed");
            format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
        }
    }

    fn judged(keys: &[Value], token: &str) -> Result<Claims, Flaw> {
        believed(token, keys, EXPECTED, now())
    }

    #[test]
    fn a_token_of_the_provider_says_who_it_is() {
        let curve = Curve::new("one");
        let claims =
            judged(std::slice::from_ref(&curve.1), &curve.sign(&json!({ "alg": "ES256", "kid": "one" }), &good()));
        assert_eq!(claims.expect("believed")["sub"], "u1");
        let nameless = judged(std::slice::from_ref(&curve.1), &curve.sign(&json!({ "alg": "ES256" }), &good()));
        assert!(nameless.is_ok(), "a key without a name is found by its kind");
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
        let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).expect("a key");
        let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
        let key = json!({ "kty": "OKP", "crv": "Ed25519", "x": x });
        let signed = format!("{}.{}", text(&json!({ "alg": "EdDSA" })), text(&good()));
        let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(pair.sign(signed.as_bytes()).as_ref()));
        assert!(judged(&[curve.1, key], &token).is_ok());
    }

    #[test]
    fn what_the_provider_did_not_sign_is_not_believed() {
        let (curve, other) = (Curve::new("one"), Curve::new("one"));
        let keys = [curve.1.clone()];
        let head = json!({ "alg": "ES256", "kid": "one" });
        assert_eq!(judged(&keys, &other.sign(&head, &good())), Err(Flaw::Signature));
        assert_eq!(judged(&keys, &curve.sign(&json!({ "alg": "ES256", "kid": "two" }), &good())), Err(Flaw::Key));
        assert_eq!(judged(&keys, &curve.sign(&json!({ "alg": "RS256", "kid": "one" }), &good())), Err(Flaw::Key));
        for algorithm in ["none", "HS256", "es256", ""] {
            let token = curve.sign(&json!({ "alg": algorithm, "kid": "one" }), &good());
            assert_eq!(judged(&keys, &token), Err(Flaw::Algorithm), "{algorithm}");
        }
        let critical = json!({ "alg": "ES256", "kid": "one", "crit": ["exp"], "exp": 0 });
        assert_eq!(judged(&keys, &curve.sign(&critical, &good())), Err(Flaw::Algorithm));
        let unsigned = format!("{}.{}.", text(&head), text(&good()));
        assert_eq!(judged(&keys, &unsigned), Err(Flaw::Signature));
        let token = curve.sign(&head, &good());
        let mut parts: Vec<&str> = token.split('.').collect();
        let grown = text(&json!({ "iss": "https://id.example", "aud": "console", "sub": "u2" }));
        parts[1] = &grown;
        assert_eq!(judged(&keys, &parts.join(".")), Err(Flaw::Signature));
        for nothing in ["", ".", "..", "a.b.c", "x"] {
            assert_eq!(judged(&keys, nothing), Err(Flaw::NoToken), "{nothing}");
        }
        // A key for encryption signs nothing, nor does one of another algorithm.
        for (name, value) in [("use", "enc"), ("alg", "ES384"), ("crv", "P-384")] {
            let mut key = curve.1.clone();
            key[name] = value.into();
            assert_eq!(judged(&[key], &curve.sign(&head, &good())), Err(Flaw::Key), "{name}");
        }
    }

    #[test]
    fn a_token_of_another_issuer_client_sign_in_or_time_is_not_believed() {
        let curve = Curve::new("one");
        let at = now().as_second();
        for (name, value, flaw) in [
            ("iss", json!("https://id.example/"), Flaw::Issuer),
            ("iss", Value::Null, Flaw::Issuer),
            ("aud", json!("shop"), Flaw::Audience),
            ("aud", json!([]), Flaw::Audience),
            ("aud", json!(["console", "shop"]), Flaw::Audience),
            ("azp", json!("shop"), Flaw::Audience),
            ("exp", json!(at - 60), Flaw::Expired),
            ("exp", json!("soon"), Flaw::NoToken),
            ("iat", json!(at + 61), Flaw::NotYet),
            ("nbf", json!(at + 61), Flaw::NotYet),
            ("nonce", json!("n-2"), Flaw::Nonce),
            ("nonce", Value::Null, Flaw::Nonce),
            ("sub", json!(""), Flaw::Subject),
        ] {
            let mut claims = good();
            claims[name] = value.clone();
            let token = curve.sign(&json!({ "alg": "ES256" }), &claims);
            assert_eq!(judged(std::slice::from_ref(&curve.1), &token), Err(flaw), "{name} {value}");
        }
        for (name, value) in [("aud", json!(["console"])), ("exp", json!(at - 59)), ("iat", json!(at + 60))] {
            let mut claims = good();
            claims[name] = value;
            assert!(
                judged(std::slice::from_ref(&curve.1), &curve.sign(&json!({ "alg": "ES256" }), &claims)).is_ok(),
                "{name}"
            );
        }
        let mut several = good();
        several["aud"] = json!(["shop", "console"]);
        several["azp"] = json!("console");
        assert!(judged(std::slice::from_ref(&curve.1), &curve.sign(&json!({ "alg": "ES256" }), &several)).is_ok());
    }
}
