use dlock_core::{Builder, Result};

use crate::address::{Address, invalid};

/// A kind of backend, and how its URLs are opened.
struct Scheme {
    /// The cargo feature that brings it, which is also its name in messages.
    feature: &'static str,
    /// The schemes of the URLs that are its business, also those it can only refuse.
    schemes: &'static [&'static str],
    /// How its URL looks.
    form: &'static str,
    /// `None` where it is not compiled in.
    open: Option<fn(&Address<'_>) -> Result<Builder>>,
}

const SCHEMES: [Scheme; 4] = [
    Scheme { feature: "memory", schemes: &["memory"], form: "memory:NAME", open: MEMORY },
    Scheme { feature: "file", schemes: &["file"], form: "file:///DIRECTORY", open: FILE },
    Scheme {
        feature: "redis",
        schemes: &["redis", "rediss", "valkey", "valkeys"],
        form: "redis://HOST:PORT",
        open: REDIS,
    },
    Scheme { feature: "etcd", schemes: &["etcd", "etcds"], form: "etcd://HOST:PORT,HOST:PORT", open: ETCD },
];

pub(crate) fn open(address: &Address<'_>) -> Result<Builder> {
    let Some(scheme) = find(&address.scheme) else {
        return Err(invalid(format!("unknown scheme {:?} in the backend url: {}", address.scheme, compiled_in())));
    };
    let open = scheme.open.ok_or_else(|| {
        let feature = scheme.feature;
        invalid(format!(
            "the {feature} backend is not compiled in: enable the cargo feature {feature:?}, or {}",
            compiled_in()
        ))
    })?;
    open(address)
}

pub(crate) fn is_known(scheme: &str) -> bool {
    find(scheme).is_some()
}

/// What can be used instead, as the end of a message.
pub(crate) fn compiled_in() -> String {
    let (present, absent): (Vec<_>, Vec<_>) = SCHEMES.iter().partition(|scheme| scheme.open.is_some());
    let forms: Vec<_> = present.iter().map(|scheme| scheme.form).collect();
    let features: Vec<_> = absent.iter().map(|scheme| scheme.feature).collect();
    match (forms.is_empty(), features.is_empty()) {
        (true, _) => format!("no backend is compiled in, enable a cargo feature of {}", features.join(", ")),
        (false, true) => format!("use {}", forms.join(" or ")),
        (false, false) => {
            format!("use {} (not compiled in, each a cargo feature: {})", forms.join(" or "), features.join(", "))
        }
    }
}

fn find(scheme: &str) -> Option<&'static Scheme> {
    const { &SCHEMES }.iter().find(|known| known.schemes.contains(&scheme))
}

#[cfg(not(feature = "memory"))]
const MEMORY: Option<fn(&Address<'_>) -> Result<Builder>> = None;
#[cfg(not(feature = "file"))]
const FILE: Option<fn(&Address<'_>) -> Result<Builder>> = None;
#[cfg(not(feature = "redis"))]
const REDIS: Option<fn(&Address<'_>) -> Result<Builder>> = None;
#[cfg(not(feature = "etcd"))]
const ETCD: Option<fn(&Address<'_>) -> Result<Builder>> = None;

#[cfg(feature = "memory")]
const MEMORY: Option<fn(&Address<'_>) -> Result<Builder>> = Some(|address| {
    if address.place.starts_with('/') {
        return Err(invalid("a memory store is named without slashes in front: memory:NAME"));
    }
    let name = crate::percent::decode(address.place).map_err(|error| error.context("the memory store's name"))?;
    let store = dlock_core::memory::MemoryStore::named(&name);
    Ok(dlock_core::Locks::builder(dlock_core::memory::Memory::on(&store)))
});

#[cfg(feature = "file")]
const FILE: Option<fn(&Address<'_>) -> Result<Builder>> = Some(|address| {
    let path = match address.place.strip_prefix("//") {
        Some(rest) => rest.strip_prefix("localhost").filter(|path| path.starts_with('/')).unwrap_or(rest),
        None => address.place,
    };
    if path.is_empty() {
        return Err(invalid("the file url names no directory: write file:///var/lib/my-app/locks"));
    }
    if !path.starts_with('/') {
        return Err(invalid(
            "a file url names a directory of this machine from its root, with three slashes: \
             file:///var/lib/my-app/locks",
        ));
    }
    let path = crate::percent::decode(path).map_err(|error| error.context("the directory in the file url"))?;
    if path.contains('\0') {
        return Err(invalid("the directory in the file url contains a NUL character"));
    }
    Ok(dlock_core::Locks::builder(dlock_file::FileConfig::new(path)))
});

#[cfg(feature = "redis")]
const REDIS: Option<fn(&Address<'_>) -> Result<Builder>> = Some(|address| {
    let config = dlock_redis::RedisConfig::from_url(&address.without_options())?;
    Ok(dlock_core::Locks::builder(config))
});

#[cfg(feature = "etcd")]
const ETCD: Option<fn(&Address<'_>) -> Result<Builder>> = Some(|address| {
    let config = dlock_etcd::EtcdConfig::from_url(&address.without_options())?;
    Ok(dlock_core::Locks::builder(config))
});
