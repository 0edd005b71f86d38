//! The description of all paths (OpenAPI 3.1), for people and for generators of
//! clients. It lies beside this file; a test compares it with the routes.

use axum_core::response::Response;

use crate::respond::with_kind;

/// `GET /openapi.json`
pub fn document() -> Response {
    with_kind("application/json", DOCUMENT)
}

const DOCUMENT: &str = include_str!("openapi.json");

#[cfg(test)]
mod tests {
    use serde_json::Value;

    /// Paths of the document and of the routes are the same.
    #[test]
    fn every_path_is_described() {
        let document: Value = serde_json::from_str(super::DOCUMENT).unwrap();
        let described: Vec<(String, String)> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, methods)| {
                let methods = methods.as_object().unwrap().keys();
                methods
                    .map(|m| (path.clone(), m.clone()))
                    .collect::<Vec<_>>()
            })
            .collect();
        let route = |(method, path): &(&str, &str)| (path.to_string(), method.to_lowercase());
        let mut routed: Vec<(String, String)> = crate::routes::ROUTES.iter().map(route).collect();
        let mut described = described;
        described.sort();
        routed.sort();
        assert_eq!(described, routed);
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document: Value = serde_json::from_str(super::DOCUMENT).unwrap();
        let mut seen = 0;
        let mut left = vec![&document];
        while let Some(value) = left.pop() {
            match value {
                Value::Object(map) => {
                    if let Some(Value::String(path)) = map.get("$ref") {
                        let target = document.pointer(path.trim_start_matches('#'));
                        assert!(target.is_some(), "{path}");
                        seen += 1;
                    }
                    left.extend(map.values());
                }
                Value::Array(list) => left.extend(list),
                _ => {}
            }
        }
        assert!(seen > 20);
    }
}
