//! A certificate authority for this machine alone: makes itself and signs leaves. No IO, no clock.
//!
//! Its certificate says what it may sign for, and clients hold it to that: servers below `localhost` and on loopback
//! addresses, nothing else (RFC 5280, 4.2.1.10 and 4.2.1.12). So whoever steals the key can deceive this machine about
//! itself, which who can read its files can do anyway.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};

use faas_core::clock::Time;
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, PKCS_ECDSA_P256_SHA256, SanType,
    SerialNumber,
};
use ring::rand::{SecureRandom, SystemRandom};
use time::OffsetDateTime;
use tokio_rustls::rustls::{
    crypto::ring::sign as ring_sign,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _},
    sign::{CertifiedKey, SigningKey},
};

use super::{client, der};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long an authority may sign. Long, because trusting it again is a person's work; mkcert takes ten years.
const AUTHORITY_LASTS: Duration = Duration::from_secs(5 * 365 * 24 * 60 * 60);
/// It is replaced this long before its end, so that no session outlives it.
const AUTHORITY_RENEWED: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How long a leaf is good: nobody has to trust it by hand, so a short time costs nothing.
const LEAF_LASTS: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Everything is good from so long ago: clocks of virtual machines lag.
const LAG: Duration = DAY;

/// A certificate and its key.
pub struct Authority {
    certificate: CertificateDer<'static>,
    pem: String,
    issuer: Issuer<'static, KeyPair>,
    expires: Time,
    /// Of all leaves: it lives as long as the process.
    leaf_key: KeyPair,
    signs: Arc<dyn SigningKey>,
}

/// A leaf, ready to be shown to clients.
#[derive(Debug, Clone)]
pub(super) struct Leaf {
    pub(super) key: Arc<CertifiedKey>,
    /// When another should be made.
    pub(super) renew_at: Time,
}

/// Why a certificate cannot be made or read, in words that end a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused(String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Refused {
    pub(super) fn because(why: impl fmt::Display) -> Self {
        Refused(why.to_string())
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("fingerprint", &self.fingerprint()).finish_non_exhaustive()
    }
}

