//! What can go wrong with a request, without a password in the text.

use crate::sys::fs;
use std::path::PathBuf;
use url::Url;

/// A request failed. Addresses never carry credentials.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The offline switch is set.
    #[error("cannot fetch `{url}`: offline")]
    Offline {
        /// Address.
        url: String,
    },
    /// It is no web address.
    #[error("cannot fetch `{url}`: only http:// and https:// addresses are supported")]
    Address {
        /// Address.
        url: String,
    },
    /// The server has no such file (404 or 410).
    #[error("cannot fetch `{url}`: not found")]
    NotFound {
        /// Address.
        url: String,
    },
    /// The server answered with another status.
    #[error("cannot fetch `{url}`: the server answered with status {status}")]
    Status {
        /// Address.
        url: String,
        /// HTTP status code.
        status: u16,
    },
    /// A proxy, or something behind it, refused.
    #[error("cannot fetch `{url}`: {} (status {status})", proxy_words(proxy, *status))]
    Proxy {
        /// Address.
        url: String,
        /// Address of the proxy.
        proxy: String,
        /// HTTP status code.
        status: u16,
    },
    /// A variable does not name a proxy.
    #[error("cannot use the proxy of `{variable}`: it is no http:// or https:// address")]
    ProxyAddress {
        /// The variable.
        variable: &'static str,
    },
    /// No answer, or it broke off, as often as was tried.
    #[error("cannot fetch `{url}`: {cause}")]
    Unreachable {
        /// Address.
        url: String,
        /// What the connection said.
        cause: String,
    },
    /// The body is larger than anything that could be meant.
    #[error("cannot fetch `{url}`: it has more than {limit} bytes")]
    TooLarge {
        /// Address.
        url: String,
        /// Largest accepted size in bytes.
        limit: u64,
    },
    /// The file on the server has another size than the one that is wanted.
    #[error("cannot fetch `{url}`: it has {found} bytes instead of {expected}")]
    WrongSize {
        /// Address.
        url: String,
        /// Wanted size in bytes.
        expected: u64,
        /// Size in bytes on the server.
        found: u64,
    },
    /// The client could not be started.
    #[error("cannot start the network client: {cause}")]
    Client {
        /// What it said.
        cause: String,
    },
    /// The file of additional certificates has none.
    #[error("cannot read certificates `{}`: there is no PEM certificate in it", path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
    },
    /// The file of the client certificate is not usable.
    #[error("cannot read client certificate `{}`: it must hold a PEM certificate and its PEM key", path.display())]
    Identity {
        /// The file.
        path: PathBuf,
    },
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] fs::Error),
}

impl Error {
    /// Tells whether the server works but has no such file, or another one of this name.
    #[must_use]
    pub fn is_miss(&self) -> bool {
        matches!(self, Self::NotFound { .. } | Self::WrongSize { .. })
    }

    /// Tells whether another server may do better.
    #[must_use]
    pub fn is_servers(&self) -> bool {
        self.is_miss()
            || matches!(
                self,
                Self::Status { .. } | Self::Proxy { .. } | Self::Unreachable { .. } | Self::TooLarge { .. }
            )
    }

    /// Tells whether a file or a setting of this machine must change, so that another try without that fails as well.
    #[must_use]
    pub fn is_input(&self) -> bool {
        match self {
            Self::Certificates { .. } | Self::Identity { .. } | Self::ProxyAddress { .. } | Self::Address { .. } => {
                true
            }
            Self::File(error) => error.is_input(),
            _ => false,
        }
    }

