//! No type that holds a secret is forgotten: each stands in an `assert_keeps_secret!` or `assert_never_written!` of its crate.
//!
//! The source is read as text, every crate that is released. A type holds a secret if a field of it does, through any container; a
//! reference and an `Arc` are handles, whose copies share the one secret. A type that nobody outside its module, or the one above, can name cannot
//! stand in its crate's list; of it no derive and no impl may give away what it holds.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};
use syn::{Attribute, Fields, File, Generics, Item, ItemImpl, Token, Type, UseTree, Visibility};

/// What every secret is made of.
const STORAGE: [&str; 7] =
    ["EcdsaKeyPair", "Ed25519KeyPair", "LockedBytes", "SecretBytes", "SecretKey", "SecretText", "Zeroizing"];
/// Keys of libraries that have too common a name: the module it is written with, and the name.
const QUALIFIED: [(&str, &str); 1] = [("hmac", "Key")];
/// Traits that give a secret away.
const GIVING: [&str; 9] =
    ["Clone", "Copy", "Deref", "Display", "Hash", "LowerHex", "PartialEq", "PartialOrd", "Serialize"];
/// Tests and measurements: nothing released links them.
const UNRELEASED: [&str; 9] =
    ["bench", "fuzzing", "journeys", "mailbox", "model", "probe", "sim", "software-tpm", "swtpm"];
/// Types that stand in no list, and why.
const EXPLAINED: [(&str, &str, &str); 2] = [
    (
        "attestation",
        "Key",
        "forges chains for tests, under keys that everybody can compute, in builds with that feature alone",
    ),
    ("enclave", "Populate", "makes filler wallets for measurements, in builds with that feature alone"),
];

/// One type as it is declared.
struct Declared {
    file: PathBuf,
    name: String,
    is_private: bool,
    /// Names of types in its fields, but for those behind a handle.
    holds: BTreeSet<String>,
    derives: BTreeSet<String>,
}

/// What of one file matters here.
#[derive(Default)]
struct Read {
    declared: Vec<Declared>,
    /// Types that stand in a list.
    asserted: BTreeSet<String>,
    /// Names that it has from another crate of the workspace, by crate.
    imported: BTreeMap<String, BTreeSet<String>>,
    /// Implementations of a trait that gives away, by the type's name.
    given: BTreeSet<(String, String)>,
}

fn crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Names in a type; not those behind a reference, a pointer to a function, an `Arc` or a `Weak`.
struct Names<'a>(&'a mut BTreeSet<String>);

impl<'ast> Visit<'ast> for Names<'_> {
    fn visit_type_reference(&mut self, _: &'ast syn::TypeReference) {}

    fn visit_type_bare_fn(&mut self, _: &'ast syn::TypeBareFn) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if matches!(names.last().map(String::as_str), Some("Arc" | "Weak" | "PhantomData")) {
            return;
        }
        let qualified = QUALIFIED.iter().any(|(module, name)| names.ends_with(&[(*module).into(), (*name).into()]));
        self.0.insert(if qualified { STORAGE[0].to_owned() } else { names.last().unwrap().clone() });
        visit::visit_path(self, path);
    }
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let text = match &attribute.meta {
            syn::Meta::List(list) if list.path.is_ident("cfg") => list.tokens.to_string(),
            _ => String::new(),
        };
        text.starts_with("test") || text.starts_with("all (test") || text.starts_with("all(test")
    })
}

fn is_private(visibility: &Visibility) -> bool {
    match visibility {
        Visibility::Public(_) => false,
        Visibility::Restricted(to) => !to.path.is_ident("crate"),
        Visibility::Inherited => true,
    }
}

fn derives(attributes: &[Attribute]) -> BTreeSet<String> {
    let lists = attributes.iter().filter(|attribute| attribute.path().is_ident("derive"));
    let paths =
        lists.flat_map(|list| list.parse_args_with(Punctuated::<syn::Path, Token![,]>::parse_terminated).unwrap());
    paths.map(|path| path.segments.last().unwrap().ident.to_string()).collect()
}

fn imports(tree: &UseTree, krate: Option<&str>, into: &mut BTreeMap<String, BTreeSet<String>>) {
    match (tree, krate) {
        (UseTree::Path(path), None) => {
            if let Some(own) = path.ident.to_string().strip_prefix("pinseal_") {
                imports(&path.tree, Some(own), into);
            }
        }
        (UseTree::Path(path), _) => imports(&path.tree, krate, into),
        (UseTree::Group(group), _) => group.items.iter().for_each(|tree| imports(tree, krate, into)),
        (UseTree::Name(name), Some(own)) => {
            into.entry(own.replace('_', "-")).or_default().insert(name.ident.to_string());
        }
        _ => {}
    }
}

impl Read {
    fn items(&mut self, items: &[Item], file: &Path) {
        for item in items {
            match item {
                Item::Struct(it) if !is_test(&it.attrs) => {
                    self.declare(&it.ident, &it.vis, &it.attrs, &it.generics, [&it.fields], file);
                }
                Item::Enum(it) if !is_test(&it.attrs) => {
                    let fields = it.variants.iter().map(|variant| &variant.fields);
                    self.declare(&it.ident, &it.vis, &it.attrs, &it.generics, fields, file);
                }
                Item::Mod(it) if !is_test(&it.attrs) => {
                    if let Some((_, items)) = &it.content {
                        self.items(items, file);
                    }
                }
                Item::Use(it) => imports(&it.tree, None, &mut self.imported),
                Item::Impl(it) => self.implementation(it),
                Item::Macro(it) => self.assertion(&it.mac),
                _ => {}
            }
        }
    }

