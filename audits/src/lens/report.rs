//! Reports of a review: Markdown and HTML from one page of blocks, and JSON.

mod html;
mod json;
mod markdown;
mod page;

use super::review::Review;

/// What a report in JSON calls its form; the number changes when a reader would have to.
pub const FORMAT: &str = "fleetward-lens-review/1";

/// The report as Markdown (GitHub's, for its tables).
#[must_use]
pub fn markdown(review: &Review) -> String {
    markdown::write(&page::page(review))
}

/// The report as one page of HTML without script or outside parts.
#[must_use]
pub fn html(review: &Review) -> String {
    html::write(&page::page(review), "IoT Lens review")
}

/// The report as JSON, with a line break at the end.
#[must_use]
pub fn json(review: &Review) -> String {
    let mut text = serde_json::to_string_pretty(&json::value(review)).unwrap_or_default();
    text.push('\n');
    text
}

/// What a best practice asks for and how it is judged, as lines of text; nothing if no practice has the id.
#[must_use]
pub fn explain(id: &str) -> Option<String> {
    page::explained(id)
}

/// All best practices with who decides them, as a table of Markdown.
#[must_use]
pub fn sheet() -> String {
    page::sheet()
}