impl Authority {
    /// A new one, good from now on.
    ///
    /// # Errors
    /// When there is no randomness to be had.
    pub fn create(now: Time) -> Result<Self, Refused> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(Refused::because)?;
        let certificate = params(now)?.self_signed(&key).map_err(Refused::because)?;
        Self::of(certificate.der().clone(), certificate.pem(), key)
    }

    /// The one of this certificate and key, as [`Authority::certificate_pem`] and [`Authority::key_pem`] have given them.
    ///
    /// # Errors
    /// When they are none, or do not belong together.
    pub fn load(certificate_pem: &str, key_pem: &str, now: Time) -> Result<Self, Refused> {
        let certificate = CertificateDer::from_pem_slice(certificate_pem.as_bytes())
            .map_err(|why| Refused(format!("the certificate cannot be read: {why}")))?;
        let key = KeyPair::from_pem_and_sign_algo(key_pem, &PKCS_ECDSA_P256_SHA256)
            .map_err(|why| Refused(format!("the key cannot be read: {why}")))?;
        let authority = Self::of(certificate, certificate_pem.to_owned(), key)?;
        if !authority.is_ending(now) {
            authority.prove(now)?;
        }
        Ok(authority)
    }

    fn of(certificate: CertificateDer<'static>, pem: String, key: KeyPair) -> Result<Self, Refused> {
        let expires = der::not_after(&certificate).ok_or_else(|| Refused("it is no certificate".into()))?;
        let leaf_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(Refused::because)?;
        // only its name and what the key is matter to a leaf
        let issuer = Issuer::new(params(Time::EPOCH + 2 * DAY)?, key);
        let signs = PrivateKeyDer::try_from(leaf_key.serialize_der()).map_err(Refused::because)?;
        let signs = ring_sign::any_ecdsa_type(&signs).map_err(Refused::because)?;
        Ok(Authority { certificate, pem, issuer, expires, leaf_key, signs })
    }

    /// Signs a leaf, and looks at it as a client would.
    fn prove(&self, now: Time) -> Result<(), Refused> {
        let leaf = self.leaf(None, now)?;
        let at = UnixTime::since_unix_epoch(Duration::from_nanos(now.unix_nanos()));
        let name = ServerName::try_from("localhost").map_err(Refused::because)?;
        client::verify(&self.certificate, &leaf.key.cert[0], &name, at)
            .map_err(|why| Refused(format!("what it signs is not accepted ({why})")))
    }

    /// A leaf for this name below `localhost`; without one, for `localhost` itself and loopback addresses.
    pub(super) fn leaf(&self, name: Option<&str>, now: Time) -> Result<Leaf, Refused> {
        let mut params = CertificateParams::default();
        let expires = (now + LEAF_LASTS).min(self.expires);
        (params.not_before, params.not_after) = (date(now, LAG)?, date(expires, Duration::ZERO)?);
        params.serial_number = Some(serial()?);
        params.distinguished_name = named("faas dev");
        params.subject_alt_names = names(name)?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&self.leaf_key, &self.issuer).map_err(Refused::because)?;
        let key = Arc::new(CertifiedKey::new(vec![certificate.der().clone()], self.signs.clone()));
        Ok(Leaf { key, renew_at: now + (LEAF_LASTS - 2 * DAY) })
    }

    /// Its certificate, for clients that are to trust it.
    pub fn certificate_pem(&self) -> &str {
        &self.pem
    }

    /// Its key, for its owner alone.
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// When its certificate ends.
    pub fn expires(&self) -> Time {
        self.expires
    }

    /// The day on which it ends, in UTC: `2031-11-25`.
    pub fn last_day(&self) -> String {
        let secs = i64::try_from(self.expires.unix_millis() / 1000).unwrap_or(i64::MAX);
        OffsetDateTime::from_unix_timestamp(secs).map_or_else(|_| "never".into(), |at| at.date().to_string())
    }

    /// Whether it has ended, or will so soon that another should take its place.
    pub fn is_ending(&self, now: Time) -> bool {
        self.expires <= now + AUTHORITY_RENEWED
    }

    /// The SHA-256 of its certificate, as browsers and keychains show it.
    pub fn fingerprint(&self) -> String {
        let digest = ring::digest::digest(&ring::digest::SHA256, &self.certificate);
        digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
    }

    #[cfg(test)]
    pub(super) fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }
}

fn params(now: Time) -> Result<CertificateParams, Refused> {
    let mut params = CertificateParams::default();
    (params.not_before, params.not_after) = (date(now, LAG)?, date(now + AUTHORITY_LASTS, Duration::ZERO)?);
    params.serial_number = Some(serial()?);
    params.distinguished_name = named("faas dev: local certificate authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let subnet =
        |address: IpAddr, prefix| GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(address, prefix));
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![
            GeneralSubtree::DnsName("localhost".into()),
            subnet(Ipv4Addr::new(127, 0, 0, 0).into(), 8),
            subnet(Ipv6Addr::LOCALHOST.into(), 128),
        ],
        excluded_subtrees: Vec::new(),
    });
    Ok(params)
}

fn names(name: Option<&str>) -> Result<Vec<SanType>, Refused> {
    let dns = |name: &str| name.try_into().map(SanType::DnsName).map_err(Refused::because);
    match name {
        Some(name) => Ok(vec![dns(name)?]),
        None => Ok(vec![
            dns("localhost")?,
            SanType::IpAddress(Ipv4Addr::LOCALHOST.into()),
            SanType::IpAddress(Ipv6Addr::LOCALHOST.into()),
        ]),
    }
}

fn named(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

/// Never the same twice: browsers refuse two certificates of one issuer with one number.
fn serial() -> Result<SerialNumber, Refused> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Refused("there is no randomness".into()))?;
    bytes[0] = bytes[0] & 0x7f | 0x40; // positive, and never shorter
    Ok(SerialNumber::from_slice(&bytes))
}

