//! What the machine says of itself, for when no metadata service answers: is this EC2 at all?

use std::fs;
use std::io::Read;

use spot_core::notice::Trouble;

use crate::client::TOKEN_PATH;
use crate::error::ImdsError;
use crate::quote::excerpt;

/// Who made this machine, as far as it tells.
///
/// It is only asked about where the metadata service has never been heard: a machine of another
/// maker on which nothing answers is no EC2 instance ([`Trouble::NotHere`]), while an instance
/// on which nothing answers has a hop limit or a firewall to be mended
/// ([`Trouble::Unreachable`]). A container sees its host's.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hardware {
    /// EC2's.
    Ec2,
    /// Somebody else's; the name as it is told, escaped and cut.
    Other(String),
    /// It does not tell.
    Unknown,
}

impl Hardware {
    /// Reads what Linux knows: the vendor of the DMI tables and the hypervisor's UUID. Unknown on
    /// other systems.
    pub fn read() -> Self {
        let vendor = first_line("/sys/class/dmi/id/sys_vendor");
        let uuid = first_line("/sys/hypervisor/uuid");
        Self::judge(vendor.as_deref(), uuid.as_deref())
    }

    /// Judges by the DMI vendor and the UUID of a Xen hypervisor (EC2 User Guide, "Detect
    /// whether a host is an EC2 instance"): instances on Nitro, metal too, have the vendor
    /// `Amazon EC2`; on Xen the UUID begins with `ec2`, and the vendor alone says nothing.
    ///
    /// ```
    /// use spot_imds::hardware::Hardware;
    ///
    /// assert_eq!(Hardware::judge(Some("Amazon EC2"), None), Hardware::Ec2);
    /// assert_eq!(Hardware::judge(Some("LENOVO"), None), Hardware::Other("LENOVO".into()));
    /// assert_eq!(Hardware::judge(None, None), Hardware::Unknown);
    /// ```
    pub fn judge(vendor: Option<&str>, hypervisor_uuid: Option<&str>) -> Self {
        let clean = |text: Option<&str>| {
            let text = text.unwrap_or_default().trim().to_owned();
            (!text.is_empty()).then_some(text)
        };
        let (vendor, uuid) = (clean(vendor), clean(hypervisor_uuid));
        let is_ec2 = uuid.as_ref().map(|uuid| {
            let start = uuid.get(..3);
            start.is_some_and(|start| start.eq_ignore_ascii_case("ec2"))
        });
        match (vendor, is_ec2) {
            (_, Some(true)) => Self::Ec2,
            (Some(vendor), _) if vendor.eq_ignore_ascii_case("Amazon EC2") => Self::Ec2,
            (Some(vendor), None) if vendor.eq_ignore_ascii_case("Xen") => Self::Unknown,
            (Some(vendor), _) => Self::Other(excerpt(vendor.as_bytes())),
            (None, _) => Self::Unknown,
        }
    }

    /// What kind of trouble an error is on this machine; `heard`, where a metadata service has
    /// answered here before: then it is here, whatever the hardware.
    pub(crate) fn trouble(&self, error: &ImdsError, heard: bool) -> Trouble {
        match (self, error) {
            // It must be something in between.
            (_, ImdsError::Foreign { .. }) if heard || *self == Self::Ec2 => Trouble::Garbled,
            (Self::Other(_), ImdsError::Unreachable { .. } | ImdsError::TimedOut { .. })
                if !heard =>
            {
                Trouble::NotHere
            }
            // EC2's has nothing to object to in the request for a token.
            (
                Self::Other(_),
                ImdsError::UnexpectedStatus {
                    path,
                    status: 400..=499,
                },
            ) if !heard && path == TOKEN_PATH => Trouble::NotHere,
            _ => error.trouble(),
        }
    }
}

/// The first line of a small file; nothing where that cannot be had.
fn first_line(path: &str) -> Option<String> {
    let mut text = String::new();
    let file = fs::File::open(path).ok()?;
    file.take(256).read_to_string(&mut text).ok()?;
    text.lines().next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const OTHER: &str = "Dell Inc.";

    #[test]
    fn ec2_is_known_by_its_vendor_or_its_hypervisor() {
        for (vendor, uuid, expected) in [
            (Some("Amazon EC2\n"), None, Hardware::Ec2),
            (Some("Xen"), Some("ec2a1b2c-0000"), Hardware::Ec2),
            (None, Some("EC2a1b2c-0000"), Hardware::Ec2),
            (Some("Xen"), None, Hardware::Unknown),
            (Some(""), Some(" "), Hardware::Unknown),
            (None, Some("4c4c4544"), Hardware::Unknown),
            (Some("Xen"), Some("é2"), Hardware::Other("Xen".into())),
            (Some(OTHER), None, Hardware::Other(OTHER.into())),
            (Some("a\u{7}b"), None, Hardware::Other(r"a\x07b".into())),
        ] {
            assert_eq!(
                Hardware::judge(vendor, uuid),
                expected,
                "{vendor:?} {uuid:?}"
            );
        }
    }

    #[test]
    fn silence_is_not_here_only_on_hardware_that_is_known_not_to_be_ec2_s() {
        let silence = ImdsError::TimedOut {
            endpoint: "http://x".into(),
            after: Duration::from_secs(1),
        };
        let other = Hardware::Other(OTHER.into());
        assert_eq!(other.trouble(&silence, false), Trouble::NotHere);
        assert_eq!(Hardware::Ec2.trouble(&silence, false), Trouble::Unreachable);
        assert_eq!(
            Hardware::Unknown.trouble(&silence, false),
            Trouble::Unreachable
        );
        // Heard before, and silent now: it is away.
        assert_eq!(other.trouble(&silence, true), Trouble::Unreachable);
        let foreign = ImdsError::Foreign {
            endpoint: "http://x".into(),
            sign: "it is Google's",
        };
        assert_eq!(Hardware::Unknown.trouble(&foreign, false), Trouble::NotHere);
        assert_eq!(Hardware::Ec2.trouble(&foreign, false), Trouble::Garbled);
        assert_eq!(other.trouble(&foreign, true), Trouble::Garbled);
        let status = |path: &str| ImdsError::UnexpectedStatus {
            path: path.into(),
            status: 400,
        };
        assert_eq!(
            other.trouble(&status("/latest/api/token"), false),
            Trouble::NotHere
        );
        assert_eq!(
            other.trouble(&status("/latest/meta-data/x"), false),
            Trouble::Garbled
        );
    }
}
