//! What is in it, and how large that is.

use std::path::Path;

use spot_tests::Result;

#[tokio::test]
async fn it_holds_one_binary_and_the_authorities_in_ten_megabytes() -> Result<()> {
    let image = super::shipped().await?;
    let files = image.files()?;
    let expected = [
        "etc/ssl/certs/ca-certificates.crt",
        "spot-interrupt-handler",
    ];
    assert_eq!(files, expected.map(Path::new));
    let config = &image.config["config"];
    assert_eq!(config["User"], "65532:65532");
    assert_eq!(
        config["Entrypoint"],
        serde_json::json!(["/spot-interrupt-handler"])
    );
    assert_eq!(image.config["architecture"], "amd64");
    let archive = std::fs::metadata(image.archive()).unwrap().len();
    assert!(
        archive <= super::MEGABYTES_10,
        "the archive has {archive} bytes"
    );
    let sizes = files
        .iter()
        .map(|file| std::fs::metadata(image.root().join(file)));
    let unpacked: u64 = sizes.map(|size| size.unwrap().len()).sum();
    assert!(
        unpacked <= super::MEGABYTES_10,
        "unpacked it has {unpacked} bytes"
    );
    println!("archive {archive} bytes, unpacked {unpacked}");
    Ok(())
}

#[tokio::test]
async fn the_same_input_makes_the_same_image() -> Result<()> {
    let (one, other) = (super::shipped().await?, super::shipped().await?);
    assert_eq!(one.config["rootfs"], other.config["rootfs"]);
    Ok(())
}
