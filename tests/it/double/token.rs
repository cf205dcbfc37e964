//! The token server gives rights as Harbor's does, and takes them away.

use crate::double::client;
use crate::double::digest;
use crate::double::push_blob;
use crate::support::registry::Registry;
use crate::support::registry::Tokens;
use crate::support::registry::client::Client;
use serde_json::Value;
use serde_json::json;

/// Returns the claims of a token.
fn claims(token: &Value) -> Value {
    use base64::Engine as _;
    let middle = token.as_str().unwrap().split('.').nth(1).unwrap();
    serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(middle).unwrap()).unwrap()
}

/// Asks for a token; returns the answer and a client that uses it.
fn with_token(registry: &Registry, secret: &str, scopes: &str) -> (Value, Client) {
    let path = format!("/service/token?service=harbor-registry{scopes}");
    let answer = client(registry).login("robot$ci", secret).ask("GET", &path, b"").json();
    let bearer = format!("Bearer {}", answer["token"].as_str().unwrap_or_default());
    (answer, client(registry).with("authorization", &bearer))
}

#[test]
fn tokens_are_given_for_projects() {
    let registry = Registry::start().with_tokens(Tokens::new().user("robot$ci", "secret", &["p", "q:pull"]));
    registry.contents().add_blob("p/a", b"layer".to_vec());
    let challenge = client(&registry).ask("POST", "/v2/p/a/blobs/uploads/?mount=sha256:0&from=q/b", b"");
    let realm = format!("Bearer realm=\"{}/service/token\",service=\"harbor-registry\"", registry.url());
    let scope = "repository:p/a:pull,push repository:q/b:pull";
    assert_eq!(challenge.header("www-authenticate"), format!("{realm},scope=\"{scope}\""));
    assert_eq!(client(&registry).ask("GET", "/v2/", b"").header("www-authenticate"), realm);

    let (answer, mut both) =
        with_token(&registry, "secret", "&scope=repository:p/x:pull&scope=repository%3Aq%2Fb%3Apull%2Cpush");
    assert_eq!((answer["expires_in"].as_u64(), &answer["access_token"]), (Some(1800), &json!("")));
    let access = json!([
        { "type": "repository", "name": "p/x", "actions": ["pull", "push", "delete"] },
        { "type": "repository", "name": "q/b", "actions": ["pull"] },
    ]);
    assert_eq!(claims(&answer["token"])["access"], access, "all rights, whatever was asked");
    let layer = digest(b"layer");
    assert_eq!(both.ask("HEAD", &format!("/v2/p/a/blobs/{layer}"), b"").status, 200, "one token for a project");
    assert_eq!(push_blob(&mut both, "p/a", b"more"), 201);
    let refused = both.ask("POST", "/v2/q/b/blobs/uploads/", b"");
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, "Basic realm=\"harbor\""));
    let posted = client(&registry).login("robot$ci", "secret").ask("POST", "/service/token", b"");
    assert_eq!((posted.status, registry.tokens_issued()), (405, 1));
}

#[test]
fn everybody_pulls_from_public_projects_with_a_token() {
    let registry = Registry::start().with_tokens(Tokens::new().public("p"));
    registry.contents().add_blob("p/a", b"layer".to_vec());
    let path = format!("/v2/p/a/blobs/{}", digest(b"layer"));
    assert_eq!(client(&registry).ask("HEAD", &path, b"").status, 401);
    let answer = client(&registry).ask("GET", "/service/token?scope=repository:p/a:pull,push", b"").json();
    let mut client = client(&registry).with("authorization", &format!("Bearer {}", answer["token"].as_str().unwrap()));
    assert_eq!((client.ask("HEAD", &path, b"").status, push_blob(&mut client, "p/a", b"x")), (200, 401));
}

#[test]
fn tokens_end() {
    let registry = Registry::start().with_tokens(Tokens::new().user("robot$ci", "secret", &["*"]).uses(2));
    let statuses = |client: &mut Client| [0; 3].map(|_| client.ask("GET", "/v2/", b"").status);
    let (_, mut client) = with_token(&registry, "secret", "&scope=repository:p/a:pull");
    assert_eq!(statuses(&mut client), [200, 200, 401]);
    let (_, mut client) = with_token(&registry, "secret", "");
    assert_eq!(client.ask("GET", "/v2/", b"").status, 200);
    registry.revoke_tokens();
    assert_eq!(client.ask("GET", "/v2/", b"").status, 401);
    let registry = Registry::start().with_tokens(Tokens::new().user("robot$ci", "secret", &["*"]).expires_in(0));
    let (answer, mut client) = with_token(&registry, "secret", "&scope=repository:p/a:pull");
    assert_eq!((answer["expires_in"].as_u64(), client.ask("GET", "/v2/", b"").status), (Some(0), 401));
}

#[test]
fn wrong_robots_get_tokens_without_rights() {
    let scope = "&scope=repository:p/a:pull,push";
    let registry = Registry::start().with_tokens(Tokens::new().user("robot$ci", "secret", &["p"]));
    let (answer, mut client) = with_token(&registry, "wrong", scope);
    assert_eq!(claims(&answer["token"])["access"], json!([]));
    assert_eq!(client.ask("POST", "/v2/p/a/blobs/uploads/", b"").status, 401);
    let strict = Registry::start().with_tokens(Tokens::new().user("robot$ci", "secret", &["p"]).strict());
    assert_eq!(with_token(&strict, "wrong", scope).0["errors"][0]["code"], "UNAUTHORIZED");
    let basic = Registry::start().with_tokens(Tokens::basic().user("robot$ci", "secret", &["p"]));
    assert_eq!(with_token(&basic, "secret", scope).0["errors"][0]["code"], "NOT_FOUND");
}
