//! Starts a control plane and keeps it until the process is ended, for trying things by hand.

use spot_tests::{
    Result,
    control_plane::{ControlPlane, Part},
    rbac,
    tools::Tool,
};

#[tokio::main]
async fn main() -> Result<()> {
    let plane = ControlPlane::start().await?;
    rbac::allow_handlers(&plane.client("admin")?).await?;
    for part in Part::ALL {
        println!("{part:?}: process {}", plane.process(part)?.pid());
    }
    println!("logs and kubeconfigs are in {}", plane.dir().display());
    println!("ready; end it with Ctrl-C. For instance:");
    println!("export KUBECONFIG={}", plane.kubeconfig("admin")?.display());
    println!(
        "{} get namespaces",
        plane.tools().path(Tool::Kubectl).display()
    );
    std::future::pending().await
}
