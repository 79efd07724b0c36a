//! The probe at start. It finds the commands that the server refuses because of an ACL, an old version, a replica or full memory before a
//! sign-in needs them.

use std::sync::LazyLock;

use redis::Script;

use crate::redis::reply;
use riskgate_engine::evidence::FailureReason;

/// The prefix of the keys that the probe writes and deletes.
// The hash tag puts them into one slot: a cluster, even of one server, accepts a script only if its keys share a slot.
pub(super) const KEY: &str = "riskgate:{probe}";

/// The oldest major version whose behaviour is tested.
const OLDEST_MAJOR: u32 = 6;

/// Runs each command that riskgate needs. Returns the server's version, or an empty text if it cannot be read, then the name and the error of
/// each refused command, alternately.
pub(super) static PROBE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
-- Redis 7 and Valkey have a constant. The ACL of an older server may refuse the command.
local version = redis.REDIS_VERSION
if not version then
    local info = redis.pcall('INFO', 'server')
    version = type(info) == 'string' and string.match(info, 'redis_version:([%d.]+)') or ''
end
local refused = {version}
local function try(...)
    local reply = redis.pcall(...)
    if type(reply) == 'table' and reply.err and not string.find(reply.err, 'WRONGTYPE') then
        refused[#refused + 1] = (...)
        refused[#refused + 1] = reply.err
    end
end
local value, hash, set = KEYS[1] .. ':value', KEYS[1] .. ':hash', KEYS[1] .. ':set'
try('SET', value, '1', 'NX', 'EX', 5)
try('INCR', value)
try('GET', value)
try('TTL', value)
try('HSET', hash, 'a', '1')
try('EXPIRE', hash, 5)
try('HGET', hash, 'a')
try('HGETALL', hash)
try('HDEL', hash, 'a')
try('ZADD', set, 1, 'a')
redis.pcall('EXPIRE', set, 5)
try('ZSCORE', set, 'a')
try('ZCARD', set)
try('ZRANGE', set, 0, -1)
try('ZREMRANGEBYSCORE', set, '-inf', 1)
try('DEL', value)
return refused
",
    )
});

/// What the operator has to correct if the server is too old.
pub(super) fn outdated(version: &str) -> Option<(FailureReason, String)> {
    let major: u32 = version.split('.').next()?.parse().ok()?;
    (major < OLDEST_MAJOR).then(|| (FailureReason::NoStore, format!("the server is Redis {version}; Redis 6.0 or later, or Valkey, is needed")))
}

/// What the operator has to correct, derived from the names and errors of the refused commands.
pub(super) fn problem(refused: &[String]) -> Option<(FailureReason, String)> {
    let names: Vec<&str> = refused.iter().step_by(2).map(String::as_str).collect();
    let (cause, help) = reply::classify_script_error(refused.get(1)?);
    Some((cause, format!("the server refuses {}: {help}", names.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_server_is_named() {
        for (version, is_outdated) in
            [("5.0.14", true), ("3.2", true), ("6.0.0", false), ("7.2.4", false), ("255.255.255", false), ("", false), ("unstable", false)]
        {
            assert_eq!(outdated(version).is_some_and(|(_, problem)| problem.contains(version)), is_outdated, "{version}");
        }
    }

    #[test]
    fn a_problem_names_the_commands_and_gives_advice() {
        let refused = |error: &str| problem(&["HGETALL".to_owned(), error.to_owned(), "EXPIRE".to_owned(), error.to_owned()]);
        for (error, cause, word) in [
            ("NOPERM this user has no permissions to run the 'hgetall' command script: 1, on @user_script:4.", FailureReason::KeyRefused, "ACL"),
            ("@user_script: 4: The user executing the script can't run this command or subcommand", FailureReason::KeyRefused, "ACL"),
            ("ERR Unknown Redis command called from script script: 1, on @user_script:4.", FailureReason::NoStore, "6.0"),
            ("-OOM command not allowed when used memory > 'maxmemory'.", FailureReason::Shed, "maxmemory"),
            ("READONLY You can't write against a read only replica.", FailureReason::NoStore, "primary"),
            ("ERR something else", FailureReason::NoStore, "log"),
        ] {
            let (found, problem) = refused(error).expect("a problem");
            assert!(found == cause && problem.starts_with("the server refuses HGETALL, EXPIRE: ") && problem.contains(word), "{problem}");
        }
        assert_eq!(problem(&[]), None);
    }
}