    /// Returns what a person can do about it.
    #[must_use]
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Offline { .. } => vec!["run once without `--offline`; what is fetched is kept".to_owned()],
            Self::Proxy { status: 407, .. } => {
                vec![
                    "the proxy wants a login: write it into its address, `http_proxy=http://USER:PASSWORD@HOST:PORT`"
                        .to_owned(),
                ]
            }
            Self::Proxy { .. } => vec!["name hosts that are reached without a proxy in `no_proxy`".to_owned()],
            Self::ProxyAddress { .. } => vec!["write it as `http://HOST:PORT`".to_owned()],
            Self::Unreachable { cause, .. } if is_refused_certificate(cause) => {
                vec!["the server asks for a client certificate: name another one in the registry file, `client-certificate`".to_owned()]
            }
            Self::Unreachable { cause, .. } if cause.contains("certificate") => {
                vec!["name your organisation's certificate authorities with `--ca-file FILE`".to_owned()]
            }
            Self::File(error) => error.hints(),
            _ => Vec::new(),
        }
    }

    /// Makes an error of a status; what comes through a proxy may be the proxy's.
    pub(crate) fn of_status(url: &str, status: u16, proxy: Option<&Url>) -> Self {
        let url = mask(url);
        match proxy {
            Some(proxy) => Self::Proxy { url, proxy: mask(proxy.as_str()), status },
            None => Self::Status { url, status },
        }
    }

    /// Returns a kept start-up error once more.
    pub(crate) fn again(&self) -> Self {
        match self {
            Self::ProxyAddress { variable } => Self::ProxyAddress { variable },
            Self::Certificates { path } => Self::Certificates { path: path.clone() },
            Self::Identity { path } => Self::Identity { path: path.clone() },
            Self::File(error) => Self::File(error.again()),
            other => Self::Client { cause: other.to_string() },
        }
    }
}

/// Only a proxy asks for a login at a proxy (RFC 9110, 15.5.8); who said anything else cannot be told.
fn proxy_words(proxy: &str, status: u16) -> String {
    if status == 407 {
        format!("the proxy `{proxy}` asks for a login")
    } else {
        format!("the proxy `{proxy}` refused, or a server behind it")
    }
}

/// Tells whether the server did not like our certificate, or that we have none (RFC 8446, 6.2).
pub(crate) fn is_refused_certificate(cause: &str) -> bool {
    let alert = cause.split_once("received fatal alert: ").map(|(_, alert)| alert);
    alert.is_some_and(|alert| alert.contains("Certificate") || alert.contains("UnknownCA"))
}

/// Returns an address with its user name and password replaced, and without its query: upload sessions and object stores
/// have keys there.
#[must_use]
pub fn mask(address: &str) -> String {
    // what cannot be read cannot be cleaned: keep only what cannot hold a secret; `user:password@host` has no host, but
    // a scheme
    let Some(mut url) = Url::parse(address).ok().filter(Url::has_host) else {
        let behind = address.rsplit('@').next().unwrap_or_default();
        return behind.split('?').next().unwrap_or_default().to_owned();
    };
    if url.username().is_empty() && url.password().is_none() && url.query().is_none() {
        return address.to_owned();
    }
    if url.query().is_some() {
        url.set_query(Some("***"));
    }
    if url.username().is_empty() && url.password().is_none() {
        return url.to_string();
    }
    let removed = url.set_username("***").and_then(|()| url.set_password(None));
    if removed.is_ok() { url.to_string() } else { url.host_str().unwrap_or_default().to_owned() }
}

/// Returns an error with all its causes, without addresses.
pub(crate) fn chain(error: &reqwest::Error) -> String {
    let mut text = if error.is_timeout() { "no answer in time".to_owned() } else { String::new() };
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.contains(&words) {
            text = if text.is_empty() { words } else { format!("{text}: {words}") };
        }
        next = cause.source();
    }
    if text.is_empty() {
        text = match (error.is_connect(), error.is_body() || error.is_decode()) {
            (true, _) => "no connection".to_owned(),
            (_, true) => "the connection broke off".to_owned(),
            _ => "the request failed".to_owned(),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_credentials() {
        let table = [
            ("http://archive.example/ubuntu", "http://archive.example/ubuntu"),
            ("https://user:secret@archive.example/x", "https://***@archive.example/x"),
            ("https://user@archive.example/x", "https://***@archive.example/x"),
            ("https://archive.example/x?_state=secret", "https://archive.example/x?***"),
        ];
        for (address, masked) in table {
            assert_eq!(mask(address), masked);
        }
        for unreadable in [
            "http://user:secret@[broken",
            "user:secret@archive.example/x",
            "https://archive.example:99999/x?key=secret",
            "https://user:sec?ret@archive.example:99999/x?key=secret",
        ] {
            assert!(!mask(unreadable).contains("sec"), "{unreadable}");
        }
    }
}
