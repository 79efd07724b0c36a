//! What the server refuses, tried at start: an ACL, an old version, a replica or a full memory shows before the first sign-in needs it.

use std::sync::LazyLock;

use redis::Script;

use super::reply;
use crate::evidence::Cause;

/// The keys that are tried, and deleted again.
// With a hash tag: a cluster with one server takes a script only if its keys share a slot.
pub(super) const KEY: &str = "riskgate:{probe}";

/// Runs each command that riskgate needs; returns the name and the error of each that is refused, in turn.
pub(super) static PROBE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local refused = {}
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

/// What the operator has to correct, by the names and errors of the refused commands.
pub(super) fn problem(refused: &[String]) -> Option<(Cause, String)> {
    let names: Vec<&str> = refused.iter().step_by(2).map(String::as_str).collect();
    let (cause, help) = reply::of_script(refused.get(1)?);
    Some((cause, format!("the server refuses {}: {help}", names.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_and_the_advice_are_named() {
        let refused = |error: &str| problem(&["HGETALL".to_owned(), error.to_owned(), "EXPIRE".to_owned(), error.to_owned()]);
        for (error, cause, word) in [
            ("NOPERM this user has no permissions to run the 'hgetall' command script: 1, on @user_script:4.", Cause::KeyRefused, "ACL"),
            ("@user_script: 4: The user executing the script can't run this command or subcommand", Cause::KeyRefused, "ACL"),
            ("ERR Unknown Redis command called from script script: 1, on @user_script:4.", Cause::NoStore, "6.0"),
            ("-OOM command not allowed when used memory > 'maxmemory'.", Cause::Shed, "maxmemory"),
            ("READONLY You can't write against a read only replica.", Cause::NoStore, "primary"),
            ("ERR something else", Cause::NoStore, "log"),
        ] {
            let (found, problem) = refused(error).expect("a problem");
            assert!(found == cause && problem.starts_with("the server refuses HGETALL, EXPIRE: ") && problem.contains(word), "{problem}");
        }
        assert_eq!(problem(&[]), None);
    }
}
