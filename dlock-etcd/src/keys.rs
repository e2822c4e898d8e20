//! Where claims stand in the key space.
//!
//! ```text
//! {namespace}/{name}//rw/d/{seat}   an exclusive claim that was downgraded; only a holder gets here
//! {namespace}/{name}//rw/s/{seat}   a shared claim
//! {namespace}/{name}//rw/x/{seat}   an exclusive claim
//! {namespace}/{name}//p{n}/{seat}   a permit of n
//! ```
//!
//! A seat is one client's, which has one claim there after another; whose the key is says its record.
//!
//! No part of a name between slashes is empty, so the first `//` ends the name: the range of `a`
//! holds nothing of `a/b`, while `{namespace}/a/` covers both.

use dlock_core::{ClaimId, LockName, Mode, NamePrefix, Namespace};

/// A half-open range of keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Span {
    pub(crate) from: Vec<u8>,
    pub(crate) end: Vec<u8>,
}

/// The part of a name that a claim's key stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Section {
    /// Downgraded: shared, and older than everything else under the name.
    Downgraded,
    /// In the mode it was requested in.
    Plain(Mode),
}

/// Where a claim of one client stands within a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seat {
    pub(crate) client: ClaimId,
    pub(crate) number: u32,
}

/// The keys of one name.
#[derive(Clone, Debug)]
pub(crate) struct NameKeys(String);

/// The keys of a namespace.
#[derive(Clone, Debug)]
pub(crate) struct Keys(String);

impl Keys {
    pub(crate) fn new(namespace: &Namespace) -> Self {
        Self(format!("{namespace}/"))
    }

    pub(crate) fn name(&self, name: &LockName) -> NameKeys {
        NameKeys(format!("{}{name}//", self.0))
    }

    /// Every key of the names that `prefix` covers.
    pub(crate) fn below(&self, prefix: &NamePrefix) -> Span {
        match prefix.name() {
            Some(name) => Span::of_prefix(&format!("{}{name}/", self.0)),
            None => Span::of_prefix(&self.0),
        }
    }

    /// The name that a key belongs to, if it belongs to one.
    pub(crate) fn name_of(&self, key: &[u8]) -> Option<LockName> {
        let (name, _) = std::str::from_utf8(key).ok()?.strip_prefix(&self.0)?.split_once("//")?;
        name.parse().ok()
    }
}

impl NameKeys {
    /// Everything under the name.
    pub(crate) fn all(&self) -> Span {
        Span::of_prefix(&self.0)
    }

    /// Where a claim is put that sits there.
    pub(crate) fn claim(&self, section: Section, seat: Seat) -> Vec<u8> {
        format!("{}{}{}.{}", self.0, section.path(), seat.client, seat.number).into_bytes()
    }

    /// Every key that the claim could stand at: a downgrade in doubt leaves two.
    pub(crate) fn places(&self, mode: Mode, seat: Seat) -> Vec<Vec<u8>> {
        let sections = match mode {
            Mode::Exclusive | Mode::Shared => {
                vec![Section::Plain(Mode::Exclusive), Section::Plain(Mode::Shared), Section::Downgraded]
            }
            Mode::Permit { .. } => vec![Section::Plain(mode)],
        };
        sections.into_iter().map(|section| self.claim(section, seat)).collect()
    }

    /// One section of the name.
    pub(crate) fn section(&self, section: Section) -> Span {
        Span::of_prefix(&format!("{}{}", self.0, section.path()))
    }

    /// The sections of all claims that `mode` combines with.
    pub(crate) fn family(&self, mode: Mode) -> Span {
        match mode {
            Mode::Exclusive | Mode::Shared => Span::of_prefix(&format!("{}rw/", self.0)),
            Mode::Permit { .. } => self.section(Section::Plain(mode)),
        }
    }

    /// Everything under the name that is not of `mode`'s family: claims it cannot be combined
    /// with, and what is no claim at all.
    pub(crate) fn strangers(&self, mode: Mode) -> [Span; 2] {
        let (all, family) = (self.all(), self.family(mode));
        [Span { from: all.from, end: family.from }, Span { from: family.end, end: all.end }]
    }

    /// Shared and exclusive claims, without downgraded ones.
    pub(crate) fn queue(&self) -> Span {
        Span {
            from: self.section(Section::Plain(Mode::Shared)).from,
            end: self.section(Section::Plain(Mode::Exclusive)).end,
        }
    }

    /// Where a claim stands whose key under this name it is.
    pub(crate) fn parse(&self, key: &[u8]) -> Option<(Section, Seat)> {
        let rest = std::str::from_utf8(key).ok()?.strip_prefix(&self.0)?;
        let (path, seat) = rest.rsplit_once('/')?;
        let (client, number) = seat.split_once('.')?;
        let section = match path {
            "rw/d" => Section::Downgraded,
            "rw/s" => Section::Plain(Mode::Shared),
            "rw/x" => Section::Plain(Mode::Exclusive),
            permit => {
                let limit: std::num::NonZeroU32 = permit.strip_prefix('p')?.parse().ok()?;
                Section::Plain(Mode::Permit { limit })
            }
        };
        // Only the canonical spelling: "p03" and "p+3" are not where a permit of 3 stands.
        let parsed = (section, Seat { client: client.parse().ok()?, number: number.parse().ok()? });
        (self.claim(parsed.0, parsed.1) == key).then_some(parsed)
    }
}

