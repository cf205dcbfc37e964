//! What a recipe asks for, as it is written: so that checks can say which line has no effect.

use crate::recipe::AcceptedFinding;
use crate::recipe::RecipeRequest;
use crate::recipe::RequestSection;
use crate::recipe::level::maybe;
use crate::recipe::level::text;
use crate::recipe::parse::YamlNode;
use crate::recipe::scalar::day;
use crate::recipe::source::SourceFile;
use crate::recipe::source::SourceSpan;
use crate::values::WaiverTerms;

/// Sections that are maps, whose keys are the requests.
const MAPS: [(RequestSection, &[&str]); 5] = [
    (RequestSection::ExcludedPackages, &["exclude", "packages"]),
    (RequestSection::ExcludedPaths, &["exclude", "paths"]),
    (RequestSection::Replaces, &["replaces"]),
    (RequestSection::Directories, &["directories"]),
    (RequestSection::Diversions, &["divert"]),
];

/// Returns the requests of a recipe: `written` is its tree, `filled` the same with parameters filled in, which has the
/// same entries in the same order.
pub(crate) fn requests(source: &SourceFile, written: &YamlNode, filled: &YamlNode) -> Vec<RecipeRequest> {
    let request = |section, filled: &str, written: &str, place: SourceSpan| RecipeRequest {
        section,
        filled: filled.to_owned(),
        written: written.to_owned(),
        place: format!("{}:{}", source.path, source.line(place)),
    };

    let mut requests = Vec::new();
    for (section, path) in MAPS {
        let both = [written, filled].map(|recipe| recipe.at(path).map(YamlNode::entries).unwrap_or_default());
        for ((key, _), (filled, _)) in both[0].iter().zip(both[1]) {
            requests.push(request(section, &filled.text, &key.text, key.place));
        }
    }

    let both = [written, filled].map(|recipe| recipe.items_of("include-paths"));
    for (item, filled) in both[0].iter().zip(both[1]) {
        requests.push(request(RequestSection::IncludedPaths, filled.text(), item.text(), item.place));
    }

    let both = [written, filled].map(|recipe| recipe.items_of("accept"));
    for (item, filled) in both[0].iter().zip(both[1]) {
        let texts = [filled, item].map(|item| format!("{} {}", text(item.get("finding")), text(item.get("path"))));
        requests.push(request(RequestSection::Accept, &texts[0], &texts[1], item.place));
    }
    requests
}

/// Reads an acceptance.
pub(crate) fn accepted(node: &YamlNode) -> Option<AcceptedFinding> {
    let terms = waiver_terms(node)?;
    Some(AcceptedFinding { finding: text(node.get("finding")), path: text(node.get("path")), terms })
}

/// Reads the terms of an exception. It holds until the end of the day that was written.
pub(crate) fn waiver_terms(node: &YamlNode) -> Option<WaiverTerms> {
    Some(WaiverTerms {
        reason: text(node.get("reason")),
        agreed_by: maybe(node.get("agreed-by")),
        expires: day(node.get("expires")?.text())?.end_of_day(),
    })
}
