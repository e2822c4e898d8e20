use super::{Address, Login, UrlOptions, decode, invalid};
use crate::{Error, Result};

/// A URL `scheme://[[user]:password@]host[:port][,host[:port]...][/path][?options]`, taken apart.
#[derive(Clone)]
pub struct ServerUrl<'a> {
    scheme: &'a str,
    login: Option<&'a str>,
    hosts: &'a str,
    path: &'a str,
    query: &'a str,
    form: &'a str,
}

impl<'a> ServerUrl<'a> {
    /// Takes `url` apart, of which one looks like `form`: messages end with it. Nothing is decoded
    /// or judged yet that other parts do not depend on.
    ///
    /// # Errors
    /// `InvalidInput` where there is no scheme, or a `#`, or a raw `@` behind the `?`.
    pub fn split(url: &'a str, form: &'a str) -> Result<Self> {
        let (scheme, rest) = url
            .split_once("://")
            .filter(|(scheme, _)| is_scheme(scheme))
            .ok_or_else(|| invalid(format!("the url does not start with a scheme and ://; the form is {form}")))?;
        if rest.contains('#') {
            return Err(invalid("the url has a fragment: write a # that belongs to a part of it as %23"));
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        if query.contains('@') {
            return Err(invalid(
                "there is an @ among the url's options: write a ? in a password as %3F, and an @ in an option as %40",
            ));
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (login, hosts) = match authority.rsplit_once('@') {
            Some((login, hosts)) => (Some(login), hosts),
            None => (None, authority),
        };
        Ok(Self { scheme, login, hosts, path, query, form })
    }

    /// The same URL, where its scheme says that another form is expected.
    #[must_use]
    pub fn with_form(mut self, form: &'a str) -> Self {
        self.form = form;
        self
    }

    /// What stands before `://`, as it was written.
    #[must_use]
    pub fn scheme(&self) -> &'a str {
        self.scheme
    }

    /// Who logs in: nobody where there is no `@`.
    ///
    /// # Errors
    /// `InvalidInput` when it is not `user:password` or `:password`, or badly encoded.
    pub fn login(&self) -> Result<Login> {
        let Some(login) = self.login else { return Ok(Login::default()) };
        let (user, password) =
            login.split_once(':').ok_or_else(|| self.malformed("what stands before the @ is user:password"))?;
        Ok(Login::new(&self.decoded(user)?, &self.decoded(password)?))
    }

    /// The text between login and path, as it was written.
    #[must_use]
    pub fn hosts(&self) -> &'a str {
        self.hosts
    }

    /// The servers: at least one.
    ///
    /// # Errors
    /// As [`Address::parse`].
    pub fn addresses(&self, default_port: u16) -> Result<Vec<Address>> {
        let parse = |one| Address::parse(one, default_port).map_err(|error| self.show_form(error));
        self.hosts.split(',').map(parse).collect()
    }

    /// What follows the servers, with its first slash and as it was written; it may be empty.
    #[must_use]
    pub fn path(&self) -> &'a str {
        self.path
    }

    /// What is percent-encoded in a part of this URL.
    ///
    /// # Errors
    /// As [`decode`].
    pub fn decoded(&self, part: &str) -> Result<String> {
        decode(part).map_err(|error| self.show_form(error.context("the url is malformed")))
    }

    /// What follows the `?`.
    ///
    /// # Errors
    /// `InvalidInput` for an option that is not one of `known`, is there twice or is badly encoded.
    pub fn options(&self, known: &'static [&'static str]) -> Result<UrlOptions> {
        UrlOptions::read(self.query, known)
    }

    /// The error for a URL that is wrong in this way.
    #[must_use]
    pub fn malformed(&self, what: &str) -> Error {
        self.show_form(invalid(what))
    }

    fn show_form(&self, error: Error) -> Error {
        invalid(format!("{error}; the form is {}", self.form))
    }
}

/// It may hold a password, which is not shown.
impl std::fmt::Debug for ServerUrl<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerUrl").field("scheme", &self.scheme).field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

/// As RFC 3986, 3.1 has it.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        for (url, scheme, hosts, path, user, password) in [
            ("a://h", "a", "h", "", None, None),
            ("a+b://:p@ss@h,i:7/x/y?", "a+b", "h,i:7", "/x/y", None, Some("p@ss")),
            ("a://m%3Ae:%2F@/", "a", "", "/", Some("m:e"), Some("/")),
        ] {
            let parts = ServerUrl::split(url, "").unwrap();
            assert_eq!((parts.scheme(), parts.hosts(), parts.path()), (scheme, hosts, path), "{url}");
            let login = parts.login().unwrap();
            assert_eq!((login.user(), login.password()), (user, password), "{url}");
        }
    }

    #[test]
    fn servers_are_listed() {
        let shown = |url| {
            ServerUrl::split(url, "")
                .unwrap()
                .addresses(5)
                .map(|all| all.iter().map(Address::to_string).collect::<Vec<_>>())
        };
        assert_eq!(shown("a://h,i:7,[::1]/x").unwrap(), ["h:5", "i:7", "[::1]:5"]);
        for url in ["a://", "a://h,", "a://u:p@:5", "a://h:x"] {
            assert!(shown(url).is_err(), "{url}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_without_the_password() {
        let read = |url| {
            let url = ServerUrl::split(url, "FORM")?;
            url.login()?;
            url.addresses(1)?;
            url.options(&["one"]).map(|_| ())
        };
        for (url, why) in [
            ("secret", "does not start with a scheme"),
            ("u:secret@://h", "does not start with a scheme"),
            ("a://u:se#secret@h", "write a # that"),
            ("a://u:p?secret@h", "write a ? in a password as %3F"),
            ("a://u:p/secret@h", "a port is a number from 1 to 65535; the form is FORM"),
            ("a://secret@h", "before the @ is user:password; the form is FORM"),
            ("a://u:%FFsecret@h", "malformed: what is percent-encoded is not utf-8; the form is FORM"),
            ("a://u:%secret@h", "two hexadecimal digits"),
            ("a://u:secret@h?two=1", "unknown option \"two\""),
        ] {
            let error = read(url).unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::InvalidInput);
            assert!(error.to_string().contains(why), "{url}: {error}");
            assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        }
        assert!(!format!("{:?}", ServerUrl::split("a://u:secret@h/secret?secret", "").unwrap()).contains("secret"));
    }
}
