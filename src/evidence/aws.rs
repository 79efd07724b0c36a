//! The surrounding AWS configuration: region, credentials, endpoints, as every AWS program finds them.

use aws_config::{BehaviorVersion, ConfigLoader};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

/// The surrounding configuration, with ring as the one crypto library. Nothing is read before it is loaded.
pub fn surroundings() -> ConfigLoader {
    let https = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    aws_config::defaults(BehaviorVersion::latest()).http_client(https)
}

/// Where a service of a region is asked: what `AWS_ENDPOINT_URL` or its form for the service says, else AWS's own address.
pub fn endpoint(config: &aws_config::SdkConfig, service: (&str, &str), region: &str) -> String {
    let (id, host) = service;
    let key = aws_types::service_config::ServiceConfigKey::builder().service_id(id).env("AWS_ENDPOINT_URL").profile("endpoint_url").build();
    let own = key.ok().and_then(|key| config.service_config()?.load_config(key)).or_else(|| config.endpoint_url().map(str::to_owned));
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    own.unwrap_or_else(|| format!("https://{host}.{region}.{domain}"))
}
