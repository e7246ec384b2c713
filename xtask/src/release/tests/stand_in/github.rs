//! What GitHub answers, from a state that is a file.

use std::fs;

use serde_json::{Value, json};

use super::{REPOSITORY, Reply, Request, Shared, held};
use crate::digest;

impl Shared {
    pub(super) fn read(&self) -> Value {
        let text = fs::read_to_string(self.folder.join("state.json"));
        let empty = || json!({ "next": 1, "releases": [], "tags": {}, "commits": ["c0ffee"] });
        text.map_or_else(|_| empty(), |text| serde_json::from_str(&text).unwrap())
    }

    pub(super) fn write(&self, state: &Value) {
        crate::files::replace_file(&self.folder.join("state.json"), &state.to_string()).unwrap();
    }

    /// A file that means one thing for ever once anybody has got it.
    fn served(&self, path: &str, bytes: Vec<u8>) -> Reply {
        let digest = digest::bytes(&bytes);
        let first = held(&self.seen).entry(path.to_owned()).or_insert_with(|| digest.clone()).clone();
        if first != digest {
            held(&self.changed).push(path.to_owned());
        }
        Reply::Bytes(bytes)
    }

    pub(super) fn upload(&self, request: &Request, whole: bool) -> Reply {
        let _held = held(&self.state);
        let mut state = self.read();
        let release = request.path.trim_start_matches("/uploads/").parse::<u64>().unwrap_or(0);
        let kept = |c: char| if c.is_ascii_alphanumeric() || "._+-".contains(c) { c } else { '.' };
        let name: String = request.parameter("name").unwrap_or_default().chars().map(kept).collect();
        let id = next(&mut state);
        let Some(release) = find(&mut state, release) else { return absent() };
        let assets = release["assets"].as_array_mut().unwrap();
        if assets.iter().any(|asset| asset["name"] == name) {
            let errors = json!([{ "resource": "ReleaseAsset", "code": "already_exists", "field": "name" }]);
            return Reply::Json(422, json!({ "message": "Validation Failed", "errors": errors }));
        }
        let digest = format!("sha256:{}", digest::bytes(&request.body));
        let asset = match whole {
            true => {
                json!({ "id": id, "name": name, "state": "uploaded", "size": request.body.len(), "digest": digest })
            }
            false => json!({ "id": id, "name": name, "state": "starter", "size": 0, "digest": null }),
        };
        assets.push(asset.clone());
        let tag = release["tag_name"].clone();
        fs::create_dir_all(self.folder.join("assets")).unwrap();
        fs::write(self.folder.join(format!("assets/{id}")), &request.body).unwrap();
        self.write(&state);
        Reply::Json(201, self.shown(&asset, &tag))
    }

    fn shown(&self, asset: &Value, tag: &Value) -> Value {
        let mut asset = asset.clone();
        let (tag, name) = (tag.as_str().unwrap(), asset["name"].as_str().unwrap());
        let url = format!("{}/{REPOSITORY}/releases/download/{tag}/{name}", self.url);
        asset["browser_download_url"] = json!(url);
        asset
    }

    fn release(&self, release: &Value) -> Value {
        let mut release = release.clone();
        release["upload_url"] = json!(format!("{}/uploads/{}{{?name,label}}", self.url, release["id"]));
        release
    }

    pub(super) fn answer(&self, request: &Request) -> Reply {
        if request.authorised == Some(false) {
            return Reply::Json(401, json!({ "message": "Bad credentials" }));
        }
        if request.path.starts_with("/uploads/") {
            return self.upload(request, true);
        }
        if let Some(path) = request.path.strip_prefix("/packages/") {
            let Ok(bytes) = fs::read(self.folder.join("packages").join(path)) else { return absent() };
            let for_ever = ["/pool/", "/Packages/", "/by-hash/", ".pkg.tar.zst", "/index/"];
            return match for_ever.iter().any(|part| request.path.contains(part)) {
                true => self.served(&request.path, bytes),
                false => Reply::Bytes(bytes),
            };
        }
        let _held = held(&self.state);
        let mut state = self.read();
        if let Some(id) = request.path.strip_prefix("/objects/") {
            let bytes = fs::read(self.folder.join("assets").join(id));
            return bytes.map_or_else(|_| absent(), Reply::Bytes);
        }
        if let Some(rest) = request.path.strip_prefix(&format!("/{REPOSITORY}/releases/download/")) {
            return self.download(&state, &request.path, rest);
        }
        // As GitHub answers for a repository that was renamed.
        if let (Some(name), "/repos/mathesar-everywhere/mathesar-launcher") =
            (state["renamed"].as_str(), &*request.path)
        {
            return Reply::Redirect(format!("{}/repositories/{name}", self.url));
        }
        if let Some(name) = request.path.strip_prefix("/repositories/") {
            let known = request.authorised == Some(true);
            return Reply::Json(200, json!({ "full_name": name, "permissions": { "push": known } }));
        }
        let Some(rest) = request.path.strip_prefix(&format!("/repos/{REPOSITORY}")) else { return absent() };
        let writes = request.method != "GET";
        if writes && request.authorised.is_none() {
            return Reply::Json(401, json!({ "message": "Requires authentication" }));
        }
        let parts: Vec<&str> = rest.split('/').filter(|part| !part.is_empty()).collect();
        let reply = self.of_repository(&mut state, request, &parts);
        if writes {
            self.write(&state);
        }
        reply
    }