    fn declare<'a>(
        &mut self,
        name: &syn::Ident,
        visibility: &Visibility,
        attributes: &[Attribute],
        generics: &Generics,
        fields: impl IntoIterator<Item = &'a Fields>,
        file: &Path,
    ) {
        let mut holds = BTreeSet::new();
        for field in fields.into_iter().flatten() {
            Names(&mut holds).visit_type(&field.ty);
        }
        // A parameter is whatever the user of the type says.
        for parameter in generics.type_params() {
            holds.remove(&parameter.ident.to_string());
        }
        self.declared.push(Declared {
            file: file.to_owned(),
            name: name.to_string(),
            is_private: is_private(visibility),
            holds,
            derives: derives(attributes),
        });
    }

    fn implementation(&mut self, it: &ItemImpl) {
        let Some((_, path, _)) = &it.trait_ else { return };
        let Type::Path(of) = &*it.self_ty else { return };
        let (implemented, of) = (path.segments.last().unwrap(), of.path.segments.last().unwrap());
        if GIVING.iter().any(|giving| implemented.ident == giving) {
            self.given.insert((of.ident.to_string(), implemented.ident.to_string()));
        }
    }

    fn assertion(&mut self, mac: &syn::Macro) {
        let name = mac.path.segments.last().unwrap().ident.to_string();
        if matches!(name.as_str(), "assert_keeps_secret" | "assert_never_written") {
            let types = mac.parse_body_with(Punctuated::<Type, Token![,]>::parse_terminated).unwrap();
            for listed in types {
                let Type::Path(listed) = listed else { panic!("{name} of something that has no name") };
                self.asserted.insert(listed.path.segments.last().unwrap().ident.to_string());
            }
        }
    }
}

/// Every file of a crate, read; and what its tests assert.
fn read(krate: &str) -> (Vec<Read>, BTreeSet<String>) {
    let (mut own, mut tests) = (Vec::new(), Vec::new());
    sources(&crates().join(krate).join("src"), &mut own);
    sources(&crates().join(krate).join("tests"), &mut tests);
    let parse = |file: &PathBuf| {
        let text = std::fs::read_to_string(file).unwrap();
        let parsed: File = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let mut read = Read::default();
        read.items(&parsed.items, file);
        read
    };
    let is_tests =
        |file: &&PathBuf| file.components().any(|part| matches!(part.as_os_str().to_str(), Some("tests.rs" | "tests")));
    let asserted = own.iter().chain(&tests).flat_map(|file| parse(file).asserted).collect();
    (own.iter().filter(|file| !is_tests(file)).map(parse).collect(), asserted)
}

#[test]
fn every_type_that_holds_a_secret_is_asserted_to_keep_it() {
    let names = std::fs::read_dir(crates()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let released: Vec<String> = names.filter(|name| !UNRELEASED.contains(&name.as_str())).collect();
    let read: BTreeMap<String, (Vec<Read>, BTreeSet<String>)> =
        released.iter().map(|krate| (krate.clone(), read(krate))).collect();

    let mut wrong = Vec::new();
    let mut explained = BTreeSet::new();
    let mut found = 0;
    for (krate, (files, asserted)) in &read {
        // What is found to hold a secret is one for whoever holds it.
        let mut holders: BTreeSet<&str> = asserted.iter().map(String::as_str).collect();
        loop {
            let before = holders.len();
            for file in files {
                let foreign: BTreeSet<&str> = file
                    .imported
                    .iter()
                    .filter_map(|(other, names)| Some((&read.get(other)?.1, names)))
                    .flat_map(|(asserted, names)| asserted.intersection(names).map(String::as_str))
                    .collect();
                for declared in &file.declared {
                    let is_secret = |name: &String| {
                        let name = name.as_str();
                        STORAGE.contains(&name) || holders.contains(name) || foreign.contains(name)
                    };
                    if declared.holds.iter().any(is_secret) {
                        holders.insert(&declared.name);
                    }
                }
            }
            if holders.len() == before {
                break;
            }
        }
        for declared in files.iter().flat_map(|file| &file.declared) {
            if !holders.contains(declared.name.as_str()) || asserted.contains(&declared.name) {
                continue;
            }
            found += 1;
            let reason = EXPLAINED.iter().find(|(own, name, _)| own == krate && *name == declared.name);
            if let Some((own, name, _)) = reason {
                explained.insert((*own, *name));
            } else if !declared.is_private {
                wrong.push(format!("{}: {} stands in no list", declared.file.display(), declared.name));
            }
            let given = files.iter().flat_map(|file| &file.given).filter(|(name, _)| *name == declared.name);
            let given = given.map(|(_, implemented)| implemented).chain(&declared.derives);
            for implemented in given.filter(|implemented| GIVING.contains(&implemented.as_str())) {
                if reason.is_none() && declared.is_private {
                    wrong.push(format!("{}: {} has {implemented}", declared.file.display(), declared.name));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "hold a secret:\n{}", wrong.join("\n"));
    assert_eq!(explained.len(), EXPLAINED.len(), "explained without need: {EXPLAINED:?}");
    assert!(found > 10, "{found} private types hold a secret");
}
