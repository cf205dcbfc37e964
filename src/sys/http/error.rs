//! Errors of requests; their texts hold no password.

use crate::fault::Explain;
use crate::fault::Turn;
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
    /// The address is not a web address.
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
    /// A proxy, or a server behind it, refused the request.
    #[error("cannot fetch `{url}`: {} (status {status})", proxy_words(proxy, *status))]
    Proxy {
        /// Address.
        url: String,
        /// Address of the proxy.
        proxy: String,
        /// HTTP status code.
        status: u16,
    },
    /// A proxy variable holds no usable address.
    #[error("cannot use the proxy of `{variable}`: it is not an http://, https:// or socks5:// address")]
    ProxyAddress {
        /// Name of the variable.
        variable: &'static str,
    },
    /// No attempt brought a complete answer.
    #[error("cannot fetch `{url}`: {cause}")]
    Unreachable {
        /// Address.
        url: String,
        /// The error of the connection.
        cause: String,
    },
    /// The body is larger than any plausible one.
    #[error("cannot fetch `{url}`: it has more than {limit} bytes")]
    TooLarge {
        /// Address.
        url: String,
        /// Largest accepted size in bytes.
        limit: u64,
    },
    /// The file on the server has another size than the wanted one.
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
        /// The error of the client.
        cause: String,
    },
    /// The file of additional certificates holds no certificate.
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
    /// Tells whether the server works but lacks the wanted file, or has another one of this name.
    #[must_use]
    pub fn is_miss(&self) -> bool {
        matches!(self, Self::NotFound { .. } | Self::WrongSize { .. })
    }

    /// Tells whether the failure is the server's, so that another server may succeed.
    #[must_use]
    pub fn is_servers(&self) -> bool {
        self.is_miss()
            || matches!(
                self,
                Self::Status { .. } | Self::Proxy { .. } | Self::Unreachable { .. } | Self::TooLarge { .. }
            )
    }

    /// Returns the error of a status. With a proxy in between, nobody can tell which of the two it comes from.
    pub(crate) fn of_status(url: &str, status: u16, proxy: Option<&Url>) -> Self {
        let url = mask(url);
        match proxy {
            Some(proxy) => Self::Proxy { url, proxy: mask(proxy.as_str()), status },
            None => Self::Status { url, status },
        }
    }

    /// Returns a copy of an error that is kept because the client is started only once.
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

impl Explain for Error {
    fn turn(&self) -> Turn {
        match self {
            Self::Certificates { .. } | Self::Identity { .. } | Self::ProxyAddress { .. } | Self::Address { .. } => {
                Turn::Input
            }
            Self::File(error) => error.turn(),
            _ => Turn::Outside,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Offline { .. } => vec!["run once without `--offline`; what is fetched is kept".to_owned()],
            Self::Status { url, status: 401 } => vec![login_hint(url)],
            Self::Proxy { url, status: 401, .. } => vec![login_hint(url)],
            Self::Proxy { status: 407, .. } => {
                vec![
                    "the proxy wants a login: write it into its address, `http_proxy=http://USER:PASSWORD@HOST:PORT`"
                        .to_owned(),
                ]
            }
            Self::Proxy { .. } => vec!["name hosts that are reached without a proxy in `no_proxy`".to_owned()],
            Self::ProxyAddress { .. } => vec!["write it as `http://HOST:PORT` or `socks5h://HOST:PORT`".to_owned()],
            Self::Unreachable { cause, .. } if is_refused_certificate(cause) => {
                vec!["the server asks for a client certificate: name another one in the registry file, `client-certificate`".to_owned()]
            }
            Self::Unreachable { cause, .. } if cause.contains("CaUsedAsEndEntity") => {
                vec!["the server shows a certificate of an authority (CA:TRUE) as its own: have one issued for it with `CA:FALSE`, and name the authority with `--ca-file FILE`".to_owned()]
            }
            // the first bytes of an answer in plain http are no TLS record
            Self::Unreachable { cause, .. } if cause.contains("InvalidContentType") => {
                vec!["the server does not speak TLS at this port: name the port of https, or write `http://` and name the host in `insecure`".to_owned()]
            }
            Self::Unreachable { cause, .. } if cause.contains("tunnel") => {
                vec!["the proxy opens no tunnel (CONNECT) to this host and port: have it allowed there, or name the host in `no_proxy`".to_owned()]
            }
            Self::Unreachable { cause, .. } if cause.contains("certificate") => {
                vec!["name your organisation's certificate authorities with `--ca-file FILE`".to_owned()]
            }
            Self::File(error) => error.hints(),
            _ => Vec::new(),
        }
    }
}

