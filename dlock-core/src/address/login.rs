use std::fmt;

/// Who a client is to a server. The default is nobody: it does not log in.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Login {
    /// `None` for the server's default user.
    user: Option<String>,
    password: Option<String>,
}

impl Login {
    /// Logs in with a password; an empty user is the server's default user.
    #[must_use]
    pub fn new(user: &str, password: &str) -> Self {
        let user = (!user.is_empty()).then(|| user.to_owned());
        Self { user, password: Some(password.to_owned()) }
    }

    /// The user, if it is not the server's default user.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The password, which may be empty; `None` for nobody.
    #[must_use]
    pub fn password(&self) -> Option<&str> {
        self.password.as_deref()
    }
}

/// The password is not shown.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let password = self.password.as_ref().map(|_| "***");
        f.debug_struct("Login").field("user", &self.user).field("password", &password).finish()
    }
}
