//! Long work that a running launcher is asked for: told as it goes, and answered at its end.

use std::sync::mpsc::Receiver;

use serde_json::{Value, json};

use super::VERSION;
use crate::failure::{Exit, Failure};
use crate::steps::Feed;

/// What may be ordered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// To a release that is installed completely, by its id; `hold` where it came from a file.
    Upgrade { to: String, hold: bool },
    /// Back to before the last upgrade or restore; unless `discard`, only where nobody has written since.
    Rollback { discard: bool },
    /// The release's SQL in connected databases that did not get it.
    FinishSql,
}

/// Under way.
pub struct Begun {
    pub feed: Feed,
    pub result: Receiver<Result<Value, Failure>>,
}

/// Whoever does it.
pub trait Orders: Send + Sync {
    /// Refused where something is under way already.
    fn begin(&self, order: &Order) -> Result<Begun, Failure>;
}

impl Order {
    pub(super) fn parse(value: &Value) -> Option<Order> {
        match value.get("do")?.as_str()? {
            "upgrade" => Some(Order::Upgrade {
                to: value.get("to")?.as_str()?.to_owned(),
                hold: value.get("hold")?.as_bool()?,
            }),
            "rollback" => Some(Order::Rollback { discard: value.get("discard")?.as_bool()? }),
            "finish-sql" => Some(Order::FinishSql),
            _ => None,
        }
    }

    pub(super) fn line(&self) -> String {
        let value = match self {
            Order::Upgrade { to, hold } => json!({ "v": VERSION, "do": "upgrade", "to": to, "hold": hold }),
            Order::Rollback { discard } => json!({ "v": VERSION, "do": "rollback", "discard": discard }),
            Order::FinishSql => json!({ "v": VERSION, "do": "finish-sql" }),
        };
        format!("{value}\n")
    }
}

/// The last line: the answer, or the whole failure.
pub(super) fn end_line(result: Result<Value, Failure>) -> String {
    let value = match result {
        Ok(value) => json!({ "v": VERSION, "ok": value }),
        Err(failure) => {
            let cause = std::error::Error::source(&failure).map(ToString::to_string);
            json!({
                "v": VERSION, "error": failure.to_string(), "cause": cause, "help": failure.helps(), "exit": failure.exit as u8,
            })
        }
    };
    format!("{value}\n")
}

/// The failure in such a line.
pub(super) fn failure(value: &Value) -> Option<Failure> {
    let mut failure = Failure::new(value.get("error")?.as_str()?);
    if let Some(cause) = value.get("cause").and_then(Value::as_str) {
        failure = failure.cause(cause.to_owned());
    }
    for help in value.get("help").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
        failure = failure.help(help);
    }
    Some(failure.exit(Exit::of_code(value.get("exit").and_then(Value::as_i64).unwrap_or_default())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_and_failures_survive_the_wire() {
        for order in [
            Order::Upgrade { to: "2.0.0-abc".into(), hold: true },
            Order::Rollback { discard: true },
            Order::FinishSql,
        ] {
            assert_eq!(Order::parse(&serde_json::from_str(&order.line()).unwrap()), Some(order));
        }
        let sent = Failure::new("no").cause("because").help("`do`").exit(Exit::Refused);
        let value = serde_json::from_str(&end_line(Err(sent))).unwrap();
        let got = failure(&value).unwrap();
        assert_eq!(
            (got.to_string().as_str(), got.helps(), got.exit),
            ("no", &["`do`".to_owned()][..], Exit::Refused)
        );
    }
}
