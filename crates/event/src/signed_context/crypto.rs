//! A crypto provider for jsonwebtoken that uses ring only.
//!
//! jsonwebtoken's own providers depend on `rsa`, which has an unpatched timing leak (RUSTSEC-2023-0071), or on a second crypto library.
//! This provider supports the three algorithms of signed contexts, and verifies RS256, with which user pools sign their tokens.

use jsonwebtoken::{
    Algorithm, DecodingKey, DecodingKeyKind, EncodingKey,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    errors::{ErrorKind, Result, new_error},
    signature::{Error as SignatureError, Signer, Verifier},
};
use ring::{
    hmac,
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
        UnparsedPublicKey, VerificationAlgorithm,
    },
};

static PROVIDER: CryptoProvider = CryptoProvider { signer_factory: signer, verifier_factory: verifier, key_utils: KeyUtils::new_unimplemented() };

/// An HMAC key, which signs and verifies.
struct Hs256(hmac::Key);

/// A public key, P-256 or Ed25519.
struct PublicKey {
    key: UnparsedPublicKey<Vec<u8>>,
    algorithm: Algorithm,
}

/// A public RSA key of 2048 to 8192 bits.
struct Rs256(RsaPublicKeyComponents<Vec<u8>>);

/// A private P-256 key.
struct Es256(EcdsaKeyPair);

/// A private Ed25519 key.
struct EdDsa(Ed25519KeyPair);

/// Installs this provider for the process. Later calls have no effect.
pub fn install() {
    // An error means that it is already installed.
    let _ = PROVIDER.install_default();
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    if key.family() != algorithm.family() {
        return Err(new_error(ErrorKind::InvalidKeyFormat));
    }
    if let (Algorithm::RS256, DecodingKeyKind::RsaModulusExponent { n, e }) = (algorithm, key.kind()) {
        return Ok(Box::new(Rs256(RsaPublicKeyComponents { n: n.clone(), e: e.clone() })));
    }
    let bytes = key.try_get_as_bytes()?;
    let public = |parameters: &'static dyn VerificationAlgorithm| PublicKey { key: UnparsedPublicKey::new(parameters, bytes.to_vec()), algorithm: *algorithm };
    if *algorithm == Algorithm::HS256 {
        Ok(Box::new(Hs256(hmac::Key::new(hmac::HMAC_SHA256, bytes))))
    } else if *algorithm == Algorithm::ES256 {
        Ok(Box::new(public(&ECDSA_P256_SHA256_FIXED)))
    } else if *algorithm == Algorithm::EdDSA {
        Ok(Box::new(public(&ED25519)))
    } else {
        Err(new_error(ErrorKind::UnsupportedAlgorithm))
    }
}

fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    let bytes = key.as_bytes();
    if *algorithm == Algorithm::HS256 {
        Ok(Box::new(Hs256(hmac::Key::new(hmac::HMAC_SHA256, bytes))))
    } else if *algorithm == Algorithm::ES256 {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, bytes, &SystemRandom::new());
        Ok(Box::new(Es256(pair.map_err(|_| new_error(ErrorKind::InvalidEcdsaKey))?)))
    } else if *algorithm == Algorithm::EdDSA {
        // OpenSSL writes PKCS#8 version 1, which lacks the public key.
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(bytes);
        Ok(Box::new(EdDsa(pair.map_err(|_| new_error(ErrorKind::InvalidEddsaKey))?)))
    } else {
        Err(new_error(ErrorKind::UnsupportedAlgorithm))
    }
}

impl Verifier<Vec<u8>> for Hs256 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), SignatureError> {
        // ring documents this comparison as constant-time.
        hmac::verify(&self.0, message, signature).map_err(|_| SignatureError::new())
    }
}

impl Signer<Vec<u8>> for Hs256 {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, SignatureError> {
        Ok(hmac::sign(&self.0, message).as_ref().to_vec())
    }
}

impl JwtVerifier for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl JwtSigner for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl Verifier<Vec<u8>> for PublicKey {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), SignatureError> {
        self.key.verify(message, signature).map_err(|_| SignatureError::new())
    }
}

impl JwtVerifier for PublicKey {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl Verifier<Vec<u8>> for Rs256 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), SignatureError> {
        self.0.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature).map_err(|_| SignatureError::new())
    }
}

impl JwtVerifier for Rs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::RS256
    }
}

impl Signer<Vec<u8>> for Es256 {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, SignatureError> {
        let signature = self.0.sign(&SystemRandom::new(), message).map_err(|_| SignatureError::new())?;
        Ok(signature.as_ref().to_vec())
    }
}

impl JwtSigner for Es256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::ES256
    }
}

impl Signer<Vec<u8>> for EdDsa {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, SignatureError> {
        Ok(self.0.sign(message).as_ref().to_vec())
    }
}

impl JwtSigner for EdDsa {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}