fn date(at: Time, before: Duration) -> Result<OffsetDateTime, Refused> {
    let secs = (at.unix_millis() / 1000).saturating_sub(before.as_secs());
    OffsetDateTime::from_unix_timestamp(i64::try_from(secs).unwrap_or(i64::MAX)).map_err(Refused::because)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_unix_nanos(1_800_000_000_000_000_000);

    /// How a client that trusts this authority judges this leaf under this name, so long after `NOW`.
    fn judge(authority: &Authority, leaf: &Leaf, name: &str, later: Duration) -> Result<(), String> {
        let at = UnixTime::since_unix_epoch(Duration::from_nanos(NOW.unix_nanos()) + later);
        let name = ServerName::try_from(name).expect("a name").to_owned();
        client::verify(authority.certificate(), &leaf.key.cert[0], &name, at)
            .map_err(|why| format!("{why:?}"))
    }

    #[test]
    fn leaves_are_good_for_their_names_and_their_time() {
        let authority = Authority::create(NOW).expect("an authority");
        let leaf = authority.leaf(Some("hello.localhost"), NOW).expect("a leaf");
        assert_eq!(judge(&authority, &leaf, "hello.localhost", Duration::ZERO), Ok(()));
        assert_eq!(judge(&authority, &leaf, "hello.localhost", 6 * DAY), Ok(()));
        let other = judge(&authority, &leaf, "other.localhost", Duration::ZERO).expect_err("another name");
        assert!(other.contains("NotValidForName"), "{other}");
        let late = judge(&authority, &leaf, "hello.localhost", 8 * DAY).expect_err("too late");
        assert!(late.contains("Expired"), "{late}");
        assert!(leaf.renew_at < NOW + 6 * DAY, "another is made before");

        let leaf = authority.leaf(Some("my_function.localhost"), NOW).expect("a leaf");
        assert_eq!(judge(&authority, &leaf, "my_function.localhost", Duration::ZERO), Ok(()));
        let leaf = authority.leaf(None, NOW).expect("a leaf");
        for name in ["localhost", "127.0.0.1", "::1"] {
            assert_eq!(judge(&authority, &leaf, name, Duration::ZERO), Ok(()), "{name}");
        }
    }

    #[test]
    fn what_it_signs_for_anybody_else_is_refused() {
        let authority = Authority::create(NOW).expect("an authority");
        for name in ["example.com", "localhost.example.com", "notlocalhost"] {
            let leaf = authority.leaf(Some(name), NOW).expect("whoever has the key can sign it");
            let refused = judge(&authority, &leaf, name, Duration::ZERO).expect_err("outside");
            assert!(refused.contains("NameConstraintViolation"), "{name}: {refused}");
        }
    }

    #[test]
    fn another_process_has_the_same_authority() {
        let made = Authority::create(NOW).expect("an authority");
        let read = Authority::load(made.certificate_pem(), &made.key_pem(), NOW).expect("it reads");
        assert_eq!((read.fingerprint(), read.expires()), (made.fingerprint(), made.expires()));
        let leaf = read.leaf(Some("hello.localhost"), NOW).expect("a leaf");
        assert_eq!(judge(&made, &leaf, "hello.localhost", Duration::ZERO), Ok(()));
        assert_eq!(made.fingerprint().len(), 32 * 3 - 1);
    }

    #[test]
    fn what_does_not_belong_together_is_noticed() {
        let [a, b] = [(); 2].map(|()| Authority::create(NOW).expect("an authority"));
        let load = |certificate: &str, key: &str| {
            Authority::load(certificate, key, NOW).expect_err("broken").to_string()
        };
        let refused = load(a.certificate_pem(), &b.key_pem());
        assert!(refused.starts_with("what it signs is not accepted"), "{refused}");
        assert!(load("", &a.key_pem()).starts_with("the certificate cannot be read"));
        assert!(load(a.certificate_pem(), "").starts_with("the key cannot be read"));
    }

    #[test]
    fn it_ends_and_says_so_in_time() {
        let authority = Authority::create(NOW).expect("an authority");
        assert_eq!(authority.last_day(), "2032-01-14");
        assert!(!authority.is_ending(NOW + 4 * 365 * DAY));
        assert!(authority.is_ending(NOW + (AUTHORITY_LASTS - 20 * DAY)));
        let leaf = authority.leaf(None, NOW + (AUTHORITY_LASTS - DAY)).expect("a leaf");
        let late = judge(&authority, &leaf, "localhost", AUTHORITY_LASTS + DAY).expect_err("over");
        assert!(late.contains("Expired"), "{late}");
    }

    #[test]
    fn no_two_leaves_have_one_number() {
        assert_ne!(serial(), serial());
    }
}
