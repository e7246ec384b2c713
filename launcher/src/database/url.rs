//! Reads `postgresql://role@host:5432/database?sslmode=require`, as libpq does.

/// The parts of a server's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// A name, an IP address without brackets, or the folder of a socket.
    pub host: String,
    pub port: u16,
    pub role: String,
    pub database: String,
    pub sslmode: Option<String>,
}

impl Address {
    /// What is wrong, as a sentence's end, where it cannot be read. Never repeats the address: it may hold a password.
    pub fn parse(text: &str) -> Result<Address, String> {
        let rest = ["postgresql://", "postgres://"].iter().find_map(|scheme| text.strip_prefix(scheme));
        let rest = rest.ok_or("it must begin with postgresql://")?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, place) = authority.rsplit_once('@').unwrap_or(("", authority));
        if user.contains(':') {
            return Err("the password belongs into `database.password-file`".to_owned());
        }
        let (host, port) = host_and_port(place)?;
        let mut address = Address {
            host: decode(host)?,
            port: 5432,
            role: decode(user)?,
            database: decode(database)?,
            sslmode: None,
        };
        let mut port = port.to_owned();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or_else(|| format!("`{pair}` has no `=`"))?;
            let value = decode(value)?;
            match name {
                "host" => address.host = value,
                "port" => port = value,
                "user" => address.role = value,
                "dbname" => address.database = value,
                "sslmode" => address.sslmode = Some(value),
                "password" => return Err("the password belongs into `database.password-file`".to_owned()),
                _ => return Err(format!("Mathesar cannot be told `{name}`")),
            }
        }
        if !port.is_empty() {
            let number = port.parse().ok().filter(|number| *number != 0);
            address.port = number.ok_or_else(|| format!("`{port}` is no port"))?;
        }
        for (what, value) in
            [("host", &address.host), ("role", &address.role), ("database", &address.database)]
        {
            if value.is_empty() {
                return Err(format!("it names no {what}"));
            }
            if value.contains(char::is_control) {
                return Err(format!("its {what} has a control character"));
            }
        }
        if address.host.contains(',') {
            return Err("it names several hosts, and Mathesar takes one".to_owned());
        }
        Ok(address)
    }

    /// The same as text that libpq, and `parse`, read; holds no password.
    pub fn to_url(&self) -> String {
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => encode(&self.host),
        };
        let mut url =
            format!("postgresql://{}@{host}:{}/{}", encode(&self.role), self.port, encode(&self.database));
        if let Some(mode) = &self.sslmode {
            url.push_str(&format!("?sslmode={}", encode(mode)));
        }
        url
    }

    pub fn is_socket(&self) -> bool {
        self.host.starts_with('/')
    }

    /// `db.example.org:5432`, for messages.
    pub fn place(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false if self.is_socket() => format!("{}/.s.PGSQL.{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

fn host_and_port(place: &str) -> Result<(&str, &str), String> {
    if let Some(rest) = place.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or("its `[` is not closed")?;
        host.parse::<std::net::Ipv6Addr>().map_err(|_| format!("`{host}` is no IPv6 address"))?;
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, port)),
            None if rest.is_empty() => Ok((host, "")),
            None => Err(format!("`{rest}` behind the host is no port")),
        };
    }
    match place.split_once(':') {
        Some((_, port)) if port.contains(':') => Err("an IPv6 address needs brackets: `[::1]`".to_owned()),
        Some((host, port)) => Ok((host, port)),
        None => Ok((place, "")),
    }
}

/// All but what an address may hold anywhere.
fn encode(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    text.bytes()
        .map(|byte| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

fn decode(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = tail.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let digits = digits.filter(|two| two.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let byte = digits.and_then(|two| u8::from_str_radix(two, 16).ok());
        bytes.push(byte.ok_or("a `%` is not followed by two hexadecimal digits")?);
        rest = &tail[2..];
    }
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::Address;

    fn read(text: &str) -> (String, u16, String, String) {
        let address = Address::parse(text).unwrap();
        (address.host, address.port, address.role, address.database)
    }

    #[test]
    fn every_form_of_address() {
        let parts =
            |host: &str, port, role: &str, database: &str| (host.into(), port, role.into(), database.into());
        assert_eq!(read("postgresql://me@db/m"), parts("db", 5432, "me", "m"));
        assert_eq!(read("postgres://a%40b@[::1]:6000/my%20db"), parts("::1", 6000, "a@b", "my db"));
        assert_eq!(read("postgresql://me@%2Frun%2Fpg/m"), parts("/run/pg", 5432, "me", "m"));
        assert_eq!(read("postgresql:///m?host=/run/pg&user=me&port=6001"), parts("/run/pg", 6001, "me", "m"));
        let tls = Address::parse("postgresql://me@db/m?sslmode=require").unwrap();
        assert_eq!(tls.sslmode.as_deref(), Some("require"));
        assert_eq!(Address::parse("postgresql://me@[::1]/m").unwrap().place(), "[::1]:5432");
    }

    #[test]
    fn what_is_printed_is_read_again() {
        for text in [
            "postgresql://me@db/m",
            "postgresql://a%40b%3A@[::1]:6000/my%20db%2F?sslmode=require",
            "postgresql:///m?host=/run/pg%20'%22&user=me&port=6001",
            "postgresql://d%C3%A9j%C3%A0@10.0.0.1/%25%3F%23",
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!(Address::parse(&address.to_url()), Ok(address), "{text}");
        }
        let socket = Address::parse("postgresql:///m?host=/run/pg&user=me").unwrap();
        assert_eq!(socket.to_url(), "postgresql://me@%2Frun%2Fpg:5432/m");
    }

    #[test]
    fn mistakes_are_named() {
        let wrong = |text: &str| Address::parse(text).unwrap_err();
        assert_eq!(wrong("mysql://me@db/m"), "it must begin with postgresql://");
        assert_eq!(wrong("postgresql://db/m"), "it names no role");
        assert_eq!(wrong("postgresql://me@db"), "it names no database");
        assert_eq!(wrong("postgresql:///m?user=me"), "it names no host");
        assert_eq!(wrong("postgresql://me@::1/m"), "an IPv6 address needs brackets: `[::1]`");
        assert_eq!(wrong("postgresql://me@db:0/m"), "`0` is no port");
        assert_eq!(wrong("postgresql://me@a%zz/m"), "a `%` is not followed by two hexadecimal digits");
        assert_eq!(wrong("postgresql://me@db/m?sslrootcert=x"), "Mathesar cannot be told `sslrootcert`");
        assert!(wrong("postgresql://me:hunter2@db/m").starts_with("the password belongs"));
        assert!(wrong("postgresql://me@a,b/m").starts_with("it names several hosts"));
    }
}