impl Section {
    /// The mode that others see in a claim of this section.
    pub(crate) fn mode(self) -> Mode {
        match self {
            Self::Downgraded => Mode::Shared,
            Self::Plain(mode) => mode,
        }
    }

    fn path(self) -> String {
        match self {
            Self::Downgraded => "rw/d/".into(),
            Self::Plain(Mode::Shared) => "rw/s/".into(),
            Self::Plain(Mode::Exclusive) => "rw/x/".into(),
            Self::Plain(Mode::Permit { limit }) => format!("p{limit}/"),
        }
    }
}

impl Span {
    /// All keys that start with `prefix`, which ends with a slash.
    fn of_prefix(prefix: &str) -> Self {
        let parent = prefix.strip_suffix('/').expect("prefixes of this module end with a slash");
        // '0' is the character after '/'.
        Self { from: prefix.into(), end: format!("{parent}0").into_bytes() }
    }

    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        self.from.as_slice() <= key && key < self.end.as_slice()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(name: &str) -> NameKeys {
        Keys::new(&Namespace::default()).name(&name.parse().unwrap())
    }

    fn seat() -> Seat {
        Seat { client: ClaimId::random(), number: fastrand::u32(..) }
    }

    fn permit(limit: u32) -> Mode {
        Mode::Permit { limit: limit.try_into().unwrap() }
    }

    fn sections() -> [Section; 4] {
        [Section::Downgraded, Section::Plain(Mode::Shared), Section::Plain(Mode::Exclusive), Section::Plain(permit(12))]
    }

    #[test]
    fn keys_round_trip() {
        for name in ["a", "a/b", "ünï côdé/🦀", "rw", "p3/x"] {
            for section in sections() {
                let id = seat();
                let key = keys(name).claim(section, id);
                assert_eq!(keys(name).parse(&key), Some((section, id)));
                assert_eq!(Keys::new(&Namespace::default()).name_of(&key), Some(name.parse().unwrap()));
            }
        }
    }

    #[test]
    fn a_range_never_catches_a_sibling() {
        let names = ["a", "ab", "a/b", "a/b/c", "a.b", "a0", "a/rw", "a/rw/x"];
        for one in names {
            for other in names {
                let key = keys(other).claim(Section::Plain(Mode::Exclusive), seat());
                assert_eq!(keys(one).all().contains(&key), one == other, "{one} and {other}");
            }
        }
    }

    #[test]
    fn strangers_are_all_but_the_family() {
        for section in sections() {
            let key = keys("a").claim(section, seat());
            for mode in [Mode::Exclusive, Mode::Shared, permit(12), permit(1), permit(120)] {
                let strange = keys("a").strangers(mode).iter().any(|span| span.contains(&key));
                assert_eq!(strange, !mode.combines_with(section.mode()), "{mode} beside {section:?}");
                assert_ne!(strange, keys("a").family(mode).contains(&key));
            }
        }
        for garbage in ["dlock/a//", "dlock/a//q", "dlock/a//p12", "dlock/a//rx/", "dlock/a//rw"] {
            assert!(
                keys("a").strangers(Mode::Shared).iter().any(|span| span.contains(garbage.as_bytes())),
                "{garbage}"
            );
            assert_eq!(keys("a").parse(garbage.as_bytes()), None);
        }
    }

    #[test]
    fn other_spellings_are_not_claims() {
        let id = format!("{}.7", ClaimId::random());
        for path in ["p03/", "p+3/", "p0/", "rw/", "rw/q/", "rw/x//", ""] {
            assert_eq!(keys("a").parse(format!("dlock/a//{path}{id}").as_bytes()), None, "{path}");
        }
        let client = ClaimId::random();
        for seat in
            [client.to_string(), format!("{client}."), format!("{client}.07"), format!("{client}.-1"), "0.1".into()]
        {
            assert_eq!(keys("a").parse(format!("dlock/a//rw/x/{seat}").as_bytes()), None, "{seat}");
        }
        assert_eq!(keys("a").parse(b"dlock/a//rw/x/\xff"), None);
    }

    #[test]
    fn prefixes_cover_names_below() {
        let all = Keys::new(&Namespace::default());
        let below = all.below(&NamePrefix::below("a".parse().unwrap()));
        for (name, covered) in [("a", true), ("a/b", true), ("ab", false), ("a.b", false)] {
            assert_eq!(below.contains(&keys(name).all().from), covered, "{name}");
            assert!(all.below(&NamePrefix::root()).contains(&keys(name).all().from));
        }
    }
}
