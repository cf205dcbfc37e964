//! From lock to finished image with the real binary, and what later builds do not do again.

use crate::support::project::Project;

#[test]
fn second_build_does_nothing() {
    let project = Project::new();
    project.run(&["lock"]).good();
    project.run(&["build"]).good();
    let before = project.digests("out");
    project.server.requests();
    project.run(&["build"]).good();
    assert_eq!(project.server.requests(), Vec::<String>::new());
    assert_eq!(project.digests("out"), before);
}
