//! The operation table: which permission a method and a path need. What the table does not name is refused.

use std::collections::HashMap;

/// The operations of one endpoint. Templates without variables are found by one look-up.
#[derive(Default)]
pub struct Operations {
    exact: HashMap<Box<[u8]>, Vec<Exact>>,
    templates: Vec<Template>,
}

/// A method and the index of the permission that it needs.
type Exact = (Box<[u8]>, u8);

struct Template {
    method: Box<[u8]>,
    segments: Vec<Segment>,
    permission: u8,
}

enum Segment {
    Fixed(Box<[u8]>),
    Variable,
}

impl Operations {
    /// Adds an operation. `permission` is the index of a permission in the policy. Returns what is wrong.
    pub fn add(&mut self, method: &str, template: &str, permission: u8) -> Result<(), &'static str> {
        if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Err("an operation's method is not in capital letters");
        }
        if !template.starts_with('/') || !template.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("an operation's path does not begin with a slash or is not visible ASCII");
        }
        if template.contains(['?', '#', '%', '\\']) {
            return Err("an operation's path has a character that a path cannot have when it is compared");
        }
        let method = method.as_bytes().into();
        let segments = segments(template.as_bytes()).map(segment).collect::<Result<Vec<_>, _>>()?;
        if segments.iter().any(|segment| matches!(segment, Segment::Variable)) {
            self.templates.push(Template { method, segments, permission });
        } else {
            self.exact.entry(template.as_bytes().into()).or_default().push((method, permission));
        }
        Ok(())
    }

    /// The permission that the operation needs. `path` may have a query.
    pub fn permission(&self, method: &[u8], path: &[u8]) -> Option<u8> {
        let path = without_query(path);
        let exact = self.exact.get(path).and_then(|found| found.iter().find(|(each, _)| **each == *method));
        if let Some((_, permission)) = exact {
            return Some(*permission);
        }
        self.templates.iter().find(|each| *each.method == *method && each.matches(path)).map(|each| each.permission)
    }
}

impl Template {
    fn matches(&self, path: &[u8]) -> bool {
        let mut expected = self.segments.iter();
        let same = segments(path).all(|part| match expected.next() {
            Some(Segment::Fixed(text)) => **text == *part,
            Some(Segment::Variable) => is_variable(part),
            None => false,
        });
        same && expected.next().is_none()
    }
}

fn segments(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/')
}

fn segment(text: &[u8]) -> Result<Segment, &'static str> {
    match text {
        [b'{', name @ .., b'}'] if !name.is_empty() && !name.contains(&b'{') && !name.contains(&b'}') => {
            Ok(Segment::Variable)
        }
        text if text.contains(&b'{') || text.contains(&b'}') => Err("a variable has to be a whole segment of a path"),
        text => Ok(Segment::Fixed(text.into())),
    }
}

/// One segment of `[-._A-Za-z0-9]+`, which is neither `.` nor `..`.
fn is_variable(text: &[u8]) -> bool {
    let safe = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._".contains(byte);
    !text.is_empty() && text != b"." && text != b".." && text.iter().all(safe)
}

pub fn without_query(path: &[u8]) -> &[u8] {
    &path[..path.iter().position(|byte| matches!(byte, b'?' | b'#')).unwrap_or(path.len())]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn table() -> Operations {
        let mut table = Operations::default();
        table.add("POST", "/v2/models/m/infer", 0).unwrap();
        table.add("POST", "/v2/models/m/versions/{version}/infer", 0).unwrap();
        table.add("GET", "/v2/models/m", 1).unwrap();
        table.add("GET", "/v2", 1).unwrap();
        table.add("GET", "/a/{x}/{y}", 2).unwrap();
        table
    }

    #[test]
    fn only_what_is_listed_has_a_permission() {
        for (method, path, expected) in [
            ("POST", "/v2/models/m/infer", Some(0)),
            ("POST", "/v2/models/m/infer?x=/y", Some(0)),
            ("POST", "/v2/models/m/infer#x", Some(0)),
            ("POST", "/v2/models/m/versions/1.0_b-2/infer", Some(0)),
            ("GET", "/v2", Some(1)),
            ("GET", "/a/b/c", Some(2)),
            ("GET", "/v2/models/m/infer", None),
            ("post", "/v2/models/m/infer", None),
            ("POST", "/v2/models/m/infer/", None),
            ("POST", "/v2/models/M/infer", None),
            ("POST", "/v2/models/m/versions//infer", None),
            ("POST", "/v2/models/m/versions/../infer", None),
            ("POST", "/v2/models/m/versions/a%2fb/infer", None),
            ("POST", "/v2/models/m/versions/a/b/infer", None),
            ("POST", "/v2/models/m/versions/1", None),
            ("POST", "//v2/models/m/infer", None),
            ("POST", "", None),
            ("OPTIONS", "*", None),
            ("GET", "/", None),
        ] {
            assert_eq!(table().permission(method.as_bytes(), path.as_bytes()), expected, "{method} {path}");
        }
    }

    #[test]
    fn a_bad_template_is_refused() {
        let mut table = Operations::default();
        for (method, path) in
            [("get", "/"), ("", "/"), ("GET", "x"), ("GET", "/a{b}"), ("GET", "/{}"), ("GET", "/a%20"), ("GET", "/a b")]
        {
            assert!(table.add(method, path, 0).is_err(), "{method} {path}");
        }
    }

    proptest! {
        #[test]
        fn looking_up_never_panics(method in "\\PC{0,8}", path in "\\PC{0,40}", template in "\\PC{0,20}") {
            let mut table = table();
            let _ = table.add("GET", &template, 0);
            table.permission(method.as_bytes(), path.as_bytes());
        }
    }
}
