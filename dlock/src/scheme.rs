use dlock_core::{Builder, Result};

use crate::address::{Address, invalid};

type Open = fn(&Address<'_>) -> Result<Builder>;

/// A kind of backend, and how its URLs are opened.
struct Scheme {
    /// The cargo feature that brings it, which is also its name in messages.
    feature: &'static str,
    /// The schemes of the URLs that are its business, also those it can only refuse.
    schemes: &'static [&'static str],
    /// How its URL looks.
    form: &'static str,
    /// The options in its URL that are its own business.
    options: &'static [&'static str],
    /// `None` where it is not compiled in.
    open: Option<Open>,
}

const SCHEMES: [Scheme; 4] = [
    Scheme { feature: "memory", schemes: &["memory"], form: "memory:NAME", options: &[], open: MEMORY },
    Scheme { feature: "file", schemes: &["file"], form: "file:///DIRECTORY", options: &[], open: FILE },
    Scheme { feature: "redis", schemes: REDIS_SCHEMES, form: "redis://HOST:PORT", options: REDIS_OPTIONS, open: REDIS },
    Scheme {
        feature: "etcd",
        schemes: ETCD_SCHEMES,
        form: "etcd://HOST:PORT,HOST:PORT",
        options: ETCD_OPTIONS,
        open: ETCD,
    },
];

pub(crate) fn open(address: &Address<'_>) -> Result<Builder> {
    let (_, open) = usable(&address.scheme)?;
    open(address)
}

/// The options of this scheme's own, if it can be opened.
pub(crate) fn options(scheme: &str) -> Result<&'static [&'static str]> {
    usable(scheme).map(|(scheme, _)| scheme.options)
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

fn usable(scheme: &str) -> Result<(&'static Scheme, Open)> {
    let Some(known) = find(scheme) else {
        return Err(invalid(format!("unknown scheme {scheme:?} in the backend url: {}", compiled_in())));
    };
    let open = known.open.ok_or_else(|| {
        let feature = known.feature;
        invalid(format!(
            "the {feature} backend is not compiled in: enable the cargo feature {feature:?}, or {}",
            compiled_in()
        ))
    })?;
    Ok((known, open))
}

fn find(scheme: &str) -> Option<&'static Scheme> {
    const { &SCHEMES }.iter().find(|known| known.schemes.contains(&scheme))
}

#[cfg(not(feature = "memory"))]
const MEMORY: Option<Open> = None;
#[cfg(not(feature = "file"))]
const FILE: Option<Open> = None;
#[cfg(not(feature = "redis"))]
const REDIS: Option<Open> = None;
#[cfg(not(feature = "etcd"))]
const ETCD: Option<Open> = None;

#[cfg(feature = "memory")]
const MEMORY: Option<Open> = Some(|address| {
    if address.place.starts_with('/') {
        return Err(invalid("a memory store is named without slashes in front: memory:NAME"));
    }
    let name = dlock_core::address::decode(address.place).map_err(|error| error.context("the memory store's name"))?;
    let store = dlock_core::memory::MemoryStore::named(&name);
    Ok(dlock_core::Locks::builder(dlock_core::memory::Memory::on(&store)))
});

#[cfg(feature = "file")]
const FILE: Option<Open> = Some(|address| {
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
    let path = dlock_core::address::decode(path).map_err(|error| error.context("the directory in the file url"))?;
    if path.contains('\0') {
        return Err(invalid("the directory in the file url contains a NUL character"));
    }
    Ok(dlock_core::Locks::builder(dlock_file::FileConfig::new(path)))
});

#[cfg(not(feature = "redis"))]
const REDIS_SCHEMES: &[&str] = &["redis", "rediss", "valkey", "valkeys"];
#[cfg(not(feature = "redis"))]
const REDIS_OPTIONS: &[&str] = &[];

#[cfg(feature = "redis")]
const REDIS_SCHEMES: &[&str] = dlock_redis::RedisConfig::URL_SCHEMES;
#[cfg(feature = "redis")]
const REDIS_OPTIONS: &[&str] = dlock_redis::RedisConfig::URL_OPTIONS;
#[cfg(feature = "redis")]
const REDIS: Option<Open> = Some(|address| {
    let config = dlock_redis::RedisConfig::from_url(&address.with_own_options())?;
    Ok(dlock_core::Locks::builder(config))
});

#[cfg(not(feature = "etcd"))]
const ETCD_SCHEMES: &[&str] = &["etcd", "etcds"];
#[cfg(not(feature = "etcd"))]
const ETCD_OPTIONS: &[&str] = &[];

#[cfg(feature = "etcd")]
const ETCD_SCHEMES: &[&str] = dlock_etcd::EtcdConfig::URL_SCHEMES;
#[cfg(feature = "etcd")]
const ETCD_OPTIONS: &[&str] = dlock_etcd::EtcdConfig::URL_OPTIONS;
#[cfg(feature = "etcd")]
const ETCD: Option<Open> = Some(|address| {
    let config = dlock_etcd::EtcdConfig::from_url(&address.with_own_options())?;
    Ok(dlock_core::Locks::builder(config))
});
