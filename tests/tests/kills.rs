//! SIGKILL at any moment: the next handler carries on, with the shipping binary on the real
//! control plane. `soak -- kills` does the same for longer.

use spot_tests::{Result, clock::wall_now, control_plane::ControlPlane, kills::Kills, rbac};

#[tokio::test]
async fn ten_kills_at_random_moments_converge() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    rbac::allow_handlers(&plane.client("admin")?).await?;
    let seed = wall_now().as_second().unsigned_abs();
    println!("seed {seed}");
    let kills = Kills {
        times: 10,
        seed,
        at_once: 5,
    };
    let rounds = kills.run(plane, |round| println!("{round}")).await?;
    let wrong: Vec<String> = rounds
        .iter()
        .filter(|round| !round.wrong.is_empty())
        .map(ToString::to_string)
        .collect();
    assert!(wrong.is_empty(), "seed {seed}:\n{}", wrong.join("\n"));
    Ok(())
}
