use std::fmt;

use redis::RedisConnectionInfo;

/// Who a client is to a server. The default is nobody: it does not log in.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Login {
    /// `None` for the server's default user.
    user: Option<String>,
    password: Option<String>,
}

impl Login {
    /// An empty user is the server's default user.
    pub(super) fn new(user: &str, password: &str) -> Self {
        let user = (!user.is_empty()).then(|| user.to_owned());
        Self { user, password: Some(password.to_owned()) }
    }

    pub(super) fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    pub(super) fn put_on(&self, mut settings: RedisConnectionInfo) -> RedisConnectionInfo {
        if let Some(user) = &self.user {
            settings = settings.set_username(user);
        }
        if let Some(password) = &self.password {
            settings = settings.set_password(password);
        }
        settings
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let password = self.password.as_ref().map(|_| "***");
        f.debug_struct("Login").field("user", &self.user).field("password", &password).finish()
    }
}
