//! Names are looked up where a pod has a name server, and nothing else that knows any.

use std::ffi::OsStr;

use spot_tests::{Result, error::Context as _, scratch::Scratch};

use crate::hops;

const RECEIVER: &str = "hooks.example.test";

#[tokio::test]
async fn a_webhook_is_reached_by_a_name_that_only_a_name_server_knows() -> Result<()> {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec![RECEIVER.to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    let dir = Scratch::new("names")?;
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text);
    write("cert.pem", &certificate).context("write the certificate")?;
    write("key.pem", &key.serialize_pem()).context("write the key")?;

    let image = super::shipped().await?;
    image.mount("/etc/resolv.conf", "nameserver 169.254.169.253\n")?;
    image.mount(
        "/etc/webhook/secret/url",
        format!("https://{RECEIVER}/told"),
    )?;
    // An authority of one's own, as the guide has it.
    image.mount("/etc/webhook/ca/ca.pem", certificate)?;
    let env = [("SSL_CERT_FILE", "/etc/webhook/ca/ca.pem")];
    let more = [OsStr::new(RECEIVER), dir.path().as_os_str()];
    let told = "the webhook was told";
    let log = hops::says(&image, 2, &more, &env, told).await?;
    assert!(log.contains(told), "{log}");
    let hosts = image.root().join("etc/hosts");
    assert!(!hosts.exists(), "something else knows names");
    Ok(())
}
