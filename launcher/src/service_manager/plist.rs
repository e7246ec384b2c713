//! The launchd agent that `mathesar autostart on` writes on macOS, as text.

use super::unit::Job;

/// A line by which it is known as ours.
pub(super) const MARK: &str = "<!-- Written by `mathesar autostart on`, which writes it again";

/// `errors`: where the launcher's last words go; all others are in the log file.
pub(super) fn render(label: &str, job: &Job, errors: &str) -> String {
    let words: String = std::iter::once(&job.program)
        .chain(&job.args)
        .map(|word| format!("        <string>{}</string>\n", escaped(word)))
        .collect();
    let variables: String = job
        .environment
        .iter()
        .map(|(name, value)| {
            format!("        <key>{}</key>\n        <string>{}</string>\n", escaped(name), escaped(value))
        })
        .collect();
    let environment = match variables.is_empty() {
        true => String::new(),
        false => format!("    <key>EnvironmentVariables</key>\n    <dict>\n{variables}    </dict>\n"),
    };
    // A minute for requests and four for PostgreSQL, as with systemd: launchd's own limit is 20 seconds.
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
{MARK}; `mathesar autostart off` removes it. -->
<plist version="1.0">
<dict>
    <key>Label</key>
    <string>{label}</string>
    <key>ProgramArguments</key>
    <array>
{words}    </array>
{environment}    <key>RunAtLoad</key>
    <true/>
    <key>KeepAlive</key>
    <dict>
        <key>SuccessfulExit</key>
        <false/>
    </dict>
    <key>ThrottleInterval</key>
    <integer>30</integer>
    <key>ExitTimeOut</key>
    <integer>300</integer>
    <key>Umask</key>
    <integer>63</integer>
    <key>WorkingDirectory</key>
    <string>/</string>
    <key>StandardErrorPath</key>
    <string>{errors}</string>
</dict>
</plist>
"#,
        label = escaped(label),
        errors = escaped(errors),
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
