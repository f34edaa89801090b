//! Writes what is made from the chart: the plain manifests, and the values in its README.

use spot_tests::{
    Result,
    deploy::{Manifests, chart, readme},
    error::Context as _,
};

#[tokio::main]
async fn main() -> Result<()> {
    for manifests in Manifests::ALL {
        let path = manifests.path();
        let text = chart::manifests(manifests).await?;
        std::fs::write(&path, text).context(format!("write {}", path.display()))?;
        println!("{}", path.display());
    }
    let dir = chart::dir();
    let read = |name: &str| {
        std::fs::read_to_string(dir.join(name)).context(format!("read the chart's {name}"))
    };
    let written = readme::with_values(&read("README.md")?, &read("values.yaml")?)?;
    let path = dir.join("README.md");
    std::fs::write(&path, written).context(format!("write {}", path.display()))?;
    println!("{}", path.display());
    Ok(())
}
