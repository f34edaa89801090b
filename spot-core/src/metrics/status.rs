//! HTTP statuses as labels.

/// The label of an HTTP status: itself where it is one that is met, else its class, so that no
/// server can make up labels.
///
/// ```
/// # use spot_core::metrics::status_label;
/// assert_eq!(status_label(404), "404");
/// assert_eq!(status_label(418), "4xx");
/// assert_eq!(status_label(999), "other");
/// ```
pub fn status_label(status: u16) -> &'static str {
    match status {
        200 => "200",
        201 => "201",
        400 => "400",
        401 => "401",
        403 => "403",
        404 => "404",
        409 => "409",
        410 => "410",
        422 => "422",
        429 => "429",
        500 => "500",
        502 => "502",
        503 => "503",
        504 => "504",
        _ => match status / 100 {
            1 => "1xx",
            2 => "2xx",
            3 => "3xx",
            4 => "4xx",
            5 => "5xx",
            _ => "other",
        },
    }
}