/// Says where the login for an archive goes.
fn login_hint(url: &str) -> String {
    let host = Url::parse(url).ok().and_then(|url| {
        let host = url.host_str()?.to_owned();
        let scheme = if url.scheme() == "http" { "http://" } else { "" };
        Some(format!("{scheme}{host}{}", url.port().map(|port| format!(":{port}")).unwrap_or_default()))
    });
    let host = host.unwrap_or_else(|| "HOST".to_owned());
    format!(
        "the server wants a login: write `machine {host} login USER password PASSWORD` into apt's `auth.conf.d`, into `SOCKEL_ARCHIVE_LOGINS`, or into the file that `archive-logins` in the registry file names"
    )
}

/// Says who refused. Only a proxy asks for a login at a proxy (RFC 9110, 15.5.8); any other status may be the server's.
fn proxy_words(proxy: &str, status: u16) -> String {
    if status == 407 {
        format!("the proxy `{proxy}` asks for a login")
    } else {
        format!("the proxy `{proxy}` refused the request, or a server behind it did")
    }
}

/// Tells whether the server rejects our certificate, or that we have none (RFC 8446, 6.2).
pub(crate) fn is_refused_certificate(cause: &str) -> bool {
    // the words of rustls for an alert from the other side; our own doubts about its certificate read differently
    let alert = cause.split_once("received fatal alert: ").map(|(_, alert)| alert);
    alert.is_some_and(|alert| alert.contains("Certificate") || alert.contains("UnknownCA"))
}

/// Returns an address with its user name and password replaced, and without its query: upload sessions and object stores
/// have keys there.
#[must_use]
pub fn mask(address: &str) -> String {
    // an address that does not parse may have its secret anywhere: only the part behind the login and before the query is
    // kept; `user:password@host` parses, as a scheme without a host
    let Some(mut url) = Url::parse(address).ok().filter(Url::has_host) else {
        let behind_login = address.rsplit('@').next().unwrap_or_default();
        return behind_login.split('?').next().unwrap_or_default().to_owned();
    };

    // a plain address stays as people wrote it: the parser would add a slash
    let has_login = !url.username().is_empty() || url.password().is_some();
    if !has_login && url.query().is_none() {
        return address.to_owned();
    }

    if url.query().is_some() {
        url.set_query(Some("***"));
    }
    if !has_login {
        return url.to_string();
    }
    let removed = url.set_username("***").and_then(|()| url.set_password(None));
    // if in doubt, the host alone is shown
    if removed.is_ok() { url.to_string() } else { url.host_str().unwrap_or_default().to_owned() }
}

/// Returns an error with all its causes, without addresses.
pub(crate) fn chain(error: &reqwest::Error) -> String {
    let mut text = if error.is_timeout() { "no answer in time".to_owned() } else { String::new() };

    // the text of reqwest's own error has the address, with a login in it: only its causes are used
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        let words = cause.to_string();
        // many wrappers repeat the text of what they wrap
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
    fn causes_that_stay_have_remedies() {
        // the words of rustls and hyper for them
        let table = [
            ("invalid peer certificate: Other(OtherError(CaUsedAsEndEntity))", "`CA:FALSE`"),
            ("received corrupt message of type InvalidContentType", "does not speak TLS"),
            ("cannot connect through the proxy `http://p/`: tunnel error: unsuccessful", "(CONNECT)"),
            ("invalid peer certificate: UnknownIssuer", "--ca-file"),
            ("received fatal alert: CertificateRequired", "client-certificate"),
        ];
        for (cause, remedy) in table {
            let error = Error::Unreachable { url: String::new(), cause: cause.to_owned() };
            assert!(error.hints()[0].contains(remedy), "{cause}: {:?}", error.hints());
        }
    }

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
