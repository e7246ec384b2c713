//! control.sock: how the command line reaches a running supervisor. One line of JSON each way:
//! `{"v":1,"do":"status"}` → `{"v":1,"ok":{…}}` or `{"v":1,"error":"…"}`.

pub mod client;
mod here;
pub mod lock;
pub mod order;
mod server;

use serde_json::{Value, json};

use crate::supervise::Request;

pub use client::{ask, follow, is_denied, order};
pub use here::{ask_here, is_silent};
pub use lock::{Lock, at_work, silent};
pub use order::{Begun, Order, Orders};
pub use server::{Server, serve};

pub const VERSION: u64 = 1;

/// No request is longer; whoever sends more is not ours.
const LONGEST_REQUEST: u64 = 4096;

/// What may be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Asked {
    Supervisor(Request),
    /// Every event of the preparation, from the first on, until Mathesar runs or has failed.
    Follow,
    Ordered(Order),
}

/// The request in a line.
fn parse(line: &[u8]) -> Result<Asked, String> {
    let value: Value = serde_json::from_slice(line).map_err(|_| "this is no JSON".to_owned())?;
    match value.get("v").and_then(Value::as_u64) {
        Some(VERSION) => {}
        Some(other) => return Err(format!("protocol {other} is not spoken here, only {VERSION}")),
        None => return Err("`v`, the protocol's version, is missing".to_owned()),
    }
    match value.get("do").and_then(Value::as_str) {
        Some("status") => Ok(Asked::Supervisor(Request::Status)),
        Some("stop") => Ok(Asked::Supervisor(Request::Stop)),
        Some("restart") => {
            let everything = value.get("everything") == Some(&Value::Bool(true));
            Ok(Asked::Supervisor(Request::Restart { everything }))
        }
        Some("try-restart") => Ok(Asked::Supervisor(Request::TryOut)),
        Some("reload-config") => Ok(Asked::Supervisor(Request::Reload)),
        Some("follow") => Ok(Asked::Follow),
        Some(_) if let Some(order) = Order::parse(&value) => Ok(Asked::Ordered(order)),
        Some(other) => Err(format!("`{}` is not known here", other.chars().take(40).collect::<String>())),
        None => Err("`do` is missing".to_owned()),
    }
}

fn request_line(request: Request) -> String {
    let value = match request {
        Request::Status => json!({ "v": VERSION, "do": "status" }),
        Request::Stop => json!({ "v": VERSION, "do": "stop" }),
        Request::Restart { everything } => json!({ "v": VERSION, "do": "restart", "everything": everything }),
        Request::Reload => json!({ "v": VERSION, "do": "reload-config" }),
        Request::TryOut => json!({ "v": VERSION, "do": "try-restart" }),
        // Never asked over the socket: whoever holds it has to live in the same process.
        Request::Hold | Request::Resume => json!({ "v": VERSION, "do": "nothing" }),
    };
    format!("{value}\n")
}

const FOLLOW: &str = "{\"v\":1,\"do\":\"follow\"}\n";

fn response_line(result: &Result<Value, String>) -> String {
    let value = match result {
        Ok(value) => json!({ "v": VERSION, "ok": value }),
        // Colours are for whoever has a terminal; here they would be taken for an attack on one.
        Err(why) => json!({ "v": VERSION, "error": anstream::adapter::strip_str(why).to_string() }),
    };
    format!("{value}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_survive_the_wire() {
        for request in [
            Request::Status,
            Request::Stop,
            Request::Reload,
            Request::TryOut,
            Request::Restart { everything: true },
            Request::Restart { everything: false },
        ] {
            assert_eq!(parse(request_line(request).as_bytes()), Ok(Asked::Supervisor(request)));
        }
    }

    #[test]
    fn others_are_told_what_is_wrong() {
        let wrong = |text: &str| parse(text.as_bytes()).unwrap_err();
        assert_eq!(wrong("GET / HTTP/1.1"), "this is no JSON");
        assert_eq!(wrong("{}"), "`v`, the protocol's version, is missing");
        assert_eq!(wrong(r#"{"v":2,"do":"stop"}"#), "protocol 2 is not spoken here, only 1");
        assert_eq!(wrong(r#"{"v":1,"do":"dance"}"#), "`dance` is not known here");
        assert_eq!(wrong(r#"{"v":1}"#), "`do` is missing");
        assert_eq!(wrong("[]"), "`v`, the protocol's version, is missing");
    }
}