    fn download(&self, state: &Value, path: &str, rest: &str) -> Reply {
        let (tag, name) = rest.split_once('/').unwrap_or_default();
        let published = |release: &&Value| release["draft"] == false && release["tag_name"] == tag;
        let release = state["releases"].as_array().unwrap().iter().find(published);
        let assets = release.and_then(|release| release["assets"].as_array()).into_iter().flatten();
        let whole = |asset: &&Value| asset["name"] == name && asset["state"] == "uploaded";
        let Some(asset) = assets.into_iter().find(whole) else { return absent() };
        let bytes = fs::read(self.folder.join(format!("assets/{}", asset["id"]))).unwrap_or_default();
        self.served(path, bytes);
        Reply::Redirect(format!("{}/objects/{}", self.url, asset["id"]))
    }

    fn of_repository(&self, state: &mut Value, request: &Request, parts: &[&str]) -> Reply {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
        let known = request.authorised == Some(true);
        match (request.method.as_str(), parts) {
            ("GET", []) => {
                Reply::Json(200, json!({ "full_name": REPOSITORY, "permissions": { "push": known } }))
            }
            ("GET", ["releases", "tags", tag]) => {
                self.one(state, |release| release["draft"] == false && release["tag_name"] == *tag)
            }
            ("GET", ["releases", "latest"]) => self.one(state, |release| release["draft"] == false),
            ("GET", ["releases"]) => {
                let all = state["releases"].as_array().unwrap().iter();
                let seen = all.filter(|release| known || release["draft"] == false);
                Reply::Json(200, page(request, seen.map(|release| self.release(release)).collect()))
            }
            ("POST", ["releases"]) => {
                let published = |one: &Value| one["draft"] == false && one["tag_name"] == body["tag_name"];
                if state["releases"].as_array().unwrap().iter().any(published) {
                    let errors =
                        json!([{ "resource": "Release", "code": "already_exists", "field": "tag_name" }]);
                    return Reply::Json(422, json!({ "message": "Validation Failed", "errors": errors }));
                }
                let mut release = body;
                release["id"] = json!(next(state));
                release["assets"] = json!([]);
                // The newest is the first.
                state["releases"].as_array_mut().unwrap().insert(0, release.clone());
                Reply::Json(201, self.release(&release))
            }
            ("GET", ["releases", id, "assets"]) => {
                let Some(release) = find(state, id.parse().unwrap_or(0)) else { return absent() };
                let all = release["assets"].as_array().unwrap().iter();
                let all = all.map(|asset| self.shown(asset, &release["tag_name"])).collect();
                Reply::Json(200, page(request, all))
            }
            ("PATCH", ["releases", id]) => {
                let Some(release) = find(state, id.parse().unwrap_or(0)) else { return absent() };
                for (key, value) in body.as_object().into_iter().flatten() {
                    release[key] = value.clone();
                }
                let release = release.clone();
                if release["draft"] == false {
                    let tag = release["tag_name"].as_str().unwrap();
                    if state["tags"][tag].is_null() {
                        state["tags"][tag] = release["target_commitish"].clone();
                    }
                }
                Reply::Json(200, self.release(&release))
            }
            ("DELETE", ["releases", "assets", id]) => {
                for release in state["releases"].as_array_mut().unwrap() {
                    release["assets"]
                        .as_array_mut()
                        .unwrap()
                        .retain(|asset| asset["id"] != id.parse::<u64>().unwrap_or(0));
                }
                Reply::Json(204, Value::Null)
            }
            ("GET", ["git", "ref", "tags", tag]) => match &state["tags"][*tag] {
                Value::Null => absent(),
                // Of another type than a commit.
                object @ Value::Object(_) => Reply::Json(200, json!({ "object": object })),
                sha => Reply::Json(200, json!({ "object": { "type": "commit", "sha": sha } })),
            },
            ("GET", ["git", "tags", sha]) => match &state["tag-objects"][*sha] {
                Value::Null => absent(),
                object => Reply::Json(200, json!({ "object": object })),
            },
            ("GET", ["git", "commits", sha])
                if state["commits"].as_array().unwrap().contains(&json!(sha)) =>
            {
                Reply::Json(200, json!({ "sha": sha }))
            }
            _ => absent(),
        }
    }

    fn one(&self, state: &Value, which: impl Fn(&Value) -> bool) -> Reply {
        let found = state["releases"].as_array().unwrap().iter().find(|release| which(release));
        found.map_or_else(absent, |release| Reply::Json(200, self.release(release)))
    }
}

fn page(request: &Request, all: Vec<Value>) -> Value {
    let number =
        |name: &str, default| request.parameter(name).and_then(|text| text.parse().ok()).unwrap_or(default);
    let (size, page): (usize, usize) = (number("per_page", 30), number("page", 1));
    all.into_iter().skip(size * (page - 1)).take(size).collect()
}

fn next(state: &mut Value) -> u64 {
    let id = state["next"].as_u64().unwrap();
    state["next"] = json!(id + 1);
    id
}

fn find(state: &mut Value, id: u64) -> Option<&mut Value> {
    state["releases"].as_array_mut()?.iter_mut().find(|release| release["id"] == id)
}

fn absent() -> Reply {
    Reply::Json(404, json!({ "message": "Not Found" }))
}
